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
VARYING_VALUES = frozenset(
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
HARMLESS_DECORATORS = frozenset(
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
    package_names: frozenset[str]
    """Names under which it has something of an installed package."""
    imported_names: frozenset[str]
    """Names under which it has something of any other module."""


def parse(source_text: str, project_packages: frozenset[str]) -> Source:
    """projects: the first names of the project's own modules. Raises SyntaxError, ValueError."""
    tree = ast.parse(source_text)
    package_names, imported_names = set(), set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            bound_names = [
                (alias.asname or alias.name.partition(".")[0], alias.name) for alias in node.names
            ]
        elif isinstance(node, ast.ImportFrom):
            module = node.module or ""
            is_relative = node.level > 0
            bound_names = [
                (alias.asname or alias.name, "." if is_relative else module) for alias in node.names
            ]
        else:
            continue
        imported_names |= {name for name, _ in bound_names}
        package_names |= {
            name
            for name, module_name in bound_names
            if module_name[:1] != "." and module_name.split(".")[0] not in project_packages
        }
    return Source(tree, frozenset(package_names), frozenset(imported_names))


def reasons_to_run_anew(sources: Mapping[str, Source]) -> dict[str, str]:
    """The modules that must run anew each time, each with what its source does."""
    varying_functions = _functions_of_varying_values(sources.values())
    reasons = {
        name: _reason_to_run_anew(source, varying_functions) for name, source in sources.items()
    }
    return {name: reason for name, reason in reasons.items() if reason is not None}


def _reason_to_run_anew(source: Source, varying_functions: frozenset[str]) -> str | None:
    for node in run_on_import(source.tree):
        name = _last_name(node)
        if name in VARYING_VALUES:
            return f"uses {name} (line {_line_number(node)})"
        if name in varying_functions and _first_name(node) not in source.package_names:
            return f"uses {name}, which takes such a value (line {_line_number(node)})"
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            first_name = _first_name(node.value.func)
            if (
                first_name is None
                or first_name in source.imported_names
                or first_name in _functions_and_classes_of(source.tree)
            ):
                called = ast.unparse(node.value.func)
                return f"calls {called} for its effect (line {node.lineno})"
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for decorator in node.decorator_list:
                decorator_function = (
                    decorator.func if isinstance(decorator, ast.Call) else decorator
                )
                if (
                    _first_name(decorator_function) in source.package_names
                    and _last_name(decorator_function) not in HARMLESS_DECORATORS
                ):
                    decorator_name = ast.unparse(decorator_function)
                    return f"hands {node.name} to {decorator_name} (line {node.lineno})"
        for target in _assignment_targets(node):
            if not isinstance(target, ast.Name) and _first_name(target) in source.imported_names:
                return f"changes {ast.unparse(target)} (line {_line_number(node)})"
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


def _functions_of_varying_values(sources: Any) -> frozenset[str]:
    """Functions and classes of the project in which such a value is taken, or one of them used."""
    used: list[tuple[str, set[str]]] = []
    for source in sources:
        for node in ast.walk(source.tree):
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
                names_used = {
                    name
                    for inner_node in ast.walk(node)
                    if (name := _last_name(inner_node)) is not None
                    and (
                        name in VARYING_VALUES
                        or _first_name(inner_node) not in source.package_names
                    )
                }
                used.append((node.name, names_used))
    varying_functions: set[str] = set()
    while (
        new_functions := {
            name for name, names_used in used if names_used & (VARYING_VALUES | varying_functions)
        }
        - varying_functions
    ):
        varying_functions |= new_functions
    return frozenset(varying_functions)


def _functions_and_classes_of(tree: ast.Module) -> set[str]:
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    return {node.name for node in tree.body if isinstance(node, kinds)}


def _last_name(node: ast.AST) -> str | None:
    if isinstance(node, ast.Attribute):
        return node.attr
    return node.id if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) else None


def _first_name(node: ast.AST | None) -> str | None:
    """The name that the expression begins with."""
    while isinstance(node, (ast.Attribute, ast.Subscript, ast.Call)):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


def _assignment_targets(node: ast.AST) -> list[ast.expr]:
    if isinstance(node, (ast.Assign, ast.Delete)):
        return node.targets
    if isinstance(node, (ast.AugAssign, ast.AnnAssign)):
        return [node.target]
    return []


def _line_number(node: ast.AST) -> int:
    return getattr(node, "lineno", 0)


# The bytecode

# What import statements are made of, and assignments of constants, in any version of Python. Not
# that of a star, which later versions have for other things, too.
IMPORT_OPCODES = frozenset(
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
        self._importing_statement_frame: FrameType | None = None
        self._bytecode = b""
        self._last_instruction = 0
        """The import instruction that was reached last."""
        self._overlooked_namespaces: list[dict[str, Any]] = []
        """Namespaces of modules in which no code of the app runs."""

    def others_ran(self) -> bool:
        """To be asked while a statement imports something: may the app have done anything else than
        import since the last call?"""
        frame = self._importing_frame()
        if frame is self._importing_statement_frame and frame is not None:
            before, self._last_instruction = self._last_instruction, frame.f_lasti
            opcodes_between = self._bytecode[
                before + INSTRUCTION_BYTES : self._last_instruction : INSTRUCTION_BYTES
            ]
            # One and the same statement, or a later one; not an earlier one, in a loop.
            return before > self._last_instruction or not IMPORT_OPCODES.issuperset(opcodes_between)
        self._importing_statement_frame = frame
        if frame is not None:
            self._bytecode, self._last_instruction = frame.f_code.co_code, frame.f_lasti
        return True

    def module_runs(self) -> None:
        """One whose code may do anything."""
        self._importing_statement_frame = None

    def _importing_frame(self) -> FrameType | None:
        """The one whose statement asks; without our frames, importlib's, and those that pass for
        it."""
        frame: FrameType | None = sys._getframe()
        while frame is not None and self._is_overlooked(frame):
            frame = frame.f_back
        return frame

    def _is_overlooked(self, frame: FrameType) -> bool:
        # Without f_code and id() where it can be: for these Python calls all audit hooks, which
        # takes longer than all else here.
        if frame is self._importing_statement_frame:
            return False
        for namespace in self._overlooked_namespaces:
            if frame.f_globals is namespace:
                return True
        if not frame.f_code.co_filename.startswith((IMPORTLIB, OUR_FOLDER)):
            return False
        self._overlooked_namespaces.append(frame.f_globals)
        return True
