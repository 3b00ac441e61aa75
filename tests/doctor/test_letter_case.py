"""A name in the wrong case, on a file system that takes it: Python and debuggers do not."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..apps.project import LAUNCHER
from ..support.letter_case import where_case_does_not_count
from .clinic import APP, findings, only, write


@pytest.mark.parametrize(
    ("imports", "arguments", "check", "what", "fix"),
    [
        ("shop", ["Shop/views.py:1"], "breakpoint", "the file is spelt otherwise on disk", "Open shop/views.py in the IDE"),
        ("shop", ["shop/Views.py:1"], "breakpoint", "the file is spelt otherwise on disk", "Open shop/views.py in the IDE"),
        ("Shop", ["shop/views.py:1"], "breakpoint", "the imported file is spelt shop/views.py on disk", "in the import statement"),
        ("shop", ["--app", "App.py:app"], "app", "spelt app.py on disk", "--app app:app"),
        ("shop", ["--app", "Shop.views"], "app", "spelt shop/views.py on disk", "--app shop.views"),
    ],
    ids=["folder", "file", "import", "app", "dotted app"],
)  # fmt: skip
def test_the_wrong_case(
    tmp_path: Path, imports: str, arguments: list[str], check: str, what: str, fix: str
) -> None:
    shop = {"shop/__init__.py": "", "shop/views.py": "x = 1\n"}
    folder = write(tmp_path / "project", {"app.py": f"import {imports}.views\n{APP}", **shop})
    contain = where_case_does_not_count(folder)
    everything = findings(tmp_path, *arguments, command=[*contain, *LAUNCHER])
    found = only(everything, check)
    assert what in found["what"]
    assert fix in found["fix"]
    assert "is on a file system (fuse" in only(everything, "no-file-events")["what"]
