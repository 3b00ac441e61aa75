"""Can the account that the app is deployed as (`--user`, `--as-service`) read and write what it
needs?"""

from __future__ import annotations

import ast
import os
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from flask_debuglaunch.deployment.run_as_account import account_for
from flask_debuglaunch.deployment.unix_accounts import Account, file_access_of
from flask_debuglaunch.doctor.evidence import Evidence
from flask_debuglaunch.doctor.findings import Check, Finding, Level
from flask_debuglaunch.doctor.source_tree import project_files
from flask_debuglaunch.regular_file import read_regular_file
from flask_debuglaunch.terminal_messages import shown_path

SQLITE = (".db", ".sqlite", ".sqlite3")
READ, WRITE = os.R_OK, os.R_OK | os.W_OK
ENTER = os.R_OK | os.X_OK
WORDS = {
    os.R_OK: "read",
    os.W_OK: "write to",
    os.X_OK: "go through",
    os.R_OK | os.W_OK: "read and write",
    os.R_OK | os.X_OK: "list",
    os.W_OK | os.X_OK: "write in",
    os.R_OK | os.W_OK | os.X_OK: "write in",
}
MOST_NAMED = 5
_LETTERS = ((os.R_OK, "r"), (os.W_OK, "w"), (os.X_OK, "x"))


def _account_access(evidence: Evidence) -> Iterator[Finding]:
    deployed = evidence.plan.deployed if evidence.plan else None
    account = account_for(deployed) if deployed else None
    if account is None:
        return
    needs = list(dict.fromkeys(_needs(evidence)))
    blocked = _blocked(account, needs)
    if not blocked:
        what = f"{account.name} can read and write what the app needs ({len(needs)} files)"
        yield Finding(Level.OK, what, shown_path(evidence.app_folder))
    together: dict[tuple[Path, int, bool], list[tuple[Obstacle, list[Need]]]] = {}
    for obstacle, ones in blocked.items():
        is_folder = obstacle.path.is_dir()
        place = obstacle.path if is_folder else obstacle.path.parent
        together.setdefault((place, obstacle.mode, is_folder), []).append((obstacle, ones))
    for group in together.values():
        yield _finding(account, group)


# What the app needs


@dataclass(frozen=True)
class Need:
    """What the app does with a file; what: `code`, `template`, ..."""

    path: Path
    mode: int
    what: str


def _needs(evidence: Evidence) -> Iterator[Need]:
    folder = evidence.app_folder.absolute()
    yield Need(folder, ENTER, "the app's folder")
    for path in project_files(folder):
        parts = path.relative_to(folder).parts[:-1]
        if path.suffix in SQLITE:
            yield from _needs_of_sqlite(path)
        elif path.is_socket():
            yield Need(path, os.W_OK, "socket")
        elif path.suffix == ".py":
            yield Need(path, READ, "code")
            yield Need(path.parent, ENTER, "folder of code")
        elif "templates" in parts or "static" in parts:
            yield Need(path, READ, "template" if "templates" in parts else "static file")
            yield Need(path.parent, ENTER, "folder of templates")
        elif path == evidence.settings.config_file or path in evidence.settings.env_files:
            yield Need(path, READ, "configuration")
    if (folder / "instance").is_dir():
        yield Need(folder / "instance", ENTER | os.W_OK, "instance folder")
    for one in _named_paths(evidence):
        yield from _needs_of_named(one.kind, one.path.absolute())


def _needs_of_sqlite(path: Path) -> Iterator[Need]:
    """SQLite writes its journal beside the file."""
    yield Need(path, WRITE, "SQLite file")
    yield Need(path.parent, ENTER | os.W_OK, "folder of the SQLite file")


def _needs_of_named(kind: str, path: Path) -> Iterator[Need]:
    """What is not there yet is made in its folder; where that is not there either, nobody knows."""
    if kind == "socket":
        if path.is_socket():
            yield Need(path, os.W_OK, kind)
    elif path.is_dir():
        yield Need(path, ENTER | os.W_OK, kind)
    elif kind == "SQLite file" and path.exists():
        yield from _needs_of_sqlite(path)
    elif path.exists():
        yield Need(path, os.W_OK, kind)
    elif path.parent.is_dir() and path.parent != Path("/"):
        yield Need(path.parent, ENTER | os.W_OK, f"folder of the {kind}")


# What its configuration and its code name: databases, logs, uploads, sockets


@dataclass(frozen=True)
class _NamedPath:
    """kind: `SQLite file`, `log`, `upload folder`, `socket`."""

    kind: str
    path: Path


def _named_paths(evidence: Evidence) -> Iterator[_NamedPath]:
    """From the app's block of the YAML, the env files, the environment, and what the code assigns
    to names in capitals: UPLOAD_FOLDER = "...", app.config["LOG_FILE"] = "..."."""
    seen: set[tuple[str, str]] = set()
    for name, text in _named_values(evidence):
        if (name, text) not in seen:
            seen.add((name, text))
            yield from _paths_in(name, text, evidence.app_folder)


