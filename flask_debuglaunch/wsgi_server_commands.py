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
RESTARTERS = {"nodemon", "reflex", "watchexec", "watchmedo"}
SHELL = re.compile(r"(ba|da|a)?sh")
PYTHON = re.compile(r"python[\d.]*")
PORTS = {"gunicorn": 8000, "waitress-serve": 8080}  # where nothing else is said; Flask: 5000


@dataclass(frozen=True)
class Served:
    """What a command serves."""

    server: str
    app: str | None
    port: int | None = None
    python: str = "python"
    before: tuple[str, ...] = ()
    """The words in front of the server: `poetry run`."""
    shell: tuple[str, ...] = ()
    """The shell, its option, and what its line does before: `sh -c "flask db upgrade &&"`."""
    script: str | None = None
    """The file that the shell's line is from, its $0."""
    folder: str | None = None
    """Where the server changes to (gunicorn's --chdir)."""

    def replaced_by(self, words: Sequence[str]) -> list[str]:
        """The command with these words in the server's place."""
        words = [*self.before, self.python, *words]
        if not self.shell:
            return words
        *shell, head = self.shell
        line = f"{head} exec {shlex.join(words)}".lstrip()
        return [*shell, line, *([self.script] if self.script else ())]


@dataclass(frozen=True)
class Surroundings:
    """What else tells what is served. read: the text of a file that the command names, None where
    it is not to be had."""

    environment: Mapping[str, str]
    read: Callable[[str], str | None]


def read_command(
    words: Sequence[str],
    environment: Mapping[str, str],
    read: Callable[[str], str | None] = lambda _: None,
) -> Served | None:
    """What the words start; None if that is no server of a WSGI app that is known here.

    A shell's line or script counts by its last command; what stands before that stays. read: as
    in Surroundings.
    """
    around = Surroundings(environment, read)
    if len(words) > 2 and _is_shell(words[0]) and words[1][:1] == "-":
        return _of_shell_line(words[:2], words[2], around)
    return _of_script(words, around) or _of_words(_all_expanded(words, around), around)


def _is_shell(word: str) -> bool:
    return SHELL.fullmatch(posixpath.basename(word)) is not None


def _of_script(words: Sequence[str], around: Surroundings) -> Served | None:
    """Of a shell script alone: words that it were given could mean anything to it."""
    named = words[1:] if words and _is_shell(words[0]) else words
    text = around.read(named[0]) if len(named) == 1 else None
    first, _, rest = (text or "").partition("\n")
    shell = words[:1] if len(words) > 1 else first.removeprefix("#!").split()
    if not first.startswith("#!") or not shell or not any(_is_shell(word) for word in shell):
        return None
    served = _of_shell_line([*shell, "-c"], rest, around)
    return replace(served, script=named[0]) if served and served.shell else served


def _of_shell_line(shell: Sequence[str], text: str, around: Surroundings) -> Served | None:
    without_comments_at_its_end = re.sub(r"(\n[ \t]*(#.*)?)+$", "", text)
    line = without_comments_at_its_end.replace("\\\n", " ").strip()
    last = max((found.end() for found in re.finditer(r"&&|\|\|?|;|\n", line)), default=0)
    try:
        command = shlex.split(line[last:])
    except ValueError:  # an open quote
        return None
    served = _of_words(_all_expanded(command, around), around)
    head = line[:last].rstrip(" \t")
    return replace(served, shell=(*shell, head)) if served and head else served


def _all_expanded(words: Sequence[str], around: Surroundings) -> list[str]:
    return [_expanded(word, around.environment) for word in words]


def _expanded(word: str, environment: Mapping[str, str]) -> str:
    """With the variables that are known; Compose writes $ as $$."""

    def value(found: re.Match[str]) -> str:
        name, default = found["name"] or found["braced"], found["default"]
        return environment.get(name) or default or found[0]

    pattern = r"\$?\$(?:(?P<name>\w+)|\{(?P<braced>\w+)(?::?-(?P<default>[^}]*))?\})"
    return re.sub(pattern, value, word)


