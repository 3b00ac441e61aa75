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
from flask_debuglaunch.serving.app.imported_files import ImportsSeen
from flask_debuglaunch.serving.app.installed_code import OUR_FOLDER
from flask_debuglaunch.serving.ipc_messages import Exited, Fork, Forked, Preload, Preloaded, Unsafe
from flask_debuglaunch.serving.processes.ipc_channel import Channel
from flask_debuglaunch.serving.processes.lifeline import tie_to
from flask_debuglaunch.serving.processes.socket_inheritance import Inheritance

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
    started_as = getattr(sys.modules["__main__"], "__file__", None)  # a console script, say
    for file in ImportsSeen(0).new_files() - {started_as}:
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
    files = {getattr(m, "__dict__", {}).get("__file__") for m in list(sys.modules.values())}
    folders = {path for path in sys.path if os.path.isdir(path) and "-packages" in path}
    return frozenset({one for one in files if one and not one.startswith(OUR_FOLDER)} | folders)


def _fork_on_demand(channel: Channel) -> Channel:
    """Answer the supervisor; returns in each child, with the child's own channel."""
    with selectors.DefaultSelector() as selector:
        selector.register(channel, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                if key.data is not None:
                    selector.unregister(key.fd)
                    _report_exit(channel, key.fd, key.data)
                elif (child := _forked(channel, selector)) is not None:
                    selector.close()
                    channel.close()
                    return child


def _forked(channel: Channel, selector: selectors.DefaultSelector) -> Channel | None:
    """Fork if asked to. Returns the channel in the child, None in the fork_server."""
    request = channel.receive()
    if not isinstance(request, Fork):  # the supervisor is gone, or needs us no more
        os._exit(0)
    _, (descriptor,), _, _ = socket.recv_fds(channel.socket, 1, 1)
    pid = os.fork()
    if pid == 0:
        for key in [key for key in selector.get_map().values() if key.data is not None]:
            os.close(key.fd)  # of the workers before
        os.set_inheritable(descriptor, False)
        return Channel(socket.socket(fileno=descriptor))
    os.close(descriptor)
    selector.register(os.pidfd_open(pid), selectors.EVENT_READ, pid)
    channel.tell(Forked(pid))
    return None


def _report_exit(channel: Channel, descriptor: int, pid: int) -> None:
    os.close(descriptor)
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    channel.tell(Exited(pid, status))


def _be_like_new() -> None:
    """What a new interpreter has of its own and a fork would have from the fork_server."""
    importlib.invalidate_caches()
    # Python's own random does so by itself; the state of numpy's global one is copied.
    numpy_random = sys.modules.get("numpy.random")
    if numpy_random is not None:
        numpy_random.seed()
