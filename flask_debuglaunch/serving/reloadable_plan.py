"""The plan that is followed now, with the socket, the certificate and the watched files that it
asks for; resolved anew when its YAML or an env file changes."""

from __future__ import annotations

import os
from collections.abc import Callable, Set
from contextlib import ExitStack
from dataclasses import replace

from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.server.listening_socket import bind_listener, say_address
from flask_debuglaunch.serving.server.tls_certificate import certificate_files_of
from flask_debuglaunch.serving.watching.watched_files import unmatched_patterns, watch_rules_of
from flask_debuglaunch.terminal_messages import say


class ReloadablePlan:
    """`resolve` gives the plan as the files have it now.

    Raises LaunchError if the port is taken, or there is no app.
    """

    def __init__(self, plan: Plan, resolve: Callable[[], Plan], cleanup: ExitStack) -> None:
        self.plan = plan
        self._resolve, self._cleanup = resolve, cleanup
        self._working_directory = WorkingDirectory()
        self.listener = cleanup.enter_context(bind_listener(plan))
        self.certificate = certificate_files_of(plan, cleanup)
        self.watched = watch_rules_of(plan)
        self._say_unmatched_patterns()

    def say_address(self) -> None:
        say_address(self.listener, self.plan)

    def is_made_from(self, files: Set[str]) -> bool:
        """Does it come from one of these files, or from a folder that has been replaced?"""
        settings = self.plan.settings
        paths_looked_for = [lookup.path for lookup in settings.lookups]
        configuration_files = {settings.config_file, *settings.env_files, *paths_looked_for}
        is_changed = bool(files & {os.path.abspath(path) for path in configuration_files if path})
        return is_changed or self._working_directory.is_replaced()

    def resolve_anew(self) -> None:
        """Follow the files as far as a running process can; say what can't be followed, and why."""
        if not self._working_directory.enter():
            say("The folder that the launcher was started in is gone. A save brings it back")
            return
        try:
            new_plan = self._resolve()
            watched, certificate = (
                watch_rules_of(new_plan),
                certificate_files_of(new_plan, self._cleanup),
            )
            has_moved = _address(new_plan) != _address(self.plan)
            listener = (
                self._cleanup.enter_context(bind_listener(new_plan)) if has_moved else self.listener
            )
        except LaunchError as error:
            say(f"{error}. The configuration stays as it was")
            return
        except Exception as error:  # whatever the files say, what runs goes on
            say(f"{type(error).__name__}: {error}. The configuration stays as it was")
            return
        is_watched_anew = watched != self.watched
        self.plan = self._with_what_stays(new_plan)
        self.watched, self.certificate = watched, certificate
        if is_watched_anew:
            self._say_unmatched_patterns()
        if has_moved:
            self.listener.close()
            self.listener = listener
            self.say_address()

    def _say_unmatched_patterns(self) -> None:
        for line in unmatched_patterns(self.plan.settings.exclude_patterns, self.watched):
            say(line)

    def _with_what_stays(self, new_plan: Plan) -> Plan:
        """A debugger can't be taken out of a running process, and what follows from it stays too:
        Werkzeug's beside it would catch the errors first."""
        names = ["reload"]
        if self.plan.is_external or new_plan.is_external:
            names += ["debugger", "connection", "debug_host", "debug_port"]
            names += ["use_debugger", "use_reloader", "stop_on_errors"]
        kept_decisions = {name: getattr(self.plan, name) for name in names}
        changed = [
            name
            for name, decision in kept_decisions.items()
            if getattr(new_plan, name).value != decision.value
        ]
        if changed:
            say(f"Until the launcher is started again, as before: {', '.join(changed)}")
        return replace(new_plan, **kept_decisions)


def _address(plan: Plan) -> tuple[str, int]:
    return plan.host.value, plan.port.value


class WorkingDirectory:
    """The folder that the launcher was started in, also when it is removed and put back.

    Known by its name: a `git switch` may have put another folder in its place.
    """

    def __init__(self) -> None:
        """Raises FileNotFoundError if it has been deleted."""
        self._path = os.getcwd()

    def is_replaced(self) -> bool:
        """Is it gone, or another one than this process is in?"""
        try:
            return not os.path.samefile(os.curdir, self._path)
        except OSError:
            return True

    def enter(self) -> bool:
        """Be in the folder that has its name now; returns False if there is none."""
        try:
            os.chdir(self._path)
        except OSError:
            return False
        return True
