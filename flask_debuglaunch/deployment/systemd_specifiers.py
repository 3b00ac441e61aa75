"""The specifiers of unit files, %n and the like (systemd.unit(5), "Specifiers")."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping

from flask_debuglaunch.deployment.systemd_unit_files import UnitName
from flask_debuglaunch.deployment.systemd_unit_parser import words_of


def with_specifiers(text: str, values: Mapping[str, str]) -> str:
    """%n and the like by their letters. Raises KeyError, with the letter, for one that is not
    known."""
    known = {"%": "%", **values}
    return re.sub(r"%(.)", lambda found: known[found[1]], text)


def specifier_values(name: UnitName) -> Mapping[str, str]:
    """Those of the system's manager, whose user is root, whatever the service's is."""
    instance = name.instance or ""
    unescaped = _unescaped(instance)
    return {
        "n": name.full, "N": name.full.removesuffix(".service"), "p": name.prefix,
        "P": _unescaped(name.prefix), "i": instance, "I": unescaped,
        "f": f"/{unescaped or _unescaped(name.prefix)}", "j": name.prefix.rpartition("-")[2],
        "u": "root", "U": "0", "g": "root", "G": "0", "h": "/root", "s": "/bin/sh",
        "t": "/run", "S": "/var/lib", "C": "/var/cache", "L": "/var/log", "E": "/etc",
        "T": "/tmp", "V": "/var/tmp", "H": os.uname().nodename, "v": os.uname().release,
        "l": os.uname().nodename.partition(".")[0],
    }  # fmt: skip


def _unescaped(text: str) -> str:
    """As systemd-escape --unescape: - is /, \\x2d a character."""
    return words_of(text.replace("-", "/"))[0] if text else ""
