"""Wake a thread that waits in a selector."""

from __future__ import annotations

import socket
from contextlib import suppress
from select import select


class SelfPipe:
    """As threading.Event, and readable for a selector while it is set."""

    def __init__(self) -> None:
        self.waker, self._woken = socket.socketpair()
        """waker: it is also set by whatever is written to this end (signal.set_wakeup_fd)."""
        for end in (self.waker, self._woken):
            end.setblocking(False)

    def fileno(self) -> int:
        return self._woken.fileno()

    def set(self) -> None:
        with suppress(BlockingIOError):  # it has been set so often that nothing more fits in
            self.waker.send(b"x")

    def clear(self) -> None:
        with suppress(BlockingIOError):  # it was not set
            while self._woken.recv(4096):
                pass

    def is_set(self) -> bool:
        return self.wait(0)

    def wait(self, seconds: float) -> bool:
        """Wait so long until it is set; returns whether it is."""
        return bool(select([self], [], [], seconds)[0])

    def close(self) -> None:
        self.waker.close()
        self._woken.close()
