"""The command that serves an app in production, and what the launcher has to serve in its place."""

from __future__ import annotations

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
WRAPPERS = {
    "poetry": ("run",),
    "pipenv": ("run",),
    "uv": ("run",),
    "pdm": ("run",),
    "hatch": ("run",),
    "exec": (),
    "dumb-init": ("--",),
    "tini": ("--",),
}
SHELL = re.compile(r"(ba|da|a)?sh")
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
    folder: str | None = None
    """Where the server changes to (gunicorn's --chdir)."""

    def replaced_by(self, words: Sequence[str]) -> list[str]:
        """The command with these words in the server's place."""
        words = [*self.before, self.python, *words]
        if not self.shell:
            return words
        *shell, head = self.shell
        return [*shell, f"{head} exec {shlex.join(words)}".lstrip()]


def read_command(words: Sequence[str], environment: Mapping[str, str]) -> Served | None:
    """What the words start; None if that is no server of a WSGI app that is known here.

    A shell's line counts by its last command; what stands before that stays.
    """
    if len(words) > 2 and SHELL.fullmatch(posixpath.basename(words[0])) and words[1][:1] == "-":
        return _of_shell_line(words, environment)
    return _of_words([_expanded(word, environment) for word in words])


def _of_shell_line(words: Sequence[str], environment: Mapping[str, str]) -> Served | None:
    line = words[2].strip()
    last = max((found.end() for found in re.finditer(r"&&|\|\|?|;|\n", line)), default=0)
    try:
        command = shlex.split(line[last:])
    except ValueError:  # an open quote
        return None
    served = _of_words([_expanded(word, environment) for word in command])
    head = line[:last].rstrip()
    return replace(served, shell=(*words[:2], head)) if served and head else served


def _expanded(word: str, environment: Mapping[str, str]) -> str:
    """With the variables that are known; Compose writes $ as $$."""

    def value(found: re.Match[str]) -> str:
        name, default = found["name"] or found["braced"], found["default"]
        return environment.get(name) or default or found[0]

    pattern = r"\$?\$(?:(?P<name>\w+)|\{(?P<braced>\w+)(?::?-(?P<default>[^}]*))?\})"
    return re.sub(pattern, value, word)


def _of_words(words: Sequence[str]) -> Served | None:
    for start in range(len(words)):
        found = _at(list(words[start:]))
        if found is not None:
            return replace(found, before=tuple(word for word in words[:start] if word != "exec"))
        if not _is_before(words, start):
            return None
    return None


def _is_before(words: Sequence[str], position: int) -> bool:
    """May the word stand before the server: a wrapper, its own word, or an assignment for env?"""
    word = words[position]
    own = {one for known in WRAPPERS.values() for one in known}
    is_assignment = word == "env" or re.fullmatch(r"\w+=.*", word)
    is_script = position == 0 and (word.endswith(".sh") or word.startswith("/"))
    return posixpath.basename(word) in WRAPPERS or word in own or bool(is_assignment) or is_script


def _at(words: list[str]) -> Served | None:
    """What these words serve, the first of which is the program."""
    name = posixpath.basename(words[0])
    if re.fullmatch(r"python[\d.]*", name):
        return _of_python(words)
    server = {"waitress": "waitress-serve"}.get(name, name)
    served = READERS[server](words[1:]) if server in READERS else None
    # A script of a virtual environment has its interpreter beside it.
    python = posixpath.join(posixpath.dirname(words[0]), "python")
    return replace(served, python=python) if served else None


def _of_python(words: list[str]) -> Served | None:
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
        return _of_python([words[0], *_debugged_by(arguments)])
    server = {"waitress": "waitress-serve"}.get(module, module)
    served = READERS[server](arguments) if server in READERS else Served("python", module)
    return replace(served, python=words[0]) if served else None


def _debugged_by(arguments: list[str]) -> list[str]:
    """What `python -m debugpy --listen 5678 ...` starts."""
    while arguments and arguments[0].startswith("-") and arguments[0] not in ("-m", "-c"):
        arguments = arguments[1 if arguments[0] == "--wait-for-client" else 2 :]
    return arguments


def _gunicorn(words: list[str]) -> Served:
    options, positional = _options(words, GUNICORN_FLAGS)
    given = dict(options)
    bind = given.get("-b") or given.get("--bind")
    return Served(
        "gunicorn",
        positional[0] if positional else None,
        _port_of(bind),
        folder=given.get("--chdir"),
    )


def _waitress(words: list[str]) -> Served:
    options, positional = _options(words, WAITRESS_FLAGS)
    given = dict(options)
    port = _port_of(f":{given['--port']}") if "--port" in given else _port_of(given.get("--listen"))
    app = positional[0] if positional else None
    # Without --call, what is named is the app, also where it is a function.
    return Served("waitress-serve", app, port)


def _flask(words: list[str]) -> Served | None:
    options, positional = _options(words, FLASK_FLAGS)
    if not {"run", "debuglaunch"} & set(positional):  # flask db upgrade
        return None
    given = dict(options)
    port = given.get("-p") or given.get("--port")
    app = given.get("-A") or given.get("--app")
    return Served("flask", app, _port_of(f":{port}") if port else None)


def _launcher(words: list[str]) -> Served | None:
    return _flask(["run", *words])


def _uwsgi(words: list[str]) -> Served:
    given = dict(_options(words, UWSGI_FLAGS)[0])
    address = next((given[name] for name in ("--http", "--http-socket") if name in given), None)
    app = given.get("-w") or given.get("--module") or given.get("--wsgi")
    file = given.get("--wsgi-file") or given.get("--file")
    if app is None and file is not None:
        name = given.get("--callable")
        app = f"{file}:{name}" if name else file
    return Served("uwsgi", app, _port_of(address), folder=given.get("--chdir"))


UWSGI_FLAGS = {"--master", "-M", "--enable-threads", "--vacuum", "--die-on-term", "--need-app"}
READERS: Mapping[str, Callable[[list[str]], Served | None]] = {
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
