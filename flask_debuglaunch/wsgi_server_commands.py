"""Commands of WSGI servers (gunicorn, uwsgi, waitress, flask): what an app is served by in
production, and what the launcher has to serve in its place."""

from __future__ import annotations

import ast
import configparser
import posixpath
import re
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

# Options that take no value; of all others the next word is it.
GUNICORN_FLAGS = {
    "-D", "-R", "--check-config", "--daemon", "--disable-redirect-access-to-syslog",
    "--enable-stdio-inheritance", "--capture-output", "--initgroups", "--log-syslog",
    "--no-sendfile", "--preload", "--print-config", "--proxy-protocol", "--reload",
    "--reuse-port", "--spew", "--strip-header-spaces",
}  # fmt: skip
FLASK_FLAGS = {
    "--debug", "--no-debug", "--reload", "--no-reload", "--debugger", "--no-debugger",
    "--with-threads", "--without-threads",
}  # fmt: skip
WAITRESS_FLAGS = {"--call"}
# They start the command anew at each save, and the launcher does that itself.
RESTARTING_PROGRAMS = {"nodemon", "reflex", "watchexec", "watchmedo"}
SHELL_NAME = re.compile(r"(ba|da|a)?sh")
PYTHON_NAME = re.compile(r"python[\d.]*")
DEFAULT_SERVER_PORTS = {
    "gunicorn": 8000,
    "waitress-serve": 8080,
}  # where nothing else is said; Flask: 5000


@dataclass(frozen=True)
class ServerCommand:
    """What a command serves."""

    server: str
    app: str | None
    port: int | None = None
    python: str = "python"
    words_before: tuple[str, ...] = ()
    """The words in front of the server: `poetry run`."""
    shell_words: tuple[str, ...] = ()
    """The shell, its option, and what its line does before: `sh -c "flask db upgrade &&"`."""
    shell_script: str | None = None
    """The file that the shell's line is from, its $0."""
    folder: str | None = None
    """Where the server changes to (gunicorn's --chdir)."""

    @property
    def app_from_workdir(self) -> str | None:
        """The app, as it is named where the command is started."""
        if self.app is None or self.folder is None:
            return self.app
        return posixpath.join(self.folder, self.app)

    def replaced_by(self, replacing_words: Sequence[str]) -> list[str]:
        """The command with these words in the server's place."""
        replacing_words = [*self.words_before, self.python, *replacing_words]
        if not self.shell_words:
            return replacing_words
        *shell_words, line_head = self.shell_words
        line = f"{line_head} exec {shlex.join(replacing_words)}".lstrip()
        return [*shell_words, line, *([self.shell_script] if self.shell_script else ())]


@dataclass(frozen=True)
class CommandSurroundings:
    """What else tells what is served. read_file: the text of a file that the command names, None
    where it is not to be had."""

    environment: Mapping[str, str]
    read_file: Callable[[str], str | None]


def read_command(
    words: Sequence[str],
    environment: Mapping[str, str],
    read_file: Callable[[str], str | None] = lambda _: None,
) -> ServerCommand | None:
    """What the words start; None if that is no server of a WSGI app that is known here.

    A shell's line or script counts by its last command; what stands before that stays.
    read_file: as in CommandSurroundings.
    """
    surroundings = CommandSurroundings(environment, read_file)
    if len(words) > 2 and _is_shell(words[0]) and words[1][:1] == "-":
        return _of_shell_line(words[:2], words[2], surroundings)
    return _of_shell_script(words, surroundings) or _of_command_words(
        _expanded_words(words, surroundings), surroundings
    )


def _is_shell(word: str) -> bool:
    return SHELL_NAME.fullmatch(posixpath.basename(word)) is not None


