"""What VS Code and its Python Debugger extension make of an entry of launch.json before debugpy's
adapter sees it.

Source: github.com/microsoft/vscode-python-debugger, src/extension/debugger/configuration/resolvers.
"""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path
from typing import Any

import dotenv

Configuration = dict[str, Any]


def resolve(configuration: Configuration, workspace: Path) -> Configuration:
    """The arguments of the launch or attach request."""
    variables_replaced = substitute(configuration, workspace)
    assert isinstance(variables_replaced, dict)
    resolved = {"justMyCode": True, "showReturnValue": True, **variables_replaced}
    if resolved["request"] == "launch":
        resolved = _launch_defaults(resolved, workspace)
    options = resolved.get("debugOptions", [])
    return {
        **resolved,
        "clientOS": "unix",
        "workspaceFolder": str(workspace),
        "debugOptions": [*dict.fromkeys([*options, *_options(resolved)])],
    }


def substitute(value: Any, workspace: Path) -> Any:
    """Replace ${workspaceFolder}, ${workspaceFolderBasename}, ${userHome} and ${env:NAME}, also
    within lists and mappings. Any other variable is an error."""
    if isinstance(value, dict):
        return {key: substitute(item, workspace) for key, item in value.items()}
    if isinstance(value, list):
        return [substitute(item, workspace) for item in value]
    if isinstance(value, str):
        return re.sub(r"\$\{(.*?)\}", lambda match: _variable(match[1], workspace), value)
    return value


def _variable(name: str, workspace: Path) -> str:
    if name.startswith("env:"):
        return os.environ.get(name.removeprefix("env:"), "")
    known = {
        "workspaceFolder": str(workspace),
        "workspaceFolderBasename": workspace.name,
        "userHome": str(Path.home()),
        "pathSeparator": os.sep,
        "/": os.sep,
    }
    return known[name]


def _launch_defaults(configuration: Configuration, workspace: Path) -> Configuration:
    """No interpreter is selected in this VS Code but the one that runs the tests."""
    console = configuration.get("console", "integratedTerminal")
    env_file = configuration.get("envFile", workspace / ".env")
    return {
        "python": sys.executable,
        "debugLauncherPython": sys.executable,
        "cwd": str(workspace),
        "console": console,
        "internalConsoleOptions": "neverOpen",
        "redirectOutput": console == "internalConsole",
        **configuration,
        "env": {**dotenv.dotenv_values(env_file), **configuration.get("env", {})},
    }


def _options(configuration: Configuration) -> list[str]:
    is_attach = configuration["request"] == "attach"
    is_flask = not is_attach and configuration.get("module", "").lower() == "flask"
    wanted = {
        "StopOnEntry": configuration.get("stopOnEntry"),
        "ShowReturnValue": configuration["showReturnValue"],
        "Jinja": configuration.get("jinja", is_flask),
        "RedirectOutput": configuration.get("redirectOutput", is_attach),
        "SubProcess": configuration.get("subProcess"),
    }
    return [name for name, value in wanted.items() if value]
