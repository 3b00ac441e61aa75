"""A value and where it came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from flask_debuglaunch.terminal_messages import shown_path

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
        return cls(f"{shown_path(file)}:{line}", file)

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