def _of_shell_script(
    words: Sequence[str], surroundings: CommandSurroundings
) -> ServerCommand | None:
    """Of a shell script alone: words that it were given could mean anything to it."""
    script_words = words[1:] if words and _is_shell(words[0]) else words
    script_text = surroundings.read_file(script_words[0]) if len(script_words) == 1 else None
    first_line, _, script_lines = (script_text or "").partition("\n")
    shell_words = words[:1] if len(words) > 1 else first_line.removeprefix("#!").split()
    if (
        not first_line.startswith("#!")
        or not shell_words
        or not any(_is_shell(word) for word in shell_words)
    ):
        return None
    command = _of_shell_line([*shell_words, "-c"], script_lines, surroundings)
    if command is None or not command.shell_words:
        return command
    return replace(command, shell_script=script_words[0])


def _of_shell_line(
    shell_words: Sequence[str], shell_text: str, surroundings: CommandSurroundings
) -> ServerCommand | None:
    without_comments_at_its_end = re.sub(r"(\n[ \t]*(#.*)?)+$", "", shell_text)
    shell_line = without_comments_at_its_end.replace("\\\n", " ").strip()
    last_command_at = max(
        (separator.end() for separator in re.finditer(r"&&|\|\|?|;|\n", shell_line)), default=0
    )
    try:
        last_words = shlex.split(shell_line[last_command_at:])
    except ValueError:  # an open quote
        return None
    command = _of_command_words(_expanded_words(last_words, surroundings), surroundings)
    line_head = shell_line[:last_command_at].rstrip(" \t")
    if command is None or not line_head:
        return command
    return replace(command, shell_words=(*shell_words, line_head))


def _expanded_words(words: Sequence[str], surroundings: CommandSurroundings) -> list[str]:
    return [_expanded_word(word, surroundings.environment) for word in words]


def _expanded_word(word: str, environment: Mapping[str, str]) -> str:
    """With the variables that are known; Compose writes $ as $$."""

    def variable_value(variable: re.Match[str]) -> str:
        name, default_value = variable["name"] or variable["braced"], variable["default"]
        return environment.get(name) or default_value or variable[0]

    variable_pattern = r"\$?\$(?:(?P<name>\w+)|\{(?P<braced>\w+)(?::?-(?P<default>[^}]*))?\})"
    return re.sub(variable_pattern, variable_value, word)


def _of_command_words(
    words: Sequence[str], surroundings: CommandSurroundings
) -> ServerCommand | None:
    """The server may be started by another program (`poetry run`, `tini --`), whose own words
    stand before it."""
    words = _with_uvs_python(words)
    if words and _is_program(words[0]):
        return _of_program_words(words, surroundings)
    for server_at in range(len(words)):
        # `gosu flask flask run`: a user, or an environment, that is named as a server is.
        is_argument = _is_program("".join(words[server_at + 1 : server_at + 2]))
        command = None if is_argument else _of_program_words(words[server_at:], surroundings)
        if command is not None:
            # Of `coverage run -m flask`, no interpreter can take the place.
            if "-m" in words[:server_at]:
                return None
            return replace(command, words_before=_wrapper_words(words[:server_at]))
    return None


def _is_program(word: str) -> bool:
    name = posixpath.basename(word)
    return name in COMMAND_READERS or re.fullmatch(PYTHON_NAME, name) is not None


def _wrapper_words(words: Sequence[str]) -> tuple[str, ...]:
    if words and posixpath.basename(words[0]) in RESTARTING_PROGRAMS:
        return ()
    return tuple(word for word in words if word != "exec")


def _with_uvs_python(words: Sequence[str]) -> list[str]:
    """`uv run app.py` and `uv run -m flask` with the interpreter that uv takes for them."""
    if [posixpath.basename(word) for word in words[:2]] == ["uv", "run"]:
        for start in range(2, len(words)):
            if _is_program(words[start]):
                break
            if words[start] == "-m" or words[start].endswith(".py"):
                return [*words[:start], "python", *words[start:]]
    return list(words)


