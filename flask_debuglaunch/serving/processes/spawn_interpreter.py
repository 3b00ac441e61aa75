"""Start this very program again in a new interpreter, with the listening socket and a channel.

The child inherits both, told of in one environment variable, which it forgets before the app can
see it.
"""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import signal
import socket
import struct
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from flask_debuglaunch.debuggers.subprocess_debugging import children_left_alone
from flask_debuglaunch.serving.app.environ_for_app import CHILD_MARKER, environ_of_worker
from flask_debuglaunch.serving.ipc_protocol import (
    Channel,
    Misfit,
    ModulesUnfit,
    Preloadable,
    SharedListener,
    Task,
    UnlikeChange,
    channel_to_child,
)
from flask_debuglaunch.serving.preloading.preloaded_modules import PreloadedModules
from flask_debuglaunch.serving.processes.signals_and_orphans import lifeline, tie_to
from flask_debuglaunch.start_directory import START_DIRECTORY
from flask_debuglaunch.terminal_messages import say


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
    reseed_generators: Callable[[], None] = lambda: None
    """In a fork: give the random generators new states."""


# In the supervisor


def own_command(*, under_debugger: bool) -> list[str]:
    """The command line of this process, so that a worker is what the user started.

    Under a debugger `sys.orig_argv` is the debugger's own command line; the program's is put
    together from its `__main__` then, as Werkzeug's reloader does.
    """
    if not under_debugger:
        return [sys.executable, *sys.orig_argv[1:]]
    private: Any = subprocess
    return [sys.executable, *private._args_from_interpreter_flags(), *_program_and_arguments()]


def _program_and_arguments() -> list[str]:
    spec = getattr(sys.modules["__main__"], "__spec__", None)
    if spec is None or spec.name == "__main__":  # `python DIR` has a spec of that name
        return [str(Path(sys.argv[0]).absolute()), *sys.argv[1:]]
    return ["-m", spec.name.removesuffix(".__main__"), *sys.argv[1:]]


def spawn(
    command: list[str], environ: Mapping[str, str], listener: socket.socket
) -> tuple[subprocess.Popen[bytes], Channel]:
    """Start a child that shares our terminal, the listener, and a new channel."""
    if sys.platform == "win32":
        return _spawn_on_windows(command, environ, listener)
    supervisor_end, child_end = socket.socketpair()
    with child_end:
        process = spawn_at_channel(command, environ, listener, child_end)
    return process, channel_to_child(supervisor_end)


