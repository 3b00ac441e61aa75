"""The command line: the values of the flags, and a command line for given settings."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask_debuglaunch.configuration.setting_types import PathMappings, Paths, not_fitting
from flask_debuglaunch.configuration.settings import (
    DECLARATIONS,
    Declaration,
    Settings,
    values_of,
)
from flask_debuglaunch.configuration.value_origins import Origin, Value
from flask_debuglaunch.errors import LaunchError

Given = bool | str | tuple[str, ...]


def read_argv(given: Mapping[str, Given], base: Path) -> dict[str, Value[Any]]:
    """The settings that flags gave: a bool for an on/off flag, else its text or texts.

    Raises LaunchError, naming the flag, for a text that does not fit.
    """
    return {name: _value(DECLARATIONS[name], raw, base) for name, raw in given.items()}


def to_argv(settings: Settings) -> list[str]:
    """The command line that gives these settings again; defaults are left out.

    The inverse of parsing: reading the result yields the same values.
    """
    argv = ["--config", str(settings.config_file)] if settings.config_file else []
    for declaration, value in values_of(settings):
        if not value.is_default:
            argv += _flag_with_value(declaration, value.value)
    return argv


def is_repeatable(declaration: Declaration) -> bool:
    """Lists and mappings may be given piece by piece, a flag each."""
    return isinstance(declaration.kind, (Paths, PathMappings))


def _flag_with_value(declaration: Declaration, value: Any) -> list[str]:
    if isinstance(value, bool) and declaration.is_switch:
        off = [declaration.off_flag] if declaration.off_flag else []
        return [declaration.flag] if value else off
    if value is None and declaration.off_flag:
        return []  # "auto" has no flag: it is what no flag means
    text = declaration.kind.to_text(value)
    return [f"{declaration.flag}={text}"] if text else []


def _value(declaration: Declaration, raw: Given, base: Path) -> Value[Any]:
    if isinstance(raw, bool):
        flag = declaration.flag if raw else declaration.off_flag or declaration.flag
        return Value(raw, Origin.flag(flag))
    origin = Origin.flag(declaration.flag)
    if isinstance(raw, str):
        return Value(_parsed(declaration, raw, base), origin)
    return Value(tuple(item for text in raw for item in _parsed(declaration, text, base)), origin)


def _parsed(declaration: Declaration, text: str, base: Path) -> Any:
    try:
        return declaration.kind.from_text(text, base)
    except ValueError:
        raise LaunchError(
            f"argv:{declaration.flag}: {not_fitting(declaration.kind, text)}"
        ) from None
