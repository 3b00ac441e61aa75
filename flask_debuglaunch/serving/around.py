"""What stands around the app: Werkzeug's debugger, or what takes its errors to the IDE and shows
them in the browser."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from werkzeug.debug import DebuggedApplication

from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.attaching import debugger_of
from flask_debuglaunch.serving.error_page import EditorLinks, link_template, with_error_page
from flask_debuglaunch.serving.error_relay import relay_errors

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


def around(app: WSGIApplication, plan: Plan) -> WSGIApplication:
    """The app as it is served."""
    if not plan.use_debugger.value:
        app = relay_errors(app, debugger_of(plan), plan.stop_on_errors.value)
        return with_error_page(app, _links(plan)) if plan.debug.value else app
    debugged = DebuggedApplication(app, evalex=True)
    # As run_simple does; without it the console refuses the host that the user chose.
    debugged.trusted_hosts.append(plan.host.value)
    return debugged


def warn_of_own_debugger(app: WSGIApplication, plan: Plan) -> None:
    """Say that the app brings Werkzeug's debugger along, where the plan is to have none."""
    if plan.use_debugger.value or not isinstance(
        getattr(app, "wsgi_app", app), DebuggedApplication
    ):
        return
    print(
        " * Warning: the app wraps itself in Werkzeug's DebuggedApplication, which catches every"
        " error and runs code from the browser, though use_debugger=False"
        f" ({plan.use_debugger.reason}). Remove it: the launcher adds it where it is wanted",
        file=sys.stderr,
    )


def _links(plan: Plan) -> EditorLinks:
    template = link_template(plan.editor.value, plan.debugger.value)
    return EditorLinks(template, plan.settings.path_mappings.value)
