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
from functools import partial
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
HARMLESS_RANDOM_MODULES = {
    "opentelemetry.context",
    "dash._jupyter",
    "mlflow.store.model_registry.dbmodels.models",
}
# Opened once and kept, by libraries; no one minds who else reads there.
SHAREABLE_DEVICES = ("/dev/null", "/dev/zero", "/dev/urandom", "/dev/random")
# The standard library knows of forks; numpy's generators are given new seeds (reseed_functions);
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
    """While entered, looks on at imports; `effects_since_last_call` says what the last one has
    done, and who did it.

    Also a finder that finds nothing, to know which module is being imported.
    """

    def __init__(self) -> None:
        self._imports_begun: list[str] = []
        self._latest_import = ""
        self._imports_open: list[str] = []
        """Modules that were being imported when the latest import began, the innermost last."""
        self._importers: dict[str, tuple[str, ...]] = {}
        self._thread_ids = dict.fromkeys(_thread_ids(), "")
        """Each with the module that has started it, as far as is known."""
        self._reported_threads = {os.getpid()}
        """Those that have been told of."""
        self._open_file_names = _open_files()
        self._effects_noted: list[tuple[str, str]] = []
        """Pairs of a module and what it does."""
        self._temporary_paths: list[tuple[str, str]] = []
        """Pairs of a module and a temporary file or folder."""
        self._has_children = False
        self._seeded_generators: set[int] = set()
        self._watches_numpy = False
        self._entropies_of_numpy: set[int] = set()
        self._restore_stack = contextlib.ExitStack()

    def __enter__(self) -> ImportEffects:
        sys.meta_path.insert(0, self)
        self._restore_stack.callback(sys.meta_path.remove, self)
        for module, function in ((os, "urandom"), (random, "_urandom")):
            self._watch_function(module, function, self._note_random_bytes)
        self._watch_function(tempfile, "mkdtemp", self._note_temporary)
        self._watch_function(tempfile, "mkstemp", lambda made: self._note_temporary(made[1]))
        self._watch_function(os, "getpid", self._note_pid)
        self._watch_function(
            threading.Thread, "start", lambda started: self._attribute_new_threads(exactly=True)
        )
        self._note_seeds()
        return self

    def __exit__(self, *error: object) -> None:
        self._restore_stack.close()

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        self._attribute_new_threads()
        self._watch_numpy()
        while self._imports_open and not _is_being_imported(self._imports_open[-1]):
            self._imports_open.pop()
        self._importers[name] = tuple(self._imports_open)
        self._imports_open.append(name)
        self._imports_begun.append(name)
        self._latest_import = name
        return None

    def imported_since(self) -> list[str]:
        """The modules whose import has begun since the last call."""
        imports_begun, self._imports_begun = self._imports_begun, []
        return imports_begun

    def importers_of(self, module: str) -> tuple[str, ...]:
        """The modules during whose import that one's began, the innermost last."""
        return self._importers.get(module, ())

    def effects_since_last_call(self, imported_module: str) -> list[tuple[str, str]]:
        """Which modules have done what can't be shared since the last call, and what; that one was
        imported last."""
        threads = self._threads_started(imported_module)
        effects, self._effects_noted = self._effects_noted, []
        made = [
            (module, f"makes {path}")
            for module, path in self._temporary_paths
            if os.path.exists(path)
        ]
        self._temporary_paths = []
        started = [(imported_module, "starts a process")] if self._has_new_children() else []
        files_before, self._open_file_names = self._open_file_names, _open_files()
        opened = [
            (imported_module, f"keeps {file} open")
            for file in _without_libraries(self._open_file_names - files_before)
        ]
        return [*threads, *effects, *made, *started, *opened]

    def _threads_started(self, imported_module: str) -> list[tuple[str, str]]:
        self._attribute_new_threads()
        if self._reported_threads.issuperset(self._thread_ids):
            return []
        new_threads = _threads_after_a_fork() - self._reported_threads
        self._reported_threads |= new_threads
        return [
            (self._thread_ids.get(thread_id) or imported_module, "starts a thread")
            for thread_id in sorted(new_threads)
        ]

    def _has_new_children(self) -> bool:
        had, self._has_children = self._has_children, has_child()
        return self._has_children and not had

    def reseed_functions(self) -> list[Callable[[], object]]:
        """Of the random generators that somebody holds and that were not given a seed."""
        numpys_class = getattr(sys.modules.get("numpy.random"), "BitGenerator", ())
        functions: list[Callable[[], object]] = []
        for held in gc.get_objects():
            if issubclass(type(held), random.Random) and id(held) not in self._seeded_generators:
                functions.append(held.seed)
            elif issubclass(type(held), numpys_class) and self._is_unseeded_of_numpy(held):
                functions.append(partial(_reseed_numpys, held))
        return functions

    def _is_unseeded_of_numpy(self, bit_generator: Any) -> bool:
        seed_sequence = getattr(bit_generator, "seed_seq", None)
        return getattr(seed_sequence, "entropy", None) in self._entropies_of_numpy

    def _attribute_new_threads(self, *, exactly: bool = False) -> None:
        starting_module = self._latest_import
        if exactly or _is_known_package(starting_module):  # then the one that has asked for it
            starting_module = _module_being_imported(self._imports_begun) or ""
        self._thread_ids = {
            thread_id: self._thread_ids.get(thread_id, starting_module)
            for thread_id in _thread_ids()
        }

    def _watch_function(self, module: Any, function: str, note_call: Callable[[Any], None]) -> None:
        original = getattr(module, function)

        def watched_function(*arguments: Any, **keywords: Any) -> Any:
            result = original(*arguments, **keywords)
            note_call(result)
            return result

        setattr(module, function, watched_function)
        self._restore_stack.callback(_put_back, watched_function, original)
        self._restore_stack.callback(setattr, module, function, original)

    def _note_effect(self, effect: str) -> None:
        module = _module_being_imported(self._imports_begun)
        if module is not None and not _is_known_package(module):
            self._effects_noted.append((module, effect))

    def _note_random_bytes(self, random_bytes: bytes) -> None:
        caller = sys._getframe(2)
        while caller.f_back is not None and _is_of_standard_library(caller):  # uuid, secrets
            caller = caller.f_back
        drawing_modules = {
            caller.f_globals.get("__name__"),
            _module_being_imported(self._imports_begun),
        }
        # By a function that we watch: numpy's generators are given new seeds.
        if not drawing_modules & {*HARMLESS_RANDOM_MODULES, __name__}:
            self._note_effect("draws random bytes")

    def _watch_numpy(self) -> None:
        """By this function it draws what an unseeded generator begins with."""
        bit_generator = sys.modules.get("numpy.random.bit_generator")
        if hasattr(bit_generator, "randbits") and not self._watches_numpy:
            self._watches_numpy = True
            self._watch_function(bit_generator, "randbits", self._entropies_of_numpy.add)

    def _note_pid(self, pid: int) -> None:
        """Something may be compared with it later (an atexit function that is for one process)."""
        asking_module = sys._getframe(2).f_globals.get("__name__")
        if not _is_known_package(str(asking_module)):
            self._note_effect("asks for its process's number")

    def _note_temporary(self, path: Any) -> None:
        self._temporary_paths.append(
            (_module_being_imported(self._imports_begun) or self._latest_import, os.fsdecode(path))
        )

    def _note_seeds(self) -> None:
        original = random.Random.seed

        def seed(generator: random.Random, a: Any = None, version: int = 2) -> None:
            self._seeded_generators.discard(id(generator))
            if a is not None:
                self._seeded_generators.add(id(generator))
            original(generator, a, version)

        random.Random.seed = seed  # type: ignore[assignment, method-assign]
        self._restore_stack.callback(setattr, random.Random, "seed", original)


