"""What in the app's own code comes between the IDE and the app, by its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from flask_debuglaunch.doctor.evidence import Evidence
from flask_debuglaunch.doctor.findings import Check, Finding, Level
from flask_debuglaunch.doctor.source_tree import Source
from flask_debuglaunch.terminal_messages import shown_path


@dataclass(frozen=True)
class Call:
    """A call in the project's code, and what stands around it.

    runs_on_import: it is in no function. is_guarded: an `if` decides whether it runs.
    """

    name: str
    node: ast.Call
    runs_on_import: bool
    is_guarded: bool


@dataclass(frozen=True)
class Trouble:
    """A call that is known to get in the way, what it does, and the cure.

    only_on_import: no harm inside a function or an `if`. argument: only with this keyword, true.
    """

    what: str
    fix: str
    level: Level = Level.WARNING
    only_on_import: bool = False
    argument: str | None = None


_OWN_DEBUGGER = Trouble(
    "starts a debugger of its own beside the launcher's",
    "Delete the line: DEBUG_WITH in the YAML does it",
)
_BLOCKS = Trouble(
    "stops in the terminal, not in the IDE",
    "Replace it with breakpoint(), or set the breakpoint in the IDE",
)
_SERVES = Trouble(
    "serves the app while it is imported",
    'Put it below: if __name__ == "__main__":',
    only_on_import=True,
)
TROUBLES: Mapping[str, Trouble] = {
    "debugpy.listen": _OWN_DEBUGGER,
    "debugpy.connect": _OWN_DEBUGGER,
    "debugpy.wait_for_client": _OWN_DEBUGGER,
    "ptvsd.enable_attach": Trouble(
        "is debugpy's predecessor, which no current IDE attaches to", "Delete the line"
    ),
    "ptvsd.wait_for_attach": Trouble("waits for an IDE of 2019", "Delete the line"),
    "pydevd.settrace": _OWN_DEBUGGER,
    "pydevd_pycharm.settrace": _OWN_DEBUGGER,
    "pdb.set_trace": _BLOCKS,
    "ipdb.set_trace": _BLOCKS,
    "pdb.run": _BLOCKS,
    "debugpy.breakpoint": Trouble(
        "stops here at each pass while an IDE is attached", "Delete the line", Level.NOTE
    ),
    "os._exit": Trouble(
        "ends the process at once: no debugger, no atexit function, no message",
        "Replace it with sys.exit()",
        Level.NOTE,  # the right way out of a child that was forked
    ),
    "werkzeug.serving.run_simple": _SERVES,
    "run_simple": _SERVES,
    "socketio.run": _SERVES,
    "DebuggedApplication": Trouble(
        "catches every error before the IDE can", "Delete the line: Werkzeug's debugger is --debug"
    ),
    "app.run": Trouble(
        "with debug=True is for python FILE.py: its reloader would hide the app from the IDE",
        "app.run(**flask_debuglaunch.run_options())",
        Level.NOTE,
        argument="debug",
    ),
}
OF_OBJECTS = ("app.run", "socketio.run")


def _troubling_calls(evidence: Evidence) -> Iterator[Finding]:
    for source in evidence.sources:
        if _may_have_trouble(source.content):  # parsing is what takes time
            yield from _findings(source)


def _may_have_trouble(content: bytes) -> bool:
    return any(all(word in content for word in words) for words in _WORDS)


def _words(name: str, trouble: Trouble) -> Iterator[bytes]:
    """What the text has in it: the parts of a module's function may stand apart, and be renamed."""
    yield from (one.encode() for one in ([name] if name in OF_OBJECTS else name.split(".")))
    if trouble.argument:
        yield trouble.argument.encode()


_WORDS = [tuple(_words(name, trouble)) for name, trouble in TROUBLES.items()]


def _findings(source: Source) -> Iterator[Finding]:
    if source.tree is None:
        return
    for call in _calls(source.tree, _imported_names(source.tree)):
        trouble = TROUBLES.get(call.name) or TROUBLES.get(call.name.rpartition(".")[2])
        if trouble is None or not _is_meant(call, trouble):
            continue
        guard = " (only if the condition around it holds)" if call.is_guarded else ""
        yield Finding(
            trouble.level,
            f"{call.name}() {trouble.what}{guard}",
            f"{shown_path(source.path)}:{call.node.lineno}",
            trouble.fix,
        )


def _is_meant(call: Call, trouble: Trouble) -> bool:
    if trouble.only_on_import:
        return call.runs_on_import and not call.is_guarded
    if trouble.argument is None:
        return True
    return any(
        one.arg == trouble.argument and getattr(one.value, "value", None) is True
        for one in call.node.keywords
    )


def _imported_names(tree: ast.Module) -> dict[str, str]:
    """What a name of the file stands for: `listen` for debugpy.listen after a from-import."""
    names = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names.update({one.asname: one.name for one in node.names if one.asname})
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.update(
                {one.asname or one.name: f"{node.module}.{one.name}" for one in node.names}
            )
    return names


def _calls(tree: ast.Module, names: Mapping[str, str]) -> Iterator[Call]:
    waiting: list[tuple[ast.AST, bool, bool]] = [(tree, True, False)]
    while waiting:
        node, on_import, guarded = waiting.pop()
        if isinstance(node, ast.Call) and (dotted := _dotted(node.func)):
            first, dot, rest = dotted.partition(".")
            yield Call(names.get(first, first) + dot + rest, node, on_import, guarded)
        inside = isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        decided = guarded or isinstance(node, (ast.If, ast.IfExp))
        children = ((one, on_import and not inside, decided) for one in ast.iter_child_nodes(node))
        waiting.extend(children)


def _dotted(node: ast.expr) -> str | None:
    """`a.b.c` of a name with attributes."""
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute) and (before := _dotted(node.value)):
        return f"{before}.{node.attr}"
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
