"""What an image has of the project, by its Dockerfile: where the source is, and what starts it.

Read by dockerfile-parse, stage by stage as `docker build` has them:
https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from io import BytesIO
from pathlib import Path
from typing import Any

from flask_debuglaunch.errors import LaunchError

SHELL = ("/bin/sh", "-c")


@dataclass(frozen=True)
class CopiedPath:
    """A file or folder of the build context, and where the image has it."""

    source: str  # relative to the context, with slashes; "." is all of it
    target: str


def is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def text_in_container(
    path: str, workdir: str, copied_paths: Iterable[CopiedPath], folder: Path
) -> str | None:
    """A file's text that is one of the project's, by its path in the container; None if nothing
    of what has been copied is there. folder: what the copied ones' sources are relative to."""
    path_in_container = posixpath.normpath(posixpath.join(workdir, path))
    for copied in copied_paths:
        if is_below(path_in_container, copied.target):
            path_below = posixpath.relpath(path_in_container, copied.target)
            file = folder / copied.source / path_below
            if file.is_file():
                return file.read_text(encoding="utf-8", errors="replace")
    return None


@dataclass(frozen=True)
class Image:
    """The part of an image that its Dockerfile tells."""

    workdir: str = "/"
    entrypoint: tuple[str, ...] = ()
    command: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[int, ...] = ()
    copied: tuple[CopiedPath, ...] = ()
    has_healthcheck: bool = False
    environments: tuple[str, ...] = ()
    """The virtual environments that are made in it."""


@dataclass(frozen=True)
class Instruction:
    name: str
    value: str
    line: int


def read_image(
    dockerfile_text: str,
    dockerfile_name: str,
    build_context: Path,
    *,
    target: str | None,
    arguments: Mapping[str, str],
) -> Image:
    """The image of a stage: the one named target, else the last.

    build_context: the folder that is built from. arguments: ARGs that are given. Raises LaunchError
    if the file has no such stage, or can't be followed.
    """
    stages: dict[str, Image] = {}
    image, stage, build_arguments = Image(), "", dict(arguments)
    for instruction in _instructions(dockerfile_text, dockerfile_name):
        if instruction.name == "FROM":
            base, stage = _base_and_stage(instruction, build_arguments, len(stages))
            image = stages.get(base, Image())
        elif instruction.name == "ARG":
            defaults = dict(_assignments(instruction, build_arguments, image))
            build_arguments = {**defaults, **build_arguments}
        elif stage:
            place = f"{dockerfile_name}:{instruction.line}"
            image = _image_after(instruction, place, image, build_context, stages, build_arguments)
        if stage:
            stages[stage] = image
    if not stages:
        raise LaunchError(f"{dockerfile_name}: has no FROM, so that it builds no image")
    if target is not None and target not in stages:
        raise LaunchError(
            f"{dockerfile_name}: has no stage {target}, which `target` names;"
            f" it has {', '.join(stages)}"
        )
    return stages[target] if target is not None else image


def _instructions(dockerfile_text: str, dockerfile_name: str) -> Iterator[Instruction]:
    here_document_end: str | None = None
    for parsed in _parser(dockerfile_text, dockerfile_name).structure:
        if here_document_end is not None:  # its lines are none of Docker's
            if parsed["content"].strip() == here_document_end:
                here_document_end = None
            continue
        here_document = re.search(r"<<-?\s*(['\"]?)(\w+)\1", parsed["value"])
        if here_document and parsed["instruction"] in ("RUN", "COPY", "ADD"):
            here_document_end = here_document[2]
        if parsed["instruction"] != "COMMENT":
            yield Instruction(parsed["instruction"], parsed["value"], parsed["startline"] + 1)


def _parser(dockerfile_text: str, dockerfile_name: str) -> Any:
    try:
        from dockerfile_parse import DockerfileParser
    except ImportError:
        raise LaunchError(
            f"{dockerfile_name}: reading it needs dockerfile-parse: install"
            " flask-debuglaunch[containers]"
        ) from None
    return DockerfileParser(fileobj=BytesIO(dockerfile_text.encode()))