def _of_program_words(words: list[str], surroundings: CommandSurroundings) -> ServerCommand | None:
    """What these words serve, the first of which is the program."""
    name = posixpath.basename(words[0])
    if re.fullmatch(PYTHON_NAME, name):
        return _of_python_command(words, surroundings)
    server = {"waitress": "waitress-serve"}.get(name, name)
    command = (
        COMMAND_READERS[server](words[1:], surroundings) if server in COMMAND_READERS else None
    )
    # A script of a virtual environment has its interpreter beside it.
    python = posixpath.join(posixpath.dirname(words[0]), "python")
    return replace(command, python=python) if command else None


def _of_python_command(words: list[str], surroundings: CommandSurroundings) -> ServerCommand | None:
    """`python -m SERVER ...`, `python app.py`."""
    arguments = words[1:]
    while arguments and arguments[0].startswith("-") and arguments[0] != "-m":
        arguments = arguments[2:] if arguments[0] in ("-W", "-X") else arguments[1:]
    if not arguments:
        return None
    if arguments[0] != "-m":
        is_script = arguments[0].endswith(".py") and posixpath.basename(arguments[0]) != "manage.py"
        return ServerCommand("python", arguments[0], python=words[0]) if is_script else None
    if len(arguments) < 2:
        return None
    module, server_arguments = arguments[1], arguments[2:]
    if module == "debugpy":
        return _of_python_command(
            [words[0], *_words_debugged_by_debugpy(server_arguments)], surroundings
        )
    server = {"waitress": "waitress-serve"}.get(module, module)
    command = (
        COMMAND_READERS[server](server_arguments, surroundings)
        if server in COMMAND_READERS
        else ServerCommand("python", module)
    )
    return replace(command, python=words[0]) if command else None


def _words_debugged_by_debugpy(arguments: list[str]) -> list[str]:
    """What `python -m debugpy --listen 5678 ...` starts."""
    while arguments and arguments[0].startswith("-") and arguments[0] not in ("-m", "-c"):
        arguments = arguments[1 if arguments[0] == "--wait-for-client" else 2 :]
    return arguments


def _of_gunicorn(words: list[str], surroundings: CommandSurroundings) -> ServerCommand:
    """By the order in which gunicorn takes its settings, the last of which counts:
    https://docs.gunicorn.org/en/stable/configure.html."""
    gunicorn_cmd_args = shlex.split(surroundings.environment.get("GUNICORN_CMD_ARGS", ""))
    options, arguments = _options_and_arguments([*gunicorn_cmd_args, *words], GUNICORN_FLAGS)
    long_names = {"-b": "--bind", "-c": "--config"}
    options_by_name = {long_names.get(name, name): option_value for name, option_value in options}
    config_file = options_by_name.get("--config", "gunicorn.conf.py").removeprefix("file:")
    config_constants = _text_constants(surroundings.read_file(config_file) or "")
    bind = options_by_name.get("--bind") or config_constants.get("bind")
    platform_port = surroundings.environment.get("PORT")
    return ServerCommand(
        "gunicorn",
        arguments[0] if arguments else config_constants.get("wsgi_app"),
        _port_of_address(bind or (f":{platform_port}" if platform_port else None)),
        folder=options_by_name.get("--chdir") or config_constants.get("chdir"),
    )


def _text_constants(python_text: str) -> dict[str, str]:
    """What a Python file calls by a plain name: texts only."""
    try:
        statements = ast.parse(python_text).body
    except (SyntaxError, ValueError):
        return {}
    return {
        statement.targets[0].id: statement.value.value
        for statement in statements
        if isinstance(statement, ast.Assign)
        and isinstance(statement.targets[0], ast.Name)
        and isinstance(statement.value, ast.Constant)
        and isinstance(statement.value.value, str)
    }


def _of_waitress(words: list[str], _: CommandSurroundings) -> ServerCommand:
    options, arguments = _options_and_arguments(words, WAITRESS_FLAGS)
    options_by_name = dict(options)
    port = options_by_name.get("--port")
    address = f":{port}" if port is not None else options_by_name.get("--listen")
    app = arguments[0] if arguments else None
    # Without --call, what is named is the app, also where it is a function.
    return ServerCommand("waitress-serve", app, _port_of_address(address))


