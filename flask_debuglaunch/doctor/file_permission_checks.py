"""Can this user read the project, and can the account that the app is deployed as (`--user`,
`--as-service`) read and write what it needs?"""

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
from flask_debuglaunch.doctor.source_tree import walk_project_files
from flask_debuglaunch.regular_file import read_regular_file
from flask_debuglaunch.terminal_messages import shown_path

SQLITE_SUFFIXES = (".db", ".sqlite", ".sqlite3")
READ, WRITE = os.R_OK, os.R_OK | os.W_OK
ENTER = os.R_OK | os.X_OK
WORDS_OF_MODE = {
    os.R_OK: "read",
    os.W_OK: "write to",
    os.X_OK: "go through",
    os.R_OK | os.W_OK: "read and write",
    os.R_OK | os.X_OK: "list",
    os.W_OK | os.X_OK: "write in",
    os.R_OK | os.W_OK | os.X_OK: "write in",
}
UPLOAD_PATH_WORDS = {"FOLDER", "DIR", "PATH", "DEST", "DIRECTORY"}
LOG_PATH_WORDS = {"FILE", "FOLDER", "DIR", "PATH"}
MOST_FILES_IN_COMMAND = 5
_CHMOD_LETTERS = ((os.R_OK, "r"), (os.W_OK, "w"), (os.X_OK, "x"))


def _files_unreadable_by_user(evidence: Evidence) -> Iterator[Finding]:
    unreadable_files = [
        source.path for source in evidence.sources if not os.access(source.path, os.R_OK)
    ]
    unreadable_paths = [*evidence.source_tree.unreadable_folders, *unreadable_files]
    if unreadable_paths:
        unreadable_kind = "the file" if unreadable_files == unreadable_paths else "the folder"
        and_more = f" and {len(unreadable_paths) - 1} more" if len(unreadable_paths) > 1 else ""
        yield Finding(
            Level.ERROR,
            f"this user can't read {unreadable_kind}{and_more}",
            shown_path(unreadable_paths[0]),
            f"sudo chown -R $USER {shown_path(evidence.app_folder)}",
        )


def _files_closed_to_account(evidence: Evidence) -> Iterator[Finding]:
    deployed = evidence.plan.deployed if evidence.plan else None
    account = account_for(deployed) if deployed else None
    if account is None:
        return
    access_needs = list(dict.fromkeys(_access_needs(evidence)))
    obstacles = _obstacles_to_needs(account, access_needs)
    if not obstacles:
        no_obstacle_message = (
            f"{account.name} can read and write what the app needs ({len(access_needs)} files)"
        )
        yield Finding(Level.OK, no_obstacle_message, shown_path(evidence.app_folder))
    obstacles_by_command: dict[tuple[Path, int, bool], list[AccessObstacle]] = {}
    for obstacle in obstacles:
        is_folder = obstacle.path.is_dir()
        folder = obstacle.path if is_folder else obstacle.path.parent
        obstacles_by_command.setdefault((folder, obstacle.mode, is_folder), []).append(obstacle)
    for together in obstacles_by_command.values():
        needs = [need for obstacle in together for need in obstacles[obstacle]]
        yield _finding_on_obstacles(account, together, needs)


# What the app needs


@dataclass(frozen=True)
class AccessNeed:
    """What the app does with a file; kind: `code`, `template`, ..."""

    path: Path
    mode: int
    kind: str


def _access_needs(evidence: Evidence) -> Iterator[AccessNeed]:
    folder = evidence.app_folder.absolute()
    yield AccessNeed(folder, ENTER, "the app's folder")
    for path in walk_project_files(folder):
        folder_names = path.relative_to(folder).parts[:-1]
        if path.suffix in SQLITE_SUFFIXES:
            yield from _sqlite_needs(path)
        elif path.is_socket():
            yield AccessNeed(path, os.W_OK, "socket")
        elif path.suffix == ".py":
            yield AccessNeed(path, READ, "code")
            yield AccessNeed(path.parent, ENTER, "folder of code")
        elif "templates" in folder_names or "static" in folder_names:
            kind = "template" if "templates" in folder_names else "static file"
            yield AccessNeed(path, READ, kind)
            yield AccessNeed(path.parent, ENTER, "folder of templates")
        elif path == evidence.settings.config_file or path in evidence.settings.env_files:
            yield AccessNeed(path, READ, "configuration")
    if (folder / "instance").is_dir():
        yield AccessNeed(folder / "instance", ENTER | os.W_OK, "instance folder")
    for named_path in _named_paths(evidence):
        yield from _needs_of_named_path(named_path.kind, named_path.path.absolute())


def _sqlite_needs(path: Path) -> Iterator[AccessNeed]:
    """SQLite writes its journal beside the file."""
    yield AccessNeed(path, WRITE, "SQLite file")
    yield AccessNeed(path.parent, ENTER | os.W_OK, "folder of the SQLite file")