def _base_and_stage(
    instruction: Instruction, build_arguments: Mapping[str, str], stage_number: int
) -> tuple[str, str]:
    """Of a FROM: the base, and the stage's own name (its number where it has none)."""
    words = _expanded_words(instruction.value, build_arguments, {})
    words = [word for word in words if not word.startswith("--")]
    has_name = len(words) == 3 and words[1].upper() == "AS"
    return words[0], words[2] if has_name else str(stage_number)


def _image_after(
    instruction: Instruction,
    place: str,
    image: Image,
    build_context: Path,
    stages: Mapping[str, Image],
    build_arguments: Mapping[str, str],
) -> Image:
    """The image when the instruction has been carried out."""
    variables = {**build_arguments, **image.environment}
    match instruction.name:
        case "WORKDIR":
            words = _expanded_words(instruction.value, build_arguments, image.environment)
            workdir = posixpath.normpath(posixpath.join(image.workdir, " ".join(words)))
            return replace(image, workdir=workdir)
        case "ENV":
            assigned = dict(_assignments(instruction, build_arguments, image))
            return replace(image, environment={**image.environment, **assigned})
        case "EXPOSE":
            words = _expanded_words(instruction.value, build_arguments, image.environment)
            ports = (word.partition("/")[0] for word in words)
            exposed = (int(port) for port in ports if port.isdigit())
            return replace(image, ports=(*image.ports, *exposed))
        case "CMD":
            return replace(image, command=_exec_or_shell_form(instruction.value, place))
        case "ENTRYPOINT":  # takes the base's CMD away
            entrypoint = _exec_or_shell_form(instruction.value, place)
            return replace(image, entrypoint=entrypoint, command=())
        case "HEALTHCHECK":
            return replace(image, has_healthcheck=instruction.value.strip().upper() != "NONE")
        case "COPY" | "ADD":
            copy = _copy_instruction(instruction, place, image, stages, variables)
            return replace(
                image,
                copied=(*image.copied, *_copied_paths(copy, build_context)),
                environments=(*image.environments, *_copied_environments(copy)),
            )
        case "RUN":
            environments = (
                posixpath.normpath(posixpath.join(image.workdir, path))
                for path in _made_environments(instruction.value, variables)
            )
            return replace(image, environments=(*image.environments, *environments))
    return image


MAKES_ENVIRONMENT = re.compile(
    r"(?:(?P<uv>uv venv)|-m (?:venv|virtualenv)|(?:^|[;&|]\s*)virtualenv)\b"
    r"(?:\s+(?:(?:-p|--python|--prompt)\s+\S+|-\S+))*(?:\s+(?P<path>[^\s;&|-][^\s;&|]*))?"
)
ENVIRONMENT_IN_PROJECT = {
    "poetry": "POETRY_VIRTUALENVS_IN_PROJECT",
    "pipenv": "PIPENV_VENV_IN_PROJECT",
}


def _made_environments(run_line: str, variables: Mapping[str, str]) -> Iterator[str]:
    """By name, or in the project's folder by the tools that keep one there."""
    for venv_command in MAKES_ENVIRONMENT.finditer(run_line):
        path = venv_command["path"] or (".venv" if venv_command["uv"] else "")
        yield from _expanded_words(path, variables, {})
    if re.search(r"\b(?:uv sync|pdm (?:install|sync))\b", run_line):
        yield variables.get("UV_PROJECT_ENVIRONMENT") or ".venv"
    if re.search(r"\bvirtualenvs\.in-project true\b", run_line):
        yield ".venv"
    for tool, variable in ENVIRONMENT_IN_PROJECT.items():
        is_in_project = variables.get(variable, "").lower() in ("1", "true", "yes")
        if is_in_project and re.search(rf"\b{tool} (?:install|sync)\b", run_line):
            yield ".venv"


@dataclass(frozen=True)
class CopyInstruction:
    """target: as it is written; target_path: where that is. from_stage: what is copied from, None
    for the build context; an image that is built elsewhere has nothing of it."""

    sources: tuple[str, ...]
    target: str
    target_path: str
    from_stage: Image | None


