"""What supervisor, fork server and workers say to each other, and the socket that they say it over.

A socket and not a pipe or multiprocessing's Connection: a selector takes it on every platform,
and it can carry descriptors.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from select import select
from typing import Any

from flask_debuglaunch.debuggers.join_debug_session import DebugSession
from flask_debuglaunch.json_dataclasses import decode, encode
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.serving.server.tls_certificate import CertificateFiles
from flask_debuglaunch.terminal_messages import say

LONGEST_MESSAGE_BYTES = 64 * 1024 * 1024
"""Bytes. The names of a hundred thousand imported files are less."""
STALL_SECONDS = 10.0
"""How long the rest of a message may take; who takes longer is stopped, or hangs."""
MESSAGE_LENGTH = struct.Struct("!I")


# The messages


@dataclass(frozen=True)
class Task:
    """What a worker is to do: serve the app as planned."""

    plan: Plan
    certificate: CertificateFiles | None
    session: DebugSession | None
    """Where the debugger of the supervisor is connected; None if it has none to share."""
    is_first_worker: bool
    """What has been said of the app once is not said again."""
    serve_errors: bool
    """Show the error of an app that can't be imported, instead of ending with it?"""
    use_debugger: bool = True
    """Attach the external debugger at all?"""
    ide_is_known: bool = False
    """Has an IDE taken a worker of this run over?"""
    look_at_project_modules: bool = False
    """Look on at what the project's modules do while they are imported?"""


@dataclass(frozen=True)
class Attaching:
    """The IDE is asked to take the worker over."""


@dataclass(frozen=True)
class Attached:
    """The debugger is attached, or there is none to attach; the app is imported next."""

    by_ide: bool = False
    """Has an IDE taken the process over?"""


@dataclass(frozen=True)
class IdeLeft:
    """The IDE has left the worker, by its Stop or Disconnect button."""

    ends_run: bool
    """Was it the Stop button of what the IDE has started?"""


@dataclass(frozen=True)
class Ready:
    """The app is imported and served; after an error on import the error is."""

    failed: bool


@dataclass(frozen=True)
class Failed:
    """The first start can't be: the app can't be imported. `message` is for the user, unless the
    worker has printed all there is to say."""

    message: str | None
    exit_status: int


@dataclass(frozen=True)
class Watch:
    """What the app was made from: its imported files outside the installed packages, and folders
    of which every file counts."""

    files: frozenset[str]
    folders: frozenset[str]
    since: float
    """When the worker began to read them, in seconds since the epoch."""
    namespaces: frozenset[str] = frozenset()
    """Folders that were imported as they are, without a file (PEP 420): they count as a whole."""


@dataclass(frozen=True)
class Writes:
    """The app itself is about to write, or to remove, this Python file."""

    python_file: str


@dataclass(frozen=True)
class Stopped:
    """A thread is stopped in the debugger, so the worker can't be replaced now."""

    stopped_at: str


@dataclass(frozen=True)
class Resumed:
    """No thread is stopped any more."""


@dataclass(frozen=True)
class Leaving:
    """The worker has answered everything, and has nothing that the next one may need: what is left
    are its threads' last jobs and its atexit functions."""


@dataclass(frozen=True)
class CleanedUp:
    """These have run, too: what is left is the kernel's, which takes its memory down."""


@dataclass(frozen=True)
class Retire:
    """To a worker: accept no more, answer what is under way, end."""

    drain_seconds: float


@dataclass(frozen=True)
class Go:
    """To a worker that retires: do not stay for the IDE once you have cleaned up."""


StateChanges = tuple[tuple[str, str], ...]
"""Pairs of what has changed ("os.environ['TZ']") and how it is now, in order."""


@dataclass(frozen=True)
class AppImport:
    """One that the app made, or a function that it called."""

    module: str
    changes: StateChanges
    """What had changed by then since the import of the app began."""
    is_by_launcher: bool = False
    """Did we make it, for the server? What the app has changed does not matter to that."""


