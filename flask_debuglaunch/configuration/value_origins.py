"""A value and where it came from."""

from __future__ import annotations

import os
import reprlib
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from flask_debuglaunch.redaction import redact

T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class Origin:
    """Where a value was given: ``config.yaml:4``, ``env:NAME``, ``argv:--flag`` or ``default``."""

    text: str
    file: Path | None = None

    def __str__(self) -> str:
        return self.text

    @classmethod
    def line(cls, file: Path, line: int) -> Origin:
        """A line, counted from 1, of a file."""
        return cls(f"{shown(file)}:{line}", file)

    @classmethod
    def environment(cls, name: str) -> Origin:
        return cls(f"env:{name}")

    @classmethod
    def flag(cls, flag: str) -> Origin:
        return cls(f"argv:{flag}")

    @classmethod
    def call(cls, argument: str) -> Origin:
        """An argument of the Python API: ``run(app, host=...)``."""
        return cls(f"call:{argument}")


DEFAULT = Origin("default")


@dataclass(frozen=True)
class Value(Generic[T_co]):
    """A setting's value together with its origin."""

    value: T_co
    origin: Origin = DEFAULT

    @property
    def is_default(self) -> bool:
        return self.origin == DEFAULT


class _Short(reprlib.Repr):
    def repr_str(self, value: str, level: int) -> str:
        return super().repr_str(redact(value), level)  # of a part nobody knows what it was

    def repr_int(self, value: int, level: int) -> str:
        # Python refuses to print one of more than 4,300 digits.
        return super().repr_int(value, level) if value.bit_length() < 1000 else "a huge number"


_SHORT = _Short()
_SHORT.maxlevel = 2  # an alias bomb is small in memory and endless in print


def found(value: object) -> str:
    """What was found in place of an expected value, short enough for a message."""
    return _SHORT.repr(value)


def shown(file: Path) -> str:
    """The file's path as a person would type it here: relative where it lies below this folder."""
    try:
        relative = os.path.relpath(file) if file.anchor == Path.cwd().anchor else str(file)
    except FileNotFoundError:  # this folder has been removed
        return str(file)
    return str(file) if relative.startswith(os.pardir) else relative
