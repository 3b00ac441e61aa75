"""What a package may do while it is imported that a fork copies, but a start would make anew."""

from __future__ import annotations

import contextlib
import gc
import os
import random
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType
from typing import Any

from flask_debuglaunch.serving.app.module_origins import namespace_of
from flask_debuglaunch.serving.processes.ports_and_locks import has_child

FORK_SAFE_THREADS = (
    # jemalloc's own, in pyarrow's library for one: it prepares for a fork, and starts it anew in
    # the child when it is needed (background_thread_postfork_child in its src/background_thread.c).
    "jemalloc_bg_thd",
    # Of polars: it deletes files of queries that did not fit into memory. Without it the next
    # process that imports polars does so (crates/polars-ooc, cleanup_stale_dirs).
    "polars-ooc-clea",
)
# Without its telemetry onnxruntime starts no thread, and mlflow draws no number for a session.
FORK_SAFE_SETTINGS = {"ORT_DISABLE_TELEMETRY": "1", "MLFLOW_DISABLE_TELEMETRY": "true"}
# What packages change unless these are set, as they are not in a new interpreter.
CHANGES_OF_UNSAFE_SETTINGS = ("os.environ['_MLFLOW_TELEMETRY_SESSION_ID']",)
# Names of keys that only have to differ from each other within the process (create_key); the name
# under which a notebook asks whether its own server lives (alive_token); a key for what a database
# keeps, which the next process could not read without it (EncryptedString).
HARMLESS_DRAWERS = {
    "opentelemetry.context",
    "dash._jupyter",
    "mlflow.store.model_registry.dbmodels.models",
}
# Opened once and kept, by libraries; no one minds who else reads there.
SHARED_FILES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
# The standard library knows of forks; numpy's generator is given a new seed (fork_server_main.py);
# what scipy draws are examples for its documentation (scipy.stats, _generate_example); joblib tries
# out a semaphore, which it names by its process; bson draws anew when it finds itself in another
# process (ObjectId._random); billiard, celery's copy of multiprocessing, is given a new key as that
# is; pydevd's number is for a log of its own.
KNOWN_PACKAGES = {
    *sys.stdlib_module_names,
    *("numpy", "scipy", "joblib", "bson", "billiard", "_pydevd_bundle"),
}


def why_not_fork(*, was_given: bool) -> str | None:
    """Why the next worker can't come from a fork; None if it can. was_given: the user's own program
    has imported the app, and has to do so again."""
    if was_given:
        return "run(app) comes after the import of the app"
    for module, function in (
        ("gevent.monkey", "is_module_patched"),
        ("eventlet.patcher", "is_monkey_patched"),
    ):
        is_patched = getattr(sys.modules.get(module), function, None)
        if is_patched is not None and is_patched("socket"):
            return f"{module.partition('.')[0]} has patched the standard library"
    return None


