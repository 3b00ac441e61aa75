"""The YAML file: the app's own block and the launcher's, each value with its line.

PyYAML's safe loader composes the nodes; they are turned into values one by one, because the node
knows its line and the finished value does not. Only what is the launcher's is turned into values:
the rest of the file, with whatever tags the app's own loader knows, is the app's.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import yaml
import yaml.reader
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from flask_debuglaunch.configuration.setting_types import Boolean, SettingType, not_fitting
from flask_debuglaunch.configuration.settings import DECLARATIONS, YAML_BLOCK
from flask_debuglaunch.configuration.value_origins import Origin, Value
from flask_debuglaunch.debuggers.known_debuggers import DEBUGGERS
from flask_debuglaunch.errors import LaunchError, did_you_mean, nearest
from flask_debuglaunch.redaction import redacted_repr
from flask_debuglaunch.regular_file import read_regular_file
from flask_debuglaunch.terminal_messages import shown_path

T = TypeVar("T")

LARGEST_FILE = 128 * 1024
"""Bytes: seconds of PyYAML's time. A configuration is never that long, a database dump is."""
MOST_MERGED = 10_000
"""Keys that "<<" may bring into a block: aliases of aliases double them each time."""
NUMBER_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
MERGE_TAG = "tag:yaml.org,2002:merge"
PYTHON_TAGS = "tag:yaml.org,2002:python/"
YAML_KEYS = {one.key: one for one in DECLARATIONS.values() if one.in_files}
FLAGS = {flag: debugger for debugger in DEBUGGERS.values() for flag in debugger.flags}
OWN_KEYS = {YAML_BLOCK, "DEBUG", *FLAGS, *YAML_KEYS}


@dataclass(frozen=True)
class Entry:
    """One key of a block: its value's node, and the key's place for messages."""

    file: Path
    block: str
    key: str
    line: int
    node: Node

    @property
    def origin(self) -> Origin:
        return Origin.line(self.file, self.line)

    @property
    def label(self) -> str:
        return f"{self.block}.{self.key}"


@dataclass(frozen=True)
class YamlContent:
    """The settings that a file gives, by name, and what is to be said about the file."""

    values: dict[str, Value[Any]]
    notes: tuple[str, ...] = ()


def read_yaml(file: Path, block: str | None) -> YamlContent:
    """Read the two blocks.

    ``block`` is the app's block where the environment or the command line names one; otherwise
    DEBUGLAUNCH.BLOCK does, otherwise it is FLASK.
    Raises LaunchError for whatever is wrong with the file, naming its line.
    """
    text = _read_text(file)
    try:
        loader = yaml.SafeLoader(text)
        root = loader.get_single_node()
        return YamlContent({}) if root is None else _content(file, loader, root, block)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(file, error) from None
    except yaml.reader.ReaderError as error:
        raise LaunchError(f"{shown_path(file)}: not a text file: {error.reason}") from None
    except RecursionError:
        raise LaunchError(f"{shown_path(file)}: nested too deeply to be a configuration") from None
    except (ValueError, OverflowError) as error:  # of chr(), for "\UFFFFFFFF"
        place = Origin.line(file, loader.get_mark().line + 1)
        raise LaunchError(f"{place}: not valid YAML: {error}. Correct that character") from None


def is_meant_for_us(file: Path, block: str | None) -> bool:
    """Does a file that can't be read as YAML have one of our blocks at the beginning of a line?"""
    try:
        content = read_regular_file(file, LARGEST_FILE)
    except PermissionError:
        return True  # nobody knows
    except OSError:
        return False
    names = "|".join(map(re.escape, {YAML_BLOCK, "FLASK", block or "FLASK"}))
    return re.search(rf"^[\"']?({names})[\"']?\s*:".encode(), content, re.MULTILINE) is not None


def _content(file: Path, loader: yaml.SafeLoader, root: Node, block: str | None) -> YamlContent:
    _refuse_python_tags(file, root)
    if not isinstance(root, MappingNode):
        raise LaunchError(
            f"{Origin.line(file, _line(root))}: the file holds {_kind_of(root)}, expected a mapping"
            " with blocks such as FLASK: and DEBUGLAUNCH:"
        )
    top = _entries(file, loader, root, "")
    values = dict(_launcher_values(loader, _block(file, loader, top, YAML_BLOCK)))
    asked_block = block or (values["block"].value if "block" in values else None)
    name = asked_block or "FLASK"
    _refuse_duplicates(file, root, {name})
    app = _block(file, loader, top, name, required=asked_block is not None)
    values |= dict(_app_values(loader, app, values.get("debug_with")))
    return YamlContent(values, tuple(_misplaced(top, name, app)))


