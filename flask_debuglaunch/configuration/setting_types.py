"""The types of settings: how the values of each are read, written and described.

A type reads YAML values (already typed) and text (environment, command line) alike. Both raise
ValueError where the value does not fit; the source that called knows the origin and says it.

They are plain classes: a dataclass costs half a millisecond at import, and `explain` is quick.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar

from flask_debuglaunch.editor_links import LINKS_OF_EDITORS, is_editor_link_template
from flask_debuglaunch.errors import did_you_mean
from flask_debuglaunch.redaction import redacted_repr

T = TypeVar("T")
JsonSchema = dict[str, object]

TRUE_WORDS = ("1", "true", "yes", "on")
FALSE_WORDS = ("0", "false", "no", "off")


class SettingType(Protocol[T]):
    """How values of one setting are read and written. ``base``: what relative paths relate to."""

    @property
    def expected(self) -> str:
        """What fits, as in "PORT must be {expected}"."""

    def from_yaml(self, yaml_value: object, base: Path) -> T: ...

    def from_text(self, setting_text: str, base: Path) -> T: ...

    def to_text(self, value: T) -> str:
        """The text that ``from_text`` reads as this very value."""

    def schema(self) -> JsonSchema: ...


def not_fitting(setting_type: SettingType[Any], unfit_value: object) -> str:
    """The middle of a message: "must be a port, not 'http'", with the word that is nearly it."""
    hint = ""
    if isinstance(setting_type, Choice) and isinstance(unfit_value, str):
        hint = did_you_mean(unfit_value.strip().lower(), setting_type.words)
    return f"must be {setting_type.expected}, not {redacted_repr(unfit_value)}{hint}"


def word_of_boolean(yaml_value: object) -> object:
    """YAML reads a bare ``off`` as false and ``on`` as true: give the word back."""
    if yaml_value is False:
        return "off"
    return "on" if yaml_value is True else yaml_value


class Boolean:
    expected = "true or false"

    def from_yaml(self, yaml_value: object, base: Path) -> bool:
        if not isinstance(yaml_value, bool):
            raise ValueError(yaml_value)
        return yaml_value

    def from_text(self, setting_text: str, base: Path) -> bool:
        word = setting_text.strip().lower()
        if word not in TRUE_WORDS + FALSE_WORDS:
            raise ValueError(setting_text)
        return word in TRUE_WORDS

    def to_text(self, value: bool) -> str:
        return "true" if value else "false"

    def schema(self) -> JsonSchema:
        return {"type": "boolean"}


class AutoBoolean:
    """True, False, or None for "auto": the rule table decides."""

    expected = "true, false or auto"

    def from_yaml(self, yaml_value: object, base: Path) -> bool | None:
        return None if yaml_value == "auto" else Boolean().from_yaml(yaml_value, base)

    def from_text(self, setting_text: str, base: Path) -> bool | None:
        return (
            None
            if setting_text.strip().lower() == "auto"
            else Boolean().from_text(setting_text, base)
        )

    def to_text(self, value: bool | None) -> str:
        return "auto" if value is None else Boolean().to_text(value)

    def schema(self) -> JsonSchema:
        return {"enum": [True, False, "auto"]}


class Choice:
    """One word of a list; where ``off`` is one of them, YAML's false is it too."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words

    @property
    def expected(self) -> str:
        return "one of " + ", ".join(self.words)

    def from_yaml(self, yaml_value: object, base: Path) -> str:
        word = word_of_boolean(yaml_value)
        if not isinstance(word, str):
            raise ValueError(yaml_value)
        return self.from_text(word, base)

    def from_text(self, setting_text: str, base: Path) -> str:
        word = setting_text.strip().lower()
        if word not in self.words:
            raise ValueError(setting_text)
        return word

    def to_text(self, value: str) -> str:
        return value

    def schema(self) -> JsonSchema:
        words: list[object] = list(self.words)
        return {"enum": [*words, False] if "off" in words else words}


class Text:
    """Free text of one line, described by ``expected``; None where it is not given."""

    def __init__(self, expected: str) -> None:
        self.expected = expected

    def from_yaml(self, yaml_value: object, base: Path) -> str:
        if not isinstance(yaml_value, str):
            raise ValueError(yaml_value)
        return self.from_text(yaml_value, base)

    def from_text(self, setting_text: str, base: Path) -> str:
        if not setting_text.strip() or not setting_text.isprintable():
            raise ValueError(setting_text)
        return setting_text

    def to_text(self, value: str | None) -> str:
        return value or ""

    def schema(self) -> JsonSchema:
        return {"type": "string", "minLength": 1}


