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
class Copied:
    """A file or folder of the build context, and where the image has it."""

    source: str  # relative to the context, with slashes; "." is all of it
    target: str


def is_below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(folder.rstrip("/") + "/")


def text_in_container(
    path: str, workdir: str, copied: Iterable[Copied], folder: Path
) -> str | None:
    """A file's text that is one of the project's, by its path in the container; None if nothing
    of what has been copied is there. folder: what the copied ones' sources are relative to."""
    target = posixpath.normpath(posixpath.join(workdir, path))
    for one in copied:
        if is_below(target, one.target):
            file = folder / one.source / posixpath.relpath(target, one.target)
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
    copied: tuple[Copied, ...] = ()
    has_healthcheck: bool = False
    environments: tuple[str, ...] = ()
    """The virtual environments that are made in it."""


@dataclass(frozen=True)
class Instruction:
    name: str
    value: str
    line: int


def read_image(
    text: str, name: str, context: Path, *, target: str | None, arguments: Mapping[str, str]
) -> Image:
    """The image of a stage: the one named target, else the last.

    name: the Dockerfile's, for messages. context: the folder that is built from. arguments: ARGs
    that are given. Raises LaunchError if the file has no such stage, or can't be followed.
    """
    stages: dict[str, Image] = {}
    image, stage, given = Image(), "", dict(arguments)
    for one in _instructions(text, name):
        if one.name == "FROM":
            base, stage = _from(one, given, len(stages))
            image = replace(stages[base], copied=stages[base].copied) if base in stages else Image()
        elif one.name == "ARG":
            given = {**dict(_pairs(one, given, image)), **given}
        elif stage:
            image = _after(image, one, f"{name}:{one.line}", context, stages, given)
        if stage:
            stages[stage] = image
    if not stages:
        raise LaunchError(f"{name}: has no FROM, so that it builds no image")
    if target is not None and target not in stages:
        known = ", ".join(stages)
        raise LaunchError(f"{name}: has no stage {target}, which `target` names; it has {known}")
    return stages[target] if target is not None else image


def _instructions(text: str, name: str) -> Iterator[Instruction]:
    parser = _parser(text, name)
    end_of_document: str | None = None
    for one in parser.structure:
        if end_of_document is not None:  # of a here-document, whose lines are none of Docker's
            if one["content"].strip() == end_of_document:
                end_of_document = None
            continue
        begins = re.search(r"<<-?\s*(['\"]?)(\w+)\1", one["value"])
        if begins and one["instruction"] in ("RUN", "COPY", "ADD"):
            end_of_document = begins[2]
        if one["instruction"] != "COMMENT":
            yield Instruction(one["instruction"], one["value"], one["startline"] + 1)


def _parser(text: str, name: str) -> Any:
    try:
        from dockerfile_parse import DockerfileParser
    except ImportError:
        raise LaunchError(
            f"{name}: reading it needs dockerfile-parse: install flask-debuglaunch[containers]"
        ) from None
    return DockerfileParser(fileobj=BytesIO(text.encode()))


def _from(one: Instruction, given: Mapping[str, str], number: int) -> tuple[str, str]:
    """The base, and the stage's own name (its number where it has none)."""
    words = [word for word in _words(one.value, given, {}) if not word.startswith("--")]
    has_name = len(words) == 3 and words[1].upper() == "AS"
    return words[0], words[2] if has_name else str(number)


def _after(
    image: Image,
    one: Instruction,
    where: str,
    context: Path,
    stages: Mapping[str, Image],
    given: Mapping[str, str],
) -> Image:
    """The image when the instruction has been carried out."""
    variables = {**given, **image.environment}
    match one.name:
        case "WORKDIR":
            folder = " ".join(_words(one.value, given, image.environment))
            return replace(image, workdir=posixpath.normpath(posixpath.join(image.workdir, folder)))
        case "ENV":
            new = dict(_pairs(one, given, image))
            return replace(image, environment={**image.environment, **new})
        case "EXPOSE":
            found = (word.partition("/")[0] for word in _words(one.value, given, image.environment))
            return replace(image, ports=(*image.ports, *(int(w) for w in found if w.isdigit())))
        case "CMD":
            return replace(image, command=_command(one.value, where))
        case "ENTRYPOINT":  # takes the base's CMD away
            return replace(image, entrypoint=_command(one.value, where), command=())
        case "HEALTHCHECK":
            return replace(image, has_healthcheck=one.value.strip().upper() != "NONE")
        case "COPY" | "ADD":
            copy = _copy(one, where, image, stages, variables)
            return replace(
                image,
                copied=(*image.copied, *_copied(copy, context)),
                environments=(*image.environments, *_copied_environments(copy)),
            )
        case "RUN":
            made = (
                posixpath.normpath(posixpath.join(image.workdir, path))
                for path in _made_environments(one.value, variables)
            )
            return replace(image, environments=(*image.environments, *made))
    return image