def _misplaced(top: Mapping[str, Entry], block: str, given: Mapping[str, Entry]) -> Iterator[str]:
    """What looks as if it were for us, and stands where it does not count.

    A DEBUG_WITH_... flag is nobody else's: LaunchError. DEBUG may be the app's own. given: what the
    app's block has; it may have merged it from the place in question.
    """
    for key, entry in top.items():
        if key in FLAGS:
            raise LaunchError(f"{entry.origin}: {key} does not count here: move it below {block}:")
        if key == "DEBUG" and block not in top:
            yield f"{entry.origin}: DEBUG does not count here. If meant, move it below {block}:"
        if key not in (block, YAML_BLOCK) and isinstance(entry.node, MappingNode):
            yield from _misplaced_in(entry, block, given, has_block=block in top)


def _misplaced_in(
    other: Entry, block: str, given: Mapping[str, Entry], *, has_block: bool
) -> Iterator[str]:
    for node, _ in other.node.value:
        key = node.value if isinstance(node, ScalarNode) else None
        message = (
            f"{Origin.line(other.file, _line(node))}: {other.key}.{key} does not count: the app's"
            f" block is {block}. If {other.key} is meant, name it with"
            f" {YAML_BLOCK}: {{BLOCK: {other.key}}}"
        )
        if key in FLAGS and key not in given:
            raise LaunchError(message)
        if key == "DEBUG" and not has_block:
            yield message


