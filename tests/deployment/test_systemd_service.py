"""Unit files, their words and specifiers, and environment files, as systemd reads them."""

from __future__ import annotations

import pytest

from flask_debuglaunch.deployment.systemd_service import (
    expand_specifiers,
    systemd_environment_file,
    systemd_words,
    unit_file_assignments,
)

pytestmark = pytest.mark.quick


def test_a_unit_file() -> None:
    text = (
        "# a comment\n[Unit]\nDescription=Shop\n\n[Service]\nUser = shop\n"
        "ExecStart=/usr/bin/gunicorn \\\n# in between\n  --workers 2 \\\n  shop:app\n; another\nUMask=\n"
    )
    found = [(one.section, one.key, one.value, one.line) for one in unit_file_assignments(text)]
    assert found == [
        ("Unit", "Description", "Shop", 3),
        ("Service", "User", "shop", 6),
        ("Service", "ExecStart", "/usr/bin/gunicorn  --workers 2  shop:app", 7),
        ("Service", "UMask", "", 12),
    ]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('"VAR1=word1 word2" VAR2=word3 "VAR3=$word 5 6"', ["VAR1=word1 word2", "VAR2=word3", "VAR3=$word 5 6"]),
        ("A='b c' \"D=it's\"", ["A=b c", "D=it's"]),
        (r"A=\x41\s\101\u00e9\n B=\"", ["A=A Aé\n", 'B="']),
        ("''", [""]),
        ("  ", []),
    ],
)  # fmt: skip
def test_words(text: str, words: list[str]) -> None:
    assert systemd_words(text) == words


def test_specifiers() -> None:
    assert (
        expand_specifiers("/srv/%p-%i/100%%", {"p": "shop", "i": "blue"}) == "/srv/shop-blue/100%"
    )
    with pytest.raises(KeyError, match="z"):
        expand_specifiers("%z", {})


@pytest.mark.parametrize(
    ("line", "value"),
    [
        ("A=plain", "plain"),
        ("A = spaces around  ", "spaces around"),
        ("A=bar # no comment", "bar # no comment"),
        ("A='single $x \\n'", "single $x \\n"),
        ('A="double \\"quoted\\" \\$x \\n"', 'double "quoted" $x \\n'),
        ('A="one\ntwo"', "one\ntwo"),
        ("A=one \\\ntwo", "one two"),
        ("A=it's", "it's"),
        ("A='a'\"b\"", "ab"),
        ("A=back\\\\slash", "back\\slash"),
        ("A=a=b", "a=b"),
        ("A=", ""),
        ("; B=1\n#C=1\nA=ü", "ü"),
    ],
)
def test_an_environment_file(line: str, value: str) -> None:
    assert [(name, text) for name, text, _ in systemd_environment_file(line)] == [("A", value)]


def test_the_lines_of_an_environment_file() -> None:
    text = "# one\nno assignment\nA=1\nexport B=2\nC='\n\n'\nD=4\n"
    assert list(systemd_environment_file(text)) == [("A", "1", 3), ("C", "\n\n", 5), ("D", "4", 8)]
