"""What a systemd service says of the app: as whom, where, and with which environment it runs.

Read from its unit files, as systemd reads them: systemd.unit(5) on the load path and on specifiers,
systemd.syntax(7), systemd.exec(5) on Environment= and EnvironmentFile=; and systemd's
parse_env_file (src/basic/env-file.c) for the quoting of the latter.
"""

from __future__ import annotations

import glob
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from flask_debuglaunch.configuration.value_origins import Origin, Value
from flask_debuglaunch.deployment.deployed_app import DEFAULT_UMASK, NOT_GIVEN, DeployedApp
from flask_debuglaunch.errors import LaunchError, did_you_mean
from flask_debuglaunch.regular_file import read_regular_file
from flask_debuglaunch.wsgi_server_commands import ServerCommand, read_command

SYSTEMD_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Of services (systemd.exec(5), $PATH)."""
IGNORED_UNIT_KEYS = (
    "RootDirectory", "RootImage", "LoadCredential", "SetCredential", "PassEnvironment",
    "BindPaths", "StateDirectory", "RuntimeDirectory", "LogsDirectory", "CacheDirectory",
    "ExecStartPre",
)  # fmt: skip
"""What the app may need, and does not get here."""


@dataclass(frozen=True)
class _ServiceLine:
    """An assignment of [Service], its specifiers expanded."""

    key: str
    value: str
    origin: Origin


@dataclass
class _ServiceSection:
    """The lines that count, by their keys: an empty one takes back those before it."""

    lines_by_key: dict[str, list[_ServiceLine]] = field(default_factory=dict)

    def add_line(self, line: _ServiceLine) -> None:
        if line.value:
            self.lines_by_key.setdefault(line.key, []).append(line)
        else:
            self.lines_by_key.pop(line.key, None)

    def lines_of(self, key: str) -> Sequence[_ServiceLine]:
        return self.lines_by_key.get(key, ())

    def last_line(self, key: str) -> _ServiceLine | None:
        return next(reversed(self.lines_of(key)), None)

    def value(self, key: str) -> Value[str | None]:
        line = self.last_line(key)
        return Value(line.value, line.origin) if line else NOT_GIVEN


def read_service(as_service: Value[str]) -> DeployedApp:
    """The service of this name, or of the unit file at this path. Raises LaunchError."""
    path = Path(as_service.value).absolute() if "/" in as_service.value else None
    unit = unit_name(path.name if path else as_service.value)
    if unit.instance == "":
        raise LaunchError(
            f"{as_service.origin}: {unit.full} is a template: name an instance, {unit.prefix}@NAME"
        )
    files = unit_files_at_path(path) if path else unit_files(unit, as_service.origin)
    section = _ServiceSection()
    for file in files:
        for assignment in unit_file_assignments(read_unit_file(file, as_service.origin)):
            if assignment.section == "Service":
                section.add_line(_expand_assignment(assignment, file, unit))
    return _app_of_service(section, unit)


def _expand_assignment(
    assignment: UnitFileAssignment, unit_file: Path, unit: UnitName
) -> _ServiceLine:
    origin = Origin(f"{unit_file}:{assignment.line}")
    try:
        return _ServiceLine(
            assignment.key, expand_specifiers(assignment.value, specifier_values(unit)), origin
        )
    except KeyError as error:
        if assignment.key not in _UNIT_KEYS_READ:
            return _ServiceLine(assignment.key, assignment.value, origin)
        raise LaunchError(
            f"{origin}: the specifier %{error.args[0]} of {assignment.key}= is not known here"
        ) from None


_UNIT_KEYS_READ = {
    "User", "Group", "SupplementaryGroups", "UMask", "WorkingDirectory", "Environment",
    "EnvironmentFile", "UnsetEnvironment", "ExecStart",
}  # fmt: skip


def _app_of_service(section: _ServiceSection, unit: UnitName) -> DeployedApp:
    dynamic_user = section.last_line("DynamicUser")
    if dynamic_user and dynamic_user.value.lower() in ("1", "yes", "true", "on"):
        raise LaunchError(
            f"{dynamic_user.origin}: DynamicUser= makes an account for the service alone, which is"
            " not there outside of it. Name one that can read the app with --user"
        )
    environment = dict(_environment_of_service(section))
    variables = {variable: value.value for variable, value in environment.items()}
    exec_start = section.last_line("ExecStart")
    exec_start_app = _exec_start_app(exec_start, variables)
    app = exec_start_app.app if exec_start_app else None
    return DeployedApp(
        service=unit.full,
        user=section.value("User"),
        group=section.value("Group"),
        supplementary_groups=tuple(_supplementary_groups(section)),
        umask=_umask_of_service(section),
        working_directory=_working_directory_of_service(section, exec_start_app, exec_start),
        app=Value(app, exec_start.origin) if app and exec_start else NOT_GIVEN,
        environment=environment,
        notes=tuple(_notes_on_service(section, unit, exec_start_app)),
    )


def _supplementary_groups(section: _ServiceSection) -> Iterator[Value[str]]:
    for line in section.lines_of("SupplementaryGroups"):
        yield from (Value(group, line.origin) for group in line.value.split())


def _umask_of_service(section: _ServiceSection) -> Value[int]:
    umask_line = section.last_line("UMask")
    if umask_line is None:
        return DEFAULT_UMASK
    try:
        return Value(int(umask_line.value, 8), umask_line.origin)
    except ValueError:
        raise LaunchError(
            f"{umask_line.origin}: UMask= {umask_line.value} is no octal number"
        ) from None


def _working_directory_of_service(
    section: _ServiceSection, exec_start_app: ServerCommand | None, exec_start: _ServiceLine | None
) -> Value[Path | None]:
    """/ where nothing is said; and where the server itself goes to (gunicorn --chdir)."""
    directory_line = section.last_line("WorkingDirectory")
    folder, origin = Path("/"), Origin("systemd's default")
    if directory_line is not None:
        origin = directory_line.origin
        directory = directory_line.value.removeprefix("-")
        folder = (
            _home_of_service_user(section, directory_line) if directory == "~" else Path(directory)
        )
        if directory_line.value.startswith("-") and not folder.is_dir():
            folder = Path("/")
    if exec_start_app is not None and exec_start_app.folder and exec_start is not None:
        folder, origin = folder / exec_start_app.folder, exec_start.origin
    return Value(folder, origin)


def _home_of_service_user(section: _ServiceSection, directory_line: _ServiceLine) -> Path:
    from flask_debuglaunch.deployment.unix_accounts import find_account

    user_line = section.last_line("User")
    return find_account(Value(user_line.value if user_line else "root", directory_line.origin)).home


def _environment_of_service(section: _ServiceSection) -> Iterator[tuple[str, Value[str]]]:
    """The files count more than Environment=, and of one name the last."""
    variables: dict[str, Value[str]] = {"PATH": Value(SYSTEMD_PATH, Origin("systemd's default"))}
    for line in section.lines_of("Environment"):
        for assignment in systemd_words(line.value):
            name, equals, value = assignment.partition("=")
            if equals:
                variables[name] = Value(value, line.origin)
    for line in section.lines_of("EnvironmentFile"):
        for file in _environment_files(line):
            for name, value, line_number in _read_environment_file(file, line):
                variables[name] = Value(value, Origin(f"{file}:{line_number}"))
    for line in section.lines_of("UnsetEnvironment"):
        for assignment in systemd_words(line.value):
            name, equals, value = assignment.partition("=")
            if name in variables and (not equals or variables[name].value == value):
                del variables[name]
    yield from variables.items()


def _environment_files(assignment: _ServiceLine) -> Iterator[Path]:
    pattern = assignment.value.removeprefix("-")
    files = sorted(glob.glob(pattern)) if glob.has_magic(pattern) else [pattern]
    yield from map(Path, files)


def _read_environment_file(
    environment_file: Path, assignment: _ServiceLine
) -> list[tuple[str, str, int]]:
    if assignment.value.startswith("-") and not environment_file.exists():
        return []
    try:
        environment_text = environment_file.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise LaunchError(
            f"{assignment.origin}: EnvironmentFile= {environment_file}: {error.strerror}."
            " Without it the service would not start either; as another user than root it may be"
            " out of reach: use sudo"
        ) from None
    return list(systemd_environment_file(environment_text))


def _exec_start_app(
    exec_start: _ServiceLine | None, variables: Mapping[str, str]
) -> ServerCommand | None:
    """What ExecStart= serves, if that is a server which is known."""
    if exec_start is None:
        return None
    return read_command(systemd_words(exec_start.value.lstrip("@-:+!|")), variables)


def _notes_on_service(
    section: _ServiceSection, unit: UnitName, exec_start_app: ServerCommand | None
) -> Iterator[str]:
    for key in IGNORED_UNIT_KEYS:
        ignored_line = section.last_line(key)
        if ignored_line is not None:
            yield f"{ignored_line.origin}: {key}= of {unit.full} is not followed here"
    if section.last_line("User") is None:
        yield f"{unit.full} names no User: it runs as root, and so does this"
    python = Path(exec_start_app.python) if exec_start_app else None
    is_another_python = (
        python and python.is_absolute() and python.parent != Path(sys.executable).parent
    )
    if python and is_another_python and python.exists():  # of /usr/bin/gunicorn it may be python3
        yield (
            f"{unit.full} runs {python}, and this is {sys.executable}: other packages may be"
            f" installed there. Start it with: {shlex.join([str(python), *sys.orig_argv[1:]])}"
        )


# Unit files
#
# Itself and its drop-ins, in the order in which systemd reads them. Where a systemd answers it is
# asked (`systemctl show`); else they are looked for as it does ("Unit File Load Path"). It is the
# values in the files that count, each with its line.

UNIT_LOAD_PATH = tuple(
    map(
        Path,
        (
            "/etc/systemd/system.control", "/run/systemd/system.control", "/run/systemd/transient",
            "/run/systemd/generator.early", "/etc/systemd/system", "/etc/systemd/system.attached",
            "/run/systemd/system", "/run/systemd/system.attached", "/run/systemd/generator",
            "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
            "/run/systemd/generator.late",
        ),
    )
)  # fmt: skip
"""The strongest first."""
SYSTEMCTL_SECONDS = 5.0


@dataclass(frozen=True)
class UnitName:
    """`shop@blue.service`: prefix shop, instance blue; None where it is no instance."""

    full: str
    prefix: str
    instance: str | None

    @property
    def file_names(self) -> tuple[str, ...]:
        """The unit's own, then that of its template."""
        template = f"{self.prefix}@.service"
        return (self.full, template) if self.instance is not None else (self.full,)

    @property
    def drop_in_folders(self) -> tuple[str, ...]:
        """The strongest first: an instance's, its template's, shop-web- and shop- for
        shop-web-1.service, and those of all services."""
        prefix_words = self.prefix.split("-")
        dash_folders = [
            f"{'-'.join(prefix_words[:n])}-.service" for n in range(len(prefix_words) - 1, 0, -1)
        ]
        return tuple(f"{name}.d" for name in (*self.file_names, *dash_folders, "service"))


