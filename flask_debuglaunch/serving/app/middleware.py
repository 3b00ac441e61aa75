"""The WSGI middleware around the app: Werkzeug's debugger, or what takes its errors to the IDE and
shows them in the browser. Each is imported where it is used: a start without debug mode is as quick
as Flask's own.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING
from urllib.parse import quote

from flask_debuglaunch.editor_links import EditorLinks, link_template
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.attach_debugger import (
    debugger_of,
    debugger_started_by_app,
    meet_ide_late,
    stop_late,
)
from flask_debuglaunch.terminal_messages import say

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

    from flask_debuglaunch.serving.app.local_clients import LocalClients


def with_middleware(app: WSGIApplication, plan: Plan) -> WSGIApplication:
    """The app as it is served."""
    apps_debugger = debugger_started_by_app(plan)
    if plan.use_debugger.value and apps_debugger is None:
        return _with_werkzeugs_debugger(app, plan)
    if apps_debugger is not None:
        apps_debugger.settle_in()
    if plan.is_external or apps_debugger is not None:
        return _with_errors_relayed(app, plan)
    return _with_error_page(app, plan) if plan.debug.value else app


def _with_errors_relayed(app: WSGIApplication, plan: Plan) -> WSGIApplication:
    """To an external debugger; in debug mode it can also be had to stop later."""
    from flask_debuglaunch.serving.app.stop_on_unhandled_errors import relay_errors

    # The plan's own decision is off where it knows of no external debugger.
    stop_on_errors = plan.stop_on_errors if plan.is_external else plan.settings.stop_on_errors
    if not plan.debug.value:
        return relay_errors(app, debugger_of(plan), stop_on_errors.value)
    from flask_debuglaunch.serving.app.kept_errors import (
        DebuggerStop,
        KeptErrors,
        link_to_list,
        stop_button,
        with_kept_errors,
    )

    kept_errors = KeptErrors(debugger_of(plan).start_hidden_thread, say)

    def keep_error(error: BaseException, environ: WSGIEnvironment) -> None:
        if not environ:  # outside of any request
            return
        # Quoted: it is printed, and the client has chosen it.
        request = f"{environ['REQUEST_METHOD']} {quote(environ['PATH_INFO'])}"
        kept_error = kept_errors.keep(error, request)
        link = link_to_list(kept_errors, environ, plan.published_port)
        say(f"{kept_error}: to stop there in the debugger, open {link}")

    app = relay_errors(app, debugger_of(plan), stop_on_errors.value, keep_error)
    app = _with_error_page(app, plan, lambda error: stop_button(kept_errors, error))
    debugger_stop = DebuggerStop(lambda e: meet_ide_late(plan, e), lambda e: stop_late(plan, e))
    return with_kept_errors(app, kept_errors, debugger_stop, _local_clients(plan))


def _with_werkzeugs_debugger(app: WSGIApplication, plan: Plan) -> WSGIApplication:
    import multiprocessing  # Werkzeug's debugger does anyway

    from werkzeug import debug

    if "fork" in multiprocessing.get_all_start_methods():
        # It counts wrong PINs in a value that forks share. By Python 3.14's default context each
        # worker would start another interpreter for that (multiprocessing.resource_tracker).
        debug.Value = multiprocessing.get_context("fork").Value  # type: ignore[attr-defined]
    debugged_app = debug.DebuggedApplication(app, evalex=True)
    # As run_simple does; without it the console refuses the host that the user chose.
    debugged_app.trusted_hosts.append(plan.host.value)
    return debugged_app


def _with_error_page(
    app: WSGIApplication, plan: Plan, stop_button: Callable[[BaseException], str] = lambda error: ""
) -> WSGIApplication:
    from flask_debuglaunch.serving.app.traceback_page import with_error_page

    template = link_template(plan.editor.value, plan.debugger.value)
    editor_links = EditorLinks(template, plan.settings.path_mappings.value)
    return with_error_page(app, editor_links, _local_clients(plan), stop_button)


def _local_clients(plan: Plan) -> LocalClients:
    from flask_debuglaunch.serving.app.local_clients import LocalClients

    return LocalClients(plan.local_clients.value, plan.host.value)