class Editor(Text):
    """An editor of LINKS_OF_EDITORS, ``auto``, ``off``, or a link of one of their schemes."""

    def __init__(self) -> None:
        example_link = "vscode://vscode-remote/ssh-remote+HOST{path}:{line}"
        super().__init__(
            f"auto, off, {', '.join(LINKS_OF_EDITORS)}, or a link such as {example_link}"
        )

    def from_yaml(self, yaml_value: object, base: Path) -> str:
        return super().from_yaml(word_of_boolean(yaml_value), base)

    def from_text(self, setting_text: str, base: Path) -> str:
        editor = super().from_text(setting_text, base).strip()
        if editor.lower() in ("auto", "off", *LINKS_OF_EDITORS):
            return editor.lower()
        if not is_editor_link_template(editor):
            raise ValueError(setting_text)
        return editor

    def schema(self) -> JsonSchema:
        return {"anyOf": [{"enum": ["auto", False, *LINKS_OF_EDITORS]}, {"type": "string"}]}


class HostName(Text):
    """A host name or an address, IPv6 with or without brackets."""

    def __init__(self) -> None:
        super().__init__("a host name or an IP address, without a port")

    def from_text(self, setting_text: str, base: Path) -> str:
        host = super().from_text(setting_text, base).strip()
        if host.startswith("[") and host.endswith("]"):
            host = host[1:-1]
        # A label of 64 characters or an empty one can't be encoded for a look-up (RFC 1035, 2.3.4).
        labels = host.rstrip(".").split(".")
        has_port = re.fullmatch(r"[^:]*:[0-9]*", host) is not None
        is_name = re.search(r"[\s/\[\]@${}]", host) is None
        if has_port or not is_name or not all(0 < len(label) < 64 for label in labels):
            raise ValueError(setting_text)
        return host


class PublishedAddress(Text):
    """A host name or an address, with the port where that is another one: 127.0.0.1:8001."""

    def __init__(self) -> None:
        super().__init__("a host name or an IP address, with or without :PORT")

    def from_text(self, setting_text: str, base: Path) -> str:
        address = super().from_text(setting_text, base).strip()
        host, port = split_address(address)
        HostName().from_text(host, base)
        if port is not None:
            Port().from_yaml(port, base)
        return address


def split_address(address: str) -> tuple[str, int | None]:
    """The host, without the brackets of IPv6, and the port that follows it."""
    match = re.fullmatch(r"(\[[^]]*\]|[^:]*):([0-9]{1,5})", address, re.ASCII)
    host, port = (match[1], int(match[2])) if match else (address, None)
    return host.strip("[]"), port


class AppImport(Text):
    """What Flask's ``--app`` takes; a path is relative to the file that names it."""

    def __init__(self) -> None:
        super().__init__(
            'a module, a file or a factory, such as "main", "src/main.py" or "shop:create()"'
        )

    def from_text(self, setting_text: str, base: Path) -> str:
        target = super().from_text(setting_text, base).strip()
        # The same split as Flask's ScriptInfo.load_app: the colon of C:\main.py is not one.
        path, colon, name_in_module = _split_import(target)
        _refuse_overlong_path(base / path)
        if base == Path.cwd() or not (path.endswith(".py") or "/" in path or os.sep in path):
            return target
        return f"{base / path}{colon}{name_in_module}"


def _split_import(target: str) -> tuple[str, str, str]:
    match = re.search(r":(?![\\/])", target)
    if match is None:
        return target, "", ""
    return target[: match.start()], ":", target[match.end() :]


class Port:
    expected = "a port from 0 (any free one) to 65535"

    def from_yaml(self, yaml_value: object, base: Path) -> int:
        if (
            isinstance(yaml_value, bool)
            or not isinstance(yaml_value, int)
            or not 0 <= yaml_value <= 65535
        ):
            raise ValueError(yaml_value)
        return yaml_value

    def from_text(self, setting_text: str, base: Path) -> int:
        if not re.fullmatch(r"[0-9]{1,5}", setting_text.strip(), re.ASCII):
            raise ValueError(setting_text)
        return self.from_yaml(int(setting_text), base)

    def to_text(self, value: int) -> str:
        return str(value)

    def schema(self) -> JsonSchema:
        return {"type": "integer", "minimum": 0, "maximum": 65535}


