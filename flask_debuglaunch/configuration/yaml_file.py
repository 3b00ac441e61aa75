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

LARGEST_YAML = 128 * 1024
"""Bytes: seconds of PyYAML's time. A configuration is never that long, a database dump is."""
MOST_MERGED_KEYS = 10_000
"""Keys that "<<" may bring into a block: aliases of aliases double them each time."""
NUMBER_TAGS = ("tag:yaml.org,2002:int", "tag:yaml.org,2002:float")
NULL_TAG = "tag:yaml.org,2002:null"
MERGE_TAG = "tag:yaml.org,2002:merge"
PYTHON_TAGS = "tag:yaml.org,2002:python/"
YAML_KEYS = {
    declaration.key: declaration for declaration in DECLARATIONS.values() if declaration.in_files
}
DEBUG_WITH_FLAGS = {flag: debugger for debugger in DEBUGGERS.values() for flag in debugger.flags}
KEYS_FOR_US = {YAML_BLOCK, "DEBUG", *DEBUG_WITH_FLAGS, *YAML_KEYS}


@dataclass(frozen=True)
class YamlEntry:
    """One key of a block: its value's node, and the key's place for messages."""

    yaml_file: Path
    block: str
    key: str
    line: int
    node: Node

    @property
    def origin(self) -> Origin:
        return Origin.line(self.yaml_file, self.line)

    @property
    def label(self) -> str:
        return f"{self.block}.{self.key}"


@dataclass(frozen=True)
class YamlContent:
    """The settings that a file gives, by name, and what is to be said about the file."""

    values: dict[str, Value[Any]]
    notes: tuple[str, ...] = ()


def read_yaml(yaml_file: Path, block: str | None) -> YamlContent:
    """Read the two blocks.

    ``block`` is the app's block where the environment or the command line names one; otherwise
    DEBUGLAUNCH.BLOCK does, otherwise it is FLASK.
    Raises LaunchError for whatever is wrong with the file, naming its line.
    """
    yaml_text = _read_text(yaml_file)
    try:
        loader = yaml.SafeLoader(yaml_text)
        root = loader.get_single_node()
        if root is None:
            return YamlContent({})
        return _content_of_blocks(yaml_file, loader, root, block)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(yaml_file, error) from None
    except yaml.reader.ReaderError as error:
        raise LaunchError(f"{shown_path(yaml_file)}: not a text file: {error.reason}") from None
    except RecursionError:
        raise LaunchError(
            f"{shown_path(yaml_file)}: nested too deeply to be a configuration"
        ) from None
    except (ValueError, OverflowError) as error:  # of chr(), for "\UFFFFFFFF"
        place = Origin.line(yaml_file, loader.get_mark().line + 1)
        raise LaunchError(f"{place}: not valid YAML: {error}. Correct that character") from None


def is_meant_for_us(yaml_file: Path, block: str | None) -> bool:
    """Does a file that can't be read as YAML have one of our blocks at the beginning of a line?"""
    try:
        yaml_bytes = read_regular_file(yaml_file, LARGEST_YAML)
    except PermissionError:
        return True  # nobody knows
    except OSError:
        return False
    block_names = "|".join(map(re.escape, {YAML_BLOCK, "FLASK", block or "FLASK"}))
    block_at_line_start = rf"^[\"']?({block_names})[\"']?\s*:".encode()
    return re.search(block_at_line_start, yaml_bytes, re.MULTILINE) is not None


def _content_of_blocks(
    yaml_file: Path, loader: yaml.SafeLoader, root: Node, block: str | None
) -> YamlContent:
    _refuse_python_tags(yaml_file, root)
    if not isinstance(root, MappingNode):
        raise LaunchError(
            f"{_place_of_node(yaml_file, root)}: the file holds {_kind_of_node(root)}, expected a"
            " mapping with blocks such as FLASK: and DEBUGLAUNCH:"
        )
    top_entries = _entries_of_mapping(yaml_file, loader, root, "")
    launcher_entries = _entries_of_block(yaml_file, loader, top_entries, YAML_BLOCK)
    values = dict(_launcher_values(loader, launcher_entries))
    named_block = block or (values["block"].value if "block" in values else None)
    app_block = named_block or "FLASK"
    _refuse_duplicates(yaml_file, root, {app_block})
    app_entries = _entries_of_block(
        yaml_file, loader, top_entries, app_block, required=named_block is not None
    )
    values |= dict(_app_values(loader, app_entries, values.get("debug_with")))
    return YamlContent(values, tuple(_misplaced_debug_keys(top_entries, app_block, app_entries)))


