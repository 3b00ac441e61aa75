"""From the IDEs that were named to the texts of their files, in the folder that the IDEs open; and
the same for what puts the launcher into a container."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeAlias

from flask_debuglaunch.atomic_file_changes import FileChange, apply_changes
from flask_debuglaunch.configuration.command_line_flags import FlagValue
from flask_debuglaunch.debuggers.known_debuggers import DEBUGGERS
from flask_debuglaunch.editor_links import editor_of_terminal
from flask_debuglaunch.errors import EditRefused, LaunchError, did_you_mean
from flask_debuglaunch.ides.eclipse import Eclipse
from flask_debuglaunch.ides.ide_interface import ContainerFileEdits, FileEdit, Ide
from flask_debuglaunch.ides.neovim import Neovim
from flask_debuglaunch.ides.opened_project import (
    Project,
    opened_project,
    repository_above,
    workspace_folder,
)
from flask_debuglaunch.ides.pycharm import PyCharm
from flask_debuglaunch.ides.vscode import VSCode
from flask_debuglaunch.ides.zed import Zed

MODELINE = "# yaml-language-server: $schema="
IDES: Mapping[str, Ide] = {
    "vscode": VSCode(),
    "eclipse": Eclipse(),
    "pycharm": PyCharm(),
    "neovim": Neovim(),
    "zed": Zed(),
}
# Those that read the same files; together, whatever DEBUG_WITH takes for an IDE.
IDE_OF: Mapping[str, str] = {
    **{name: name for name in IDES},
    **dict.fromkeys(("cursor", "windsurf", "vscodium"), "vscode"),
    **dict.fromkeys(("aptana", "pydev", "liclipse"), "eclipse"),
    "intellij": "pycharm",
}


class GeneratedFiles(NamedTuple):
    """The texts for a folder, and what the user has to know or to do."""

    folder: Path
    changes: tuple[FileChange, ...]
    notes: tuple[str, ...]
    next_steps: tuple[str, ...] = ()
    """What to do in the IDEs when the files are there."""
    provide_bundle: Callable[[], None] = lambda: None
    """Has on disk what the files name outside of the project. Raises LaunchError."""


def generate(
    names: Sequence[str],
    with_extras: Collection[str],
    folder: Path,
    config: Path | None,
    given_flags: Mapping[str, FlagValue],
) -> GeneratedFiles:
    """What the IDEs need in the folder.

    names: of IDE_OF; none: those that the folder is opened in; or one of FOR_CONTAINERS, and
    what that is to be given. with_extras: texts of `--with`.
    config and given_flags: `--config` and the flags that the files shall name. Raises LaunchError.
    """
    if names and names[0] in FOR_CONTAINERS:
        _refuse_more_words(names[0], [*names[2:], *with_extras])
        project = opened_project(folder, config, given_flags, folder)
        return _generate_for_container(names[0], next(iter(names[1:]), None), project)
    ides = _chosen_ides(names, folder)
    extras = _chosen_extras(with_extras, ides)
    ide_markers = [marker for name in ides if (marker := IDES[name].marker)]
    workspace = workspace_folder(folder, ide_markers)
    project = opened_project(folder, config, given_flags, workspace)
    file_changes = tuple(changes(_file_edits(ides, extras, project), project.read_text))
    next_steps = tuple(dict.fromkeys(IDES[name].next_step for name in ides))
    notes = (*_notes_on_workspace(folder, workspace), *_notes_of_ides(ides, extras, project))
    return GeneratedFiles(workspace, file_changes, notes, next_steps)


def write(generated: GeneratedFiles) -> None:
    """Write what changes, all of it or nothing. Raises LaunchError."""
    generated.provide_bundle()
    apply_changes(generated.changes, generated.folder)


def changes(
    file_edits: Iterable[FileEdit], read_text: Callable[[str], str | None]
) -> Iterator[FileChange]:
    """Each file once, though several IDEs may edit it. Raises LaunchError if it can't be edited."""
    present_texts: dict[str, str | None] = {}
    edited_texts: dict[str, str] = {}
    for file in file_edits:
        if file.path not in present_texts:
            present_texts[file.path] = read_text(file.path)
        text = edited_texts.get(file.path, present_texts[file.path])
        edited_texts[file.path] = _edited_text(file, text)
    for path, text in edited_texts.items():
        yield FileChange(path, present_texts[path], text)


# Which IDEs


def _chosen_ides(names: Collection[str], folder: Path) -> list[str]:
    """The IDEs that were named, else those whose files are in the folder, else the one whose
    terminal this is. Raises LaunchError."""
    if names:
        return list(dict.fromkeys(_ide_of(name) for name in names))
    ide_markers = {name: ide.marker for name, ide in IDES.items() if ide.marker}
    workspace = workspace_folder(folder, ide_markers.values())
    ides = [name for name, marker in ide_markers.items() if (workspace / marker).exists()]
    if ides:
        return ides
    ide_of_terminal = IDE_OF.get(editor_of_terminal(os.environ) or "")
    if ide_of_terminal is None:
        raise LaunchError(f"argv:ide: which IDE? Name one or more of {', '.join(IDES)}")
    return [ide_of_terminal]


