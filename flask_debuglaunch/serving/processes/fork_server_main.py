"""The fork_server: a process without threads, with installed packages imported and no line of the
project, that forks each new worker.

It is this program again, started as a worker is; `run_fork_server` returns in the workers only.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import selectors
import signal
import socket
import sys
from collections.abc import Iterator

from flask_debuglaunch.debuggers import child_sessions
from flask_debuglaunch.serving.app.app_finder import find_target, make_importable
from flask_debuglaunch.serving.app.environ_for_app import set_for_app
from flask_debuglaunch.serving.app.imported_files import ImportsSeen, namespace_of
from flask_debuglaunch.serving.app.installed_code import OUR_FOLDER
from flask_debuglaunch.serving.ipc_messages import Exited, Fork, Forked, Preload, Preloaded, Unsafe
from flask_debuglaunch.serving.processes.ipc_channel import Channel
from flask_debuglaunch.serving.processes.lifeline import tie_to
from flask_debuglaunch.serving.processes.socket_inheritance import Inheritance
from flask_debuglaunch.serving.self_pipe import SelfPipe

# OpenBLAS starts threads as soon as it is loaded, ends them before a fork and starts them anew
# after it (pthread_atfork in its driver/others/memory.c).
FORK_SAFE_THREADS = ("numpy", "scipy.linalg")


def run_fork_server(preload: Preload, inherited: Inheritance) -> Inheritance:
    """Preload, then fork whenever the supervisor asks; returns in each forked worker, with its own
    channel. In the fork server itself it never returns."""
    # Ctrl-C is for the supervisor, and for the worker once it is one.
    interrupt = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        _preload(preload)
    except UnsafeToFork as reason:
        inherited.channel.tell(Unsafe(str(reason)))
        os._exit(0)
    inherited.channel.tell(Preloaded(_files_to_check()))
    # What is there now is never garbage: left alone by the collector, it stays shared memory.
    gc.collect()
    gc.freeze()
    channel = _fork_on_demand(inherited.channel)
    signal.signal(signal.SIGINT, interrupt)
    _be_like_new()
    held = None if inherited.lifeline is None else tie_to(inherited.lifeline)
    return Inheritance(inherited.listener, channel, held)


class UnsafeToFork(Exception):
    """The reason."""


def _preload(preload: Preload) -> None:
    set_for_app(preload.plan, supervised=True)  # a package may read it while it is imported
    make_importable(find_target(preload.plan).path)
    seen = ImportsSeen(0)
    seen.new_files()  # what each interpreter begins with here: a sitecustomize, a .pth's imports
    with _silenced():
        if preload.session is not None:
            child_sessions.preload(preload.session)
        importlib.import_module("flask_debuglaunch.serving.worker_main")
        _import_all(name for name in FORK_SAFE_THREADS if name in preload.modules)
        before = _thread_count()
        for name in preload.modules:
            _import_all([name])
            if _thread_count() > before:
                raise UnsafeToFork(f"a thread starts while {name} is imported")
    for file in seen.new_files():
        raise UnsafeToFork(f"an installed package imports the project's {os.path.relpath(file)}")


def _import_all(names: Iterator[str] | list[str]) -> None:
    for name in names:
        # What fails here fails, or not, in the worker, where the app can handle it.
        with contextlib.suppress(Exception):
            importlib.import_module(name)


@contextlib.contextmanager
def _silenced() -> Iterator[None]:
    """What packages print when they are imported has been seen already."""
    kept = [os.dup(1), os.dup(2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for descriptor in (1, 2):
        os.dup2(nowhere, descriptor)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for descriptor, original in zip((1, 2), kept, strict=True):
            os.dup2(original, descriptor)
            os.close(original)
        os.close(nowhere)


def _thread_count() -> int:
    """The kernel's count: native threads too."""
    return len(os.listdir("/proc/self/task"))


def _files_to_check() -> frozenset[str]:
    """A package that was changed or newly installed shows in one of these."""
    files = {namespace_of(m).get("__file__") for m in list(sys.modules.values())}
    folders = {path for path in sys.path if os.path.isdir(path) and "-packages" in path}
    return frozenset({one for one in files if one and not one.startswith(OUR_FOLDER)} | folders)


def _fork_on_demand(channel: Channel) -> Channel:
    """Answer the supervisor; returns in each child, with the child's own channel."""
    with _ChildExits() as exits, selectors.DefaultSelector() as selector:
        for source in (channel, exits):
            selector.register(source, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.fileobj is exits:
                    for pid, status in exits.reaped():
                        channel.tell(Exited(pid, status))
                elif (child := _forked(channel, exits)) is not None:
                    channel.close()
                    return child


def _forked(channel: Channel, exits: _ChildExits) -> Channel | None:
    """Fork if asked to. Returns the channel in the child, None in the fork server."""
    request = channel.receive()
    if not isinstance(request, Fork):  # the supervisor is gone, or needs us no more
        os._exit(0)
    _, (descriptor,), _, _ = socket.recv_fds(channel.socket, 1, 1)
    pid = os.fork()
    if pid == 0:
        os.set_inheritable(descriptor, False)
        return Channel(socket.socket(fileno=descriptor))
    os.close(descriptor)
    exits.pids.add(pid)
    channel.tell(Forked(pid))
    return None


class _ChildExits:
    """While entered, readable for a selector when children of ours have ended.

    Not by os.pidfd_open, which is missing in Pythons built for old kernels (conda's, uv's).
    """

    def __init__(self) -> None:
        self.pids: set[int] = set()
        self._pipe = SelfPipe()

    def fileno(self) -> int:
        return self._pipe.fileno()

    def reaped(self) -> Iterator[tuple[int, int]]:
        """Those that have ended since the last call: pid, and exit status as in subprocess."""
        self._pipe.clear()
        for pid in [*self.pids]:
            ended, status = os.waitpid(pid, os.WNOHANG)
            if ended:
                self.pids.remove(pid)
                yield pid, os.waitstatus_to_exitcode(status)

    def __enter__(self) -> _ChildExits:
        self._handler = signal.signal(signal.SIGCHLD, lambda number, frame: self._pipe.set())
        return self

    def __exit__(self, *error: object) -> None:
        signal.signal(signal.SIGCHLD, self._handler)
        self._pipe.close()


def _be_like_new() -> None:
    """What a new interpreter has of its own and a fork would have from the fork_server."""
    importlib.invalidate_caches()
    # Python's own random does so by itself; the state of numpy's global one is copied.
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
