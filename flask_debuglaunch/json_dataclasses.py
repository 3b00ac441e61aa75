"""Declared dataclasses as JSON, and back: only what their annotations allow comes out.

Not pickle, which runs what it reads: the supervisor may be root, and the app no longer. Own code,
because each process that is started has to import it: cattrs takes 0.2 s, seven times as long, and
what is compiled (msgspec, pydantic) can't be brought into a container that has another Python.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import types
from collections.abc import Collection, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, Union, get_args, get_origin, get_type_hints

LARGEST_NUMBER = 2**63
"""Beyond it, the system's functions take no number."""


def encode(message: Any) -> bytes:
    """The name of its class, and its fields."""
    class_and_fields = {"class": type(message).__name__, "fields": _json_value_of(message)}
    return json.dumps(class_and_fields, allow_nan=False).encode()


def decode(content: bytes, expected: Collection[type]) -> Any:
    """An object of one of these classes. Raises ValueError for anything else."""
    try:
        class_and_fields = json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(class_and_fields, dict) or class_and_fields.keys() != {"class", "fields"}:
        raise ValueError("expected a class and its fields")
    expected_class = next(
        (dataclass for dataclass in expected if dataclass.__name__ == class_and_fields["class"]),
        None,
    )
    if expected_class is None:
        raise ValueError("no class that is expected here")
    return _value_of_type(class_and_fields["fields"], expected_class)


def _json_value_of(python_value: Any) -> Any:
    if dataclasses.is_dataclass(python_value):
        return {
            field.name: _json_value_of(getattr(python_value, field.name))
            for field in dataclasses.fields(python_value)
        }
    if isinstance(python_value, (tuple, frozenset)):
        return [_json_value_of(item) for item in python_value]
    if isinstance(python_value, Mapping):
        return {str(name): _json_value_of(item) for name, item in python_value.items()}
    if isinstance(python_value, bytes):
        return base64.b64encode(python_value).decode()
    return str(python_value) if isinstance(python_value, Path) else python_value


def _value_of_type(json_value: Any, expected_type: Any) -> Any:
    """The value of this type that the plain data stands for."""
    origin, arguments = get_origin(expected_type) or expected_type, get_args(expected_type)
    if origin in (Union, types.UnionType):
        return _first_fitting_type(json_value, arguments)
    if dataclasses.is_dataclass(origin):
        return _dataclass_of_fields(json_value, origin, arguments)
    if origin is tuple:
        return tuple(_tuple_items(json_value, arguments))
    if origin is frozenset:
        return frozenset(_value_of_type(item, arguments[0]) for item in _json_array(json_value))
    if origin in (dict, Mapping):
        name_type, item_type = arguments
        return {
            _value_of_type(name, name_type): _value_of_type(item, item_type)
            for name, item in _json_object_items(json_value)
        }
    return _scalar_of_type(json_value, origin)


def _scalar_of_type(json_value: Any, expected_type: Any) -> Any:
    if expected_type is type(None) and json_value is None:
        return None
    if expected_type in (str, bool) and type(json_value) is expected_type:
        return json_value
    # No NaN, no infinity.
    is_number = type(json_value) in (int, float) and -LARGEST_NUMBER < json_value < LARGEST_NUMBER
    if is_number and (expected_type is float or (expected_type is int and type(json_value) is int)):
        return expected_type(json_value)
    if expected_type in (Path, bytes) and type(json_value) is str:
        is_path = expected_type is Path
        return Path(json_value) if is_path else base64.b64decode(json_value, validate=True)
    raise ValueError(f"expected {expected_type}, not {type(json_value)}")


def _first_fitting_type(json_value: Any, union_types: Collection[Any]) -> Any:
    for type_ in union_types:
        try:
            return _value_of_type(json_value, type_)
        except ValueError:
            continue
    raise ValueError(f"fits none of {union_types}")


def _dataclass_of_fields(
    json_value: Any, expected_type: Any, class_arguments: tuple[Any, ...]
) -> Any:
    field_types = _field_types(expected_type)
    if not isinstance(json_value, dict) or json_value.keys() != field_types.keys():
        raise ValueError(f"expected the fields of {expected_type.__name__}")
    # A hint may be the type variable of a generic class: Value[int].
    type_arguments = dict(
        zip(getattr(expected_type, "__parameters__", ()), class_arguments, strict=True)
    )
    return expected_type(
        **{
            name: _value_of_type(json_value[name], type_arguments.get(field_type, field_type))
            for name, field_type in field_types.items()
        }
    )


@lru_cache
def _field_types(dataclass: type) -> dict[str, Any]:
    field_types = get_type_hints(dataclass)
    return {field.name: field_types[field.name] for field in dataclasses.fields(dataclass)}


def _tuple_items(json_value: Any, arguments: tuple[Any, ...]) -> Iterator[Any]:
    items = _json_array(json_value)
    item_types = [arguments[0]] * len(items) if arguments[1:] == (...,) else list(arguments)
    if len(item_types) != len(items):
        raise ValueError(f"expected {len(item_types)} items")
    return (
        _value_of_type(item, item_type) for item, item_type in zip(items, item_types, strict=True)
    )


def _json_array(json_value: Any) -> list[Any]:
    if not isinstance(json_value, list):
        raise ValueError("expected a list")
    return json_value


def _json_object_items(json_value: Any) -> Collection[tuple[Any, Any]]:
    if not isinstance(json_value, dict):
        raise ValueError("expected a mapping")
    return json_value.items()
