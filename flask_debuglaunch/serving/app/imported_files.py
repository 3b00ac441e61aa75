"""Which files the app was made from, so that the supervisor can watch them."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from flask_debuglaunch.serving.app.installed_code import OUR_FOLDER, installed_folders
from flask_debuglaunch.serving.ipc_messages import Watch

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class ImportsSeen:
    """The files imported so far outside the installed packages; tells the new ones each time."""

    def __init__(self, since: float) -> None:
        self._since = since
        self._installed = (*installed_folders(), OUR_FOLDER)
        self._seen: set[str] = set()
        self._modules = 0

    def news(self, folders: frozenset[str] = frozenset()) -> Watch | None:
        """What the supervisor has to be told; quick when nothing was imported."""
        files = self.new_files()
        return Watch(files, folders, self._since) if files or folders else None

    def new_files(self) -> frozenset[str]:
        """Files since the last call."""
        if len(sys.modules) == self._modules:
            return frozenset()
        self._modules = len(sys.modules)
        files = {file for module in list(sys.modules.values()) if (file := _file_of(module))}
        new = {f for f in files - self._seen if not f.startswith(self._installed)}
        self._seen |= files
        return frozenset(new)


def _file_of(module: object) -> str | None:
    # Not getattr: a lazy module would import what it stands for.
    file = getattr(module, "__dict__", {}).get("__file__")
    return file if isinstance(file, str) else None


def template_folders(app: WSGIApplication) -> frozenset[str]:
    """The template folders of a Flask app that does not reload them by itself."""
    from flask import Flask

    if not isinstance(app, Flask) or app.config.get("TEMPLATES_AUTO_RELOAD") is not False:
        return frozenset()  # unset: they are reloaded in debug mode, and without it so is nothing
    scaffolds = (app, *app.blueprints.values())
    loaders = (one.jinja_loader for one in scaffolds)
    return frozenset(folder for one in loaders if one for folder in getattr(one, "searchpath", ()))