def _read_text(file: Path) -> str:
    try:
        content = read_regular_file(file, LARGEST_FILE)
    except FileNotFoundError:
        raise LaunchError(
            f"{shown_path(file)}: no such file. Write one with: python -m flask_debuglaunch init"
        ) from None
    except OSError as error:
        raise LaunchError(
            f"{shown_path(file)}: cannot be read: {error.strerror}."
            " Name the YAML file with --config"
        ) from None
    try:
        return content.decode("utf-16" if content[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise LaunchError(
            f"{shown_path(file)}:{line}: not UTF-8 text. Save the file as UTF-8"
        ) from None


def _refuse_python_tags(file: Path, root: Node) -> None:
    """Such a tag runs code in whatever loader is not safe: a file with one is never right."""
    waiting, seen = [root], set()
    while waiting:
        node = waiting.pop()
        if id(node) in seen:  # an alias
            continue
        seen.add(id(node))
        if node.tag.startswith(PYTHON_TAGS):
            tag = "!!python/" + node.tag.removeprefix(PYTHON_TAGS)
            raise LaunchError(
                f"{Origin.line(file, _line(node))}: the tag {tag} makes Python objects and is"
                " never loaded. Write the plain value"
            )
        if isinstance(node, MappingNode):
            waiting.extend(part for pair in node.value for part in pair)
        elif not isinstance(node, ScalarNode):
            waiting.extend(node.value)


def _block(
    file: Path,
    loader: yaml.SafeLoader,
    top: Mapping[str, Entry],
    name: str,
    required: bool = False,
) -> dict[str, Entry]:
    entry = top.get(name)
    if entry is None:
        if required:
            raise LaunchError(f"{shown_path(file)}: there is no block {name}{_listed(name, top)}")
        _refuse_misspelt_block(top, name)
        return {}
    if not isinstance(entry.node, MappingNode):
        if isinstance(entry.node, ScalarNode) and entry.node.tag == "tag:yaml.org,2002:null":
            return {}
        raise LaunchError(
            f"{entry.origin}: {name} holds {_kind_of(entry.node)}, expected a mapping of"
            " settings, indented below it"
        )
    return _entries(file, loader, entry.node, name)


def _refuse_misspelt_block(top: Mapping[str, Entry], name: str) -> None:
    """A block "flask:" or "DEBUGLUNCH:" would be passed over without a word."""
    for key, entry in top.items():
        if key.upper() == name or nearest(key.upper(), [name], 0.85):
            rename = (
                "" if name == YAML_BLOCK else f", or name it with {YAML_BLOCK}: {{BLOCK: {key}}}"
            )
            raise LaunchError(
                f"{entry.origin}: the block is {name}, not {key}. Write {name}{rename}"
            )


def _entries(
    file: Path, loader: yaml.SafeLoader, node: MappingNode, block: str
) -> dict[str, Entry]:
    _refuse_duplicates(file, node, OWN_KEYS)
    _refuse_merge_bomb(file, node)
    loader.flatten_mapping(node)  # "<<: *base": the merged pairs come first, the own ones count
    return {
        key.value: Entry(file, block, key.value, _line(key), value)
        for key, value in node.value
        if isinstance(key, ScalarNode)
    }


def _refuse_merge_bomb(file: Path, node: MappingNode) -> None:
    sizes: dict[int, int] = {}

    def merged(one: Node) -> int:
        if id(one) not in sizes:
            sizes[id(one)] = 0  # an alias inside of itself
            if isinstance(one, MappingNode):
                merges = (value for key, value in one.value if key.tag == MERGE_TAG)
                sizes[id(one)] = len(one.value) + sum(map(merged, merges))
            elif isinstance(one, SequenceNode):
                sizes[id(one)] = sum(map(merged, one.value))
        return sizes[id(one)]

    if merged(node) > MOST_MERGED:
        raise LaunchError(
            f"{Origin.line(file, _line(node))}: more than {MOST_MERGED} keys are merged into this"
            " block with <<. Write the keys that it needs"
        )


def _refuse_duplicates(file: Path, node: MappingNode, names: Collection[str]) -> None:
    """PyYAML takes the last of two equal keys without a word; of ours, say it."""
    lines: dict[str, int] = {}
    for key, _ in node.value:
        if not isinstance(key, ScalarNode) or key.value not in names:
            continue
        if key.value in lines:
            raise LaunchError(
                f"{Origin.line(file, _line(key))}: {key.value} is given again; line"
                f" {lines[key.value]} has it too. Remove one of them"
            )
        lines[key.value] = _line(key)


def _launcher_values(
    loader: yaml.SafeLoader, entries: Mapping[str, Entry]
) -> Iterator[tuple[str, Value[Any]]]:
    for key, entry in entries.items():
        declaration = YAML_KEYS.get(key)
        if declaration is None:
            raise LaunchError(f"{entry.origin}: {_unknown_key(key)}")
        yield declaration.name, _value(loader, entry, declaration.type)


def _unknown_key(key: str) -> str:
    if key == "DEBUG" or key in FLAGS:
        return f"{key} belongs to the app's own block: move it below FLASK:"
    argv_only = next((d for d in DECLARATIONS.values() if d.argv_only and d.key == key), None)
    if argv_only:
        return f"{key} can't be set in a file: give {argv_only.flag} on the command line"
    return f"{YAML_BLOCK} has no setting {key}{_listed(key.upper(), YAML_KEYS)}"


def _value(loader: yaml.SafeLoader, entry: Entry, setting_type: SettingType[T]) -> Value[T]:
    _refuse_misread_number(entry)
    raw = _plain(loader, entry)
    if raw is None:
        raise LaunchError(
            f"{entry.origin}: {entry.label} is empty, expected {setting_type.expected}."
            " Remove the line for the default"
        )
    _refuse_placeholder(entry, raw)
    try:
        return Value(setting_type.from_yaml(raw, entry.file.parent), entry.origin)
    except (ValueError, OverflowError):
        raise _unfit(entry, raw, setting_type) from None


def _refuse_misread_number(entry: Entry) -> None:
    """YAML 1.1 reads 05000 as octal and 22:22 in base 60, which nobody means."""
    node = entry.node
    if not isinstance(node, ScalarNode) or node.style is not None or node.tag not in NUMBER_TAGS:
        return
    if re.fullmatch(r"[-+]?0[0-9_]+", node.value):
        fix = f"an octal number. Write {node.value.lstrip('0') or '0'} without the leading 0"
    elif ":" in node.value:
        fix = "a number in base 60. Write a plain number"
    else:
        return
    raise LaunchError(
        f"{entry.origin}: {entry.label}: {redacted_repr(node.value)} is, to YAML, {fix}"
    )


def _refuse_placeholder(entry: Entry, raw: object) -> None:
    texts = raw if isinstance(raw, list) else [raw]  # in PATH_MAPPINGS the IDE expands them
    for text in texts:
        if isinstance(text, str) and re.search(r"\$\{|\{\{", text):
            raise LaunchError(
                f"{entry.origin}: {entry.label}: placeholders such as {redacted_repr(text)} are not"
                f" expanded in the YAML. Write the value, or set {_variable(entry)} in the"
                " environment or in .env"
            )


def _variable(entry: Entry) -> str:
    declaration = YAML_KEYS.get(entry.key)
    return declaration.env if declaration else "FLASK_DEBUG"


def _plain(loader: yaml.SafeLoader, entry: Entry) -> object:
    try:
        return loader.construct_document(entry.node)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(entry.file, error) from None
    except RecursionError:
        raise LaunchError(f"{entry.origin}: {entry.label} is nested too deeply") from None
    except Exception as error:
        # A date such as 2026-99-99 or a key that can't be hashed; and PyYAML raises whatever comes
        # where an explicit tag does not fit: KeyError, IndexError, AttributeError.
        raise LaunchError(
            f"{entry.origin}: {entry.label} can't be read: {type(error).__name__}: {error}."
            " Write a plain value, without a tag"
        ) from None


def _unfit(entry: Entry, raw: object, setting_type: SettingType[Any]) -> LaunchError:
    fix = ""
    if isinstance(raw, str) and _fits_unquoted(raw, setting_type):
        is_quoted = isinstance(entry.node, ScalarNode) and entry.node.style is not None
        fix = ". Remove the quotes" if is_quoted else ""
        fix = fix or (". Remove the leading 0" if raw.startswith("0") else "")
    return LaunchError(f"{entry.origin}: {entry.label} {not_fitting(setting_type, raw)}{fix}")


def _fits_unquoted(raw: str, setting_type: SettingType[Any]) -> bool:
    try:
        setting_type.from_text(raw, Path())
    except ValueError:
        return False
    return True


def _app_values(
    loader: yaml.SafeLoader,
    entries: Mapping[str, Entry],
    debug_with: Value[str] | None,
) -> Iterator[tuple[str, Value[Any]]]:
    for key, entry in entries.items():
        _refuse_near_miss(key, entry)
    if "DEBUG" in entries:
        yield "debug", _value(loader, entries["DEBUG"], Boolean())
    if "ENV" in entries and isinstance(entries["ENV"].node, ScalarNode):
        yield "flask_env", Value(entries["ENV"].node.value, entries["ENV"].origin)
    asked = _flag_asked_for(loader, entries)
    if asked is None:
        return
    if debug_with is not None and _debugger_of(debug_with.value) != _debugger_of(asked.value):
        raise LaunchError(
            f"{asked.origin}: this flag asks for {_debugger_of(asked.value)}, but"
            f" {debug_with.origin} has DEBUG_WITH: {debug_with.value}. Keep one of them"
        )
    if debug_with is None:
        yield "debug_with", asked


def _flag_asked_for(loader: yaml.SafeLoader, entries: Mapping[str, Entry]) -> Value[str] | None:
    """The debugger whose DEBUG_WITH_<IDE> is true; False is the same as the flag left out."""
    asked: Value[str] | None = None
    for key, entry in entries.items():
        if key not in FLAGS or not _value(loader, entry, Boolean()).value:
            continue
        if asked is not None and asked.value != FLAGS[key].name:
            raise LaunchError(
                f"{entry.origin}: {key} asks for {FLAGS[key].name}, but {asked.origin} asks for"
                f" {asked.value}. Set one of the two flags to False"
            )
        asked = asked or Value(FLAGS[key].name, entry.origin)
    return asked


def _debugger_of(name: str) -> str:
    return next((d.name for d in DEBUGGERS.values() if name in (d.name, *d.ides)), name)


def _refuse_near_miss(key: str, entry: Entry) -> None:
    """Unknown keys of the app's block are the app's, but a misspelt flag would go unnoticed."""
    if key in FLAGS or key == "DEBUG" or not ("DEBUG" in key.upper() or "WITH" in key.upper()):
        return
    if key == "DEBUG_WITH":
        raise LaunchError(
            f"{entry.origin}: {key} is the launcher's: move it below {YAML_BLOCK}:, or set a flag"
            " such as DEBUG_WITH_VSCODE here"
        )
    near = nearest(key.upper(), [*FLAGS, "DEBUG"], cutoff=0.85)
    if near:
        raise LaunchError(
            f"{entry.origin}: {entry.label} looks like {near}. If it is meant, write"
            f" {near}; a key of the app's own needs another name"
        )


def _listed(name: str, known: Mapping[str, object]) -> str:
    return did_you_mean(name, known, ". There are: " + ", ".join(known) if known else "")


def _syntax_error(file: Path, error: yaml.MarkedYAMLError) -> LaunchError:
    mark = error.problem_mark or error.context_mark
    place = f"{Origin.line(file, mark.line + 1)}:{mark.column + 1}" if mark else shown_path(file)
    problem = " ".join(filter(None, (error.context, error.problem)))
    return LaunchError(f"{place}: not valid YAML: {problem}{_syntax_hint(problem)}")


def _syntax_hint(problem: str) -> str:
    if r"'\t'" in problem:
        return ". Indent with spaces instead of the tab"
    if "could not find expected ':'" in problem or "mapping values are not allowed" in problem:
        return ". Check the indentation, and the space after each colon"
    return ""


def _line(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _kind_of(node: Node) -> str:
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, ScalarNode):
        return f"the single value {redacted_repr(node.value)}"
    return "a list"
