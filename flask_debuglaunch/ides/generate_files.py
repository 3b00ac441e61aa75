"""From the IDEs that were named to the texts of their files, in the folder that the IDEs open; and
the same for what puts the launcher into a container."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple, TypeAlias

from flask_debuglaunch.atomic_file_changes import FileChange, apply_changes, read_text
from flask_debuglaunch.configuration.command_line_flags import FlagValue
from flask_debuglaunch.configuration.environment_and_env_files import CONFIG_ENV
from flask_debuglaunch.configuration.load_settings import load_settings
from flask_debuglaunch.debuggers.known_debuggers import DEBUGGERS
from flask_debuglaunch.editor_links import editor_of_terminal
from flask_debuglaunch.errors import LaunchError, did_you_mean
from flask_debuglaunch.ides.eclipse import Eclipse
from flask_debuglaunch.ides.ide_interface import ContainerFiles, File, Ide, Project, Refused
from flask_debuglaunch.ides.launch_arguments import shareable_flags
from flask_debuglaunch.ides.neovim import Neovim
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


class Generated(NamedTuple):
    """The texts for a folder, and what the user has to know or to do."""

    folder: Path
    changes: tuple[FileChange, ...]
    notes: tuple[str, ...]
    next_steps: tuple[str, ...] = ()
    """What to do in the IDEs when the files are there."""
    provide: Callable[[], None] = lambda: None
    """Has on disk what the files name outside of the project. Raises LaunchError."""


def generate(
    names: Sequence[str],
    with_extras: Collection[str],
    folder: Path,
    config: Path | None,
    given: Mapping[str, FlagValue],
) -> Generated:
    """What the IDEs need in the folder.

    names: of IDE_OF; none: those that the folder is opened in; or one of FOR_CONTAINERS, and
    what that is to be given. with_extras: texts of `--with`.
    config and given: `--config` and the flags that the files shall name. Raises LaunchError.
    """
    if names and names[0] in FOR_CONTAINERS:
        _refuse_more(names[0], [*names[2:], *with_extras])
        return _for_container(
            names[0], next(iter(names[1:]), None), _project(folder, config, given)
        )
    ides = _chosen_ides(names, folder)
    extras = _chosen_extras(with_extras, ides)
    markers = [marker for name in ides if (marker := IDES[name].marker)]
    opened = workspace_folder(folder, markers)
    project = _project(folder, config, given, opened)
    changed = tuple(changes(_files(ides, extras, project), project.read))
    next_steps = tuple(dict.fromkeys(IDES[name].next_step for name in ides))
    notes = (*_notes_on_folder(folder, opened), *_notes(ides, extras, project))
    return Generated(opened, changed, notes, next_steps)


def write(generated: Generated) -> None:
    """Write what changes, all of it or nothing. Raises LaunchError."""
    generated.provide()
    apply_changes(generated.changes, generated.folder)


def changes(files: Iterable[File], read_text: Callable[[str], str | None]) -> Iterator[FileChange]:
    """Each file once, though several IDEs may edit it. Raises LaunchError if it can't be edited."""
    before: dict[str, str | None] = {}
    after: dict[str, str] = {}
    for file in files:
        if file.path not in before:
            before[file.path] = read_text(file.path)
        after[file.path] = _edited(file, after.get(file.path, before[file.path]))
    for path, text in after.items():
        yield FileChange(path, before[path], text)


# Which IDEs


def _chosen_ides(names: Collection[str], folder: Path) -> list[str]:
    """The IDEs that were named, else those whose files are in the folder, else the one whose
    terminal this is. Raises LaunchError."""
    if names:
        return list(dict.fromkeys(_ide_of(name) for name in names))
    marked = {name: one.marker for name, one in IDES.items() if one.marker}
    opened = workspace_folder(folder, marked.values())
    found = [name for name, marker in marked.items() if (opened / marker).exists()]
    if not found:
        found = [ide for ide in [IDE_OF.get(editor_of_terminal(os.environ) or "")] if ide]
    if not found:
        raise LaunchError(f"argv:ide: which IDE? Name one or more of {', '.join(IDES)}")
    return found


def _ide_of(name: str) -> str:
    ide = IDE_OF.get(name.lower())
    if ide is not None:
        return ide
    debugger = DEBUGGERS.get(name.lower())
    if debugger is not None and debugger.ides:
        raise LaunchError(f"argv:{name}: is a debugger: name the IDE, {', '.join(debugger.ides)}")
    known = [*IDE_OF, *FOR_CONTAINERS]
    raise LaunchError(
        f"argv:{name}: no such IDE. Known are {', '.join(known)}{did_you_mean(name.lower(), known)}"
    )


def _chosen_extras(texts: Collection[str], ides: Collection[str]) -> list[str]:
    """The comma-separated extras of `--with`. Raises LaunchError for what no such IDE has."""
    extras = [name.strip() for text in texts for name in text.split(",") if name.strip()]
    known = {name: meaning for ide in ides for name, meaning in IDES[ide].extras.items()}
    for name in extras:
        if name not in known:
            choices = "".join(f"\n  {one}: {meaning}" for one, meaning in known.items())
            wanted = f"Known are:{choices}" if known else "There is nothing to ask for"
            raise LaunchError(f"argv:--with: {', '.join(ides)}: no such extra: {name}. {wanted}")
    return extras