def _needs_of_named_path(kind: str, path: Path) -> Iterator[AccessNeed]:
    """What is not there yet is made in its folder; where that is not there either, nobody knows."""
    if kind == "socket":
        if path.is_socket():
            yield AccessNeed(path, os.W_OK, kind)
    elif path.is_dir():
        yield AccessNeed(path, ENTER | os.W_OK, kind)
    elif kind == "SQLite file" and path.exists():
        yield from _sqlite_needs(path)
    elif path.exists():
        yield AccessNeed(path, os.W_OK, kind)
    elif path.parent.is_dir() and path.parent != Path("/"):
        yield AccessNeed(path.parent, ENTER | os.W_OK, f"folder of the {kind}")


# What its configuration and its code name: databases, logs, uploads, sockets


@dataclass(frozen=True)
class _NamedPath:
    """kind: `SQLite file`, `log`, `upload folder`, `socket`."""

    kind: str
    path: Path


def _named_paths(evidence: Evidence) -> Iterator[_NamedPath]:
    """From the app's block of the YAML, the env files, the environment, and what the code assigns
    to names in capitals: UPLOAD_FOLDER = "...", app.config["LOG_FILE"] = "..."."""
    seen_settings: set[tuple[str, str]] = set()
    for setting_name, setting_value in _setting_values(evidence):
        if (setting_name, setting_value) not in seen_settings:
            seen_settings.add((setting_name, setting_value))
            yield from _paths_in_setting(setting_name, setting_value, evidence.app_folder)


def _setting_values(evidence: Evidence) -> Iterator[tuple[str, str]]:
    """Names of settings, each with its value."""
    yield from _yaml_setting_values(evidence)
    yield from {**evidence.settings.variables, **evidence.environ}.items()
    for source in evidence.sources:
        if source.tree is not None and re.search(rb"DATABASE|SQL|LOG|UPLOAD|SOCK", source.content):
            yield from _code_setting_values(source.tree)


def _yaml_setting_values(evidence: Evidence) -> Iterator[tuple[str, str]]:
    config_file = evidence.settings.config_file
    if config_file is None:
        return
    import yaml

    try:
        yaml_content = yaml.safe_load(read_regular_file(config_file))
    except (OSError, ValueError, yaml.YAMLError):  # of tags that the app's own loader knows
        return
    blocks = yaml_content if isinstance(yaml_content, Mapping) else {}
    block = blocks.get(evidence.settings.block.value)
    for setting_name, setting_value in block.items() if isinstance(block, Mapping) else ():
        if isinstance(setting_value, str):
            yield str(setting_name), setting_value


