"""Why a breakpoint at one line would not be hit: `doctor shop/views.py:12`. With `--import-app` the
app is imported for it once, in a process of its own."""

from __future__ import annotations

import ast
import json
import os
import sys
import sysconfig
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.machinery import FrozenImporter
from pathlib import Path
from types import CodeType
from typing import TYPE_CHECKING

from flask_debuglaunch.doctor.evidence import Evidence
from flask_debuglaunch.doctor.findings import Finding, Level
from flask_debuglaunch.doctor.ide_file_checks import MODULE, configurations_of
from flask_debuglaunch.doctor.source_tree import MINDS_CASE, Source, spelt_on_disk, without_case
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.terminal_messages import shown_path

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

START_SECONDS = 0.05
"""proc(5) counts a process's start and the machine's in hundredths of a second."""
IMPORT_SECONDS = 60.0
LONGEST_ANSWER = 16 * 1024 * 1024  # bytes
TEMPLATES = (".html", ".htm", ".jinja", ".jinja2", ".j2", ".xml", ".txt")


@dataclass(frozen=True)
class Line:
    """A place for a breakpoint; the line is counted from 1, None stands for the whole file."""

    file: Path
    number: int | None

    def __str__(self) -> str:
        return shown_path(self.file) + (f":{self.number}" if self.number else "")


def parse_line(text: str, folder: Path) -> Line:
    """FILE or FILE:LINE. Raises LaunchError where there is no such file or line."""
    name, colon, number = text.rpartition(":")
    if not colon or not number.isdigit():
        name, number = text, ""
    file = folder / name
    if not os.path.isfile(file):
        raise LaunchError(
            f"argv:{text}: there is no file {shown_path(file)}. Name one, as shop/views.py:12"
        )
    lines = file.read_bytes().count(b"\n") + 1
    if number and not 1 <= int(number) <= lines:
        raise LaunchError(f"argv:{text}: {shown_path(file)} has {lines} lines")
    return Line(file, int(number) if number else None)


def findings_for(line: Line, evidence: Evidence) -> Iterator[Finding]:
    """What keeps a breakpoint there from being hit, beside what the checks find for all lines."""
    yield from _spelling(line)
    if line.file.suffix in TEMPLATES:
        yield from _in_template(line, evidence)
        return
    yield from _executable(line)
    yield from _just_my_code(line, evidence)
    yield from _frozen(line)
    yield from _mapped(line, evidence)
    yield from _imported(line, evidence)
    yield from _running_version(line, evidence)


def _spelling(line: Line) -> Iterator[Finding]:
    """Debuggers compare paths; on a file system that takes any case the IDE's may differ."""
    given, on_disk = Path(os.path.abspath(line.file)), spelt_on_disk(line.file)
    real = Path(os.path.realpath(on_disk))
    if given != on_disk:
        yield Finding(
            Level.WARNING,
            "the file is spelt otherwise on disk: upper and lower case count in a breakpoint",
            str(line),
            f"Open {shown_path(on_disk)} in the IDE",
        )
    elif real != on_disk:
        yield Finding(
            Level.NOTE,
            f"the path has a symbolic link: Python may know the file as {real}",
            str(line),
            f"Set the breakpoint in {real}",
        )