def unit_name(service_name: str) -> UnitName:
    full = service_name if service_name.endswith(".service") else f"{service_name}.service"
    prefix, at, instance = full.removesuffix(".service").partition("@")
    return UnitName(full, prefix, instance if at else None)


def unit_files(unit: UnitName, asked_by: Origin) -> tuple[Path, ...]:
    """The unit's file and then its drop-ins, as they are read. Raises LaunchError."""
    files = _unit_files_of_systemctl(unit) or tuple(_unit_files_on_load_path(unit))
    if not files:
        hint = did_you_mean(
            unit.full, _installed_units(), ". `systemctl list-unit-files` lists them"
        )
        raise LaunchError(f"{asked_by}: there is no unit {unit.full}{hint}")
    if files[0].resolve() == Path("/dev/null"):
        raise LaunchError(f"{asked_by}: {unit.full} is masked ({files[0]})")
    return files


def read_unit_file(unit_file: Path, asked_by: Origin) -> str:
    """Raises LaunchError where it can't be read."""
    try:
        return read_regular_file(unit_file).decode(errors="replace")
    except OSError as error:
        raise LaunchError(f"{asked_by}: {unit_file} can't be read: {error.strerror}") from None


def unit_files_at_path(unit_file: Path) -> tuple[Path, ...]:
    """A unit that is named by its path, and the drop-ins beside it."""
    unit = unit_name(unit_file.name)
    return (unit_file, *_drop_ins(unit, (unit_file.parent,)))


