"""What is true of this process and this machine, observed once, before anything is decided."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flask_debuglaunch.container import Container, observe_container
from flask_debuglaunch.debuggers import Presence, present_debugger

# A worker of some other Werkzeug server left them behind: with WERKZEUG_SERVER_FD the server would
# serve on a descriptor that is not there; FLASK_RUN_FROM_CLI makes app.run() return at once.
STALE_VARIABLES = ("WERKZEUG_RUN_MAIN", "WERKZEUG_SERVER_FD", "FLASK_RUN_FROM_CLI")
# Set in every terminal of VS Code and Cursor by their Python Debugger: the file it watches, and at
# whose debug port it attaches (README of microsoft/vscode-python-debugger, "No-config debugging").
ENDPOINTS_VARIABLE = "VSCODE_DEBUGPY_ADAPTER_ENDPOINTS"


@dataclass(frozen=True)
class Facts:
    """The observed facts that decisions rest on."""

    folder: Path
    python: tuple[int, int]
    platform: str
    present: str | None = None
    presence: Presence | None = None
    production: str | None = None
    stale_variables: tuple[str, ...] = ()
    endpoints_file: Path | None = None
    container: Container | None = None

    @property
    def can_fork(self) -> bool:
        # macOS can fork too, but its system libraries may crash in the child.
        return self.platform == "linux"


def observe(environ: Mapping[str, str] = os.environ) -> Facts:
    """Look at this process. Imports no debugger."""
    found = present_debugger()
    return Facts(
        folder=Path.cwd(),
        python=(sys.version_info[0], sys.version_info[1]),
        platform=sys.platform,
        present=found.debugger.name if found else None,
        presence=found.presence if found else None,
        production=_production(environ),
        stale_variables=tuple(name for name in STALE_VARIABLES if name in environ),
        endpoints_file=_endpoints_file(environ),
        container=observe_container(environ),
    )


def _endpoints_file(environ: Mapping[str, str]) -> Path | None:
    file = Path(environ.get(ENDPOINTS_VARIABLE, ""))
    # The variable outlives the extension, and debugpy's adapter ends if it can't write the file.
    return file if file.is_absolute() and file.parent.is_dir() else None


def _production(environ: Mapping[str, str]) -> str | None:
    """The production server that runs this process, or the variable that says so."""
    if environ.get("SERVER_SOFTWARE", "").startswith("gunicorn"):
        return "gunicorn"
    # uWSGI and mod_wsgi put a module of this name into their own processes, and nowhere else.
    embedded = next((name for name in ("uwsgi", "mod_wsgi") if name in sys.modules), None)
    if embedded:
        return embedded
    return "FLASK_ENV=production" if environ.get("FLASK_ENV") == "production" else None
