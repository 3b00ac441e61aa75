"""Keep Python from running the old code of a file that was just saved."""

from __future__ import annotations

import contextlib
import importlib.util
import os
from collections.abc import Iterable


def forget_bytecode(files: Iterable[str]) -> None:
    """Remove the cached bytecode of changed files.

    Python takes it for fresh if the source's size and its time in whole seconds are the same
    (importlib's SourceLoader): two saves within a second, the second with as many letters, and the
    first one's code would run. A reload by the second never met that; ours is faster.
    """
    for file in files:
        if file.endswith(".py"):
            with contextlib.suppress(OSError, NotImplementedError):
                os.remove(importlib.util.cache_from_source(file))