def spawn_at_channel(
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


# In the child


def inherit() -> Inheritance:
    """Take what the supervisor has passed on."""
    marker = os.environ.pop(CHILD_MARKER)
    if sys.platform == "win32":
        return _inherit_on_windows(marker)
    listener_fd, channel_fd, supervisor_lifeline, *task_descriptors = map(int, marker.split(","))
    listener, channel = (
        socket.socket(fileno=descriptor) for descriptor in (listener_fd, channel_fd)
    )
    # The app's own children must neither hold the port nor keep the channel open.
    listener.set_inheritable(False)
    channel.set_inheritable(False)
    listener.setblocking(False)
    task = _read_task(*task_descriptors) if task_descriptors else None
    return Inheritance(listener, Channel(channel), tie_to(supervisor_lifeline), task)


def _read_task(descriptor: int) -> Task | None:
    channel = Channel(socket.socket(fileno=descriptor))
    task: Task | None = channel.receive()
    channel.close()
    return task


def let_interrupts_through() -> None:
    """To be called when it can handle Ctrl-C."""
    if sys.platform != "win32":
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


# In a worker that was prepared ahead, and finds that it is not like a new interpreter


def start_afresh(
    task: Task, inherited: Inheritance, reason: str, change: str | None = None
) -> NoReturn:
    """Make a new interpreter of this worker, with the same task: to the supervisor it is the same
    process. Windows can't; there the supervisor starts another one.

    change: the name of the one that installed packages are not prepared for; None: it is about
    modules of the project.
    """
    say(f"Started anew, in a new interpreter: {reason}")
    # The next worker must not come from the same fork server.
    if change is not None:
        unlike = UnlikeChange(change, reason)
        inherited.channel.tell(Preloadable((), was_forked=False, unsafe=None, unlike=unlike))
    if inherited.lifeline is None:
        inherited.channel.tell(Misfit())
        os._exit(0)
    if inherited.preloaded.hidden_modules is not None:
        inherited.channel.tell(ModulesUnfit(frozenset()))
        task = replace(task, look_at_project_modules=True)
    task_end, our_task_end = socket.socketpair()
    Channel(our_task_end).send(task)
    sockets = (inherited.listener, inherited.channel, inherited.lifeline, task_end)
    descriptors = [one if isinstance(one, int) else one.fileno() for one in sockets]
    _let_inherit_only(descriptors)
    marker = {CHILD_MARKER: ",".join(map(str, descriptors))}
    environ = environ_of_worker(task.plan, inherited.environ)
    command = own_command(under_debugger=False)
    for stream in filter(None, (sys.stdout, sys.stderr)):
        stream.flush()
    with children_left_alone(), interrupts_held_back():
        if START_DIRECTORY is not None:
            os.chdir(START_DIRECTORY)
        os.execve(command[0], command, {**environ, **marker})


def _let_inherit_only(descriptors: Collection[int]) -> None:
    """Not what the app has opened: a port that it let inherit (Werkzeug's run_simple does) would
    stay taken, with nobody to answer."""
    for descriptor in map(int, os.listdir("/dev/fd")):
        if descriptor > 2:
            with contextlib.suppress(OSError):  # the one that has listed them
                os.set_inheritable(descriptor, descriptor in descriptors)


# On Windows, which has no descriptors to inherit
#
# The child dials a port of ours, the door, proves with a secret of its environment that it is the
# one, and says which process it is: in a virtual environment the process that we have started is
# only a redirector, whose child the interpreter is. Then it is given a copy of the listener, which
# `socket.share` makes for one process.

ADMIT_SECONDS = 60.0
"""How long an interpreter may take to start."""
ACCEPT_POLL_SECONDS = 0.1
"""How often to look whether it still runs."""
HELLO_SECONDS = 2.0
"""How long a visitor may take to say who it is."""
SECRET_BYTES = 32
HELLO = struct.Struct(f"!{SECRET_BYTES}sI")
"""The secret, and the process that says it."""


def _spawn_on_windows(
    command: list[str], environ: Mapping[str, str], listener: socket.socket
) -> tuple[subprocess.Popen[bytes], Channel]:
    secret = secrets.token_bytes(SECRET_BYTES)
    with socket.create_server(("127.0.0.1", 0)) as door:
        marker = {CHILD_MARKER: f"{door.getsockname()[1]},{secret.hex()}"}
        process = subprocess.Popen(command, env={**environ, **marker}, cwd=START_DIRECTORY)
        try:
            connection, pid = admit(door, secret, is_there=lambda: process.poll() is None)
        except OSError:
            process.kill()
            raise
    channel = channel_to_child(connection)
    shareable_listener: Any = listener
    channel.tell(SharedListener(shareable_listener.share(pid)))
    return process, channel


def _inherit_on_windows(marker: str) -> Inheritance:
    port, secret = marker.split(",")
    channel = Channel(dial(int(port), bytes.fromhex(secret)))
    from_share: Any = getattr(socket, "fromshare")  # noqa: B009  (not on other platforms)
    listener: socket.socket = from_share(channel.receive().shared_socket)
    listener.setblocking(False)
    return Inheritance(listener, channel)


def admit(
    door: socket.socket,
    secret: bytes,
    *,
    is_there: Callable[[], bool],
    seconds: float = ADMIT_SECONDS,
) -> tuple[socket.socket, int]:
    """The connection of the one who knows the secret, and its process. Strangers are left.

    is_there: does the child that should come still run? Raises OSError if it does not, or has not
    come in time.
    """
    deadline = time.monotonic() + seconds
    door.settimeout(ACCEPT_POLL_SECONDS)
    while time.monotonic() < deadline:
        try:
            connection, _ = door.accept()
        except TimeoutError:
            if is_there():
                continue
            raise ConnectionError("it ended before it could be given the port") from None
        secret_said, pid = _hello_of(connection)
        if hmac.compare_digest(secret_said, secret):
            connection.settimeout(None)
            return connection, pid
        connection.close()
    raise TimeoutError(f"it has not asked for the port within {seconds:g} s")


def _hello_of(visitor: socket.socket) -> tuple[bytes, int]:
    """What it says, as bytes: nothing of a stranger's may reach pickle."""
    deadline, hello = time.monotonic() + HELLO_SECONDS, b""
    while (seconds_left := deadline - time.monotonic()) > 0:
        visitor.settimeout(seconds_left)
        try:
            received_piece = visitor.recv(HELLO.size - len(hello))
        except OSError:
            break
        hello += received_piece
        if len(hello) == HELLO.size:
            return HELLO.unpack(hello)
        if not received_piece:
            break
    return b"", 0


def dial(port: int, secret: bytes) -> socket.socket:
    """In the child: a connection to the door, on which the listener will come."""
    connection = socket.create_connection(("127.0.0.1", port))
    connection.sendall(HELLO.pack(secret, os.getpid()))
    return connection
