"""Werkzeug's debugger: it lives in the WSGI server, which is all there is to do about it here."""

from __future__ import annotations

from flask_debuglaunch.debuggers.no_debugger import NoDebugger


class Werkzeug(NoDebugger):
    name = "werkzeug"