class Seconds:
    """How long to wait at the most; None is off, True is a minute."""

    expected = "off, on (60 seconds) or a number of seconds above 0"

    def from_yaml(self, yaml_value: object, base: Path) -> float | None:
        if isinstance(yaml_value, bool):
            return 60.0 if yaml_value else None
        if not isinstance(yaml_value, (int, float)):
            raise ValueError(yaml_value)
        # A week is the longest wait that makes sense; far more overflows threading.TIMEOUT_MAX.
        if not 0 < yaml_value <= 7 * 24 * 3600:
            raise ValueError(yaml_value)
        return float(yaml_value)

    def from_text(self, setting_text: str, base: Path) -> float | None:
        word = setting_text.strip().lower()
        if word in ("on", "true", "yes"):
            return 60.0
        if word in FALSE_WORDS:
            return None
        if not re.fullmatch(r"[0-9]+(\.[0-9]+)?(e-?[0-9]+)?", word, re.ASCII):
            raise ValueError(setting_text)
        return self.from_yaml(float(word), base)

    def to_text(self, value: float | None) -> str:
        return "off" if value is None else repr(value)

    def schema(self) -> JsonSchema:
        return {"anyOf": [{"type": "boolean"}, {"type": "number", "exclusiveMinimum": 0}]}


class Duration:
    """How long something lasts, in seconds; None is without an end. As text always with a unit."""

    expected = "a time such as 90s, 15m or 1h30m, a week at most"

    def from_yaml(self, yaml_value: object, base: Path) -> float:
        if not isinstance(yaml_value, str):  # 15 of what?
            raise ValueError(yaml_value)
        return self.from_text(yaml_value, base)

    def from_text(self, setting_text: str, base: Path) -> float:
        pattern = r"(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,6})s)?"
        units = re.fullmatch(pattern, setting_text.strip().lower(), re.ASCII)
        if units is None:
            raise ValueError(setting_text)
        hours, minutes, seconds = (int(number or 0) for number in units.groups())
        total_seconds = (hours * 60 + minutes) * 60 + seconds
        if not 0 < total_seconds <= 7 * 24 * 3600:
            raise ValueError(setting_text)
        return float(total_seconds)

    def to_text(self, value: float | None) -> str:
        minutes, seconds = divmod(round(value or 0), 60)
        numbers_with_units = zip((*divmod(minutes, 60), seconds), "hms", strict=True)
        return "".join(f"{number}{unit}" for number, unit in numbers_with_units if number)

    def schema(self) -> JsonSchema:
        return {"type": "string", "pattern": "^([0-9]+h)?([0-9]+m)?([0-9]+s)?$", "minLength": 1}


class FilePath:
    """A path, made absolute; None where it is not given."""

    expected = "a path"

    def from_yaml(self, yaml_value: object, base: Path) -> Path:
        if not isinstance(yaml_value, str):
            raise ValueError(yaml_value)
        return self.from_text(yaml_value, base)

    def from_text(self, setting_text: str, base: Path) -> Path:
        if not setting_text.strip() or "\0" in setting_text:
            raise ValueError(setting_text)
        path = base / os.path.expanduser(setting_text)
        _refuse_overlong_path(path)
        return path

    def to_text(self, value: Path | None) -> str:
        return str(value or "")

    def schema(self) -> JsonSchema:
        return {"type": "string", "minLength": 1}


def _refuse_overlong_path(path: Path) -> None:
    """What no file system takes (limits.h: NAME_MAX, PATH_MAX) only makes other functions fail.

    Raises ValueError; so does os.fsencode for characters that no path can have.
    """
    if len(os.fsencode(path)) > 4095 or any(len(os.fsencode(name)) > 255 for name in path.parts):
        raise ValueError(str(path))


class Certificate:
    """A certificate file (made absolute), ``adhoc``, or the import name of an SSLContext."""

    expected = 'a file, "adhoc", or the import name of an ssl.SSLContext'

    def from_yaml(self, yaml_value: object, base: Path) -> str:
        if not isinstance(yaml_value, str):
            raise ValueError(yaml_value)
        return self.from_text(yaml_value, base)

    def from_text(self, setting_text: str, base: Path) -> str:
        path = FilePath().from_text(setting_text, base)
        return str(path) if os.path.isfile(path) else setting_text

    def to_text(self, value: str | None) -> str:
        return value or ""

    def schema(self) -> JsonSchema:
        return {"type": "string", "minLength": 1}


