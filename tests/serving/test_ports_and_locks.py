"""What of a process its successor has to wait for, by a process that has nothing else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ..support.processes import TIMEOUT

pytestmark = [
    pytest.mark.quick,
    pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the successor always waits"),
]

ASK = """
import fcntl, os, socket, subprocess, sys
from flask_debuglaunch.serving.processes.ports_and_locks import holds_what_next_may_need

def bound(family, kind, address):
    one = socket.socket(family, kind)
    one.bind(address)
    return one

ours = socket.create_server(("127.0.0.1", 0))
held = {held}
print(holds_what_next_may_need(ours))
"""
HELD = {
    "socket.create_server(('127.0.0.1', 0))": True,
    "bound(socket.AF_INET, socket.SOCK_DGRAM, ('127.0.0.1', 0))": True,
    "bound(socket.AF_UNIX, socket.SOCK_STREAM, 'door').listen()": False,  # closed again
    "(one := bound(socket.AF_UNIX, socket.SOCK_STREAM, 'door'), one.listen())": True,
    "fcntl.flock(file := open('lock', 'w'), fcntl.LOCK_EX)": True,
    "fcntl.lockf(file := open('lock', 'w'), fcntl.LOCK_EX)": True,
    "fcntl.flock(folder := os.open('.', os.O_RDONLY), fcntl.LOCK_SH)": True,
    "subprocess.Popen([sys.executable, '-c', 'input()'], stdin=subprocess.PIPE)": True,
    "None": False,
    "(file := open('lock', 'w'), fcntl.flock(file, fcntl.LOCK_EX), fcntl.flock(file, fcntl.LOCK_UN))": False,
    "socket.socketpair()": False,
    "bound(socket.AF_INET, socket.SOCK_STREAM, ('127.0.0.1', 0))": False,
    "socket.socket(socket.AF_INET, socket.SOCK_DGRAM)": False,
    "socket.create_connection(ours.getsockname())": False,
    "(one := bound(socket.AF_INET, socket.SOCK_DGRAM, ('127.0.0.1', 0)),"
    " one.connect(('127.0.0.1', 9)))": False,
}


@pytest.mark.parametrize("held", HELD)
def test_a_successor_waits_for(tmp_path: Path, held: str) -> None:
    argv = [sys.executable, "-c", ASK.format(held=held)]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.stdout.strip() == str(HELD[held]), done.stderr
