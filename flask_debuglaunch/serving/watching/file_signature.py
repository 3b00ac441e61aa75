"""What of a file tells whether it is still the same."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

Signature = tuple[int, int, int]


def signature(path: str) -> Signature | None:
    """Differs when a file's content, or what a folder holds, may differ; None for what is not
    there. Of a link, that of what it leads to."""
    try:
        status = os.stat(path)
    except (OSError, ValueError):  # ValueError: a name with a NUL
        return None
    return status.st_mtime_ns, status.st_size, status.st_ino


def signature_of_file(path: str) -> Signature | None:
    """The same, but None for a folder."""
    return None if os.path.isdir(path) else signature(path)


def signatures(files: Iterable[str]) -> dict[str, Signature | None]:
    return {file: signature(file) for file in files}


def changed_since(before: Mapping[str, Signature | None]) -> frozenset[str]:
    """Those of the files that may differ from what they were."""
    return frozenset(file for file, was in before.items() if signature(file) != was)
