"""Events of changes in folders, and who gives them: the kernel where that can be had."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from typing import Protocol

from flask_debuglaunch.serving.self_pipe import SelfPipe
from flask_debuglaunch.serving.watching.polling_backend import (
    Polled,
    PollingEvents,
    Recent,
    polled_from_the_start,
)
from flask_debuglaunch.terminal_messages import say


class Events(Protocol):
    """Events of some folders, each by itself: with what is below them would come .venv."""

    def wait(self, seconds: float | None) -> Mapping[str, bool]:
        """Wait so long (None: for ever) for events; returns the paths that they name.

        True: it is at rest and can be looked at, in a folder at everything. False: something is
        under way there, look when it is over; a watched folder may have become another one.
        Empty if the time is over or the wait was ended, unless something may be missed. Raises
        OSError when no more events can be had.
        """

    def close(self) -> None: ...


class BestEvents:
    """Opens the best events there are, and says once why some folders have to be polled.

    recent: the files that were changed last, for PollingEvents.
    """

    def __init__(self, recent: Recent) -> None:
        self._recent = recent
        self._told: set[str] = set()

    def __call__(self, folders: Iterable[str], ended: SelfPipe) -> Events:
        """Events of these folders, the most important first; `ended` ends a wait."""
        folders = list(folders)
        polled = list(polled_from_the_start(folders))
        left = frozenset(folders).difference(*(one.folders for one in polled))
        kernel, unwatched = _kernel_events([one for one in folders if one in left], ended)
        polled += [unwatched] if unwatched else []
        for one in polled:
            self._tell(one)
        if kernel is not None and not polled:
            return kernel
        all_polled = frozenset().union(*(one.folders for one in polled))
        return PollingEvents(all_polled, ended, kernel, self._recent)

    def _tell(self, polled: Polled) -> None:
        if polled.reason not in self._told:
            self._told.add(polled.reason)
            say(f"Changed files are looked for several times a second: {polled.reason}")


def _kernel_events(folders: list[str], ended: SelfPipe) -> tuple[Events | None, Polled | None]:
    """The kernel's events, and what it gives none of."""
    if not folders:
        return None, None
    is_linux = sys.platform == "linux"
    try:
        return (_inotify_events if is_linux else _watchfiles_events)(folders, ended)
    except ImportError as error:
        library = "inotify-simple" if is_linux else "watchfiles"
        why = f"{error}. What tells of changes at once: pip install --force-reinstall {library}"
        return None, Polled(frozenset(folders), why)


def _inotify_events(folders: list[str], ended: SelfPipe) -> tuple[Events | None, Polled | None]:
    from flask_debuglaunch.serving.watching.inotify_backend import InotifyEvents, why_no_events

    try:
        events = InotifyEvents(folders, ended)
    except OSError as error:
        return None, Polled(frozenset(folders), why_no_events(error))
    if events.refusal is None:
        return events, None
    return events, Polled(frozenset(events.unwatched), why_no_events(events.refusal))


def _watchfiles_events(folders: list[str], ended: SelfPipe) -> tuple[Events | None, Polled | None]:
    from flask_debuglaunch.serving.watching.watchfiles_backend import WatchfilesEvents

    try:
        return WatchfilesEvents(folders, ended), None
    except OSError as error:
        return None, Polled(frozenset(folders), f"the system gives no events ({error})")