def _code_setting_values(tree: ast.Module) -> Iterator[tuple[str, str]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            setting_name, value = _assigned_setting_name(node.targets[0]), node.value
        elif isinstance(node, ast.keyword) and node.arg:  # from_mapping(UPLOAD_FOLDER=...)
            setting_name, value = node.arg, node.value
        else:
            continue
        setting_text = value.value if isinstance(value, ast.Constant) else None
        if setting_name and setting_name.isupper() and isinstance(setting_text, str):
            yield setting_name, setting_text


def _assigned_setting_name(target: ast.expr) -> str | None:
    if isinstance(target, ast.Name):
        return target.id
    if isinstance(target, ast.Subscript) and isinstance(target.slice, ast.Constant):
        return str(target.slice.value)
    return None


def _paths_in_setting(setting_name: str, setting_value: str, folder: Path) -> Iterator[_NamedPath]:
    name_words = set(re.split(r"[^A-Z]+", setting_name.upper()))
    if sqlite_url := re.fullmatch(r"sqlite(?:\+\w+)?:///([^?]+).*", setting_value):
        # A relative one is below the instance folder (Flask-SQLAlchemy), or below the app's.
        instance = folder / "instance"
        database = folder / sqlite_url[1]
        is_below_instance = instance.is_dir() and not database.exists()
        yield _NamedPath("SQLite file", instance / sqlite_url[1] if is_below_instance else database)
    elif setting_value.startswith(("unix:/", "unix:///")):
        yield _NamedPath("socket", Path("/" + setting_value.removeprefix("unix:").lstrip("/")))
    elif re.search(r"://|\n", setting_value) or not re.search(r"[/.]|^[\w-]+$", setting_value):
        return
    elif name_words & {"UPLOAD", "UPLOADS"} and name_words & UPLOAD_PATH_WORDS:
        yield _NamedPath("upload folder", folder / setting_value)
    elif name_words & {"LOG", "LOGS", "LOGGING"} and name_words & LOG_PATH_WORDS:
        yield _NamedPath("log", folder / setting_value)
    elif setting_value.endswith(SQLITE_SUFFIXES):
        yield _NamedPath("SQLite file", folder / setting_value)
    elif setting_value.endswith(".sock"):
        yield _NamedPath("socket", folder / setting_value)


# What is in the way


@dataclass(frozen=True)
class AccessObstacle:
    """What is in the way: the file itself, or a folder on the way to it."""

    path: Path
    mode: int


def _obstacles_to_needs(
    account: Account, needs: Sequence[AccessNeed]
) -> dict[AccessObstacle, list[AccessNeed]]:
    """What is in the way, each with what it is in the way of. Below a folder that can't be gone
    through nothing is known; the next visit tells."""
    folders_on_the_way = {folder: os.X_OK for need in needs for folder in need.path.parents}
    questions = [*folders_on_the_way.items(), *((need.path, need.mode) for need in needs)]
    is_granted = dict(zip(questions, file_access_of(account, questions), strict=True))
    needs_by_obstacle: dict[Path, tuple[int, list[AccessNeed]]] = {}
    for need in needs:
        on_the_way = [(folder, os.X_OK) for folder in reversed(need.path.parents)]
        steps = (*on_the_way, (need.path, need.mode))
        refused_step = next((step for step in steps if not is_granted[step]), None)
        if refused_step is not None:
            path, mode = refused_step
            known_mode, other_needs = needs_by_obstacle.get(path, (0, []))
            needs_by_obstacle[path] = (known_mode | mode, [*other_needs, need])
    return {
        AccessObstacle(path, mode): blocked_needs
        for path, (mode, blocked_needs) in needs_by_obstacle.items()
    }


# What is said of it, and what mends it


def _finding_on_obstacles(
    account: Account, obstacles: Sequence[AccessObstacle], needs: Sequence[AccessNeed]
) -> Finding:
    first_obstacle = obstacles[0]
    kinds = ", ".join(dict.fromkeys(need.kind for need in needs))
    denied_access = WORDS_OF_MODE.get(first_obstacle.mode, "use")
    and_more = f" and {len(obstacles) - 1} more" if len(obstacles) > 1 else ""
    return Finding(
        Level.ERROR,
        f"{account.name} can't {denied_access} it{and_more} ({kinds})",
        shown_path(first_obstacle.path),
        _command_that_grants(account, obstacles),
    )


def _command_that_grants(account: Account, obstacles: Sequence[AccessObstacle]) -> str:
    """The command that gives the least: to the account alone, and no more than it needs."""
    mode, is_whole_folder = obstacles[0].mode, len(obstacles) > MOST_FILES_IN_COMMAND
    command_target = shlex.join(str(obstacle.path) for obstacle in obstacles)
    if is_whole_folder:
        command_target = f"-R {shlex.quote(str(obstacles[0].path.parent))}"
    file_statuses = [obstacle.path.stat() for obstacle in obstacles]
    if all(status.st_uid == account.uid for status in file_statuses):
        return f"sudo chmod u+{_chmod_letters(mode, is_whole_folder)} {command_target}"
    if shutil.which("setfacl"):
        # An entry that the account has already is replaced.
        mode_of_entry = mode | _modes_granted_to_all(account, obstacles)
        acl_letters = _chmod_letters(mode_of_entry, is_whole_folder)
        return f"sudo setfacl -m u:{account.name}:{acl_letters} {command_target}"
    chmod = f"sudo chmod g+{_chmod_letters(mode, is_whole_folder)} {command_target}"
    if all(status.st_gid in account.groups for status in file_statuses):
        return chmod
    return f"sudo chown :{account.gid} {command_target} && {chmod}"


def _modes_granted_to_all(account: Account, obstacles: Sequence[AccessObstacle]) -> int:
    """Those that it has of all of them."""
    access_questions = [(obstacle.path, bit) for bit, _ in _CHMOD_LETTERS for obstacle in obstacles]
    answers = zip(access_questions, file_access_of(account, access_questions), strict=True)
    missing_bits = {bit for (_, bit), is_granted in answers if not is_granted}
    return sum(bit for bit, _ in _CHMOD_LETTERS if bit not in missing_bits)


def _chmod_letters(mode: int, is_whole_folder: bool) -> str:
    """As chmod and setfacl take them: X is x for folders alone."""
    letters = "".join(letter for bit, letter in _CHMOD_LETTERS if mode & bit)
    return letters.replace("x", "X") if is_whole_folder else letters


CHECKS = (
    Check(
        "unreadable-files",
        "This user can't read the project's files",
        "`chown`",
        _files_unreadable_by_user,
    ),
    Check(
        "account-access",
        "With `--user` or `--as-service`: that account can't read or write what the app needs"
        " (code, templates, instance folder, SQLite, logs, uploads, sockets)",
        "the `setfacl`, `chmod` or `chown` that is named",
        _files_closed_to_account,
    ),
)
