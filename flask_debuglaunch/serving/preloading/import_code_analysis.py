"""What code of a module runs when it is imported: read in its source, and seen in its bytecode.

The source tells whether it takes a value that differs from process to process, or does something
for its effect alone. By names, so it finds too much rather than too little: a module that is held
back costs time only.

The bytecode tells which import statements follow each other, with no other code in between that
could do anything. Most modules begin with many of them: between two of these nothing has to be
looked at.
"""

from __future__ import annotations

import ast
import dis
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from flask_debuglaunch.serving.app.module_origins import IMPORTLIB, OUR_FOLDER

# Of the clock, the process, chance, the machine's files, and who is there. Not exists() and its
# like, whose paths are noted as they are asked about (project_module_recorder.py).
VALUES = frozenset(
    """
    NamedTemporaryFile Random RandomState SystemRandom TemporaryDirectory TemporaryFile
    __subclasses__ _getframe access active_children asctime betavariate choice choices
    clock_gettime ctime currentframe default_rng enumerate_threads expovariate extract_stack
    find_loader find_spec gauss get_ident get_native_id get_objects get_referrers
    get_terminal_size getdefaulttimeout getloadavg getlogin getmtime getnode getpgid getpgrp
    getpid getppid getrandbits getrandom getrusage getsid getsignal getsize getstate gettrace
    getuser glob gmtime id iglob input isatty iterdir localtime lstat mkdtemp mkstemp mktemp
    modules monotonic monotonic_ns normalvariate now object_id perf_counter perf_counter_ns
    print_stack process_time randbelow randbytes randint random randrange register_at_fork rglob
    sample secrets seed shuffle stack stat strftime thread_info thread_time time time_ns times
    today token_bytes token_hex token_urlsafe triangular uniform urandom utcnow uuid1 uuid4
    uuid7 walk
    """.split()  # noqa: SIM905
)
# Decorators that give back what they were given, or something made of it, and tell nobody.
PLAIN_DECORATORS = frozenset(
    """
    abstractmethod abstractproperty argument asynccontextmanager attr attrs cache cached_property
    classmethod command comparator computed_field contextmanager dataclass dataclass_transform
    define deleter deprecated expression field_serializer field_validator final frozen getter
    group hybrid_method hybrid_property lru_cache model_serializer model_validator mutable
    no_type_check option overload override pass_context property root_validator runtime_checkable
    s setter singledispatch singledispatchmethod staticmethod total_ordering unique validates
    validator verify with_appcontext wraps
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True)
class Source:
    """What of a module's source matters."""

    tree: ast.Module
    foreign: frozenset[str]
    """Names under which it has something of an installed package."""
    imported: frozenset[str]
    """Names under which it has something of any other module."""


def parse(text: str, projects: frozenset[str]) -> Source:
    """projects: the first names of the project's own modules. Raises SyntaxError, ValueError."""
    tree = ast.parse(text)
    foreign, imported = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            named = [(one.asname or one.name.partition(".")[0], one.name) for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            own = node.level > 0
            named = [(one.asname or one.name, "." if own else module) for one in node.names]
        else:
            continue
        imported |= {name for name, _ in named}
        foreign |= {
            name for name, of in named if of[:1] != "." and of.split(".")[0] not in projects
        }
    return Source(tree, frozenset(foreign), frozenset(imported))


def reasons_to_run_anew(sources: Mapping[str, Source]) -> dict[str, str]:
    """The modules that must run anew each time, each with what its source does."""
    unsteady = _unsteady_functions(sources.values())
    found = {name: _reason(source, unsteady) for name, source in sources.items()}
    return {name: reason for name, reason in found.items() if reason is not None}


def _reason(source: Source, unsteady: frozenset[str]) -> str | None:
    for node in run_on_import(source.tree):
        name = _last_name(node)
        if name in VALUES:
            return f"uses {name} (line {_line(node)})"
        if name in unsteady and _root(node) not in source.foreign:
            return f"uses {name}, which takes such a value (line {_line(node)})"
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            root = _root(node.value.func)
            if root is None or root in source.imported or root in _functions_of(source.tree):
                called = ast.unparse(node.value.func)
                return f"calls {called} for its effect (line {node.lineno})"
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for one in node.decorator_list:
                maker = one.func if isinstance(one, ast.Call) else one
                if _root(maker) in source.foreign and _last_name(maker) not in PLAIN_DECORATORS:
                    return f"hands {node.name} to {ast.unparse(maker)} (line {node.lineno})"
        for target in _targets(node):
            if not isinstance(target, ast.Name) and _root(target) in source.imported:
                return f"changes {ast.unparse(target)} (line {_line(node)})"
    return None


def run_on_import(tree: ast.AST) -> Iterator[ast.AST]:
    """The nodes that run with the module: no bodies of functions, but those of lambdas."""
    for node in ast.iter_child_nodes(tree):
        yield node
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            for part in (*node.decorator_list, node.args, *filter(None, [node.returns])):
                yield part
                yield from run_on_import(part)
        else:
            yield from run_on_import(node)


def lines_run_on_import(file: Path) -> frozenset[int]:
    """Those at which a statement, or a part of one, begins. Raises OSError, SyntaxError."""
    nodes = run_on_import(ast.parse(file.read_bytes()))
    return frozenset(node.lineno for node in nodes if hasattr(node, "lineno"))


def _unsteady_functions(sources: Any) -> frozenset[str]:
    """Functions and classes of the project in which such a value is taken, or one of them used."""
    used: list[tuple[str, set[str]]] = []
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names = {
                    name
                    for one in ast.walk(node)
                    if (name := _last_name(one)) is not None
                    and (name in VALUES or _root(one) not in source.foreign)
                }
                used.append((node.name, names))
    unsteady: set[str] = set()
    while new := {name for name, names in used if names & (VALUES | unsteady)} - unsteady:
        unsteady |= new
    return frozenset(unsteady)


def _functions_of(tree: ast.Module) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


def _last_name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) else None


def _root(node: ast.AST | None) -> str | None:
    """The name that the expression begins with."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, (ast.Assign, ast.Delete)):
        return node.targets
    if isinstance(node, (ast.AugAssign, ast.AnnAssign)):
        return [node.target]
    return []


def _line(node: ast.AST) -> int:
    return getattr(node, "lineno", 0)


# The bytecode

# What import statements are made of, and assignments of constants, in any version of Python. Not
# that of a star, which later versions have for other things, too.
INSTRUCTIONS = frozenset(
    dis.opmap[name]
    for name in (
        "CACHE", "EXTENDED_ARG", "IMPORT_FROM", "IMPORT_NAME", "LOAD_COMMON_CONSTANT",
        "LOAD_CONST", "LOAD_SMALL_INT", "NOP", "POP_TOP", "ROT_TWO", "STORE_FAST", "STORE_NAME",
        "SWAP",
    )
    if name in dis.opmap
)  # fmt: skip
INSTRUCTION_BYTES = 2


class ImportStatements:
    """Follows the app's, from one to the next."""

    def __init__(self) -> None:
        self._frame: FrameType | None = None
        self._code = b""
        self._at = 0
        """The import instruction that was reached last."""
        self._passed_over: list[dict[str, Any]] = []
        """Namespaces of modules in which no code of the app runs."""

    def others_ran(self) -> bool:
        """To be asked while a statement imports something: may the app have done anything else than
        import since the last call?"""
        frame = self._importing_frame()
        if frame is self._frame and frame is not None:
            before, self._at = self._at, frame.f_lasti
            between = self._code[before + INSTRUCTION_BYTES : self._at : INSTRUCTION_BYTES]
            # One and the same statement, or a later one; not an earlier one, in a loop.
            return before > self._at or not INSTRUCTIONS.issuperset(between)
        self._frame = frame
        if frame is not None:
            self._code, self._at = frame.f_code.co_code, frame.f_lasti
        return True

    def module_runs(self) -> None:
        """One whose code may do anything."""
        self._frame = None

    def _importing_frame(self) -> FrameType | None:
        """The one whose statement asks; without our frames, importlib's, and those that pass for
        it."""
        frame: FrameType | None = sys._getframe()
        while frame is not None and self._is_passed_over(frame):
            frame = frame.f_back
        return frame

    def _is_passed_over(self, frame: FrameType) -> bool:
        # Without f_code and id() where it can be: for these Python calls all audit hooks, which
        # takes longer than all else here.
        if frame is self._frame:
            return False
        for namespace in self._passed_over:
            if frame.f_globals is namespace:
                return True
        if not frame.f_code.co_filename.startswith((IMPORTLIB, OUR_FOLDER)):
            return False
        self._passed_over.append(frame.f_globals)
        return True