def _reseed_numpys(bit_generator: Any) -> None:
    """Also what it would spawn others from."""
    new_generator = type(bit_generator)()
    bit_generator.__setstate__(new_generator.__reduce__()[2])


def _module_being_imported(imports_begun: Sequence[str]) -> str | None:
    """The innermost module whose import has begun and has not ended."""
    for name in reversed(imports_begun):
        if _is_being_imported(name):
            return name
    return None


def _is_being_imported(module: str) -> bool:
    spec = namespace_of(sys.modules.get(module)).get("__spec__")
    return bool(namespace_of(spec).get("_initializing"))


def _is_known_package(module: str) -> bool:
    return module.partition(".")[0] in KNOWN_PACKAGES


def _is_of_standard_library(frame: FrameType) -> bool:
    return str(frame.f_globals.get("__name__")).partition(".")[0] in sys.stdlib_module_names


def _put_back(watched_function: object, original: object) -> None:
    """Also where it was taken over: `from os import urandom`."""
    for module in list(sys.modules.values()):
        module_names = namespace_of(module)
        for name in [
            name for name, value in list(module_names.items()) if value is watched_function
        ]:
            module_names[name] = original


def _thread_ids() -> set[int]:
    """The kernel's: native threads too."""
    return {
        thread_id
        for thread_id in map(int, os.listdir("/proc/self/task"))
        if not _is_fork_safe(thread_id)
    }


def _is_fork_safe(thread: int) -> bool:
    try:
        with open(f"/proc/self/task/{thread}/comm", encoding="utf-8") as comm:
            return comm.read().strip() in FORK_SAFE_THREADS
    except OSError:  # it has ended
        return True


def _threads_after_a_fork() -> set[int]:
    """Try it: OpenBLAS ends its threads before a fork and starts them anew when they are needed
    (pthread_atfork in its driver/others/memory.c)."""
    child_pid = os.fork()
    if child_pid == 0:
        os._exit(0)
    os.waitpid(child_pid, 0)
    return _thread_ids()


@contextlib.contextmanager
def fork_safe_settings() -> Iterator[None]:
    """While entered, those that keep packages from what can't be forked, unless they are set."""
    unset_settings = FORK_SAFE_SETTINGS.keys() - os.environ.keys()
    os.environ.update({name: FORK_SAFE_SETTINGS[name] for name in unset_settings})
    yield
    for name in unset_settings:
        os.environ.pop(name, None)


def _open_files() -> set[str]:
    open_files = set()
    for descriptor in os.listdir("/proc/self/fd"):
        with contextlib.suppress(OSError):  # the listing's own
            open_files.add(os.readlink(f"/proc/self/fd/{descriptor}"))
    return {
        path
        for path in open_files
        if path not in SHAREABLE_DEVICES and not path.startswith("/proc/")
    }


def _without_libraries(open_files: set[str]) -> set[str]:
    """Without those that code runs from. libffi keeps its own open, to map more of it
    (ffi_tramp_get_libffi in its src/tramp.c): importing ctypes since Python 3.14 is enough."""
    if not open_files:  # so it is after nearly every import, and there are many
        return open_files
    with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
        memory_maps = [memory_map.rstrip("\n").split(maxsplit=5) for memory_map in maps]
    return open_files - {
        memory_map[5] for memory_map in memory_maps if len(memory_map) == 6 and "x" in memory_map[1]
    }
