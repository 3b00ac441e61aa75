"""pdb beside an attached debugger.

From Python 3.14 on `pdb.set_trace()` takes the one place that `sys.monitoring` has for debuggers,
and raises ValueError where another one has it already. Its older way, `sys.settrace`, works beside
that: as it does by itself on Python 3.12 and 3.13.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable


def let_pdb_trace() -> None:
    """From now on, where the place for debuggers is taken, let pdb trace in its older way."""
    if sys.version_info < (3, 14):
        return
    import bdb

    begin = bdb.Bdb.__init__
    if hasattr(begin, "is_ours"):
        return

    def begin_beside(
        pdb: bdb.Bdb, skip: Iterable[str] | None = None, backend: str = "settrace"
    ) -> None:
        is_taken = sys.monitoring.get_tool(sys.monitoring.DEBUGGER_ID) is not None
        begin(pdb, skip, "settrace" if is_taken else backend)

    vars(begin_beside)["is_ours"] = True
    setattr(bdb.Bdb, "__init__", begin_beside)  # noqa: B010 - mypy takes no other
