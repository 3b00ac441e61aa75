"""Keep Python 3.15 from importing the app again while it shows that a module is missing.

For a missing submodule its `traceback` imports the package around it, to look for a build of the
module for another Python. A package whose import has failed would run again, and its error would
leave `traceback`, and every server's and logger's call of it, in place of the text.
"""

from __future__ import annotations

import sys
import traceback
from typing import Any

LOOK = "_find_incompatible_extension_module"


def look_only_in_imported_packages() -> None:
    """From now on, have `traceback` look only into packages that have been imported."""
    look: Any = getattr(traceback, LOOK, None)
    if look is None or hasattr(look, "is_ours"):
        return

    def look_there(module: str | None) -> str | None:
        package = (module or "").rpartition(".")[0]
        found: str | None = look(module) if not package or package in sys.modules else None
        return found

    vars(look_there)["is_ours"] = True
    setattr(traceback, LOOK, look_there)
