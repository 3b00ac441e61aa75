"""The README says what the program says."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flask_debuglaunch.configuration.settings import DECLARATIONS, Declaration, Settings

from .readme.first_session import PICTURE, draw, play, words_of

README = Path(__file__).parents[1] / "README.md"


def option_row(declaration: Declaration) -> str:
    value = getattr(Settings(), declaration.name)
    text = declaration.type.to_text(value.value)
    default = f"`{text}`" if text not in ("", "[]", "{}") else ""
    flags = ", ".join(
        f"`{flag}`"
        for flag in (declaration.short_flag, declaration.flag, declaration.off_flag)
        if flag
    )
    name = f"`{declaration.key}`" if declaration.in_files else "only as a flag"
    if declaration.name == "debug":
        name = "`DEBUG` of the app's block"
    return f"| {name} | {flags} | {default} | {declaration.description} |"


def test_the_table_of_options_is_the_declaration() -> None:
    rows = ["| name | flag | default | meaning |", "|---|---|---|---|"]
    table = "\n".join([*rows, *(option_row(one) for one in DECLARATIONS.values())])
    text = README.read_text(encoding="utf-8")
    found = re.search(r"<!-- options -->\n(.*)\n<!-- /options -->", text, re.DOTALL)
    assert found is not None
    assert found[1] == table, f"the table should be:\n{table}"


@pytest.mark.parametrize("target", [".", '".[test]"'])
def test_the_two_commands_set_everything_up(target: str) -> None:
    commands = re.findall(r"```sh\n(.*?)\n```", README.read_text(encoding="utf-8"), re.DOTALL)
    assert len(commands) == 2
    assert any(f"pip install -e {target} " in command for command in commands)


@pytest.mark.slow
def test_the_picture_is_a_session_of_today(tmp_path: Path) -> None:
    """python -m tests.readme.first_session draws it anew."""
    assert words_of(PICTURE.read_text(encoding="utf-8")) == words_of(draw(play(tmp_path)))


def test_nothing_of_the_readme_is_said_twice() -> None:
    """As merges now and then leave it."""
    paragraphs = README.read_text(encoding="utf-8").split("\n\n")
    assert [text for text in paragraphs if paragraphs.count(text) > 1 and len(text) > 80] == []
