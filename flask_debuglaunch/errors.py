"""Errors that are shown to the user as one message, without a traceback."""

from __future__ import annotations


class LaunchError(Exception):
    """The launch can't go on; the message says where, what was found, and how to fix it.

    ``exit_status`` is 2 for usage, configuration and import errors, 1 for what fails at run time
    (a busy port). It is never 3: Werkzeug's reloader takes 3 for "restart me".
    """

    def __init__(self, message: str, exit_status: int = 2) -> None:
        super().__init__(message)
        self.exit_status = exit_status


class DebuggerUnavailable(LaunchError):
    """The debugger is not installed, too old for this Python, or its IDE does not answer.

    Fatal only where the user asked for the connection; otherwise it is said and the app is served.
    """
