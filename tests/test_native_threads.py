"""Only the main thread may handle signals, whatever `threading` takes for it."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading

import pytest

from flask_debuglaunch.native_threads import is_main_thread

from .support.processes import TIMEOUT, in_background

pytestmark = pytest.mark.quick


def test_the_main_thread_and_another_one() -> None:
    assert is_main_thread()
    assert not in_background(is_main_thread).result(TIMEOUT)


def test_eventlet_puts_another_one_in_its_place() -> None:
    program = (
        "import os, threading; threading._main_thread = threading.Thread();"
        "from flask_debuglaunch.native_threads import is_main_thread;"
        "print(is_main_thread(), flush=True); os._exit(0)"
    )
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    assert done.stdout == "True\n"


def test_who_waits_for_signals_still_does() -> None:
    assert threading.current_thread() is threading.main_thread()
    woken, waker = socket.socketpair()
    with woken, waker:
        waker.setblocking(False)
        before = signal.set_wakeup_fd(waker.fileno())
        try:
            assert is_main_thread()
        finally:
            assert signal.set_wakeup_fd(before) == waker.fileno()
