"""What a test needs and not every environment has.

A missing part skips the tests of that part, with the reason. Where a part must be there, as in
CI, the variable TESTS_REQUIRE names it (comma separated: debugpy,pydevd,pydevd-pycharm,eclipse,
vscode,chromium,containers,mod_wsgi,letter-case,windows) and turns the skip into a failure.
"""

from __future__ import annotations

import importlib.metadata
import os

import pytest

VARIABLE = "TESTS_REQUIRE"


def require(part: str, *, missing: str | None) -> None:
    """Skip the test, or fail it, if the part is missing; missing: what is wrong, None if nothing.

    require("chromium", missing=None if shutil.which("chromium") else "no chromium on the PATH")
    """
    if missing is None:
        return
    if part in must_be_there():
        pytest.fail(f"{VARIABLE} names {part}, but {missing}")
    pytest.skip(missing)


def must_be_there() -> set[str]:
    return {name.strip() for name in os.environ.get(VARIABLE, "").split(",") if name.strip()}


def require_debugger(name: str) -> None:
    """name: that of its distribution; pydevd and pydevd-pycharm cannot both be installed."""
    require(name, missing=None if is_installed(name) else f"{name} is not installed")


def is_installed(distribution: str) -> bool:
    try:
        importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return False
    return True