class Paths:
    """Several paths: a list in YAML; as text a JSON list, or joined as in PATH (Flask's form)."""

    noun = "paths"

    @property
    def expected(self) -> str:
        return (
            f'a list of {self.noun} (on the command line joined by "{os.pathsep}", or a JSON list)'
        )

    def from_yaml(self, yaml_value: object, base: Path) -> tuple[str, ...]:
        items = [yaml_value] if isinstance(yaml_value, str) else yaml_value
        if not isinstance(items, list):
            raise ValueError(yaml_value)
        return tuple(self._one_item(item, base) for item in items)

    def _one_item(self, item: object, base: Path) -> str:
        return str(FilePath().from_yaml(item, base))

    def from_text(self, setting_text: str, base: Path) -> tuple[str, ...]:
        if setting_text.lstrip().startswith("["):
            return self.from_yaml(_from_json_text(setting_text), base)
        if "://" in setting_text:  # a URL would be torn apart, and is no path
            raise ValueError(setting_text)
        return self.from_yaml(
            [one_path for one_path in setting_text.split(os.pathsep) if one_path], base
        )

    def to_text(self, value: tuple[str, ...]) -> str:
        return _to_json_text(list(value))

    def schema(self) -> JsonSchema:
        item: JsonSchema = {"type": "string", "minLength": 1}
        return {"anyOf": [item, {"type": "array", "items": item}]}


class Patterns(Paths):
    """Several patterns of whole paths (fnmatch). A name alone is meant in every folder; another
    relative one is made absolute."""

    noun = "patterns"

    def _one_item(self, item: object, base: Path) -> str:
        pattern = str(FilePath().from_yaml(item, Path()))  # the home directory for ~
        if pattern.startswith("*") or os.path.isabs(pattern):
            return pattern
        if "/" not in pattern and os.sep not in pattern:
            return f"*/{pattern}"
        from glob import escape  # rarely needed, and `explain` is quick

        return os.path.normpath(os.path.join(escape(str(base)), pattern))

    @staticmethod
    def matches(pattern: str, path: str) -> bool:
        """Is the path, or a folder that it is in, one of the pattern's?"""
        from fnmatch import fnmatch

        return fnmatch(path, pattern) or fnmatch(path, pattern.rstrip("/") + "/*")


PathMapping = tuple[tuple[str, str], ...]


class PathMappings:
    """Pairs (path in the IDE, path where the app runs): a mapping in YAML, JSON as text."""

    expected = (
        'a mapping of the IDE\'s paths to the paths where the app runs, {"/home/me/shop": "/app"}'
        " (on the command line LOCAL=REMOTE or that JSON)"
    )

    def from_yaml(self, yaml_value: object, base: Path) -> PathMapping:
        if not isinstance(yaml_value, Mapping):
            raise ValueError(yaml_value)
        return tuple(
            (self._absolute_path(local, base), self._absolute_path(remote, base))
            for local, remote in yaml_value.items()
        )

    def _absolute_path(self, yaml_value: object, base: Path) -> str:
        """Relative paths become absolute; the paths of other systems and ``${...}`` stay."""
        path = FilePath().from_yaml(yaml_value, base)
        given_path = str(yaml_value)
        is_of_other_system = re.match(r"[A-Za-z]:[\\/]|[\\/]|\$\{", given_path)
        return given_path if is_of_other_system else str(path)

    def from_text(self, setting_text: str, base: Path) -> PathMapping:
        if setting_text.lstrip().startswith("{"):
            return self.from_yaml(_from_json_text(setting_text), base)
        local, equals, remote = setting_text.partition("=")
        if not equals:
            raise ValueError(setting_text)
        return self.from_yaml({local: remote}, base)

    def to_text(self, value: PathMapping) -> str:
        return _to_json_text(dict(value))

    def schema(self) -> JsonSchema:
        return {"type": "object", "additionalProperties": {"type": "string", "minLength": 1}}


def _to_json_text(listed_or_mapped: object) -> str:
    import json  # rarely needed, and `explain` is quick

    return json.dumps(listed_or_mapped)


def _from_json_text(json_text: str) -> object:
    import json

    try:
        parsed: object = json.loads(json_text)
    except RecursionError:
        raise ValueError(json_text) from None
    return parsed