def _unit_files_of_systemctl(unit: UnitName) -> tuple[Path, ...] | None:
    """None where there is no systemd that answers, or it knows no such unit."""
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        return None
    command = [systemctl, "show", "--property=FragmentPath,DropInPaths", "--", unit.full]
    try:
        systemctl_show = subprocess.run(
            command, capture_output=True, text=True, timeout=SYSTEMCTL_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    unit_properties = dict(line.partition("=")[::2] for line in systemctl_show.stdout.splitlines())
    if systemctl_show.returncode or not unit_properties.get("FragmentPath"):
        return None
    return (
        Path(unit_properties["FragmentPath"]),
        *map(Path, unit_properties.get("DropInPaths", "").split()),
    )


def _unit_files_on_load_path(unit: UnitName) -> Iterator[Path]:
    candidates = (folder / name for name in unit.file_names for folder in UNIT_LOAD_PATH)
    unit_file = next(filter(Path.exists, candidates), None)
    if unit_file is not None:
        yield unit_file
        yield from _drop_ins(unit, UNIT_LOAD_PATH)


def _drop_ins(unit: UnitName, load_path: tuple[Path, ...]) -> Iterator[Path]:
    """In the order of their file names; of two with one name the stronger folder's counts, and a
    link to /dev/null there takes both away."""
    drop_ins_by_name: dict[str, Path] = {}
    for drop_in_folder in unit.drop_in_folders:
        for folder in load_path:
            for file in sorted((folder / drop_in_folder).glob("*.conf")):
                drop_ins_by_name.setdefault(file.name, file)
    for _, file in sorted(drop_ins_by_name.items()):
        if file.resolve() != Path("/dev/null"):
            yield file


def _installed_units() -> list[str]:
    return sorted(
        {unit_file.name for folder in UNIT_LOAD_PATH for unit_file in folder.glob("*.service")}
    )


# Assignments


@dataclass(frozen=True)
class UnitFileAssignment:
    """A line `KEY=VALUE` of a section; line: its number in the file, counted from 1."""

    section: str
    key: str
    value: str
    line: int


def unit_file_assignments(unit_file_text: str) -> Iterator[UnitFileAssignment]:
    """Of a unit file, in their order. A backslash at the end continues a line; comments in between
    are left out."""
    section = ""
    for number, line in _continued_lines(unit_file_text):
        if section_header := re.fullmatch(r"\[(.+)\]", line):
            section = section_header[1]
            continue
        key, equals, value = line.partition("=")
        if equals:
            yield UnitFileAssignment(section, key.strip(), value.strip(), number)


def _continued_lines(unit_file_text: str) -> Iterator[tuple[int, str]]:
    first_number, continued_parts = 0, list[str]()
    for number, physical_line in enumerate(unit_file_text.splitlines(), 1):
        line = physical_line.strip()
        if line.startswith(("#", ";")) or (not line and not continued_parts):
            continue
        first_number = first_number if continued_parts else number
        if line.endswith("\\"):
            continued_parts.append(line[:-1])
            continue
        yield first_number, " ".join([*continued_parts, line]).strip()
        continued_parts = []
    if continued_parts:
        yield first_number, " ".join(continued_parts).strip()


# Words

_ESCAPED_CHARACTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v",
            "\\": "\\", '"': '"', "'": "'", "s": " "}  # fmt: skip