def _of_words(words: Sequence[str], around: Surroundings) -> Served | None:
    """The server may be started by another program (`poetry run`, `tini --`), whose own words
    stand before it."""
    words = _with_uvs_python(words)
    if words and _is_program(words[0]):
        return _at(words, around)
    for start in range(len(words)):
        # `gosu flask flask run`: a user, or an environment, that is named as a server is.
        is_argument = _is_program("".join(words[start + 1 : start + 2]))
        found = None if is_argument else _at(words[start:], around)
        if found is not None:
            # Of `coverage run -m flask`, no interpreter can take the place.
            return None if "-m" in words[:start] else replace(found, before=_kept(words[:start]))
    return None


def _is_program(word: str) -> bool:
    name = posixpath.basename(word)
    return name in READERS or re.fullmatch(PYTHON, name) is not None


def _kept(words: Sequence[str]) -> tuple[str, ...]:
    if words and posixpath.basename(words[0]) in RESTARTERS:
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


def _at(words: list[str], around: Surroundings) -> Served | None:
    """What these words serve, the first of which is the program."""
    name = posixpath.basename(words[0])
    if re.fullmatch(PYTHON, name):
        return _of_python(words, around)
    server = {"waitress": "waitress-serve"}.get(name, name)
    served = READERS[server](words[1:], around) if server in READERS else None
    # A script of a virtual environment has its interpreter beside it.
    python = posixpath.join(posixpath.dirname(words[0]), "python")
    return replace(served, python=python) if served else None


def _of_python(words: list[str], around: Surroundings) -> Served | None:
    """`python -m SERVER ...`, `python app.py`."""
    rest = words[1:]
    while rest and rest[0].startswith("-") and rest[0] != "-m":
        rest = rest[2:] if rest[0] in ("-W", "-X") else rest[1:]
    if not rest:
        return None
    if rest[0] != "-m":
        is_script = rest[0].endswith(".py") and posixpath.basename(rest[0]) != "manage.py"
        return Served("python", rest[0], python=words[0]) if is_script else None
    if len(rest) < 2:
        return None
    module, arguments = rest[1], rest[2:]
    if module == "debugpy":
        return _of_python([words[0], *_debugged_by(arguments)], around)
    server = {"waitress": "waitress-serve"}.get(module, module)
    served = READERS[server](arguments, around) if server in READERS else Served("python", module)
    return replace(served, python=words[0]) if served else None


def _debugged_by(arguments: list[str]) -> list[str]:
    """What `python -m debugpy --listen 5678 ...` starts."""
    while arguments and arguments[0].startswith("-") and arguments[0] not in ("-m", "-c"):
        arguments = arguments[1 if arguments[0] == "--wait-for-client" else 2 :]
    return arguments


def _gunicorn(words: list[str], around: Surroundings) -> Served:
    """By the order in which gunicorn takes its settings, the last of which counts:
    https://docs.gunicorn.org/en/stable/configure.html."""
    of_environment = shlex.split(around.environment.get("GUNICORN_CMD_ARGS", ""))
    options, positional = _options([*of_environment, *words], GUNICORN_FLAGS)
    named = {"-b": "--bind", "-c": "--config"}
    given = {named.get(name, name): text for name, text in options}
    file = given.get("--config", "gunicorn.conf.py").removeprefix("file:")
    of_file = _constants(around.read(file) or "")
    bind = given.get("--bind") or of_file.get("bind")
    of_platform = around.environment.get("PORT")
    return Served(
        "gunicorn",
        positional[0] if positional else of_file.get("wsgi_app"),
        _port_of(bind or (f":{of_platform}" if of_platform else None)),
        folder=given.get("--chdir") or of_file.get("chdir"),
    )


