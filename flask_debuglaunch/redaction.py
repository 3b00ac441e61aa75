"""Nothing secret, and nothing endless, in what is printed, logged, shown or written."""

from __future__ import annotations

import re
import reprlib

LONGEST = 4000
"""Characters of one text that are shown: what is longer than a screen nobody reads."""

# In a name of several words (api_token, userPassword), one of these.
SECRET_NAMES = (
    "secret", "password", "passwd", "passphrase", "passcode", "token", "credential", "apikey",
    "accesskey", "privatekey", "signingkey", "encryptionkey", "sshkey", "authorization",
)  # fmt: skip
# As a whole word only: "author" and "compass" are no secrets.
SECRET_WORDS = {"pwd", "pw", "pass", "auth"}

# With one slash where a URL was taken for a path.
_URL_PASSWORD = re.compile(r"(:/{1,2}[^/\s:@'\"]*):[^\s'\"]*@")
# `name=`, `name: `, `"name": `; backslashes where a text with quotes was quoted again.
_NAMED = re.compile(r"(?<![\w-])([\w-]+)\\?['\"]?\s*[=:]\s*")
_TEXT = r"[rbfuRBFU]{0,2}\\?(?:'(?:[^'\\]|\\.)*(?:'|$)|\"(?:[^\"\\]|\\.)*(?:\"|$))"
_GROUP = r"(?:\([^()]*(?:\([^()]*\)[^()]*)*(?:\)|$)|\[[^\]]*(?:\]|$)|\{[^}]*(?:\}|$))"
_ONE = rf"(?:{_TEXT}|{_GROUP}|(?:(?:Bearer|Basic)\s+)?[^\s,;&)\]}}]+)"
# The expression after the name, also where it is put together of several.
_VALUE = re.compile(rf"{_ONE}(?:\s*[+%]\s*{_ONE}|\s+{_TEXT})*", re.DOTALL)


def redact(text: str) -> str:
    """The text with *** for the passwords, tokens and keys in it, cut where it is very long.

    Cut first: what follows the cut might be the rest of a secret.
    """
    safe, left_out = _without_secrets(text[:LONGEST]), len(text) - LONGEST
    return f"{safe} ... ({left_out:,} more characters)" if left_out > 0 else safe


def redact_value(name: str, value: str) -> str:
    """The value of a variable, or *** where its name says that it is a secret."""
    return "***" if _is_secret(name) else redact(value)


class _RedactedRepr(reprlib.Repr):
    def repr_str(self, text: str, level: int) -> str:
        return super().repr_str(redact(text), level)  # of a part nobody knows what it was

    def repr_int(self, number: int, level: int) -> str:
        # Python refuses to print one of more than 4,300 digits.
        return super().repr_int(number, level) if number.bit_length() < 1000 else "a huge number"


_REDACTED_REPR = _RedactedRepr()
_REDACTED_REPR.maxlevel = 2  # an alias bomb is small in memory and endless in print


def redacted_repr(value: object) -> str:
    """The value in Python's notation, short enough for a message, without its secrets."""
    return _REDACTED_REPR.repr(value)


def holds_secret(text: str) -> bool:
    """Is there anything to redact, as far as it would be shown?"""
    return _without_secrets(text[:LONGEST]) != text[:LONGEST]


def _without_secrets(text: str) -> str:
    text = _URL_PASSWORD.sub(r"\1:***@", text)
    parts, end = [], 0
    for named in _NAMED.finditer(text):
        value = _VALUE.match(text, named.end())
        if named.start() >= end and value and _is_secret(named[1]):
            parts += [text[end : named.end()], "***"]
            end = value.end()
    return "".join([*parts, text[end:]])


def _is_secret(name: str) -> bool:
    words = [one.lower() for one in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
    return bool(SECRET_WORDS & set(words)) or any(one in "".join(words) for one in SECRET_NAMES)