def _copy_instruction(
    instruction: Instruction,
    place: str,
    image: Image,
    stages: Mapping[str, Image],
    variables: Mapping[str, str],
) -> CopyInstruction:
    if instruction.value.lstrip().startswith("["):
        words = list(_exec_or_shell_form(instruction.value, place))
    else:
        words = _expanded_words(instruction.value, variables, {})
    flags = dict(word.partition("=")[::2] for word in words if word.startswith("--"))
    *sources, target = [word for word in words if not word.startswith("--")]
    from_stage = stages.get(flags["--from"], Image()) if "--from" in flags else None
    target_path = posixpath.join(image.workdir, target)
    return CopyInstruction(tuple(sources), target, target_path, from_stage)


def _copied_paths(copy: CopyInstruction, build_context: Path) -> Iterator[CopiedPath]:
    into_folder = len(copy.sources) > 1 or copy.target.endswith("/") or copy.target in (".", "..")
    for source in copy.sources:
        if copy.from_stage is not None:
            yield from _copied_from_stage(copy.from_stage, source, copy.target_path)
        else:
            yield from _copied_from_context(
                build_context, source, copy.target_path, into_folder=into_folder
            )


def _copied_environments(copy: CopyInstruction) -> Iterator[str]:
    stage_environments = copy.from_stage.environments if copy.from_stage else ()
    for source in (posixpath.normpath(posixpath.join("/", name)) for name in copy.sources):
        for environment in stage_environments:
            if is_below(environment, source):
                path_below = posixpath.relpath(environment, source)
                yield posixpath.normpath(posixpath.join(copy.target_path, path_below))


def _copied_from_context(
    build_context: Path, source: str, target_path: str, *, into_folder: bool
) -> Iterator[CopiedPath]:
    """A folder's content lands in the target; files beneath it, or as it."""
    if "://" in source or "<<" in source:
        return
    pattern = posixpath.normpath(source.lstrip("/") or ".")
    has_wildcards = re.search(r"[*?\[]", pattern)
    paths = sorted(build_context.glob(pattern)) if has_wildcards else [build_context / pattern]
    for path in paths:
        path_in_context = path.relative_to(build_context).as_posix()
        if path.is_dir():
            yield CopiedPath(path_in_context, posixpath.normpath(target_path))
        elif path.is_file():
            is_beneath = into_folder or len(paths) > 1
            file_path = posixpath.join(target_path, path.name) if is_beneath else target_path
            yield CopiedPath(path_in_context, posixpath.normpath(file_path))


def _copied_from_stage(stage: Image, source: str, target_path: str) -> Iterator[CopiedPath]:
    """What another stage has there of the build context."""
    source = posixpath.normpath(posixpath.join("/", source))
    for copied in stage.copied:
        if is_below(copied.target, source):
            path_below = posixpath.relpath(copied.target, source)
            target = posixpath.normpath(posixpath.join(target_path, path_below))
            yield CopiedPath(copied.source, target)
        elif is_below(source, copied.target):
            path_below = posixpath.relpath(source, copied.target)
            copied_source = posixpath.normpath(posixpath.join(copied.source, path_below))
            yield CopiedPath(copied_source, target_path)


def _exec_or_shell_form(value: str, place: str) -> tuple[str, ...]:
    """A list in JSON, or a line for the shell."""
    text = value.strip()
    if not text.startswith("["):
        return (*SHELL, text)
    try:
        words = json.loads(text)
    except ValueError:
        return (*SHELL, text)  # as Docker takes it
    if not all(isinstance(word, str) for word in words):
        raise LaunchError(f"{place}: expected a list of words, found {text}")
    return tuple(words)


def _expanded_words(
    value: str, build_arguments: Mapping[str, str], environment: Mapping[str, str]
) -> list[str]:
    from dockerfile_parse.util import WordSplitter

    return list(WordSplitter(value, args=dict(build_arguments), envs=dict(environment)).split())


def _assignments(
    instruction: Instruction, build_arguments: Mapping[str, str], image: Image
) -> Iterator[tuple[str, str]]:
    """Of an ARG or an ENV."""
    from dockerfile_parse.util import extract_key_values

    if instruction.name == "ARG" and "=" not in instruction.value:
        return
    yield from extract_key_values(
        True, dict(build_arguments), dict(image.environment), instruction.value
    )
