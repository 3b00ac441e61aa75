"""What a gunicorn configuration file says of the app.

It is a program, so it is executed: alone, in a process of its own, only after that was said, and
never with more rights than whoever owns the file has; nothing of the app is imported but by it.
Names and kinds: https://docs.gunicorn.org/en/stable/settings.html
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from flask_debuglaunch.configuration.value_origins import Origin, Value
from flask_debuglaunch.deployment.deployed_app import DEFAULT_UMASK, UNKNOWN, Deployed
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.redaction import redacted_repr
from flask_debuglaunch.terminal_messages import say, shown_path

SECONDS = 30.0
NAMES = ("chdir", "raw_env", "user", "group", "umask", "pythonpath", "wsgi_app")
# As gunicorn's own: the module's name, and no folder of ours on sys.path. What the file prints
# goes to stderr.
_PROGRAM = """
import importlib.util, json, os, sys
file, names = sys.argv[1], sys.argv[2:]
answer = os.dup(1)
os.dup2(2, 1)
spec = importlib.util.spec_from_file_location("__config__", file)
module = importlib.util.module_from_spec(spec)
sys.modules["__config__"] = module
spec.loader.exec_module(module)
given = {name: vars(module)[name] for name in names if name in vars(module)}
os.write(answer, json.dumps(given, default=repr).encode())
"""


def read_gunicorn_config(named: Value[str]) -> Deployed:
    """Raises LaunchError where there is no such file, it fails, or a value is of no use."""
    file = Path(named.value).absolute()
    if not file.is_file():
        raise LaunchError(f"{named.origin}: there is no file {shown_path(file)}")
    say(f"Executes {shown_path(file)}, alone, for what it says of the app")
    given = _Given(_execute(file, named.origin), Origin(shown_path(file)))
    folder = given.text("chdir")
    return Deployed(
        service=shown_path(file),
        user=given.name("user"),
        group=given.name("group"),
        umask=given.umask(),
        working_directory=_folder(folder, file),
        app=given.text("wsgi_app"),
        environment=dict(given.environment()),
        notes=tuple(_notes(given, file)),
    )


class _Given:
    """What the file gives, each value checked for its kind."""

    def __init__(self, values: Mapping[str, Any], origin: Origin) -> None:
        self._values, self._file = values, origin

    def origin(self, name: str) -> Origin:
        return Origin(f"{self._file}:{name}")

    def text(self, name: str) -> Value[str | None]:
        value = self._values.get(name)
        if value is None or value == "":
            return UNKNOWN
        if not isinstance(value, str):
            raise self._unfit(name, "a text")
        return Value(value, self.origin(name))

    def name(self, name: str) -> Value[str | None]:
        """An account or a group, by its name or its number."""
        value = self._values.get(name)
        if isinstance(value, int) and not isinstance(value, bool):
            return Value(str(value), self.origin(name))
        return self.text(name)

    def umask(self) -> Value[int]:
        value = self._values.get("umask")
        if value is None:
            return DEFAULT_UMASK
        if isinstance(value, str) and re.fullmatch(r"0[0-7]*", value):  # gunicorn's auto_int
            value = int(value, 8)
        if isinstance(value, bool) or not isinstance(value, int):
            raise self._unfit("umask", "a number such as 0o022")
        return Value(value, self.origin("umask"))

    def environment(self) -> Iterator[tuple[str, Value[str]]]:
        pairs = self._values.get("raw_env") or []
        if not isinstance(pairs, list) or not all(isinstance(one, str) for one in pairs):
            raise self._unfit("raw_env", 'a list of texts such as "NAME=value"')
        for pair in pairs:
            name, equals, text = pair.partition("=")
            if not equals:
                raise self._unfit("raw_env", 'a list of texts such as "NAME=value"')
            yield name, Value(text, self.origin("raw_env"))
        path = self.text("pythonpath")
        if path.value:
            folders = [str(Path(one).absolute()) for one in path.value.split(",") if one]
            yield "PYTHONPATH", Value(os.pathsep.join(folders), path.origin)

    def _unfit(self, name: str, expected: str) -> LaunchError:
        value = self._values[name]
        return LaunchError(f"{self.origin(name)}: must be {expected}, not {redacted_repr(value)}")


def _folder(chdir: Value[str | None], file: Path) -> Value[Path | None]:
    """gunicorn is usually started where its file is."""
    if chdir.value is None:
        return Value(file.parent, Origin("the file's folder"))
    return Value(Path.cwd() / chdir.value, chdir.origin)


def _notes(given: _Given, file: Path) -> Iterator[str]:
    if given.name("user").value is None and hasattr(os, "geteuid") and os.geteuid() == 0:
        yield f"{shown_path(file)} names no user: this runs as root"


def _execute(file: Path, asked: Origin) -> Mapping[str, Any]:
    command = [sys.executable, "-c", _PROGRAM, str(file), *NAMES]
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=SECONDS,
            env=Deployed().environ(os.environ), **_rights_of_owner(file),
        )  # fmt: skip
        given: Any = json.loads(done.stdout) if done.returncode == 0 else None
    except subprocess.TimeoutExpired:
        raise LaunchError(
            f"{asked}: {shown_path(file)} has not ended within {SECONDS:g} s"
        ) from None
    except (OSError, ValueError) as error:
        raise LaunchError(f"{asked}: {shown_path(file)} can't be executed: {error}") from None
    if given is None:
        lines = done.stderr.decode(errors="replace").strip().splitlines()
        why = lines[-1] if lines else f"exit status {done.returncode}"
        raise LaunchError(f"{asked}: {shown_path(file)} fails: {why}")
    return dict(given)


def _rights_of_owner(file: Path) -> dict[str, Any]:
    """Whoever can write the file must not become root by it."""
    status = file.stat()
    if sys.platform == "win32" or os.geteuid() != 0 or status.st_uid == 0:
        return {}
    return {"user": status.st_uid, "group": status.st_gid, "extra_groups": []}
