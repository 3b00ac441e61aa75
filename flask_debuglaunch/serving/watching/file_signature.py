"""What of a file tells whether it is still the same: to us, and to Python, which looks less closely
before it runs the bytecode that it has kept.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Collection, Iterable, Mapping
from operator import attrgetter

Signature = tuple[int, int, int]
_signature_of_status = attrgetter("st_mtime_ns", "st_size", "st_ino")


def signature(path: str) -> Signature | None:
    """Differs when a file's content, or what a folder holds, may differ; None for what is not
    there. Of a link, that of what it leads to."""
    try:
        file_signature: Signature = _signature_of_status(os.stat(path))
    except (OSError, ValueError):  # ValueError: a name with a NUL
        return None
    return file_signature


def signature_of_file(path: str) -> Signature | None:
    """The same, but None for a folder."""
    return None if os.path.isdir(path) else signature(path)


def signatures_in_turn(paths: Collection[str]) -> list[Signature | None]:
    """The same of many, in their order. As they are polled by the thousand, Python takes no step
    of its own for each of them, unless one is not there."""
    try:
        return list(map(_signature_of_status, map(os.stat, paths)))
    except (OSError, ValueError):
        return list(map(signature, paths))


def signatures(files: Iterable[str]) -> dict[str, Signature | None]:
    return {file: signature(file) for file in files}


def changed_since(signatures_before: Mapping[str, Signature | None]) -> frozenset[str]:
    """Those of the files that may differ from what they were."""
    return frozenset(
        file
        for file, signature_before in signatures_before.items()
        if signature(file) != signature_before
    )


def forget_bytecode(changed_files: Iterable[str]) -> None:
    """Remove the cached bytecode of changed files.

    Python takes it for fresh if the source's size and its time in whole seconds are the same
    (importlib's SourceLoader): two saves within a second, the second with as many letters, and the
    first one's code would run. A reload by the second never met that; ours is faster.
    """
    for source_file in changed_files:
        if source_file.endswith(".py"):
            with contextlib.suppress(OSError, NotImplementedError):
                os.remove(importlib.util.cache_from_source(source_file))