def _ide_of(name: str) -> str:
    ide = IDE_OF.get(name.lower())
    if ide is not None:
        return ide
    debugger = DEBUGGERS.get(name.lower())
    if debugger is not None and debugger.ides:
        raise LaunchError(f"argv:{name}: is a debugger: name the IDE, {', '.join(debugger.ides)}")
    ide_names = [*IDE_OF, *FOR_CONTAINERS]
    hint = did_you_mean(name.lower(), ide_names)
    raise LaunchError(f"argv:{name}: no such IDE. Known are {', '.join(ide_names)}{hint}")


def _chosen_extras(texts: Collection[str], ides: Collection[str]) -> list[str]:
    """The comma-separated extras of `--with`. Raises LaunchError for what no such IDE has."""
    extras = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    ide_extras = {name: meaning for ide in ides for name, meaning in IDES[ide].extras.items()}
    for extra in extras:
        if extra not in ide_extras:
            choices = "".join(f"\n  {name}: {meaning}" for name, meaning in ide_extras.items())
            hint = f"Known are:{choices}" if ide_extras else "There is nothing to ask for"
            raise LaunchError(f"argv:--with: {', '.join(ides)}: no such extra: {extra}. {hint}")
    return extras


# Files and notes


def _file_edits(
    ides: Collection[str], extras: Collection[str], project: Project
) -> Iterator[FileEdit]:
    for name in ides:
        yield from IDES[name].files(project, extras)
    if project.config and not project.config.startswith(("../", "/")):
        yield _schema_file(project.in_app_folder(project.config))


def _edited_text(file: FileEdit, present_text: str | None) -> str:
    try:
        return file.edit(present_text)
    except EditRefused as error:
        raise LaunchError(
            f"{file.path}:{error.line}:{error.column}: {error.message}. Nothing is written; mend"
            f" the file, or put this into it by hand:\n{file.edit(None)}"
        ) from None


def _schema_file(config: str) -> FileEdit:
    from flask_debuglaunch.configuration.json_schema import SCHEMA_NAME, schema_text

    schema = schema_text()

    def edit(present_text: str | None) -> str:
        # Line ends may be those of the checkout.
        if present_text is not None and present_text.replace("\r\n", "\n") == schema:
            return present_text
        return schema

    return FileEdit(str(PurePosixPath(config).with_name(SCHEMA_NAME)), edit)


def _notes_of_ides(
    ides: Collection[str], extras: Collection[str], project: Project
) -> Iterable[str]:
    """Each said once."""
    notes = [note for name in ides for note in IDES[name].notes(project, extras)]
    return dict.fromkeys([*notes, *_notes_on_yaml(project)])


def _notes_on_workspace(folder: Path, workspace: Path) -> Iterator[str]:
    repository = repository_above(folder)
    if workspace != folder:
        yield (
            f"the files are in {workspace}, which the IDE opens, and start the app in {folder.name}"
        )
    elif repository is not None:
        yield (
            f"the files are for an IDE that opens this folder. Where it opens {repository}, have"
            " its own folder there first (such as .vscode), and give the command here again"
        )


def _notes_on_yaml(project: Project) -> Iterator[str]:
    from flask_debuglaunch.configuration.json_schema import SCHEMA_NAME

    if project.config is None:
        yield "no config.yaml is here: `python -m flask_debuglaunch init` writes one"
    elif MODELINE not in (project.read_text(project.in_app_folder(project.config)) or ""):
        yield (
            f"{project.config}: with the first line `{MODELINE}{SCHEMA_NAME}` the editor completes"
            " and checks it"
        )


# For containers


def _refuse_more_words(name: str, more_words: Collection[str]) -> None:
    if more_words:
        raise LaunchError(
            f"argv:{' '.join(more_words)}: `ide {name}` takes one name, and no --with"
        )


def _generate_for_container(name: str, argument: str | None, project: Project) -> GeneratedFiles:
    container = FOR_CONTAINERS[name](project, argument)
    file_changes = tuple(changes(container.files, project.read_text))
    return GeneratedFiles(
        project.folder,
        file_changes,
        tuple(container.notes),
        provide_bundle=container.provide_bundle,
    )


def _generate_for_compose(project: Project, service: str | None) -> ContainerFileEdits:
    from flask_debuglaunch.ides.containers.compose_debug_file import compose_file_edits

    return compose_file_edits(project, service)


def _generate_for_kubernetes(project: Project, manifest: str | None) -> ContainerFileEdits:
    from flask_debuglaunch.ides.containers.kubernetes import kubernetes_file_edits

    return kubernetes_file_edits(project, manifest)


GenerateForContainer: TypeAlias = Callable[[Project, "str | None"], ContainerFileEdits]
FOR_CONTAINERS: Mapping[str, GenerateForContainer] = {
    "compose": _generate_for_compose,
    "kubernetes": _generate_for_kubernetes,
}
"""By the word after `ide`; the word after that is theirs."""