def _misplaced_debug_keys(
    top_entries: Mapping[str, YamlEntry], app_block: str, app_entries: Mapping[str, YamlEntry]
) -> Iterator[str]:
    """What looks as if it were for us, and stands where it does not count.

    A DEBUG_WITH_... flag is nobody else's: LaunchError. DEBUG may be the app's own. app_entries:
    what the app's block has; it may have merged it from the place in question.
    """
    for key, entry in top_entries.items():
        if key in DEBUG_WITH_FLAGS:
            raise LaunchError(
                f"{entry.origin}: {key} does not count here: move it below {app_block}:"
            )
        if key == "DEBUG" and app_block not in top_entries:
            yield f"{entry.origin}: DEBUG does not count here. If meant, move it below {app_block}:"
        if key not in (app_block, YAML_BLOCK) and isinstance(entry.node, MappingNode):
            yield from _misplaced_in_other_block(
                entry, app_block, app_entries, has_block=app_block in top_entries
            )


def _misplaced_in_other_block(
    other_block: YamlEntry, app_block: str, app_entries: Mapping[str, YamlEntry], *, has_block: bool
) -> Iterator[str]:
    for key_node, _ in other_block.node.value:
        key = key_node.value if isinstance(key_node, ScalarNode) else None
        message = (
            f"{_place_of_node(other_block.yaml_file, key_node)}: {other_block.key}.{key} does not"
            f" count: the app's block is {app_block}. If {other_block.key} is meant, name it with"
            f" {YAML_BLOCK}: {{BLOCK: {other_block.key}}}"
        )
        if key in DEBUG_WITH_FLAGS and key not in app_entries:
            raise LaunchError(message)
        if key == "DEBUG" and not has_block:
            yield message