def _constants(text: str) -> dict[str, str]:
    """What a Python file calls by a plain name: texts only."""
    try:
        statements = ast.parse(text).body
    except (SyntaxError, ValueError):
        return {}
    return {
        one.targets[0].id: one.value.value
        for one in statements
        if isinstance(one, ast.Assign)
        and isinstance(one.targets[0], ast.Name)
        and isinstance(one.value, ast.Constant)
        and isinstance(one.value.value, str)
    }


def _waitress(words: list[str], _: Surroundings) -> Served:
    options, positional = _options(words, WAITRESS_FLAGS)
    given = dict(options)
    port = _port_of(f":{given['--port']}") if "--port" in given else _port_of(given.get("--listen"))
    app = positional[0] if positional else None
    # Without --call, what is named is the app, also where it is a function.
    return Served("waitress-serve", app, port)


def _flask(words: list[str], around: Surroundings) -> Served | None:
    options, positional = _options(words, FLASK_FLAGS)
    if not {"run", "debuglaunch"} & set(positional):  # flask db upgrade
        return None
    given = dict(options)
    port = given.get("-p") or given.get("--port") or around.environment.get("FLASK_RUN_PORT")
    app = given.get("-A") or given.get("--app")
    return Served("flask", app, _port_of(f":{port}") if port else None)


def _launcher(words: list[str], around: Surroundings) -> Served | None:
    return _flask(["run", *words], around)


def _uwsgi(words: list[str], around: Surroundings) -> Served:
    """By its options, its environment's variables, and its .ini file."""
    options, positional = _options(words, UWSGI_FLAGS)
    file = dict(options).get("--ini") or next(
        (one for one in positional if one.endswith(".ini")), None
    )
    of_file = _ini(around.read(file) or "") if file else {}
    variables = {
        name.removeprefix("UWSGI_").lower().replace("_", "-"): text
        for name, text in around.environment.items()
        if name.startswith("UWSGI_")
    }
    own = {name.lstrip("-"): text for name, text in options}
    synonyms = {"w": "module", "wsgi": "module", "file": "wsgi-file"}
    given = {synonyms.get(name, name): text for name, text in (of_file | variables | own).items()}
    app = given.get("module") or given.get("wsgi-file")
    if app is not None and ":" not in app and "callable" in given:
        app = f"{app}:{given['callable']}"
    address = given.get("http") or given.get("http-socket")
    return Served("uwsgi", app, _port_of(address), folder=given.get("chdir"))


def _ini(text: str) -> dict[str, str]:
    parser = configparser.RawConfigParser(strict=False, allow_no_value=True)
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}
    found = dict(parser["uwsgi"]) if "uwsgi" in parser else {}
    return {name: value for name, value in found.items() if value is not None}


UWSGI_FLAGS = {"--master", "-M", "--enable-threads", "--vacuum", "--die-on-term", "--need-app"}
Reader = Callable[[list[str], Surroundings], Served | None]
READERS: Mapping[str, Reader] = {
    "gunicorn": _gunicorn,
    "waitress-serve": _waitress,
    "flask": _flask,
    "uwsgi": _uwsgi,
    "flask_debuglaunch": _launcher,
    "flask-debuglaunch": _launcher,
}


def _options(words: Sequence[str], flags: set[str]) -> tuple[list[tuple[str, str]], list[str]]:
    """The options with their values, and the words that belong to none."""
    options, positional = [], []
    waiting = iter(words)
    for word in waiting:
        name, equals, text = word.partition("=")
        if not word.startswith("-") or word == "-":
            positional.append(word)
        elif equals:
            options.append((name, text))
        elif not word.startswith("--") and len(word) > 2:  # -b0.0.0.0:8000
            options.append((word[:2], word[2:]))
        elif word not in flags:
            options.append((word, next(waiting, "")))
    return options, positional


def _port_of(address: str | None) -> int | None:
    found = re.search(r":(\d+)$", address or "")
    return int(found[1]) if found else None
