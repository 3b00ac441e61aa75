"""Secrets are taken out of whatever is shown; the rest of it stays as it is."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.redaction import LONGEST_SHOWN_TEXT, holds_secret, redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("create_app(password='hunter2' + x)", "create_app(password=***)"),
        ("create_app(password='hunter2' 'hunter2', a=1)", "create_app(password=***, a=1)"),
        ("auth=('me', 'hunter2'), a=1", "auth=***, a=1"),
        ("private_key='hunter2', passphrase=hunter2", "private_key=***, passphrase=***"),
        ("pwd = hunter2, dbPassword=f'hunter2'", "pwd = ***, dbPassword=***"),
        ('{"api_token": "hunter2", "a": 1}', '{"api_token": ***, "a": 1}'),
        ("{'secret': ['hunter2', 'hunter2']}", "{'secret': ***}"),
        ("password='hunter2", "password=***"),
        ("Authorization: Bearer hunter2", "Authorization: ***"),
        ("postgres://me:hunter2@db/x and https://u:hun@ter2@h", "postgres://me:***@db/x and https://u:***@h"),
        ("https://h/?token=hunter2&a=1", "https://h/?token=***&a=1"),
    ],
)  # fmt: skip
def test_secrets(text: str, shown: str) -> None:
    assert redact(text) == shown
    assert redact(shown) == shown
    assert holds_secret(text)
    assert str(LaunchError(f"argv:--app: not {text}")).endswith(shown)


@pytest.mark.parametrize(
    "text",
    [
        "author=me, compass: north", "http://127.0.0.1:5000/x", "argv:--key: no such file: a.key",
        "create_app('dev', debug=True)", "PATH_MAPPINGS {'/a': '/b'}", "a token that is none",
    ],
)  # fmt: skip
def test_anything_else_stays(text: str) -> None:
    assert redact(text) == text
    assert not holds_secret(text)


names = st.sampled_from(["password", "SECRET_KEY", "db_passwd", "apiToken", "auth", "x-pwd"])
secrets = st.text(st.characters(codec="ascii", exclude_characters="*\n"), min_size=8).filter(
    lambda one: len(set(one)) > 4
)


@given(name=names, secret=secrets, quoted=st.sampled_from([repr, json.dumps]))
def test_no_literal_gets_through(name: str, secret: str, quoted: object) -> None:
    literal = repr(secret) if quoted is repr else json.dumps(secret)
    text = f"x:create_app(a=1, {name}={literal})"
    for one in (text, repr(text), json.dumps(text)):
        assert secret not in redact(one)
        assert literal[1:-1] not in redact(one)


@pytest.mark.parametrize(
    "piece", ["a='", "password=('", "://a:", "x", "password=", "(", "token: [{"]
)
def test_endless_texts_are_cut_before_anything_is_searched(piece: str) -> None:
    """However a pattern may behave, it sees no more than a screen."""
    assert len(redact(piece * 1_000_000)) < LONGEST_SHOWN_TEXT + 100
    assert redact("x" * (LONGEST_SHOWN_TEXT + 5)).endswith(" ... (5 more characters)")