def _of_flask(words: list[str], surroundings: CommandSurroundings) -> ServerCommand | None:
    options, arguments = _options_and_arguments(words, FLASK_FLAGS)
    if not {"run", "debuglaunch"} & set(arguments):  # flask db upgrade
        return None
    options_by_name = dict(options)
    port = (
        options_by_name.get("-p")
        or options_by_name.get("--port")
        or surroundings.environment.get("FLASK_RUN_PORT")
    )
    app = options_by_name.get("-A") or options_by_name.get("--app")
    return ServerCommand("flask", app, _port_of_address(f":{port}") if port else None)


def _of_launcher(words: list[str], surroundings: CommandSurroundings) -> ServerCommand | None:
    return _of_flask(["run", *words], surroundings)


def _of_uwsgi(words: list[str], surroundings: CommandSurroundings) -> ServerCommand:
    """By its options, its environment's variables, and its .ini file."""
    options, arguments = _options_and_arguments(words, UWSGI_FLAGS)
    ini_file = dict(options).get("--ini") or next(
        (argument for argument in arguments if argument.endswith(".ini")), None
    )
    ini_settings = _uwsgi_section(surroundings.read_file(ini_file) or "") if ini_file else {}
    uwsgi_variables = {
        name.removeprefix("UWSGI_").lower().replace("_", "-"): option_value
        for name, option_value in surroundings.environment.items()
        if name.startswith("UWSGI_")
    }
    option_settings = {name.lstrip("-"): option_value for name, option_value in options}
    synonyms = {"w": "module", "wsgi": "module", "file": "wsgi-file"}
    uwsgi_settings = {
        synonyms.get(name, name): option_value
        for name, option_value in (ini_settings | uwsgi_variables | option_settings).items()
    }
    app = uwsgi_settings.get("module") or uwsgi_settings.get("wsgi-file")
    if app is not None and ":" not in app and "callable" in uwsgi_settings:
        app = f"{app}:{uwsgi_settings['callable']}"
    address = uwsgi_settings.get("http") or uwsgi_settings.get("http-socket")
    return ServerCommand(
        "uwsgi", app, _port_of_address(address), folder=uwsgi_settings.get("chdir")
    )


def _uwsgi_section(ini_text: str) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string(ini_text)
    except configparser.Error:
        return {}
    uwsgi_section = dict(parser["uwsgi"]) if "uwsgi" in parser else {}
    return {name: ini_value for name, ini_value in uwsgi_section.items() if ini_value is not None}


UWSGI_FLAGS = {"--master", "-M", "--enable-threads", "--vacuum", "--die-on-term", "--need-app"}
CommandReader = Callable[[list[str], CommandSurroundings], ServerCommand | None]
COMMAND_READERS: Mapping[str, CommandReader] = {
    "gunicorn": _of_gunicorn,
    "waitress-serve": _of_waitress,
    "flask": _of_flask,
    "uwsgi": _of_uwsgi,
    "flask_debuglaunch": _of_launcher,
    "flask-debuglaunch": _of_launcher,
}


def _options_and_arguments(
    words: Sequence[str], flags_without_value: set[str]
) -> tuple[list[tuple[str, str]], list[str]]:
    """The options with their values, and the words that belong to none."""
    options, arguments = [], []
    remaining_words = iter(words)
    for word in remaining_words:
        name, equals, option_value = word.partition("=")
        if not word.startswith("-") or word == "-":
            arguments.append(word)
        elif equals:
            options.append((name, option_value))
        elif not word.startswith("--") and len(word) > 2:  # -b0.0.0.0:8000
            options.append((word[:2], word[2:]))
        elif word not in flags_without_value:
            options.append((word, next(remaining_words, "")))
    return options, arguments


def _port_of_address(address: str | None) -> int | None:
    port_at_end = re.search(r":(\d+)$", address or "")
    return int(port_at_end[1]) if port_at_end else None
