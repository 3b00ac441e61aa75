"""How the IDEs split a line of arguments, written again from their sources for the tests.

Eclipse's own splitting for POSIX runs in test_eclipse.py as well; the others run nowhere else.
"""

from __future__ import annotations

import re


def as_pydev(line: str) -> list[str]:
    """PyDev on POSIX: ProcessUtils.parseArgumentsImpl (org.python.pydev.shared_core.process)."""
    token = re.compile(r"""(?:"(?:\\[\\"]|[^"])*"|'[^']*'|\\.|[^\s"'\\])+""", re.DOTALL)
    return [_unquoted_posix(part) for part in token.findall(line)]


def _unquoted_posix(part: str) -> str:
    pieces = re.findall(r"""("(?:\\[\\"]|[^"])*")|'([^']*)'|\\(.)|([^\s"'\\])""", part, re.DOTALL)
    return "".join(
        re.sub(r'\\([\\"])', r"\1", double[1:-1]) + single + escaped + plain
        for double, single, escaped, plain in pieces
    )


def as_windows(line: str) -> list[str]:
    """PyDev on Windows: ProcessUtils.parseArgumentsWindows, the rules of Microsoft's C runtime."""
    arguments: list[str] = []
    current: list[str] | None = None
    quoted = False
    for backslashes, character in re.findall(r"(\\*)([^\\]|\Z)", line, re.DOTALL):
        if character == '"':
            half, odd = divmod(len(backslashes), 2)
            current = [*(current or []), "\\" * half, '"' * odd]
            quoted = quoted if odd else not quoted
            continue
        if backslashes:
            current = [*(current or []), backslashes]
        if quoted or (character and not character.isspace()):
            current = [*(current or []), character]
        elif current is not None:
            arguments.append("".join(current))
            current = None
    return arguments


def as_pycharm(line: str) -> list[str]:
    """ParametersListUtil.parse (com.intellij.util.execution)."""
    arguments: list[str] = []
    current, quoted, begun, escaped = "", False, False, False
    for index, character in enumerate(line.strip()):
        following = line.strip()[index + 1 : index + 2]
        if character == '"' and not escaped:
            quoted, begun = not quoted, True
        elif character == "\\" and following == '"':
            escaped = True
            continue
        elif character.isspace() and not quoted:
            if current or begun:
                arguments.append(current)
            current, begun = "", False
        else:
            current += character
        escaped = False
    return [*arguments, current] if current or begun else arguments