MAKES_ENVIRONMENT = re.compile(
    r"(?:(?P<uv>uv venv)|-m (?:venv|virtualenv)|(?:^|[;&|]\s*)virtualenv)\b"
    r"(?:\s+(?:(?:-p|--python|--prompt)\s+\S+|-\S+))*(?:\s+(?P<path>[^\s;&|-][^\s;&|]*))?"
)
IN_PROJECT = {"poetry": "POETRY_VIRTUALENVS_IN_PROJECT", "pipenv": "PIPENV_VENV_IN_PROJECT"}


def _made_environments(line: str, variables: Mapping[str, str]) -> Iterator[str]:
    """By name, or in the project's folder by the tools that keep one there."""
    for found in MAKES_ENVIRONMENT.finditer(line):
        path = found["path"] or (".venv" if found["uv"] else "")
        yield from _words(path, variables, {})
    if re.search(r"\b(?:uv sync|pdm (?:install|sync))\b", line):
        yield variables.get("UV_PROJECT_ENVIRONMENT") or ".venv"
    if re.search(r"\bvirtualenvs\.in-project true\b", line):
        yield ".venv"
    for tool, variable in IN_PROJECT.items():
        is_wanted = variables.get(variable, "").lower() in ("1", "true", "yes")
        if is_wanted and re.search(rf"\b{tool} (?:install|sync)\b", line):
            yield ".venv"


@dataclass(frozen=True)
class Copy:
    """An instruction that copies. target: as it is written; folder: where that is. stage: what is
    copied from, None for the build context; an image that is built elsewhere has nothing of it."""

    sources: tuple[str, ...]
    target: str
    folder: str
    stage: Image | None


def _copy(
    one: Instruction,
    where: str,
    image: Image,
    stages: Mapping[str, Image],
    variables: Mapping[str, str],
) -> Copy:
    if one.value.lstrip().startswith("["):
        words = list(_command(one.value, where))
    else:
        words = _words(one.value, variables, {})
    flags = dict(word.partition("=")[::2] for word in words if word.startswith("--"))
    *sources, target = [word for word in words if not word.startswith("--")]
    stage = stages.get(flags["--from"], Image()) if "--from" in flags else None
    return Copy(tuple(sources), target, posixpath.join(image.workdir, target), stage)


def _copied(copy: Copy, context: Path) -> Iterator[Copied]:
    into = len(copy.sources) > 1 or copy.target.endswith("/") or copy.target in (".", "..")
    for source in copy.sources:
        if copy.stage is not None:
            yield from _copied_from(copy.stage, source, copy.folder)
        else:
            yield from _copied_here(source, copy.folder, context, into=into)


def _copied_environments(copy: Copy) -> Iterator[str]:
    made = copy.stage.environments if copy.stage else ()
    for source in (posixpath.normpath(posixpath.join("/", one)) for one in copy.sources):
        for path in made:
            if is_below(path, source):
                below = posixpath.relpath(path, source)
                yield posixpath.normpath(posixpath.join(copy.folder, below))


def _copied_here(source: str, folder: str, context: Path, *, into: bool) -> Iterator[Copied]:
    """A folder's content lands in the target; files beneath it, or as it."""
    if "://" in source or "<<" in source:
        return
    pattern = posixpath.normpath(source.lstrip("/") or ".")
    found = sorted(context.glob(pattern)) if re.search(r"[*?\[]", pattern) else [context / pattern]
    for path in found:
        relative = path.relative_to(context).as_posix()
        if path.is_dir():
            yield Copied(relative, posixpath.normpath(folder))
        elif path.is_file():
            target = posixpath.join(folder, path.name) if into or len(found) > 1 else folder
            yield Copied(relative, posixpath.normpath(target))


def _copied_from(built: Image, source: str, folder: str) -> Iterator[Copied]:
    """What another stage has there of the build context."""
    source = posixpath.normpath(posixpath.join("/", source))
    for one in built.copied:
        if is_below(one.target, source):
            below = posixpath.relpath(one.target, source)
            yield Copied(one.source, posixpath.normpath(posixpath.join(folder, below)))
        elif is_below(source, one.target):
            below = posixpath.relpath(source, one.target)
            yield Copied(posixpath.normpath(posixpath.join(one.source, below)), folder)


def _command(value: str, where: str) -> tuple[str, ...]:
    """A list in JSON, or a line for the shell."""
    text = value.strip()
    if not text.startswith("["):
        return (*SHELL, text)
    try:
        words = json.loads(text)
    except ValueError:
        return (*SHELL, text)  # as Docker takes it
    if not all(isinstance(word, str) for word in words):
        raise LaunchError(f"{where}: expected a list of words, found {text}")
    return tuple(words)


def _words(text: str, arguments: Mapping[str, str], environment: Mapping[str, str]) -> list[str]:
    from dockerfile_parse.util import WordSplitter

    return list(WordSplitter(text, args=dict(arguments), envs=dict(environment)).split())


def _pairs(one: Instruction, given: Mapping[str, str], image: Image) -> Iterator[tuple[str, str]]:
    from dockerfile_parse.util import extract_key_values

    if one.name == "ARG" and "=" not in one.value:
        return
    yield from extract_key_values(True, dict(given), dict(image.environment), one.value)