_ESCAPE_SEQUENCE = re.compile(
    r"\\(?:x([0-9a-fA-F]{2})|([0-7]{3})|u([0-9a-fA-F]{4})|(.))", re.DOTALL
)


def systemd_words(unit_value: str) -> list[str]:
    """The words of Environment=, ExecStart= and the like: parted by white space, quoted by either
    quote, with the escapes of C."""
    words, word, quote, position = list[str](), "", "", 0
    is_word = False
    while position < len(unit_value):
        character = unit_value[position]
        if character == "\\" and (escape := _ESCAPE_SEQUENCE.match(unit_value, position)):
            word, is_word, position = word + _unescaped_character(escape), True, escape.end()
            continue
        position += 1
        if character == quote:
            quote = ""
        elif quote or (character not in "\"'" and not character.isspace()):
            word, is_word = word + character, True
        elif character in "\"'":
            quote, is_word = character, True
        elif is_word:
            words.append(word)
            word, is_word = "", False
    return [*words, word] if is_word else words


def _unescaped_character(escape: re.Match[str]) -> str:
    hexadecimal, octal, unicode, letter = escape.groups()
    if hexadecimal or unicode:
        return chr(int(hexadecimal or unicode, 16))
    return chr(int(octal, 8)) if octal else _ESCAPED_CHARACTERS.get(letter, escape[0])


# Specifiers, %n and the like