class ImportEffects:
    """While entered, looks on at imports; `found` says what the last one has done, and who did it.

    Also a finder that finds nothing, to know which module is being imported.
    """

    def __init__(self) -> None:
        self._begun: list[str] = []
        self._latest = ""
        self._open: list[str] = []
        """Modules that were being imported when the latest import began, the innermost last."""
        self._importers: dict[str, tuple[str, ...]] = {}
        self._threads = dict.fromkeys(_threads(), "")
        """Each with the module that has started it, as far as is known."""
        self._known_threads = {os.getpid()}
        """Those that `found` has told of."""
        self._files = _open_files()
        self._effects: list[tuple[str, str]] = []
        """Pairs of a module and what it does."""
        self._made: list[tuple[str, str]] = []
        """Pairs of a module and a temporary file or folder."""
        self._has_children = False
        self._seeded: set[int] = set()
        self._restore = contextlib.ExitStack()

    def __enter__(self) -> ImportEffects:
        sys.meta_path.insert(0, self)
        self._restore.callback(sys.meta_path.remove, self)
        for module, function in ((os, "urandom"), (random, "_urandom")):
            self._look_on(module, function, self._note_drawn)
        self._look_on(tempfile, "mkdtemp", self._note_temporary)
        self._look_on(tempfile, "mkstemp", lambda made: self._note_temporary(made[1]))
        self._look_on(os, "getpid", self._note_pid)
        self._look_on(
            threading.Thread, "start", lambda started: self._look_at_threads(exactly=True)
        )
        self._note_seeds()
        return self

    def __exit__(self, *error: object) -> None:
        self._restore.close()

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        self._look_at_threads()
        while self._open and not _is_being_imported(self._open[-1]):
            self._open.pop()
        self._importers[name] = tuple(self._open)
        self._open.append(name)
        self._begun.append(name)
        self._latest = name
        return None

    def imported_since(self) -> list[str]:
        """The modules whose import has begun since the last call."""
        begun, self._begun = self._begun, []
        return begun

    def importers_of(self, module: str) -> tuple[str, ...]:
        """The modules during whose import that one's began, the innermost last."""
        return self._importers.get(module, ())

    def effects_since_last_call(self, imported: str) -> list[tuple[str, str]]:
        """Which modules have done what can't be shared since the last call, and what; that one was
        imported last."""
        threads = self._threads_started(imported)
        effects, self._effects = self._effects, []
        made = [(one, f"makes {path}") for one, path in self._made if os.path.exists(path)]
        self._made = []
        started = [(imported, "starts a process")] if self._has_new_children() else []
        before, self._files = self._files, _open_files()
        opened = [(imported, f"keeps {one} open") for one in _but_libraries(self._files - before)]
        return [*threads, *effects, *made, *started, *opened]

    def _threads_started(self, imported: str) -> list[tuple[str, str]]:
        self._look_at_threads()
        if self._known_threads.issuperset(self._threads):
            return []
        new = _threads_after_a_fork() - self._known_threads
        self._known_threads |= new
        return [(self._threads.get(one) or imported, "starts a thread") for one in sorted(new)]

    def _has_new_children(self) -> bool:
        had, self._has_children = self._has_children, has_child()
        return self._has_children and not had

    def unseeded_generators(self) -> list[Any]:
        """The random generators that somebody holds and that were not given a seed."""
        held = [one for one in gc.get_objects() if issubclass(type(one), random.Random)]
        return [one for one in held if id(one) not in self._seeded]

    def _look_at_threads(self, *, exactly: bool = False) -> None:
        suspect = self._latest
        if exactly or _is_known(suspect):  # then the one that has asked for it
            suspect = _importing(self._begun) or ""
        self._threads = {one: self._threads.get(one, suspect) for one in _threads()}

    def _look_on(self, module: Any, function: str, note: Callable[[Any], None]) -> None:
        original = getattr(module, function)

        def looked_at(*arguments: Any, **named: Any) -> Any:
            result = original(*arguments, **named)
            note(result)
            return result

        setattr(module, function, looked_at)
        self._restore.callback(_put_back, looked_at, original)
        self._restore.callback(setattr, module, function, original)

    def _note(self, effect: str) -> None:
        module = _importing(self._begun)
        if module is not None and not _is_known(module):
            self._effects.append((module, effect))

    def _note_drawn(self, drawn: bytes) -> None:
        caller = sys._getframe(2)
        while caller.f_back is not None and _is_of_standard_library(caller):  # uuid, secrets
            caller = caller.f_back
        if not {caller.f_globals.get("__name__"), _importing(self._begun)} & HARMLESS_DRAWERS:
            self._note("draws random bytes")

    def _note_pid(self, pid: int) -> None:
        """Something may be compared with it later (an atexit function that is for one process)."""
        asking = sys._getframe(2).f_globals.get("__name__")
        if not _is_known(str(asking)):
            self._note("asks for its process's number")

    def _note_temporary(self, path: Any) -> None:
        self._made.append((_importing(self._begun) or self._latest, os.fsdecode(path)))

    def _note_seeds(self) -> None:
        original = random.Random.seed

        def seed(generator: random.Random, a: Any = None, version: int = 2) -> None:
            self._seeded.discard(id(generator))
            if a is not None:
                self._seeded.add(id(generator))
            original(generator, a, version)

        random.Random.seed = seed  # type: ignore[assignment, method-assign]
        self._restore.callback(setattr, random.Random, "seed", original)


def _importing(begun: Sequence[str]) -> str | None:
    """The innermost module whose import has begun and has not ended."""
    for name in reversed(begun):
        if _is_being_imported(name):
            return name
    return None


def _is_being_imported(module: str) -> bool:
    spec = namespace_of(sys.modules.get(module)).get("__spec__")
    return bool(namespace_of(spec).get("_initializing"))


def _is_known(module: str) -> bool:
    return module.partition(".")[0] in KNOWN_PACKAGES


def _is_of_standard_library(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in sys.stdlib_module_names


def _put_back(replaced: object, original: object) -> None:
    """Also where it was taken over: `from os import urandom`."""
    for module in list(sys.modules.values()):
        names = namespace_of(module)
        for one in [one for one, value in list(names.items()) if value is replaced]:
            names[one] = original


def _threads() -> set[int]:
    """The kernel's: native threads too."""
    return {one for one in map(int, os.listdir("/proc/self/task")) if not _is_fork_safe(one)}


def _is_fork_safe(thread: int) -> bool:
    try:
        with open(f"/proc/self/task/{thread}/comm", encoding="utf-8") as comm:
            return comm.read().strip() in FORK_SAFE_THREADS
    except OSError:  # it has ended
        return True


def _threads_after_a_fork() -> set[int]:
    """Try it: OpenBLAS ends its threads before a fork and starts them anew when they are needed
    (pthread_atfork in its driver/others/memory.c)."""
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return _threads()


@contextlib.contextmanager
def fork_safe_settings() -> Iterator[None]:
    """While entered, those that keep packages from what can't be forked, unless they are set."""
    names = FORK_SAFE_SETTINGS.keys() - os.environ.keys()
    os.environ.update({name: FORK_SAFE_SETTINGS[name] for name in names})
    yield
    for name in names:
        os.environ.pop(name, None)


def _open_files() -> set[str]:
    found = set()
    for number in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the listing's own
            found.add(os.readlink(f"/proc/self/fd/{number}"))
    return {one for one in found if one not in SHARED_FILES and not one.startswith("/proc/")}


def _but_libraries(files: set[str]) -> set[str]:
    """Without those that code runs from. libffi keeps its own open, to map more of it
    (ffi_tramp_get_libffi in its src/tramp.c): importing ctypes since Python 3.14 is enough."""
    if not files:  # so it is after nearly every import, and there are many
        return files
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        rows = [row.rstrip("\n").split(maxsplit=5) for row in maps]
    return files - {row[5] for row in rows if len(row) == 6 and "x" in row[1]}
