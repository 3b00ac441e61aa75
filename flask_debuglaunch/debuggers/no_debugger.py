"""No debugger: nothing to find, connect or stop."""

from __future__ import annotations

import threading
from collections.abc import Callable

from flask_debuglaunch.debuggers.debugger_interface import Endpoint, PathMappings, Presence
from flask_debuglaunch.native_threads import start_native_thread


class NoDebugger:
    name = "none"
    ides: tuple[str, ...] = ()
    flags: tuple[str, ...] = ()
    connections: tuple[str, ...] = ()
    has_one_connection = False
    package: str | None = None

    def presence(self) -> Presence | None:
        return None

    def installed(self) -> bool:
        return True

    def map_paths(self, mappings: PathMappings) -> None:
        pass

    def listen(self, endpoint: Endpoint, when_lost: Callable[[], None]) -> None:
        raise NotImplementedError(f"{self.name} has no connection")

    def connect(self, endpoint: Endpoint, seconds: float = 0, *, is_known: bool = False) -> None:
        raise NotImplementedError(f"{self.name} has no connection")

    def wait_for_client(self, seconds: float) -> bool:
        raise NotImplementedError(f"{self.name} has no connection")

    def stop_on_error(self, error: BaseException) -> bool:
        return False

    def would_stop_at(self, error: BaseException) -> bool:
        return False

    def is_attached(self) -> bool:
        return False

    def forget_error(self, error: BaseException) -> None:
        pass

    def stopped_at(self) -> str | None:
        return None

    def when_ide_leaves(self, callback: Callable[[], None]) -> None:
        pass

    def hide_thread(self, thread: threading.Thread) -> None:
        pass

    def suspend_alone(self, thread: threading.Thread) -> None:
        pass

    def start_hidden_thread(self, function: Callable[[], None]) -> None:
        start_native_thread(function)

    def settle_in(self) -> None:
        pass
