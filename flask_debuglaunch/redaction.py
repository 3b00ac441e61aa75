"""Nothing secret, and nothing endless, in what is printed, logged, shown or written."""

from __future__ import annotations

import re
import reprlib

LONGEST_SHOWN_TEXT = 4000
"""Characters of one text that are shown: what is longer than a screen nobody reads."""

# In a name of several words (api_token, userPassword), one of these.
SECRET_NAMES = (
    "secret", "password", "passwd", "passphrase", "passcode", "token", "credential", "apikey",
    "accesskey", "privatekey", "signingkey", "encryptionkey", "sshkey", "authorization",
)  # fmt: skip
# As a whole word only: "author" and "compass" are no secrets.
SECRET_WORDS = {"pwd", "pw", "pass", "auth"}

# With one slash where a URL was taken for a path.
_PASSWORD_IN_URL = re.compile(r"(:/{1,2}[^/\s:@'\"]*):[^\s'\"]*@")
# `name=`, `name: `, `"name": `; backslashes where a text with quotes was quoted again.
_NAME_BEFORE_VALUE = re.compile(r"(?<![\w-])([\w-]+)\\?['\"]?\s*[=:]\s*")
_QUOTED_TEXT = r"[rbfuRBFU]{0,2}\\?(?:'(?:[^'\\]|\\.)*(?:'|$)|\"(?:[^\"\\]|\\.)*(?:\"|$))"
_BRACKETED_GROUP = r"(?:\([^()]*(?:\([^()]*\)[^()]*)*(?:\)|$)|\[[^\]]*(?:\]|$)|\{[^}]*(?:\}|$))"
_ONE_VALUE = rf"(?:{_QUOTED_TEXT}|{_BRACKETED_GROUP}|(?:(?:Bearer|Basic)\s+)?[^\s,;&)\]}}]+)"
# The expression after the name, also where it is put together of several.
_SECRET_VALUE = re.compile(rf"{_ONE_VALUE}(?:\s*[+%]\s*{_ONE_VALUE}|\s+{_QUOTED_TEXT})*", re.DOTALL)


def redact(text: str) -> str:
    """The text with *** for the passwords, tokens and keys in it, cut where it is very long.

    Cut first: what follows the cut might be the rest of a secret.
    """
    redacted = _without_secrets(text[:LONGEST_SHOWN_TEXT])
    left_out = len(text) - LONGEST_SHOWN_TEXT
    return f"{redacted} ... ({left_out:,} more characters)" if left_out > 0 else redacted


def redact_value(name: str, value: str) -> str:
    """The value of a variable, or *** where its name says that it is a secret."""
    return "***" if _is_name_of_secret(name) else redact(value)


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
    return _without_secrets(text[:LONGEST_SHOWN_TEXT]) != text[:LONGEST_SHOWN_TEXT]


def _without_secrets(text: str) -> str:
    text = _PASSWORD_IN_URL.sub(r"\1:***@", text)
    safe_parts, end_of_secret = [], 0
    for name_match in _NAME_BEFORE_VALUE.finditer(text):
        secret_value = _SECRET_VALUE.match(text, name_match.end())
        if name_match.start() < end_of_secret:
            continue
        if secret_value and _is_name_of_secret(name_match[1]):
            safe_parts += [text[end_of_secret : name_match.end()], "***"]
            end_of_secret = secret_value.end()
    return "".join([*safe_parts, text[end_of_secret:]])


def _is_name_of_secret(name: str) -> bool:
    words = [word.lower() for word in re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)]
    return bool(SECRET_WORDS & set(words)) or any(word in "".join(words) for word in SECRET_NAMES)
