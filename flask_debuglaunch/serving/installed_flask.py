"""The Flask of this environment, which serves the app."""

from __future__ import annotations

import functools
import sys

from flask_debuglaunch.errors import LaunchError

OLDEST_FLASK = "3"
"""The first part of its version, as in pyproject.toml."""


@functools.cache  # it reads the metadata; what is forked has it from the fork server
def require_flask() -> None:
    """Raises LaunchError where the Flask of this environment is missing or too old for us."""
    wanted = f"Install it for {sys.executable}: pip install 'flask>={OLDEST_FLASK}'"
    try:
        import flask  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "flask":
            raise
        raise LaunchError(f"Flask is not installed. {wanted}") from None
    from importlib.metadata import version  # Flask has imported it already

    if int(version("flask").partition(".")[0]) < int(OLDEST_FLASK):
        raise LaunchError(f"Flask {version('flask')} is too old for the launcher. {wanted}")