def expand_specifiers(unit_value: str, specifiers: Mapping[str, str]) -> str:
    """%n and the like by their letters. Raises KeyError, with the letter, for one that is not
    known."""
    specifiers_with_percent = {"%": "%", **specifiers}
    return re.sub(r"%(.)", lambda specifier: specifiers_with_percent[specifier[1]], unit_value)


def specifier_values(unit: UnitName) -> Mapping[str, str]:
    """Those of the system's manager, whose user is root, whatever the service's is."""
    instance = unit.instance or ""
    unescaped = _unescape_instance(instance)
    return {
        "n": unit.full, "N": unit.full.removesuffix(".service"), "p": unit.prefix,
        "P": _unescape_instance(unit.prefix), "i": instance, "I": unescaped,
        "f": f"/{unescaped or _unescape_instance(unit.prefix)}",
        "j": unit.prefix.rpartition("-")[2], "u": "root", "U": "0", "g": "root", "G": "0",
        "h": "/root", "s": "/bin/sh",
        "t": "/run", "S": "/var/lib", "C": "/var/cache", "L": "/var/log", "E": "/etc",
        "T": "/tmp", "V": "/var/tmp", "H": os.uname().nodename, "v": os.uname().release,
        "l": os.uname().nodename.partition(".")[0],
    }  # fmt: skip


def _unescape_instance(escaped_instance: str) -> str:
    """As systemd-escape --unescape: - is /, \\x2d a character."""
    return systemd_words(escaped_instance.replace("-", "/"))[0] if escaped_instance else ""


# Environment files


def systemd_environment_file(environment_text: str) -> Iterator[tuple[str, str, int]]:
    """NAME, value and line of each assignment.

    Other than in a shell a value may have spaces without quotes, and what stands behind it is no
    comment. Lines that are no assignment are passed over, as systemd does it.
    """
    reader = _EnvironmentFileReader(environment_text)
    while (line := reader.next_line()) is not None:
        name, value, number = line
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name):
            yield name, value, number


class _EnvironmentFileReader:
    """One pass over the text; quotes may reach over several lines."""

    def __init__(self, environment_text: str) -> None:
        self._environment_text = environment_text
        self._position = 0
        self._line_number = 1

    def next_line(self) -> tuple[str, str, int] | None:
        while self._position < len(self._environment_text):
            first_line = self._line_number
            remaining_text = self._environment_text[self._position :]
            assignment_start = re.match(r"[^\S\n]*(?:([#;])|([^=\n]*)=)?", remaining_text)
            assert assignment_start is not None
            if assignment_start[1] or assignment_start[2] is None:
                self._skip_line(is_comment=bool(assignment_start[1]))
                continue
            self._position += assignment_start.end()
            return assignment_start[2].strip(), self._read_value(), first_line
        return None

    def _skip_line(self, *, is_comment: bool) -> None:
        """A comment is continued by a backslash, too."""
        while (character := self._next_character()) not in ("", "\n"):
            if is_comment and character == "\\":
                self._next_character()

    def _read_value(self) -> str:
        """Quoted parts, and then what is not quoted, in which a quote is a character as others."""
        value = ""
        while (character := self._next_character()) not in ("", "\n"):
            if character == "'":
                value += self._read_single_quoted()
            elif character == '"':
                value += self._read_double_quoted()
            elif not character.isspace():
                return value + self._read_unquoted(character)
        return value

    def _read_single_quoted(self) -> str:
        quoted_text = ""
        while (character := self._next_character()) not in ("", "'"):
            quoted_text += character
        return quoted_text

    def _read_double_quoted(self) -> str:
        quoted_text = ""
        while (character := self._next_character()) not in ("", '"'):
            if character == "\\":
                escaped = self._next_character()
                character = escaped if escaped in '"\\`$' else f"\\{escaped}"
                character = "" if escaped == "\n" else character
            quoted_text += character
        return quoted_text

    def _read_unquoted(self, character: str) -> str:
        """To the end of the line, without the white space there that is not escaped."""
        unquoted_text, kept_length = "", 0
        while character not in ("", "\n"):
            is_escape = character == "\\"
            unquoted_text += self._next_character().strip("\n") if is_escape else character
            kept_length = (
                len(unquoted_text) if is_escape or not character.isspace() else kept_length
            )
            character = self._next_character()
        return unquoted_text[:kept_length]

    def _next_character(self) -> str:
        character = self._environment_text[self._position : self._position + 1]
        self._position += 1
        self._line_number += character == "\n"
        return character
