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
from flask_debuglaunch.doctor.ide_file_checks import LAUNCHER_MODULE, launch_configurations_of
from flask_debuglaunch.doctor.source_tree import (
    IMPORT_MINDS_CASE,
    SourceFile,
    case_folded,
    path_as_on_disk,
)
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.plan import Plan
from flask_debuglaunch.terminal_messages import shown_path

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

PROCESS_START_SECONDS = 0.05
"""proc(5) counts a process's start and the machine's in hundredths of a second."""
APP_IMPORT_SECONDS = 60.0
LONGEST_IMPORT_ANSWER = 16 * 1024 * 1024  # bytes
TEMPLATE_SUFFIXES = (".html", ".htm", ".jinja", ".jinja2", ".j2", ".xml", ".txt")


@dataclass(frozen=True)
class BreakpointLine:
    """A place for a breakpoint; the line is counted from 1, None stands for the whole file."""

    file: Path
    number: int | None

    def __str__(self) -> str:
        return shown_path(self.file) + (f":{self.number}" if self.number else "")


def parse_breakpoint_line(breakpoint_text: str, folder: Path) -> BreakpointLine:
    """FILE or FILE:LINE. Raises LaunchError where there is no such file or line."""
    name, colon, line_number = breakpoint_text.rpartition(":")
    if not colon or not line_number.isdigit():
        name, line_number = breakpoint_text, ""
    file = folder / name
    if not os.path.isfile(file):
        raise LaunchError(
            f"argv:{breakpoint_text}: there is no file {shown_path(file)}. Name one, as"
            " shop/views.py:12"
        )
    line_count = file.read_bytes().count(b"\n") + 1
    if line_number and not 1 <= int(line_number) <= line_count:
        raise LaunchError(f"argv:{breakpoint_text}: {shown_path(file)} has {line_count} lines")
    return BreakpointLine(file, int(line_number) if line_number else None)


def breakpoint_findings(breakpoint_line: BreakpointLine, evidence: Evidence) -> Iterator[Finding]:
    """What keeps a breakpoint there from being hit, beside what the checks find for all lines."""
    yield from _file_spelt_otherwise(breakpoint_line)
    if breakpoint_line.file.suffix in TEMPLATE_SUFFIXES:
        yield from _template_line(breakpoint_line, evidence)
        return
    yield from _not_executable(breakpoint_line)
    yield from _left_out_by_just_my_code(breakpoint_line, evidence)
    yield from _frozen_module(breakpoint_line)
    yield from _not_mapped(breakpoint_line, evidence)
    yield from _not_imported(breakpoint_line, evidence)
    yield from _running_another_version(breakpoint_line, evidence)


def _file_spelt_otherwise(breakpoint_line: BreakpointLine) -> Iterator[Finding]:
    """Debuggers compare paths; on a file system that takes any case the IDE's may differ."""
    given_path = Path(os.path.abspath(breakpoint_line.file))
    path_on_disk = path_as_on_disk(breakpoint_line.file)
    real_path = Path(os.path.realpath(path_on_disk))
    if given_path != path_on_disk:
        yield Finding(
            Level.WARNING,
            "the file is spelt otherwise on disk: upper and lower case count in a breakpoint",
            str(breakpoint_line),
            f"Open {shown_path(path_on_disk)} in the IDE",
        )
    elif real_path != path_on_disk:
        yield Finding(
            Level.NOTE,
            f"the path has a symbolic link: Python may know the file as {real_path}",
            str(breakpoint_line),
            f"Set the breakpoint in {real_path}",
        )


