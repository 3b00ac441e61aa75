"""Files and folders that a project's configuration names: databases, logs, uploads, sockets."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from flask_debuglaunch.doctor.evidence import Evidence
from flask_debuglaunch.regular_file import read_regular_file


@dataclass(frozen=True)
class NamedPath:
    """kind: `SQLite file`, `log`, `upload folder`, `socket`. name: of the setting."""

    kind: str
    name: str
    path: Path


def named_paths(evidence: Evidence) -> Iterator[NamedPath]:
    """From the app's block of the YAML, the env files, the environment, and what the code assigns
    to names in capitals: UPLOAD_FOLDER = "...", app.config["LOG_FILE"] = "..."."""
    seen: set[tuple[str, str]] = set()
    for name, text in _settings(evidence):
        if (name, text) not in seen:
            seen.add((name, text))
            yield from _paths(name, text, evidence.app_folder)


def _settings(evidence: Evidence) -> Iterator[tuple[str, str]]:
    yield from _of_yaml(evidence)
    yield from {**evidence.settings.variables, **evidence.environ}.items()
    for source in evidence.sources:
        if source.tree is not None and re.search(rb"DATABASE|SQL|LOG|UPLOAD|SOCK", source.content):
            yield from _of_code(source.tree)


def _of_yaml(evidence: Evidence) -> Iterator[tuple[str, str]]:
    file = evidence.settings.config_file
    if file is None:
        return
    import yaml

    try:
        content = yaml.safe_load(read_regular_file(file))
    except (OSError, ValueError, yaml.YAMLError):  # of tags that the app's own loader knows
        return
    block = content.get(evidence.settings.block.value) if isinstance(content, Mapping) else None
    for name, value in block.items() if isinstance(block, Mapping) else ():
        if isinstance(value, str):
            yield str(name), value


def _of_code(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            name, value = _name_of(node.targets[0]), node.value
        elif isinstance(node, ast.keyword) and node.arg:  # from_mapping(UPLOAD_FOLDER=...)
            name, value = node.arg, node.value
        else:
            continue
        text = value.value if isinstance(value, ast.Constant) else None
        if name and name.isupper() and isinstance(text, str):
            yield name, text


def _name_of(target: ast.expr) -> str | None:
    if isinstance(target, ast.Name):
        return target.id
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        return str(target.slice.value)
    return None


def _paths(name: str, text: str, folder: Path) -> Iterator[NamedPath]:
    words = set(re.split(r"[^A-Z]+", name.upper()))
    if found := re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]+).*", text):
        # A relative one is below the instance folder (Flask-SQLAlchemy), or below the app's.
        instance = folder / "instance"
        base = folder if (folder / found[1]).exists() or not instance.is_dir() else instance
        yield NamedPath("SQLite file", name, base / found[1])
    elif text.startswith(("unix:/", "unix:///")):
        yield NamedPath("socket", name, Path("/" + text.removeprefix("unix:").lstrip("/")))
    elif "://" in text or not re.search(r"[/.]|^[\w-]+$", text) or "\n" in text:
        return
    elif words & {"UPLOAD", "UPLOADS"} and words & {"FOLDER", "DIR", "PATH", "DEST", "DIRECTORY"}:
        yield NamedPath("upload folder", name, folder / text)
    elif words & {"LOG", "LOGS", "LOGGING"} and words & {"FILE", "FOLDER", "DIR", "PATH"}:
        yield NamedPath("log", name, folder / text)
    elif text.endswith((".db", ".sqlite", ".sqlite3")):
        yield NamedPath("SQLite file", name, folder / text)
    elif text.endswith(".sock"):
        yield NamedPath("socket", name, folder / text)