def _named_values(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Names of settings, each with its value."""
    yield from _values_of_yaml(evidence)
    yield from {**evidence.settings.variables, **evidence.environ}.items()
    for source in evidence.sources:
        if source.tree is not None and re.search(rb"DATABASE|SQL|LOG|UPLOAD|SOCK", source.content):
            yield from _values_of_code(source.tree)


def _values_of_yaml(evidence: Evidence) -> Iterator[tuple[str, str]]:
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


def _values_of_code(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            name, value = _assigned_name(node.targets[0]), node.value
        elif isinstance(node, ast.keyword) and node.arg:  # from_mapping(UPLOAD_FOLDER=...)
            name, value = node.arg, node.value
        else:
            continue
        text = value.value if isinstance(value, ast.Constant) else None
        if name and name.isupper() and isinstance(text, str):
            yield name, text


def _assigned_name(target: ast.expr) -> str | None:
    if isinstance(target, ast.Name):
        return target.id
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        return str(target.slice.value)
    return None


def _paths_in(name: str, text: str, folder: Path) -> Iterator[_NamedPath]:
    words = set(re.split(r"[^A-Z]+", name.upper()))
    if found := re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]+).*", text):
        # A relative one is below the instance folder (Flask-SQLAlchemy), or below the app's.
        instance = folder / "instance"
        base = folder if (folder / found[1]).exists() or not instance.is_dir() else instance
        yield _NamedPath("SQLite file", base / found[1])
    elif text.startswith(("unix:/", "unix:///")):
        yield _NamedPath("socket", Path("/" + text.removeprefix("unix:").lstrip("/")))
    elif "://" in text or not re.search(r"[/.]|^[\w-]+$", text) or "\n" in text:
        return
    elif words & {"UPLOAD", "UPLOADS"} and words & {"FOLDER", "DIR", "PATH", "DEST", "DIRECTORY"}:
        yield _NamedPath("upload folder", folder / text)
    elif words & {"LOG", "LOGS", "LOGGING"} and words & {"FILE", "FOLDER", "DIR", "PATH"}:
        yield _NamedPath("log", folder / text)
    elif text.endswith(SQLITE):
        yield _NamedPath("SQLite file", folder / text)
    elif text.endswith(".sock"):
        yield _NamedPath("socket", folder / text)


# What is in the way


@dataclass(frozen=True)
class Obstacle:
    """What is in the way: the file itself, or a folder on the way to it."""

    path: Path
    mode: int


def _blocked(account: Account, needs: Sequence[Need]) -> dict[Obstacle, list[Need]]:
    """What is in the way, each with what it is in the way of. Below a folder that can't be gone
    through nothing is known; the next visit tells."""
    ways = {folder: os.X_OK for need in needs for folder in need.path.parents}
    questions = [*ways.items(), *((need.path, need.mode) for need in needs)]
    may = dict(zip(questions, file_access_of(account, questions), strict=True))
    blocked: dict[Path, tuple[int, list[Need]]] = {}
    for need in needs:
        way = [(folder, os.X_OK) for folder in reversed(need.path.parents)]
        found = next((one for one in (*way, (need.path, need.mode)) if not may[one]), None)
        if found is not None:
            path, mode = found
            known, others = blocked.get(path, (0, []))
            blocked[path] = (known | mode, [*others, need])
    return {Obstacle(path, mode): ones for path, (mode, ones) in blocked.items()}


# What is said of it, and what mends it


def _finding(account: Account, group: Sequence[tuple[Obstacle, list[Need]]]) -> Finding:
    obstacles = [obstacle for obstacle, _ in group]
    needs = [need for _, ones in group for need in ones]
    first = obstacles[0]
    kinds = ", ".join(dict.fromkeys(need.what for need in needs))
    more = f" and {len(obstacles) - 1} more" if len(obstacles) > 1 else ""
    return Finding(
        Level.ERROR,
        f"{account.name} can't {WORDS.get(first.mode, 'use')} it{more} ({kinds})",
        shown_path(first.path),
        _mend(account, obstacles),
    )


def _mend(account: Account, obstacles: Sequence[Obstacle]) -> str:
    """The command that gives the least: to the account alone, and no more than it needs."""
    mode, is_whole_folder = obstacles[0].mode, len(obstacles) > MOST_NAMED
    target = shlex.join(str(one.path) for one in obstacles)
    if is_whole_folder:
        target = f"-R {shlex.quote(str(obstacles[0].path.parent))}"
    statuses = [one.path.stat() for one in obstacles]
    if all(one.st_uid == account.uid for one in statuses):
        return f"sudo chmod u+{_letters(mode, is_whole_folder)} {target}"
    if shutil.which("setfacl"):
        # An entry that the account has already is replaced.
        whole = _letters(mode | _rights_of(account, obstacles), is_whole_folder)
        return f"sudo setfacl -m u:{account.name}:{whole} {target}"
    chmod = f"sudo chmod g+{_letters(mode, is_whole_folder)} {target}"
    if all(one.st_gid in account.groups for one in statuses):
        return chmod
    return f"sudo chown :{account.gid} {target} && {chmod}"


def _rights_of(account: Account, obstacles: Sequence[Obstacle]) -> int:
    """Those that it has of all of them."""
    asked = [(one.path, bit) for bit, _ in _LETTERS for one in obstacles]
    answers = zip(asked, file_access_of(account, asked), strict=True)
    missing = {bit for (_, bit), may in answers if not may}
    return sum(bit for bit, _ in _LETTERS if bit not in missing)


def _letters(mode: int, is_whole_folder: bool) -> str:
    """As chmod and setfacl take them: X is x for folders alone."""
    letters = "".join(letter for bit, letter in _LETTERS if mode & bit)
    return letters.replace("x", "X") if is_whole_folder else letters


CHECKS = (
    Check(
        "account-access",
        "With `--user` or `--as-service`: that account can't read or write what the app needs"
        " (code, templates, instance folder, SQLite, logs, uploads, sockets)",
        "the `setfacl`, `chmod` or `chown` that is named",
        _account_access,
    ),
)
