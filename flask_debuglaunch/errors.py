"""Errors that are shown to the user as one message, without a traceback, and the hints in them."""

from __future__ import annotations

from collections.abc import Iterable

from flask_debuglaunch.redaction import redact


class LaunchError(Exception):
    """The launch can't go on; the message says where, what was found, and how to fix it. Secrets
    are taken out of it.

    ``exit_status`` is 2 for usage, configuration and import errors, 1 for what fails at run time
    (a busy port). It is never 3: Werkzeug's reloader takes 3 for "restart me".
    """

    def __init__(self, message: str, exit_status: int = 2) -> None:
        super().__init__(redact(message))
        self.exit_status = exit_status


class DebuggerUnavailable(LaunchError):
    """The debugger is not installed, too old for this Python, or its IDE does not answer.

    Fatal only where the user asked for the connection; otherwise it is said and the app is served.
    """


class EditRefused(ValueError):
    """A file's text that is there can't be edited: what is wrong where (line and column from 1)."""

    def __init__(self, line: int, column: int, message: str) -> None:
        super().__init__(f"line {line}, column {column}: {message}")
        self.line = line
        self.column = column
        self.message = message


def nearest(name: str, known_names: Iterable[str], cutoff: float = 0.6) -> str | None:
    """The known name that is most like a misspelt one; None where none is alike enough."""
    import difflib  # here, because a launch without an error does without it

    return next(iter(difflib.get_close_matches(name, list(known_names), n=1, cutoff=cutoff)), None)


def did_you_mean(name: str, known_names: Iterable[str], otherwise: str = "") -> str:
    """The end of a message on an unknown name: ". Did you mean PORT?"."""
    nearest_name = nearest(name, known_names)
    return f". Did you mean {nearest_name}?" if nearest_name else otherwise


def another_port(flag: str, taken_port: int) -> str:
    """The flag with a port beside the one that is taken."""
    return f"{flag} {taken_port + 1 if taken_port < 65535 else taken_port - 1}"


def not_valid_yaml(file_name: str, error: Exception) -> LaunchError:
    """What the parser has found, at its line and column where it names them."""
    yaml_mark = getattr(error, "problem_mark", None)
    place_in_yaml = f":{yaml_mark.line + 1}:{yaml_mark.column + 1}" if yaml_mark else ""
    yaml_problem = getattr(error, "problem", None) or error
    return LaunchError(f"{file_name}{place_in_yaml}: not valid YAML: {yaml_problem}")