def _read_text(yaml_file: Path) -> str:
    try:
        yaml_bytes = read_regular_file(yaml_file, LARGEST_YAML)
    except FileNotFoundError:
        raise LaunchError(
            f"{shown_path(yaml_file)}: no such file. Write one with: python -m flask_debuglaunch"
            " init"
        ) from None
    except OSError as error:
        raise LaunchError(
            f"{shown_path(yaml_file)}: cannot be read: {error.strerror}."
            " Name the YAML file with --config"
        ) from None
    try:
        return yaml_bytes.decode(
            "utf-16" if yaml_bytes[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8"
        )
    except UnicodeDecodeError as error:
        line = yaml_bytes[: error.start].count(b"\n") + 1
        raise LaunchError(
            f"{shown_path(yaml_file)}:{line}: not UTF-8 text. Save the file as UTF-8"
        ) from None


def _refuse_python_tags(yaml_file: Path, root: Node) -> None:
    """Such a tag runs code in whatever loader is not safe: a file with one is never right."""
    waiting_nodes, seen_nodes = [root], set()
    while waiting_nodes:
        node = waiting_nodes.pop()
        if id(node) in seen_nodes:  # an alias
            continue
        seen_nodes.add(id(node))
        if node.tag.startswith(PYTHON_TAGS):
            tag = "!!python/" + node.tag.removeprefix(PYTHON_TAGS)
            raise LaunchError(
                f"{_place_of_node(yaml_file, node)}: the tag {tag} makes Python objects and is"
                " never loaded. Write the plain value"
            )
        if isinstance(node, MappingNode):
            waiting_nodes.extend(part for pair in node.value for part in pair)
        elif not isinstance(node, ScalarNode):
            waiting_nodes.extend(node.value)


def _entries_of_block(
    yaml_file: Path,
    loader: yaml.SafeLoader,
    top_entries: Mapping[str, YamlEntry],
    block: str,
    required: bool = False,
) -> dict[str, YamlEntry]:
    block_entry = top_entries.get(block)
    if block_entry is None:
        if required:
            raise LaunchError(
                f"{shown_path(yaml_file)}: there is no block"
                f" {block}{_did_you_mean_or_all(block, top_entries)}"
            )
        _refuse_misspelt_block(top_entries, block)
        return {}
    if not isinstance(block_entry.node, MappingNode):
        if isinstance(block_entry.node, ScalarNode) and block_entry.node.tag == NULL_TAG:
            return {}
        raise LaunchError(
            f"{block_entry.origin}: {block} holds {_kind_of_node(block_entry.node)}, expected a"
            " mapping of settings, indented below it"
        )
    return _entries_of_mapping(yaml_file, loader, block_entry.node, block)


def _refuse_misspelt_block(top_entries: Mapping[str, YamlEntry], block: str) -> None:
    """A block "flask:" or "DEBUGLUNCH:" would be passed over without a word."""
    for key, block_entry in top_entries.items():
        if key.upper() == block or nearest(key.upper(), [block], 0.85):
            or_name_it = (
                "" if block == YAML_BLOCK else f", or name it with {YAML_BLOCK}: {{BLOCK: {key}}}"
            )
            raise LaunchError(
                f"{block_entry.origin}: the block is {block}, not {key}. Write {block}{or_name_it}"
            )


def _entries_of_mapping(
    yaml_file: Path, loader: yaml.SafeLoader, node: MappingNode, block: str
) -> dict[str, YamlEntry]:
    _refuse_duplicates(yaml_file, node, KEYS_FOR_US)
    _refuse_merge_bomb(yaml_file, node)
    loader.flatten_mapping(node)  # "<<: *base": the merged pairs come first, the own ones count
    return {
        key_node.value: YamlEntry(
            yaml_file, block, key_node.value, _line_of_node(key_node), value_node
        )
        for key_node, value_node in node.value
        if isinstance(key_node, ScalarNode)
    }


def _refuse_merge_bomb(yaml_file: Path, node: MappingNode) -> None:
    key_counts: dict[int, int] = {}

    def count_merged_keys(yaml_node: Node) -> int:
        if id(yaml_node) not in key_counts:
            key_counts[id(yaml_node)] = 0  # an alias inside of itself
            if isinstance(yaml_node, MappingNode):
                merged_nodes = (value for key, value in yaml_node.value if key.tag == MERGE_TAG)
                key_counts[id(yaml_node)] = len(yaml_node.value) + sum(
                    map(count_merged_keys, merged_nodes)
                )
            elif isinstance(yaml_node, SequenceNode):
                key_counts[id(yaml_node)] = sum(map(count_merged_keys, yaml_node.value))
        return key_counts[id(yaml_node)]

    if count_merged_keys(node) > MOST_MERGED_KEYS:
        raise LaunchError(
            f"{_place_of_node(yaml_file, node)}: more than {MOST_MERGED_KEYS} keys are merged into"
            " this block with <<. Write the keys that it needs"
        )


def _refuse_duplicates(yaml_file: Path, node: MappingNode, watched_keys: Collection[str]) -> None:
    """PyYAML takes the last of two equal keys without a word; of ours, say it."""
    lines_of_keys: dict[str, int] = {}
    for key_node, _ in node.value:
        if not isinstance(key_node, ScalarNode) or key_node.value not in watched_keys:
            continue
        if key_node.value in lines_of_keys:
            raise LaunchError(
                f"{_place_of_node(yaml_file, key_node)}: {key_node.value} is given again; line"
                f" {lines_of_keys[key_node.value]} has it too. Remove one of them"
            )
        lines_of_keys[key_node.value] = _line_of_node(key_node)


def _launcher_values(
    loader: yaml.SafeLoader, entries: Mapping[str, YamlEntry]
) -> Iterator[tuple[str, Value[Any]]]:
    for key, entry in entries.items():
        declaration = YAML_KEYS.get(key)
        if declaration is None:
            raise LaunchError(f"{entry.origin}: {_unknown_key(key)}")
        yield declaration.name, _setting_of_entry(loader, entry, declaration.type)


def _unknown_key(key: str) -> str:
    if key == "DEBUG" or key in DEBUG_WITH_FLAGS:
        return f"{key} belongs to the app's own block: move it below FLASK:"
    argv_only = next((d for d in DECLARATIONS.values() if d.argv_only and d.key == key), None)
    if argv_only:
        return f"{key} can't be set in a file: give {argv_only.flag} on the command line"
    return f"{YAML_BLOCK} has no setting {key}{_did_you_mean_or_all(key.upper(), YAML_KEYS)}"


def _setting_of_entry(
    loader: yaml.SafeLoader, entry: YamlEntry, setting_type: SettingType[T]
) -> Value[T]:
    _refuse_misread_number(entry)
    yaml_value = _plain_value(loader, entry)
    if yaml_value is None:
        raise LaunchError(
            f"{entry.origin}: {entry.label} is empty, expected {setting_type.expected}."
            " Remove the line for the default"
        )
    _refuse_placeholder(entry, yaml_value)
    try:
        return Value(setting_type.from_yaml(yaml_value, entry.yaml_file.parent), entry.origin)
    except (ValueError, OverflowError):
        raise _error_on_unfit_value(entry, yaml_value, setting_type) from None


def _refuse_misread_number(entry: YamlEntry) -> None:
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


def _refuse_placeholder(entry: YamlEntry, yaml_value: object) -> None:
    # In PATH_MAPPINGS the IDE expands them.
    yaml_texts = yaml_value if isinstance(yaml_value, list) else [yaml_value]
    for yaml_text in yaml_texts:
        if isinstance(yaml_text, str) and re.search(r"\$\{|\{\{", yaml_text):
            raise LaunchError(
                f"{entry.origin}: {entry.label}: placeholders such as {redacted_repr(yaml_text)}"
                f" are not expanded in the YAML. Write the value, or set {_variable_for(entry)} in"
                " the environment or in .env"
            )


def _variable_for(entry: YamlEntry) -> str:
    declaration = YAML_KEYS.get(entry.key)
    return declaration.env if declaration else "FLASK_DEBUG"


def _plain_value(loader: yaml.SafeLoader, entry: YamlEntry) -> object:
    try:
        return loader.construct_document(entry.node)
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(entry.yaml_file, error) from None
    except RecursionError:
        raise LaunchError(f"{entry.origin}: {entry.label} is nested too deeply") from None
    except Exception as error:
        # A date such as 2026-99-99 or a key that can't be hashed; and PyYAML raises whatever comes
        # where an explicit tag does not fit: KeyError, IndexError, AttributeError.
        raise LaunchError(
            f"{entry.origin}: {entry.label} can't be read: {type(error).__name__}: {error}."
            " Write a plain value, without a tag"
        ) from None


def _error_on_unfit_value(
    entry: YamlEntry, yaml_value: object, setting_type: SettingType[Any]
) -> LaunchError:
    fix = ""
    if isinstance(yaml_value, str) and _fits_unquoted(yaml_value, setting_type):
        is_quoted = isinstance(entry.node, ScalarNode) and entry.node.style is not None
        fix = ". Remove the quotes" if is_quoted else ""
        fix = fix or (". Remove the leading 0" if yaml_value.startswith("0") else "")
    return LaunchError(
        f"{entry.origin}: {entry.label} {not_fitting(setting_type, yaml_value)}{fix}"
    )


def _fits_unquoted(yaml_value: str, setting_type: SettingType[Any]) -> bool:
    try:
        setting_type.from_text(yaml_value, Path())
    except ValueError:
        return False
    return True


def _app_values(
    loader: yaml.SafeLoader,
    entries: Mapping[str, YamlEntry],
    debug_with: Value[str] | None,
) -> Iterator[tuple[str, Value[Any]]]:
    for key, entry in entries.items():
        _refuse_misspelt_flag(key, entry)
    if "DEBUG" in entries:
        yield "debug", _setting_of_entry(loader, entries["DEBUG"], Boolean())
    if "ENV" in entries and isinstance(entries["ENV"].node, ScalarNode):
        yield "flask_env", Value(entries["ENV"].node.value, entries["ENV"].origin)
    debugger_of_flag = _flag_asked_for(loader, entries)
    if debugger_of_flag is None:
        return
    flag_debugger = _debugger_of(debugger_of_flag.value)
    if debug_with is not None and _debugger_of(debug_with.value) != flag_debugger:
        raise LaunchError(
            f"{debugger_of_flag.origin}: this flag asks for {flag_debugger}, but"
            f" {debug_with.origin} has DEBUG_WITH: {debug_with.value}. Keep one of them"
        )
    if debug_with is None:
        yield "debug_with", debugger_of_flag


def _flag_asked_for(loader: yaml.SafeLoader, entries: Mapping[str, YamlEntry]) -> Value[str] | None:
    """The debugger whose DEBUG_WITH_<IDE> is true; False is the same as the flag left out."""
    debug_with: Value[str] | None = None
    for flag, entry in entries.items():
        if flag not in DEBUG_WITH_FLAGS or not _setting_of_entry(loader, entry, Boolean()).value:
            continue
        if debug_with is not None and debug_with.value != DEBUG_WITH_FLAGS[flag].name:
            raise LaunchError(
                f"{entry.origin}: {flag} asks for {DEBUG_WITH_FLAGS[flag].name}, but"
                f" {debug_with.origin} asks for {debug_with.value}. Set one of the two flags to"
                " False"
            )
        debug_with = debug_with or Value(DEBUG_WITH_FLAGS[flag].name, entry.origin)
    return debug_with


def _debugger_of(name: str) -> str:
    return next((d.name for d in DEBUGGERS.values() if name in (d.name, *d.ides)), name)


def _refuse_misspelt_flag(key: str, entry: YamlEntry) -> None:
    """Unknown keys of the app's block are the app's, but a misspelt flag would go unnoticed."""
    is_right = key in DEBUG_WITH_FLAGS or key == "DEBUG"
    if is_right or not ("DEBUG" in key.upper() or "WITH" in key.upper()):
        return
    if key == "DEBUG_WITH":
        raise LaunchError(
            f"{entry.origin}: {key} is the launcher's: move it below {YAML_BLOCK}:, or set a flag"
            " such as DEBUG_WITH_VSCODE here"
        )
    nearest_flag = nearest(key.upper(), [*DEBUG_WITH_FLAGS, "DEBUG"], cutoff=0.85)
    if nearest_flag:
        raise LaunchError(
            f"{entry.origin}: {entry.label} looks like {nearest_flag}. If it is meant, write"
            f" {nearest_flag}; a key of the app's own needs another name"
        )


def _did_you_mean_or_all(name: str, known_names: Mapping[str, object]) -> str:
    return did_you_mean(
        name, known_names, ". There are: " + ", ".join(known_names) if known_names else ""
    )


def _syntax_error(yaml_file: Path, error: yaml.MarkedYAMLError) -> LaunchError:
    mark = error.problem_mark or error.context_mark
    place = (
        f"{Origin.line(yaml_file, mark.line + 1)}:{mark.column + 1}"
        if mark
        else shown_path(yaml_file)
    )
    problem = " ".join(filter(None, (error.context, error.problem)))
    return LaunchError(f"{place}: not valid YAML: {problem}{_syntax_hint(problem)}")


def _syntax_hint(problem: str) -> str:
    if r"'\t'" in problem:
        return ". Indent with spaces instead of the tab"
    if "could not find expected ':'" in problem or "mapping values are not allowed" in problem:
        return ". Check the indentation, and the space after each colon"
    return ""


def _line_of_node(node: Node) -> int:
    return int(node.start_mark.line) + 1


def _place_of_node(yaml_file: Path, node: Node) -> Origin:
    return Origin.line(yaml_file, _line_of_node(node))


def _kind_of_node(node: Node) -> str:
    if isinstance(node, MappingNode):
        return "a mapping"
    if isinstance(node, ScalarNode):
        return f"the single value {redacted_repr(node.value)}"
    return "a list"
