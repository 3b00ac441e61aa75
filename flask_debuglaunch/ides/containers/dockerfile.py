"""What an image has of the project, by its Dockerfile: where the source is, and what starts it.

Read by dockerfile-parse, stage by stage as `docker build` has them:
https://docs.docker.com/reference/dockerfile/
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterator, Mapping
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
    has_uv_environment: bool = False
    """Has `uv sync` made a .venv in the project's folder?"""


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
            copied = tuple(_copied(one, where, image, context, stages, variables))
            return replace(image, copied=(*image.copied, *copied))
        case "RUN" if "uv sync" in one.value:
            return replace(image, has_uv_environment=True)
    return image


def _copied(
    one: Instruction,
    where: str,
    image: Image,
    context: Path,
    stages: Mapping[str, Image],
    variables: Mapping[str, str],
) -> Iterator[Copied]:
    if one.value.lstrip().startswith("["):
        words = list(_command(one.value, where))
    else:
        words = _words(one.value, variables, {})
    flags = dict(word.partition("=")[::2] for word in words if word.startswith("--"))
    *sources, target = [word for word in words if not word.startswith("--")]
    folder = posixpath.join(image.workdir, target)
    for source in sources:
        if "--from" in flags:
            built = stages.get(flags["--from"])
            yield from _copied_from(built, source, folder) if built else ()
        else:
            several = len(sources) > 1 or target.endswith("/") or target in (".", "..")
            yield from _copied_here(source, folder, context, into=several)


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
        if one.target == source or one.target.startswith(source.rstrip("/") + "/"):
            below = posixpath.relpath(one.target, source)
            yield Copied(one.source, posixpath.normpath(posixpath.join(folder, below)))
        elif source.startswith(one.target.rstrip("/") + "/"):
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
