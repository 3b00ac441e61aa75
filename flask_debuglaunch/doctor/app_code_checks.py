"""What in the app's own code comes between the IDE and the app, by its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flask_debuglaunch.doctor.evidence import Evidence
from flask_debuglaunch.doctor.findings import Check, Finding, Level
from flask_debuglaunch.doctor.source_tree import SourceFile
from flask_debuglaunch.terminal_messages import shown_path


@dataclass(frozen=True)
class CallInCode:
    """A call in the project's code, and what stands around it.

    runs_on_import: it is in no function. is_guarded: an `if` decides whether it runs.
    """

    name: str
    node: ast.Call
    runs_on_import: bool
    is_guarded: bool


@dataclass(frozen=True)
class TroublesomeCall:
    """A call that is known to get in the way, what it does, and the cure.

    only_on_import: no harm inside a function or an `if`. true_keyword: only where this argument is
    True.
    """

    effect: str
    fix: str
    level: Level = Level.WARNING
    only_on_import: bool = False
    true_keyword: str | None = None


_STARTS_DEBUGGER = TroublesomeCall(
    "starts a debugger of its own beside the launcher's",
    "Delete the line: DEBUG_WITH in the YAML does it",
)
_STOPS_IN_TERMINAL = TroublesomeCall(
    "stops in the terminal, not in the IDE",
    "Replace it with breakpoint(), or set the breakpoint in the IDE",
)
_SERVES_ON_IMPORT = TroublesomeCall(
    "serves the app while it is imported",
    'Put it below: if __name__ == "__main__":',
    only_on_import=True,
)
TROUBLESOME_CALLS: Mapping[str, TroublesomeCall] = {
    "debugpy.listen": _STARTS_DEBUGGER,
    "debugpy.connect": _STARTS_DEBUGGER,
    "debugpy.wait_for_client": _STARTS_DEBUGGER,
    "ptvsd.enable_attach": TroublesomeCall(
        "is debugpy's predecessor, which no current IDE attaches to", "Delete the line"
    ),
    "ptvsd.wait_for_attach": TroublesomeCall("waits for an IDE of 2019", "Delete the line"),
    "pydevd.settrace": _STARTS_DEBUGGER,
    "pydevd_pycharm.settrace": _STARTS_DEBUGGER,
    "pdb.set_trace": _STOPS_IN_TERMINAL,
    "ipdb.set_trace": _STOPS_IN_TERMINAL,
    "pdb.run": _STOPS_IN_TERMINAL,
    "debugpy.breakpoint": TroublesomeCall(
        "stops here at each pass while an IDE is attached", "Delete the line", Level.NOTE
    ),
    "os._exit": TroublesomeCall(
        "ends the process at once: no debugger, no atexit function, no message",
        "Replace it with sys.exit()",
        Level.NOTE,  # the right way out of a child that was forked
    ),
    "werkzeug.serving.run_simple": _SERVES_ON_IMPORT,
    "run_simple": _SERVES_ON_IMPORT,
    "socketio.run": _SERVES_ON_IMPORT,
    "DebuggedApplication": TroublesomeCall(
        "catches every error before the IDE can", "Delete the line: Werkzeug's debugger is --debug"
    ),
    "app.run": TroublesomeCall(
        "with debug=True is for python FILE.py: its reloader would hide the app from the IDE",
        "app.run(**flask_debuglaunch.run_options())",
        Level.NOTE,
        true_keyword="debug",
    ),
}
METHODS_OF_APP_OBJECTS = ("app.run", "socketio.run")


def _troubling_calls(evidence: Evidence) -> Iterator[Finding]:
    for source in evidence.sources:
        if _may_have_troublesome_call(source.content):  # parsing is what takes time
            yield from _findings_in_source(source)


def _may_have_troublesome_call(source_content: bytes) -> bool:
    return any(all(word in source_content for word in words) for words in _WORDS_OF_CALLS)


def _words_of_call(call_name: str, troublesome_call: TroublesomeCall) -> Iterator[bytes]:
    """What the text has in it: the parts of a module's function may stand apart, and be renamed."""
    is_method = call_name in METHODS_OF_APP_OBJECTS
    yield from (word.encode() for word in ([call_name] if is_method else call_name.split(".")))
    if troublesome_call.true_keyword:
        yield troublesome_call.true_keyword.encode()


_WORDS_OF_CALLS = [
    tuple(_words_of_call(*name_and_call)) for name_and_call in TROUBLESOME_CALLS.items()
]


def _findings_in_source(source: SourceFile) -> Iterator[Finding]:
    if source.tree is None:
        return
    for call in _calls_in_code(source.tree, _full_names_of_imports(source.tree)):
        last_name = call.name.rpartition(".")[2]
        troublesome_call = TROUBLESOME_CALLS.get(call.name) or TROUBLESOME_CALLS.get(last_name)
        if troublesome_call is None or not _is_troublesome(call, troublesome_call):
            continue
        guard_note = " (only if the condition around it holds)" if call.is_guarded else ""
        yield Finding(
            troublesome_call.level,
            f"{call.name}() {troublesome_call.effect}{guard_note}",
            f"{shown_path(source.path)}:{call.node.lineno}",
            troublesome_call.fix,
        )


def _is_troublesome(call: CallInCode, troublesome_call: TroublesomeCall) -> bool:
    if troublesome_call.only_on_import:
        return call.runs_on_import and not call.is_guarded
    if troublesome_call.true_keyword is None:
        return True
    return any(
        keyword.arg == troublesome_call.true_keyword
        and getattr(keyword.value, "value", None) is True
        for keyword in call.node.keywords
    )


def _full_names_of_imports(tree: ast.Module) -> dict[str, str]:
    """What a name of the file stands for: `listen` for debugpy.listen after a from-import."""
    full_names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            full_names.update({alias.asname: alias.name for alias in node.names if alias.asname})
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            full_names.update(
                {alias.asname or alias.name: f"{node.module}.{alias.name}" for alias in node.names}
            )
    return full_names


def _calls_in_code(tree: ast.Module, full_names: Mapping[str, str]) -> Iterator[CallInCode]:
    nodes_to_visit: list[tuple[ast.AST, bool, bool]] = [(tree, True, False)]
    while nodes_to_visit:
        node, runs_on_import, is_guarded = nodes_to_visit.pop()
        if isinstance(node, ast.Call) and (dotted_name := _dotted_name(node.func)):
            first_name, dot, attribute_names = dotted_name.partition(".")
            call_name = full_names.get(first_name, first_name) + dot + attribute_names
            yield CallInCode(call_name, node, runs_on_import, is_guarded)
        is_function = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        is_guarded_below = is_guarded or isinstance(node, (ast.If, ast.IfExp))
        children = (
            (child, runs_on_import and not is_function, is_guarded_below)
            for child in ast.iter_child_nodes(node)
        )
        nodes_to_visit.extend(children)


def _dotted_name(node: ast.expr) -> str | None:
    """`a.b.c` of a name with attributes."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (owner := _dotted_name(node.value)):
        return f"{owner}.{node.attr}"
    return None


CHECKS = (
    Check(
        "calls-in-the-code",
        "The app's code starts a debugger or a server of its own: `debugpy.listen`,"
        " `pydevd.settrace`, `pdb.set_trace`, `DebuggedApplication`, `run_simple`, `os._exit`, ...",
        "delete the line that is named",
        _troubling_calls,
    ),
)
