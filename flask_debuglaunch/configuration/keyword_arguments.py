"""The arguments of the Python API: settings by their names, already typed."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from flask_debuglaunch.configuration.settings import DECLARATIONS
from flask_debuglaunch.configuration.value_origins import Origin, Value
from flask_debuglaunch.configuration.value_types import not_fitting
from flask_debuglaunch.errors import LaunchError, did_you_mean


def read_arguments(options: Mapping[str, Any], base: Path) -> dict[str, Value[Any]]:
    """The settings that a call such as ``run(app, port=8000)`` gives; values as YAML has them.

    Raises LaunchError, naming the argument, for an unknown one or a value that does not fit.
    """
    return {name: _value(name, raw, base) for name, raw in options.items()}


def _value(name: str, raw: Any, base: Path) -> Value[Any]:
    declaration = DECLARATIONS.get(name)
    origin = Origin.call(name)
    if declaration is None:
        raise LaunchError(f"{origin}: no such setting{did_you_mean(name, DECLARATIONS)}")
    plain = list(raw) if isinstance(raw, tuple) else str(raw) if isinstance(raw, Path) else raw
    try:
        return Value(declaration.kind.from_yaml(plain, base), origin)
    except ValueError:
        raise LaunchError(f"{origin}: {not_fitting(declaration.kind, raw)}") from None