@dataclass(frozen=True)
class ModuleRun:
    """A module of the project, and what its code did when it was imported."""

    name: str
    file: str | None
    """None: a package without one, which is just a folder."""
    imports: tuple[str, ...]
    """All it asked for, in order, also what was there already; first the packages it is in."""
    imported_incomplete: frozenset[str]
    """Those of them that were being imported themselves: it is in a cycle with them."""
    read_paths: frozenset[str]
    """Files, and folders, that it has read besides."""
    asked_paths: Mapping[str, bool]
    """Paths of which it matters whether they are there, and were they? Where an import has looked
    before it found the module, or in vain; what the module itself has asked about."""
    changes: StateChanges
    """What had changed when it began, since the import of the app did."""
    effect: str | None = None
    """What it did that workers must not share."""
    is_changed_after_run: bool = False
    """Has other code changed its objects after it had run?"""

    @property
    def files(self) -> frozenset[str]:
        """All that it was made from."""
        return self.read_paths if self.file is None else self.read_paths | {self.file}


@dataclass(frozen=True)
class UnlikeChange:
    """What the app changes before it imports a module is not what was changed before the fork
    server imported it."""

    name: str
    """As in StateChanges."""
    reason: str
    """What is said of it."""


@dataclass(frozen=True)
class Preloadable:
    """What of the app's imports a fork server can have ready for the next worker, or why none."""

    imports: tuple[AppImport, ...]
    was_forked: bool
    """The worker had some of its modules from a fork server: these imports come on top."""
    unsafe: str | None
    import_seconds: float = 0.0
    """How long the imports took."""
    project_files: frozenset[str] = frozenset()
    """Of the project's modules, in whatever way they came."""
    module_runs: tuple[ModuleRun, ...] | None = None
    """The project's own, if all of them were imported by this very worker, and looked at."""
    project_seconds: float = 0.0
    """Of processor time that those took, without the packages that they import."""
    since: float = 0.0
    """When their files were begun to be read, in seconds since the epoch."""
    unlike: UnlikeChange | None = None
    """Why the worker can't have what it has from the fork server, and is started anew."""


@dataclass(frozen=True)
class ModulesUnfit:
    """The app has changed so that the project's modules can't be there ahead of it as before."""

    module_files: frozenset[str]
    """Of modules that must run in each worker; if none, nothing is known of any module now."""


@dataclass(frozen=True)
class PreloadModules:
    """To a fork of a fork server: become one that has these modules of the project, too."""

    module_runs: tuple[ModuleRun, ...]
    """As they were seen in a worker, in order."""


@dataclass(frozen=True)
class ModulesPreloaded:
    """The fork server can fork, if what was seen of the modules now is what was seen before."""

    module_runs: tuple[ModuleRun, ...]


@dataclass(frozen=True)
class Preload:
    """To a fork_server: make these imports, in this order."""

    imports: tuple[AppImport, ...]
    left_out_packages: Mapping[str, frozenset[str]]
    """Packages that must not be imported, nor those that import them; each with what it changes,
    which is no change of the app's."""
    plan: Plan
    session: DebugSession | None
    unsteady: frozenset[str] = frozenset()
    """Names of changes that the app makes in another way each time."""


@dataclass(frozen=True)
class Prepare:
    """Where there is no fork: make these imports, in this order, and wait for the task."""

    imports: tuple[AppImport, ...]
    plan: Plan
    session: DebugSession | None
    unsteady: frozenset[str] = frozenset()
    """As in Preload."""


@dataclass(frozen=True)
class Misfit:
    """The worker was prepared for another app: a new interpreter must take its place."""


@dataclass(frozen=True)
class Preloaded:
    """The fork server can fork, or a process that waits has a worker's imports. A change of one of
    the files means that it should not any more."""

    package_files: frozenset[str]
    first_not_preloaded: tuple[str, str] | None
    """The first module that is not there, nor what was imported after it, and what the app changes
    before; None if all are."""


@dataclass(frozen=True)
class LeftOutPackage:
    """A package has done what a fork must not share."""

    package: str
    reason: str
    changed_state: frozenset[str]
    package_file: str | None
    """Where it is: when that changes, it may be another package."""


