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

LARGEST = 2**63
"""Beyond it, the system's functions take no number."""


def encode(message: Any) -> bytes:
    """The name of its class, and its fields."""
    named = {"class": type(message).__name__, "fields": _plain(message)}
    return json.dumps(named, allow_nan=False).encode()


def decode(content: bytes, expected: Collection[type]) -> Any:
    """An object of one of these classes. Raises ValueError for anything else."""
    try:
        named = json.loads(content)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(named, dict) or named.keys() != {"class", "fields"}:
        raise ValueError("expected a class and its fields")
    known = next((one for one in expected if one.__name__ == named["class"]), None)
    if known is None:
        raise ValueError("no class that is expected here")
    return _typed(named["fields"], known)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        return {one.name: _plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, (tuple, frozenset)):
        return [_plain(one) for one in value]
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    return str(value) if isinstance(value, Path) else value


def _typed(plain: Any, wanted: Any) -> Any:
    """The value of this type that the plain data stands for."""
    origin, arguments = get_origin(wanted) or wanted, get_args(wanted)
    if origin in (Union, types.UnionType):
        return _first_fitting(plain, arguments)
    if dataclasses.is_dataclass(origin):
        return _object(plain, origin, arguments)
    if origin is tuple:
        return tuple(_items(plain, arguments))
    if origin is frozenset:
        return frozenset(_typed(one, arguments[0]) for one in _list(plain))
    if origin in (dict, Mapping):
        name_type, item_type = arguments
        return {_typed(name, name_type): _typed(one, item_type) for name, one in _pairs(plain)}
    return _scalar(plain, origin)


def _scalar(plain: Any, wanted: Any) -> Any:
    if wanted is type(None) and plain is None:
        return None
    if wanted in (str, bool) and type(plain) is wanted:
        return plain
    is_number = type(plain) in (int, float) and -LARGEST < plain < LARGEST  # no NaN, no infinity
    if is_number and (wanted is float or (wanted is int and type(plain) is int)):
        return wanted(plain)
    if wanted in (Path, bytes) and type(plain) is str:
        return Path(plain) if wanted is Path else base64.b64decode(plain, validate=True)
    raise ValueError(f"expected {wanted}, not {type(plain)}")


def _first_fitting(plain: Any, types_: Collection[Any]) -> Any:
    for one in types_:
        try:
            return _typed(plain, one)
        except ValueError:
            continue
    raise ValueError(f"fits none of {types_}")


def _object(plain: Any, wanted: Any, arguments: tuple[Any, ...]) -> Any:
    hints = _hints(wanted)
    if not isinstance(plain, dict) or plain.keys() != hints.keys():
        raise ValueError(f"expected the fields of {wanted.__name__}")
    # A hint may be the type variable of a generic class: Value[int].
    filled_in = dict(zip(getattr(wanted, "__parameters__", ()), arguments, strict=True))
    return wanted(
        **{name: _typed(plain[name], filled_in.get(hint, hint)) for name, hint in hints.items()}
    )


@lru_cache
def _hints(wanted: type) -> dict[str, Any]:
    hints = get_type_hints(wanted)
    return {one.name: hints[one.name] for one in dataclasses.fields(wanted)}


def _items(plain: Any, arguments: tuple[Any, ...]) -> Iterator[Any]:
    items = _list(plain)
    each = [arguments[0]] * len(items) if arguments[1:] == (...,) else list(arguments)
    if len(each) != len(items):
        raise ValueError(f"expected {len(each)} items")
    return (_typed(one, wanted) for one, wanted in zip(items, each, strict=True))


def _list(plain: Any) -> list[Any]:
    if not isinstance(plain, list):
        raise ValueError("expected a list")
    return plain


def _pairs(plain: Any) -> Collection[tuple[Any, Any]]:
    if not isinstance(plain, dict):
        raise ValueError("expected a mapping")
    return plain.items()
