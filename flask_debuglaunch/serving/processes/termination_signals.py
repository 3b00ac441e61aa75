"""The signals that end the supervisor, made into something a selector can wait for."""

from __future__ import annotations

import signal
import socket
from types import FrameType, TracebackType
from typing import Any

# Ctrl-C, kill and `docker stop`, the closed terminal; Ctrl-Break on Windows.
NAMES = ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")


class TerminationSignals:
    """While entered, these signals are only noted, and make the socket readable."""

    def __init__(self) -> None:
        self._received: list[int] = []
        self._waker, self._woken = socket.socketpair()
        self._waker.setblocking(False)
        self._before: dict[int, Any] = {}
        self._wakeup_before = -1

    def fileno(self) -> int:
        return self._woken.fileno()

    def take(self) -> list[int]:
        """Those that have come since the last call; makes the socket unreadable again."""
        self._woken.recv(4096)
        # Python may run the handler of one that has just woken us only now.
        received = self._received.copy()
        del self._received[: len(received)]
        return received

    def __enter__(self) -> TerminationSignals:
        self._wakeup_before = signal.set_wakeup_fd(self._waker.fileno(), warn_on_full_buffer=False)
        for number in (getattr(signal, name) for name in NAMES if hasattr(signal, name)):
            # One that was ignored from the start (nohup) stays so.
            if signal.getsignal(number) is not signal.SIG_IGN:
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup_before)
        self._waker.close()
        self._woken.close()

    def _note(self, number: int, frame: FrameType | None) -> None:
        self._received.append(number)
