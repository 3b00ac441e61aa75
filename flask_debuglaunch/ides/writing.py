"""stand-in"""

from pathlib import Path


def read(path: Path) -> "str | None":
    return path.read_bytes().decode() if path.exists() else None


def write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode())