@dataclass(frozen=True)
class SpoiledForkServer:
    """This fork server can't fork; one without these packages may be able to."""

    left_out_packages: tuple[LeftOutPackage, ...]
    imports_of_left_out: Mapping[str, tuple[str, ...]]
    """For modules of these packages, what they import of others: the next one can have that."""
    has_all: bool
    """Does it have all it was to have, and nothing of the project? Then it can become a worker
    itself, once."""
    package_files: frozenset[str]
    """As in Preloaded."""


@dataclass(frozen=True)
class CannotPreload:
    """The process can't have packages ready for the next worker, and why."""

    reason: str


@dataclass(frozen=True)
class Fork:
    """To a fork_server: fork a worker, or, spoiled, become one. The descriptor of its channel comes
    with the next byte."""


@dataclass(frozen=True)
class Forked:
    pid: int | None
    """None: the system allows no more processes."""


@dataclass(frozen=True)
class Exited:
    """A forked worker has ended; status as in subprocess."""

    pid: int
    exit_status: int


@dataclass(frozen=True)
class SharedListener:
    """Windows: the listening socket, as socket.share() gives it to that very process."""

    shared_socket: bytes


# Who may say what. To a child:
MESSAGES_TO_CHILD = (Task, Retire, Go, Preload, PreloadModules, Prepare, Fork, SharedListener)
# And what a child, which may have become anything by now, is listened to for:
MESSAGES_FROM_CHILD = (
    Attaching, Attached, IdeLeft, Leaving, CleanedUp, Ready, Failed, Watch, Stopped, Resumed,
    Preloadable, Preloaded, ModulesPreloaded, ModulesUnfit, SpoiledForkServer, CannotPreload,
    Forked, Exited, Writes, Misfit,
)  # fmt: skip


# The socket


class Channel:
    """One end of a connection between two of our own processes."""

    def __init__(
        self, connection: socket.socket, expected_messages: Collection[type] = MESSAGES_TO_CHILD
    ) -> None:
        self.socket = connection
        self._expected_messages = expected_messages
        self._sending_lock = threading.Lock()

    def fileno(self) -> int:
        return self.socket.fileno()

    def send(self, message: Any) -> None:
        """Raises OSError if the other end is gone."""
        encoded_message = encode(message)
        with self._sending_lock:
            self.socket.sendall(MESSAGE_LENGTH.pack(len(encoded_message)) + encoded_message)

    def tell(self, message: Any) -> None:
        """Send to a process that may just have ended; if it has, `receive` says so."""
        with contextlib.suppress(OSError):
            self.send(message)

    def receive(self) -> Any:
        """The next message; None if the other end is gone, stalls, or has said something that is
        no message."""
        try:
            (message_length,) = MESSAGE_LENGTH.unpack(self._receive_bytes(MESSAGE_LENGTH.size))
            if message_length > LONGEST_MESSAGE_BYTES:
                raise ValueError("too long")
            return decode(self._receive_bytes(message_length), self._expected_messages)
        except (EOFError, OSError):
            return None
        except ValueError as error:
            say(f"A process of this launch has sent what is no message: {error}. It is given up")
            return None

    def has_message(self, within: float = 0) -> bool:
        """Is there something to receive, or will there be within so many seconds?"""
        return bool(select([self.socket], [], [], within)[0])

    def close(self) -> None:
        self.socket.close()

    def _receive_bytes(self, byte_count: int) -> bytes:
        received_bytes = bytearray()
        while len(received_bytes) < byte_count:
            received_piece = self.socket.recv(byte_count - len(received_bytes))
            if not received_piece:
                raise EOFError
            received_bytes += received_piece
        return bytes(received_bytes)


def channel_to_child(connection: socket.socket) -> Channel:
    """A channel that keeps us waiting for some seconds at most, whatever the child does."""
    connection.settimeout(STALL_SECONDS)
    return Channel(connection, MESSAGES_FROM_CHILD)
