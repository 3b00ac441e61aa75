"""Runs in place of pydevd's own script in a child process of the app, and is that from then on.

    python .../debugged_child/pydevd.py PORT:TOKEN .../pydevd.py ARGUMENT...

Before, it starts a thread that tells the worker when a thread of the child is stopped, so that the
worker is not replaced meanwhile (subprocess_debugging.py). The file is named so because pydevd
neither shows nor traces the frames of files of that name. It imports nothing of ours: the child may
be run by another interpreter.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
from time import sleep  # the original: an app may patch the module (gevent)

HEARTBEAT_SECONDS = 0.1


def report_stops(port: int, token: str) -> None:
    """From now on, send "TOKEN FILE:LINE" as long as a thread is stopped, and "TOKEN" after it."""
    thread = threading.Thread(target=_report_stops_for_ever, args=(port, token), daemon=True)
    vars(thread).update(pydev_do_not_trace=True, is_pydev_daemon_thread=True)
    thread.start()


def _report_stops_for_ever(port: int, token: str) -> None:
    worker_socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    was_stopped = False
    while True:
        stopped_at = _stopped_at()
        if stopped_at or was_stopped:
            worker_socket.sendto(f"{token} {stopped_at}".strip().encode(), ("127.0.0.1", port))
        was_stopped = bool(stopped_at)
        sleep(HEARTBEAT_SECONDS)


def _stopped_at() -> str:
    for frame in sys._current_frames().values():
        waiting_frame = frame
        while waiting_frame is not None:
            if waiting_frame.f_code.co_name == "do_wait_suspend":
                stopped_frame = waiting_frame.f_locals["frame"]
                file = os.path.relpath(stopped_frame.f_code.co_filename)
                return f"{file}:{stopped_frame.f_lineno}"
            waiting_frame = waiting_frame.f_back  # type: ignore[assignment]
    return ""


def _become_pydevd() -> None:
    port, _, token = sys.argv[1].partition(":")
    pydevd_script = sys.argv[2]
    del sys.argv[:2]
    sys.path[0] = os.path.dirname(pydevd_script)
    report_stops(int(port), token)
    main_namespace = sys.modules["__main__"].__dict__
    main_namespace["__file__"] = pydevd_script
    with open(pydevd_script, "rb") as file:
        exec(compile(file.read(), pydevd_script, "exec"), main_namespace)


if __name__ == "__main__":
    _become_pydevd()
