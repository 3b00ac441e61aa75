"""The events of macOS and Windows, by watchfiles.

https://watchfiles.helpmanual.io/api/rust_backend/; its watch() and not watchfiles.watch(), because
the watching has to begin before the files are looked at.
"""

from __future__ import annotations

from collections.abc import Iterable

from watchfiles import Change
from watchfiles._rust_notify import RustNotify, WatchfilesRustInternalError

from flask_debuglaunch.serving.self_pipe import SelfPipe

WATCHFILES_STEP_MILLISECONDS = 15
"""watchfiles looks this often; a single save is told of after one or two of it."""
WATCHFILES_DEBOUNCE_MILLISECONDS = 1_600


class WatchfilesEvents:
    """Raises OSError if the system gives no events."""

    def __init__(self, folders: Iterable[str], wait_ended: SelfPipe) -> None:
        self._wait_ended, self._folders = wait_ended, list(folders)
        try:
            self._rust_notify = RustNotify(self._folders, False, False, 0, False, True)
        except WatchfilesRustInternalError as error:
            raise OSError(*error.args) from error

    def wait(self, seconds: float | None) -> dict[str, bool]:
        timeout_milliseconds = (
            0 if seconds is None else max(1, round(seconds * 1000))
        )  # 0 is for ever
        try:
            rust_changes = self._rust_notify.watch(
                WATCHFILES_DEBOUNCE_MILLISECONDS,
                WATCHFILES_STEP_MILLISECONDS,
                timeout_milliseconds,
                self._wait_ended,
            )
        except WatchfilesRustInternalError as error:
            raise OSError(*error.args) from error
        if rust_changes == "stop":  # it forgets what has changed in the meantime
            return dict.fromkeys(self._folders, True)
        if isinstance(rust_changes, str):  # "timeout" or "signal"
            return {}
        return {path: change != Change.deleted for change, path in rust_changes}

    def close(self) -> None:
        self._rust_notify.close()
