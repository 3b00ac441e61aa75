"""How a child process gets the listening socket and its channel: by inheritance, told of in one
environment variable, which it forgets before the app can see it."""

from __future__ import annotations

import contextlib
import os
import secrets
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from flask_debuglaunch.serving.app.environ_for_app import CHILD_MARKER
from flask_debuglaunch.serving.ipc_protocol import Channel, SharedListener, Task, channel_to_child
from flask_debuglaunch.serving.preloading.preloadable_modules import PreloadedModules
from flask_debuglaunch.serving.processes import windows_socket_handover
from flask_debuglaunch.serving.processes.parent_death import lifeline, tie_to
from flask_debuglaunch.start_directory import START_DIRECTORY


@dataclass(frozen=True)
class Inheritance:
    """What a child has from its supervisor."""

    listener: socket.socket
    channel: Channel
    lifeline: int | None = None
    """As tie_to() takes it; None where there is none."""
    task: Task | None = None
    """Where it was given before; else it comes through the channel."""
    preloaded: PreloadedModules = field(default_factory=PreloadedModules)
    environ: Mapping[str, str] = field(default_factory=dict)
    """What a fork server was started with."""
    draw_anew: Callable[[], None] = lambda: None
    """In a fork: give the random generators new states."""


def spawn(
    command: list[str], environ: Mapping[str, str], listener: socket.socket
) -> tuple[subprocess.Popen[bytes], Channel]:
    """Start a child that shares our terminal, the listener, and a new channel."""
    if sys.platform == "win32":
        return _spawn_on_windows(command, environ, listener)
    ours, theirs = socket.socketpair()
    with theirs:
        process = spawn_with(command, environ, listener, theirs)
    return process, channel_to_child(ours)


def spawn_with(
    command: list[str], environ: Mapping[str, str], listener: socket.socket, channel: socket.socket
) -> subprocess.Popen[bytes]:
    """The same with a channel that is there already (not on Windows)."""
    descriptors = (listener.fileno(), channel.fileno(), lifeline())
    marker = {CHILD_MARKER: ",".join(map(str, descriptors))}
    with interrupts_held_back():
        return subprocess.Popen(
            command, env={**environ, **marker}, cwd=START_DIRECTORY, pass_fds=descriptors
        )


@contextlib.contextmanager
def interrupts_held_back() -> Iterator[None]:
    """A child inherits it: Ctrl-C while its interpreter starts must not print a traceback."""
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def let_interrupts_through() -> None:
    """In the child, when it can handle Ctrl-C."""
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def inherit() -> Inheritance:
    """In the child: take what the supervisor has passed on."""
    marker = os.environ.pop(CHILD_MARKER)
    if sys.platform == "win32":
        return _inherit_on_windows(marker)
    listening, speaking, held, *given = map(int, marker.split(","))
    listener, channel = (socket.socket(fileno=one) for one in (listening, speaking))
    # The app's own children must neither hold the port nor keep the channel open.
    listener.set_inheritable(False)
    channel.set_inheritable(False)
    listener.setblocking(False)
    task = _read_task(*given) if given else None
    return Inheritance(listener, Channel(channel), tie_to(held), task)


def _read_task(descriptor: int) -> Task | None:
    channel = Channel(socket.socket(fileno=descriptor))
    task: Task | None = channel.receive()
    channel.close()
    return task


# On Windows the child asks for both.


def _spawn_on_windows(
    command: list[str], environ: Mapping[str, str], listener: socket.socket
) -> tuple[subprocess.Popen[bytes], Channel]:
    secret = secrets.token_bytes(windows_socket_handover.SECRET_BYTES)
    with socket.create_server(("127.0.0.1", 0)) as door:
        marker = {CHILD_MARKER: f"{door.getsockname()[1]},{secret.hex()}"}
        process = subprocess.Popen(command, env={**environ, **marker}, cwd=START_DIRECTORY)
        try:
            connection, pid = windows_socket_handover.admit(
                door, secret, is_there=lambda: process.poll() is None
            )
        except OSError:
            process.kill()
            raise
    channel = channel_to_child(connection)
    shared: Any = listener
    channel.tell(SharedListener(shared.share(pid)))
    return process, channel


def _inherit_on_windows(marker: str) -> Inheritance:
    port, secret = marker.split(",")
    channel = Channel(windows_socket_handover.ask(int(port), bytes.fromhex(secret)))
    from_share: Any = getattr(socket, "fromshare")  # noqa: B009  (not on other platforms)
    listener: socket.socket = from_share(channel.receive().content)
    listener.setblocking(False)
    return Inheritance(listener, channel)
