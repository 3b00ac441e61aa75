"""Keep Python 3.15 from importing the app again while it shows that a module is missing.

For a missing submodule its `traceback` imports the package around it, to look for a build of the
module for another Python (`_find_incompatible_extension_module`). A package that could not be
imported then runs again, and its error leaves `traceback` in place of the text.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator


def without_import_for_hint(error: BaseException) -> BaseException:
    """The same error; what it says stays. To be called before its traceback is made into text."""
    if sys.version_info >= (3, 15):
        for one in _chain(error, set()):
            if isinstance(one, ModuleNotFoundError) and _package_of(one) not in sys.modules:
                one.name = None  # no name, no hint
    return error


def _package_of(error: ModuleNotFoundError) -> str:
    return (error.name or "").rpartition(".")[0] or "builtins"


def _chain(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    """The error and all that is shown with it: causes, contexts, members of groups."""
    if error is None or id(error) in seen:
        return
    seen.add(id(error))
    yield error
    members: tuple[BaseException, ...] = getattr(error, "exceptions", ())
    for one in (error.__cause__, error.__context__, *members):
        yield from _chain(one, seen)