def _not_executable(breakpoint_line: BreakpointLine) -> Iterator[Finding]:
    file = breakpoint_line.file
    try:
        code = compile(file.read_bytes(), str(file), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        where = f"{shown_path(file)}:{getattr(error, 'lineno', None) or 1}"
        yield Finding(Level.ERROR, f"the file is no valid Python: {error}", where, "Mend the line")
        return
    if breakpoint_line.number is None:
        return
    executable_lines = _line_numbers_with_code(code)
    if breakpoint_line.number in executable_lines:
        yield Finding(Level.OK, "the line is executable code", str(breakpoint_line))
        return
    lines_below = (number for number in executable_lines if number > breakpoint_line.number)
    nearest_line = min(lines_below, default=max(executable_lines, default=1))
    yield Finding(
        Level.ERROR,
        "the line holds no code that runs: a comment, a blank line, or part of a statement",
        str(breakpoint_line),
        f"Set the breakpoint at {shown_path(file)}:{nearest_line}",
    )


def _line_numbers_with_code(code: CodeType) -> set[int]:
    line_numbers = {number for _, _, number in code.co_lines() if number}
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            line_numbers |= _line_numbers_with_code(constant)
    return line_numbers


def _left_out_by_just_my_code(
    breakpoint_line: BreakpointLine, evidence: Evidence
) -> Iterator[Finding]:
    """debugpy takes what lies in the interpreter's own folders for a library's."""
    file = breakpoint_line.file.resolve()
    library_folders = map(sysconfig.get_path, ("stdlib", "platstdlib", "purelib", "platlib"))
    if not any(file.is_relative_to(Path(folder).resolve()) for folder in library_folders):
        return
    for configuration in launch_configurations_of(evidence.folder):
        is_ours = configuration.get("module") == LAUNCHER_MODULE
        if is_ours and configuration.get("justMyCode") is False:
            return
    yield Finding(
        Level.ERROR,
        "the file is a library's: just-my-code leaves it out",
        str(breakpoint_line),
        '"justMyCode": false in the configuration of launch.json',
    )


def _frozen_module(breakpoint_line: BreakpointLine) -> Iterator[Finding]:
    """From Python 3.11 on it brings what it needs at its start along, compiled: the debugger sees
    `<frozen posixpath>` instead of the file."""
    file = breakpoint_line.file.resolve()
    standard_library = Path(sysconfig.get_path("stdlib")).resolve()
    if not file.is_relative_to(standard_library):
        return
    name_parts = file.relative_to(standard_library).with_suffix("").parts
    module_name = ".".join(name_parts).removesuffix(".__init__")
    if FrozenImporter.find_spec(module_name) is not None:
        yield Finding(
            Level.ERROR,
            f"Python has {module_name} frozen in itself: the debugger does not know its file",
            str(breakpoint_line),
            f"{sys.executable} -X frozen_modules=off -m flask_debuglaunch",
        )


def _not_mapped(breakpoint_line: BreakpointLine, evidence: Evidence) -> Iterator[Finding]:
    file = breakpoint_line.file.resolve()
    path_mappings = evidence.settings.path_mappings
    local_roots = [local_root for local_root, _ in path_mappings.value]
    is_mapped = any(file.is_relative_to(_mapped_folder(root, evidence)) for root in local_roots)
    if local_roots and not is_mapped:
        yield Finding(
            Level.WARNING,
            f"no path mapping covers the file: {', '.join(local_roots)}",
            str(path_mappings.origin),
            f"--path-mappings {file.parent}=/app",
        )


def _mapped_folder(local_root: str, evidence: Evidence) -> Path:
    return Path(local_root.replace("${workspaceFolder}", str(evidence.folder))).resolve()


def _not_imported(breakpoint_line: BreakpointLine, evidence: Evidence) -> Iterator[Finding]:
    """By the import statements of the files, from the app's own on: nothing is imported."""
    app_file, sources = evidence.app_file, evidence.sources
    # By what it is, not by its name: that may be given in another case.
    same_files = (source.path for source in sources if source.path.samefile(breakpoint_line.file))
    breakpoint_file = next(same_files, None)
    if app_file is None or breakpoint_file is None:
        return
    sources_by_path = {source.path.resolve(): source for source in sources}
    import_root = evidence.app_folder.resolve()
    reached_files = _files_reached_by_imports(app_file.resolve(), sources_by_path, import_root)
    if breakpoint_file.resolve() in reached_files:
        return
    importing_sources = [sources_by_path[path] for path in sorted(reached_files)]
    misspelt = list(_imported_in_another_case(importing_sources, sources_by_path, import_root))
    yield from misspelt
    if not misspelt:
        yield Finding(
            Level.WARNING,
            "no import statement leads from the app to this file",
            str(breakpoint_line),
            f"python -m flask_debuglaunch doctor --import-app {breakpoint_line}",
        )


def _files_reached_by_imports(
    app_file: Path, sources_by_path: Mapping[Path, SourceFile], import_root: Path
) -> set[Path]:
    """The packages around a module are imported before it."""
    package_files = (folder / "__init__.py" for folder in app_file.parents)
    files_to_follow = [path for path in (app_file, *package_files) if path in sources_by_path]
    reached_files: set[Path] = set()
    while files_to_follow:
        file = files_to_follow.pop()
        if file not in reached_files:
            reached_files.add(file)
            imported_files = _files_imported_by(sources_by_path[file], import_root)
            files_to_follow.extend(path for _, path in imported_files if path in sources_by_path)
    return reached_files


def _imported_in_another_case(
    importing_sources: Sequence[SourceFile],
    sources_by_path: Mapping[Path, SourceFile],
    import_root: Path,
) -> Iterator[Finding]:
    """Modules that are imported and would be files of the project, but for the case. What is
    imported from them may be a class: User of model/user.py."""
    paths_without_case = {case_folded(str(path)): path for path in sources_by_path}
    # Of a statement the innermost: shop/views.py, not shop/__init__.py.
    misspelt_imports: dict[str, Path] = {}
    for source in importing_sources:
        for line_number, file in _files_imported_by(source, import_root, modules_alone=True):
            path_on_disk = paths_without_case.get(case_folded(str(file)))
            if path_on_disk is not None and file not in sources_by_path:
                misspelt_imports[f"{shown_path(source.path)}:{line_number}"] = path_on_disk
    for import_statement, file in misspelt_imports.items():
        misspelling = f"the imported file is spelt {shown_path(file)} on disk: {IMPORT_MINDS_CASE}"
        yield Finding(
            Level.ERROR,
            misspelling,
            import_statement,
            "Spell it in the import statement as on disk",
        )


def _files_imported_by(
    source: SourceFile, import_root: Path, *, modules_alone: bool = False
) -> Iterator[tuple[int, Path]]:
    """The number of the line, and a file that it may mean."""
    for node in ast.walk(source.tree or ast.Module([], [])):
        if isinstance(node, ast.Import):
            base_folder, module_names = import_root, [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            packages = source.path.resolve().parents
            base_folder = packages[node.level - 1] if node.level else import_root
            members = [""] if modules_alone else [alias.name for alias in node.names]
            module_names = [".".join(filter(None, (node.module, name))) for name in members]
        else:
            continue
        for module_name in filter(None, module_names):
            yield from ((node.lineno, path) for path in _files_of_module(base_folder, module_name))


def _files_of_module(base_folder: Path, module_name: str) -> Iterator[Path]:
    """Those of a dotted name: each package's __init__.py, and the module. A folder named src
    counts as a root too."""
    for root in (base_folder, base_folder / "src"):
        path = root
        for package in module_name.split("."):
            path = path / package
            yield from (path.with_suffix(".py"), path / "__init__.py")


def _running_another_version(
    breakpoint_line: BreakpointLine, evidence: Evidence
) -> Iterator[Finding]:
    saved_at = breakpoint_line.file.stat().st_mtime
    for launcher in evidence.launchers:
        if saved_at <= launcher.app_began + PROCESS_START_SECONDS:
            version_message = f"the launcher (process {launcher.pid}) runs the version on disk"
            yield Finding(Level.OK, version_message, str(breakpoint_line))
        else:
            yield Finding(
                Level.WARNING,
                f"the launcher (process {launcher.pid}) has started its app before the file was"
                " saved: another version runs",
                str(breakpoint_line),
                "Save the file again, or start the launcher again",
            )


def _template_line(breakpoint_line: BreakpointLine, evidence: Evidence) -> Iterator[Finding]:
    for configuration in launch_configurations_of(evidence.folder):
        if not configuration.get("jinja"):
            yield Finding(
                Level.ERROR,
                f"the line is in a template, and {configuration.get('name')} does not set jinja",
                str(breakpoint_line),
                '"jinja": true in .vscode/launch.json',
            )
    if not any(parent.name == "templates" for parent in breakpoint_line.file.parents):
        folder_message = "the file is in no folder named templates: Flask may not load it"
        yield Finding(
            Level.NOTE, folder_message, str(breakpoint_line), "Flask(__name__, template_folder=...)"
        )


# With --import-app


def import_findings(plan: Plan, breakpoint_line: BreakpointLine | None) -> Iterator[Finding]:
    """Does the import of the app succeed, and is the file of the line among the modules?"""
    imported_files = _import_in_child(plan)
    if imported_files is None:
        yield Finding(
            Level.ERROR,
            "the app can't be imported: what it printed says why",
            str(plan.app.value or plan.app_directory.value),
            "python -m flask_debuglaunch",
        )
    elif breakpoint_line is None or breakpoint_line.file.resolve() in imported_files:
        yield Finding(Level.OK, "the app can be imported", str(breakpoint_line or ""))
    else:
        yield Finding(
            Level.ERROR,
            "the app's import does not run this file: no breakpoint in it is hit before something"
            " imports it",
            str(breakpoint_line),
            "Import it from the app",
        )


def _import_in_child(plan: Plan) -> frozenset[Path] | None:
    """None if the import fails or takes longer than IMPORT_SECONDS."""
    import multiprocessing  # here: most visits import nothing

    spawn_context = multiprocessing.get_context("spawn")
    answer_receiver, answer_sender = spawn_context.Pipe(duplex=False)
    child = spawn_context.Process(
        target=_import_app_in_child, args=(plan, answer_sender), daemon=True
    )
    child.start()
    answer_sender.close()
    try:
        if not answer_receiver.poll(APP_IMPORT_SECONDS):
            return None
        # Not recv(), which would unpickle: whatever the app has become says this.
        imported_paths = json.loads(answer_receiver.recv_bytes(LONGEST_IMPORT_ANSWER))
        return frozenset(Path(str(path)) for path in imported_paths)
    except (EOFError, OSError, ValueError, TypeError):  # it has ended without a word: a SystemExit,
        return None  # a crash, an error; or it has said something else
    finally:
        child.kill()
        child.join()


def _import_app_in_child(plan: Plan, answer_sender: Connection) -> None:
    os.dup2(2, 1)  # what the app prints must not come between our own lines
    from flask_debuglaunch.serving.app.app_import import import_app, print_error
    from flask_debuglaunch.serving.app.module_origins import namespace_of

    try:
        import_app(plan, supervised=False, first=True)
    except Exception as error:
        print_error(error)
        return
    module_files = [namespace_of(module).get("__file__") for module in list(sys.modules.values())]
    imported_paths = [str(Path(file).resolve()) for file in module_files if isinstance(file, str)]
    answer_sender.send_bytes(json.dumps(imported_paths).encode())