def _executable(line: Line) -> Iterator[Finding]:
    try:
        code = compile(line.file.read_bytes(), str(line.file), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        where = f"{shown_path(line.file)}:{getattr(error, 'lineno', None) or 1}"
        yield Finding(Level.ERROR, f"the file is no valid Python: {error}", where, "Mend the line")
        return
    if line.number is None:
        return
    numbers = _lines_with_code(code)
    if line.number in numbers:
        yield Finding(Level.OK, "the line is executable code", str(line))
        return
    nearest = min((one for one in numbers if one > line.number), default=max(numbers, default=1))
    yield Finding(
        Level.ERROR,
        "the line holds no code that runs: a comment, a blank line, or part of a statement",
        str(line),
        f"Set the breakpoint at {shown_path(line.file)}:{nearest}",
    )


def _lines_with_code(code: CodeType) -> set[int]:
    numbers = {number for _, _, number in code.co_lines() if number}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            numbers |= _lines_with_code(constant)
    return numbers


def _just_my_code(line: Line, evidence: Evidence) -> Iterator[Finding]:
    """debugpy takes what lies in the interpreter's own folders for a library's."""
    libraries = {
        sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")
    }
    if not any(line.file.resolve().is_relative_to(Path(one).resolve()) for one in libraries):
        return
    ours = [one for one in configurations_of(evidence.folder) if one.get("module") == MODULE]
    if any(one.get("justMyCode") is False for one in ours):
        return
    yield Finding(
        Level.ERROR,
        "the file is a library's: just-my-code leaves it out",
        str(line),
        '"justMyCode": false in the configuration of launch.json',
    )


def _frozen(line: Line) -> Iterator[Finding]:
    """From Python 3.11 on it brings what it needs at its start along, compiled: the debugger sees
    `<frozen posixpath>` instead of the file."""
    library, file = Path(sysconfig.get_path("stdlib")).resolve(), line.file.resolve()
    if not file.is_relative_to(library):
        return
    module = ".".join(file.relative_to(library).with_suffix("").parts).removesuffix(".__init__")
    if FrozenImporter.find_spec(module) is not None:
        yield Finding(
            Level.ERROR,
            f"Python has {module} frozen in itself: the debugger does not know its file",
            str(line),
            f"{sys.executable} -X frozen_modules=off -m flask_debuglaunch",
        )


def _mapped(line: Line, evidence: Evidence) -> Iterator[Finding]:
    mappings = evidence.settings.path_mappings.value
    locals_ = [local for local, _ in mappings]
    inside = any(line.file.resolve().is_relative_to(_local(one, evidence)) for one in locals_)
    if mappings and not inside:
        yield Finding(
            Level.WARNING,
            f"no path mapping covers the file: {', '.join(locals_)}",
            str(evidence.settings.path_mappings.origin),
            f"--path-mappings {line.file.resolve().parent}=/app",
        )


def _local(text: str, evidence: Evidence) -> Path:
    return Path(text.replace("${workspaceFolder}", str(evidence.folder))).resolve()


def _imported(line: Line, evidence: Evidence) -> Iterator[Finding]:
    """By the import statements of the files, from the app's own on: nothing is imported."""
    app, sources = evidence.app_file, evidence.sources
    # By what it is, not by its name: that may be given in another case.
    file = next((one.path.resolve() for one in sources if one.path.samefile(line.file)), None)
    if app is None or file is None:
        return
    known = {source.path.resolve(): source for source in sources}
    root = evidence.app_folder.resolve()
    reached = _reached(app.resolve(), known, root)
    if file in reached:
        return
    other_case = list(_in_another_case([known[one] for one in sorted(reached)], known, root))
    yield from other_case
    if not other_case:
        yield Finding(
            Level.WARNING,
            "no import statement leads from the app to this file",
            str(line),
            f"python -m flask_debuglaunch doctor --import-app {line}",
        )


def _reached(app: Path, known: Mapping[Path, Source], root: Path) -> set[Path]:
    """The packages around a module are imported before it."""
    packages = (folder / "__init__.py" for folder in app.parents)
    waiting = [one for one in (app, *packages) if one in known]
    reached: set[Path] = set()
    while waiting:
        file = waiting.pop()
        if file not in reached:
            reached.add(file)
            waiting.extend(one for _, one in _imports_of(known[file], root) if one in known)
    return reached


def _in_another_case(
    importing: Sequence[Source], known: Mapping[Path, Source], root: Path
) -> Iterator[Finding]:
    """Modules that are imported and would be files of the project, but for the case. What is
    imported from them may be a class: User of model/user.py."""
    on_disk = {without_case(str(one)): one for one in known}
    meant: dict[str, Path] = {}  # of a statement the innermost: shop/views.py, not shop/__init__.py
    for source in importing:
        for number, file in _imports_of(source, root, modules_alone=True):
            alike = on_disk.get(without_case(str(file)))
            if alike is not None and file not in known:
                meant[f"{shown_path(source.path)}:{number}"] = alike
    for where, file in meant.items():
        what = f"the imported file is spelt {shown_path(file)} on disk: {MINDS_CASE}"
        yield Finding(Level.ERROR, what, where, "Spell it in the import statement as on disk")


def _imports_of(
    source: Source, root: Path, *, modules_alone: bool = False
) -> Iterator[tuple[int, Path]]:
    """The number of the line, and a file that it may mean."""
    for node in ast.walk(source.tree or ast.Module([], [])):
        if isinstance(node, ast.Import):
            base, names = root, [one.name for one in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = source.path.resolve().parents[node.level - 1] if node.level else root
            members = [] if modules_alone else [one.name for one in node.names]
            names = [".".join(filter(None, (node.module, one))) for one in members or [""]]
        else:
            continue
        yield from ((node.lineno, file) for name in names if name for file in _files_of(base, name))


def _files_of(base: Path, name: str) -> Iterator[Path]:
    """Those of a dotted name: each package's __init__.py, and the module. A folder named src
    counts as a root too."""
    for root in (base, base / "src"):
        path = root
        for part in name.split("."):
            path = path / part
            yield from (path.with_suffix(".py"), path / "__init__.py")


def _running_version(line: Line, evidence: Evidence) -> Iterator[Finding]:
    saved = line.file.stat().st_mtime
    for launcher in evidence.launchers:
        if saved <= launcher.app_began + START_SECONDS:
            what = f"the launcher (process {launcher.pid}) runs the version on disk"
            yield Finding(Level.OK, what, str(line))
        else:
            yield Finding(
                Level.WARNING,
                f"the launcher (process {launcher.pid}) has started its app before the file was"
                " saved: another version runs",
                str(line),
                "Save the file again, or start the launcher again",
            )


def _in_template(line: Line, evidence: Evidence) -> Iterator[Finding]:
    entries = [one for one in configurations_of(evidence.folder) if not one.get("jinja")]
    for each in entries:
        yield Finding(
            Level.ERROR,
            f"the line is in a template, and {each.get('name')} does not set jinja",
            str(line),
            '"jinja": true in .vscode/launch.json',
        )
    if not any(parent.name == "templates" for parent in line.file.parents):
        what = "the file is in no folder named templates: Flask may not load it"
        yield Finding(Level.NOTE, what, str(line), "Flask(__name__, template_folder=...)")


# With --import-app


def findings_of_import(plan: Plan, line: Line | None) -> Iterator[Finding]:
    """Does the import of the app succeed, and is the file of the line among the modules?"""
    files = _files_of_import(plan)
    if files is None:
        yield Finding(
            Level.ERROR,
            "the app can't be imported: what it printed says why",
            str(plan.app.value or plan.app_directory.value),
            "python -m flask_debuglaunch",
        )
    elif line is None or line.file.resolve() in files:
        yield Finding(Level.OK, "the app can be imported", str(line or ""))
    else:
        yield Finding(
            Level.ERROR,
            "the app's import does not run this file: no breakpoint in it is hit before something"
            " imports it",
            str(line),
            "Import it from the app",
        )


def _files_of_import(plan: Plan) -> frozenset[Path] | None:
    """None if the import fails or takes longer than IMPORT_SECONDS."""
    import multiprocessing  # here: most visits import nothing

    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    child = context.Process(target=_import_and_tell, args=(plan, theirs), daemon=True)
    child.start()
    theirs.close()
    try:
        if not ours.poll(IMPORT_SECONDS):
            return None
        # Not recv(), which would unpickle: whatever the app has become says this.
        return frozenset(Path(str(one)) for one in json.loads(ours.recv_bytes(LONGEST_ANSWER)))
    except (EOFError, OSError, ValueError, TypeError):  # it has ended without a word: a SystemExit,
        return None  # a crash, an error; or it has said something else
    finally:
        child.kill()
        child.join()


def _import_and_tell(plan: Plan, channel: Connection) -> None:
    os.dup2(2, 1)  # what the app prints must not come between our own lines
    from flask_debuglaunch.serving.app.app_import import import_app, print_error
    from flask_debuglaunch.serving.app.module_origins import namespace_of

    try:
        import_app(plan, supervised=False, first=True)
    except Exception as error:
        print_error(error)
        return
    files = [namespace_of(one).get("__file__") for one in list(sys.modules.values())]
    paths = [str(Path(one).resolve()) for one in files if isinstance(one, str)]
    channel.send_bytes(json.dumps(paths).encode())