# The project, in the folder that the IDE opens


def _project(
    folder: Path, config: Path | None, given: Mapping[str, FlagValue], opened: Path | None = None
) -> Project:
    """opened: the folder that the IDE opens, where that is above the app's."""
    # What this shell's environment says is left out: the files are for every start, and shared.
    environ = {name: text for name, text in os.environ.items() if name == CONFIG_ENV}
    settings = load_settings(config, given, environ, folder)
    yaml = _relative(settings.config_file, folder) if settings.config_file else None
    flags = shareable_flags(given, folder)
    opened = opened or folder
    app_folder = folder.relative_to(opened).as_posix()
    return Project(opened, yaml, flags, settings, lambda path: read_text(opened / path), app_folder)


def _relative(path: Path, folder: Path) -> str:
    try:
        return Path(os.path.relpath(path, folder)).as_posix()
    except ValueError:  # on another drive of Windows
        return path.as_posix()


def workspace_folder(start: Path, markers: Collection[str]) -> Path:
    """The start folder, or the nearest above it that holds an IDE's files (markers) where the start
    folder has none: in a repository of several projects. Only folders of the same repository
    count, and never the home folder, where some IDEs have files of their own."""
    folders = (start, *_folders_above(start))
    return next((one for one in folders if any((one / name).exists() for name in markers)), start)


def _repository_above(start: Path) -> Path | None:
    """The root of the repository, where that is above the start folder."""
    return next((one for one in _folders_above(start) if (one / ".git").exists()), None)


def _folders_above(start: Path) -> Iterator[Path]:
    if (start / ".git").exists():
        return
    above: list[Path] = []
    for folder in start.parents:
        if folder == Path(os.path.expanduser("~")):
            return
        above.append(folder)
        if (folder / ".git").exists():
            yield from above
            return


# Files and notes


def _files(ides: Collection[str], extras: Collection[str], project: Project) -> Iterator[File]:
    for name in ides:
        yield from IDES[name].files(project, extras)
    if project.config and not project.config.startswith(("../", "/")):
        yield _schema_file(project.in_app_folder(project.config))


def _edited(file: File, present: str | None) -> str:
    try:
        return file.edit(present)
    except Refused as error:
        raise LaunchError(
            f"{file.path}:{error.line}:{error.column}: {error.message}. Nothing is written; mend"
            f" the file, or put this into it by hand:\n{file.edit(None)}"
        ) from None


def _schema_file(config: str) -> File:
    from flask_debuglaunch.configuration.json_schema import SCHEMA_NAME, schema_text

    text = schema_text()

    def edit(present: str | None) -> str:
        # Line ends may be those of the checkout.
        same = present is not None and present.replace("\r\n", "\n") == text
        return present if same and present is not None else text

    return File(str(PurePosixPath(config).with_name(SCHEMA_NAME)), edit)


def _notes(ides: Collection[str], extras: Collection[str], project: Project) -> Iterable[str]:
    """Each said once."""
    said = [note for name in ides for note in IDES[name].notes(project, extras)]
    return dict.fromkeys([*said, *_notes_on_yaml(project)])


def _notes_on_folder(folder: Path, opened: Path) -> Iterator[str]:
    repository = _repository_above(folder)
    if opened != folder:
        yield f"the files are in {opened}, which the IDE opens, and start the app in {folder.name}"
    elif repository is not None:
        yield (
            f"the files are for an IDE that opens this folder. Where it opens {repository}, have"
            " its own folder there first (such as .vscode), and give the command here again"
        )


def _notes_on_yaml(project: Project) -> Iterator[str]:
    from flask_debuglaunch.configuration.json_schema import SCHEMA_NAME

    if project.config is None:
        yield "no config.yaml is here: `python -m flask_debuglaunch init` writes one"
    elif MODELINE not in (project.read(project.in_app_folder(project.config)) or ""):
        yield (
            f"{project.config}: with the first line `{MODELINE}{SCHEMA_NAME}` the editor completes"
            " and checks it"
        )


# For containers


def _refuse_more(name: str, words: Collection[str]) -> None:
    if words:
        raise LaunchError(f"argv:{' '.join(words)}: `ide {name}` takes one name, and no --with")


def _for_container(name: str, argument: str | None, project: Project) -> Generated:
    made = FOR_CONTAINERS[name](project, argument)
    changed = tuple(changes(made.files, project.read))
    return Generated(project.folder, changed, tuple(made.notes), provide=made.provide)


def _compose(project: Project, service: str | None) -> ContainerFiles:
    from flask_debuglaunch.ides.containers.compose_debug_file import compose_files

    return compose_files(project, service)


def _kubernetes(project: Project, manifest: str | None) -> ContainerFiles:
    from flask_debuglaunch.ides.containers.kubernetes import kubernetes_files

    return kubernetes_files(project, manifest)


ForContainer: TypeAlias = Callable[[Project, "str | None"], ContainerFiles]
FOR_CONTAINERS: Mapping[str, ForContainer] = {"compose": _compose, "kubernetes": _kubernetes}
"""By the word after `ide`; the word after that is theirs."""
