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
from flask_debuglaunch.deployment.deployed_app import DEFAULT_UMASK, NOT_GIVEN, DeployedApp
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.redaction import redacted_repr
from flask_debuglaunch.terminal_messages import say, shown_path

CONFIG_FILE_SECONDS = 30.0
GUNICORN_SETTINGS = ("chdir", "raw_env", "user", "group", "umask", "pythonpath", "wsgi_app")
# As gunicorn's own: the module's name, and no folder of ours on sys.path. What the file prints
# goes to stderr.
_CONFIG_FILE_READER = """
import importlib.util, json, os, sys
file, names = sys.argv[1], sys.argv[2:]
answer = os.dup(1)
os.dup2(2, 1)
spec = importlib.util.spec_from_file_location("__config__", file)
module = importlib.util.module_from_spec(spec)
sys.modules["__config__"] = module
spec.loader.exec_module(module)
settings = {name: vars(module)[name] for name in names if name in vars(module)}
os.write(answer, json.dumps(settings, default=repr).encode())
"""


def read_gunicorn_config(as_service: Value[str]) -> DeployedApp:
    """Raises LaunchError where there is no such file, it fails, or a value is of no use."""
    config_file = Path(as_service.value).absolute()
    if not config_file.is_file():
        raise LaunchError(f"{as_service.origin}: there is no file {shown_path(config_file)}")
    say(f"Executes {shown_path(config_file)}, alone, for what it says of the app")
    gunicorn_settings = _GunicornSettings(
        _execute_config_file(config_file, as_service.origin), Origin(shown_path(config_file))
    )
    chdir = gunicorn_settings.text_setting("chdir")
    return DeployedApp(
        service=shown_path(config_file),
        user=gunicorn_settings.account_setting("user"),
        group=gunicorn_settings.account_setting("group"),
        umask=gunicorn_settings.umask_setting(),
        working_directory=_working_directory_of_gunicorn(chdir, config_file),
        app=gunicorn_settings.text_setting("wsgi_app"),
        environment=dict(gunicorn_settings.environment()),
        notes=tuple(_notes_on_config_file(gunicorn_settings, config_file)),
    )


class _GunicornSettings:
    """What the file gives, each value checked for its kind."""

    def __init__(self, gunicorn_settings: Mapping[str, Any], origin: Origin) -> None:
        self._gunicorn_settings, self._config_file = gunicorn_settings, origin

    def origin(self, setting_name: str) -> Origin:
        return Origin(f"{self._config_file}:{setting_name}")

    def text_setting(self, setting_name: str) -> Value[str | None]:
        text = self._gunicorn_settings.get(setting_name)
        if text is None or text == "":
            return NOT_GIVEN
        if not isinstance(text, str):
            raise self._error_for(setting_name, "a text")
        return Value(text, self.origin(setting_name))

    def account_setting(self, setting_name: str) -> Value[str | None]:
        """An account or a group, by its name or its number."""
        name_or_number = self._gunicorn_settings.get(setting_name)
        if isinstance(name_or_number, int) and not isinstance(name_or_number, bool):
            return Value(str(name_or_number), self.origin(setting_name))
        return self.text_setting(setting_name)

    def umask_setting(self) -> Value[int]:
        umask = self._gunicorn_settings.get("umask")
        if umask is None:
            return DEFAULT_UMASK
        if isinstance(umask, str) and re.fullmatch(r"0[0-7]*", umask):  # gunicorn's auto_int
            umask = int(umask, 8)
        if isinstance(umask, bool) or not isinstance(umask, int):
            raise self._error_for("umask", "a number such as 0o022")
        return Value(umask, self.origin("umask"))

    def environment(self) -> Iterator[tuple[str, Value[str]]]:
        raw_env = self._gunicorn_settings.get("raw_env") or []
        if not isinstance(raw_env, list) or not all(isinstance(pair, str) for pair in raw_env):
            raise self._error_for("raw_env", 'a list of texts such as "NAME=value"')
        for pair in raw_env:
            variable, equals, text = pair.partition("=")
            if not equals:
                raise self._error_for("raw_env", 'a list of texts such as "NAME=value"')
            yield variable, Value(text, self.origin("raw_env"))
        pythonpath = self.text_setting("pythonpath")
        if pythonpath.value:
            folders = [
                str(Path(folder).absolute()) for folder in pythonpath.value.split(",") if folder
            ]
            yield "PYTHONPATH", Value(os.pathsep.join(folders), pythonpath.origin)

    def _error_for(self, setting_name: str, expected: str) -> LaunchError:
        value = self._gunicorn_settings[setting_name]
        return LaunchError(
            f"{self.origin(setting_name)}: must be {expected}, not {redacted_repr(value)}"
        )


def _working_directory_of_gunicorn(
    chdir: Value[str | None], config_file: Path
) -> Value[Path | None]:
    """gunicorn is usually started where its file is."""
    if chdir.value is None:
        return Value(config_file.parent, Origin("the file's folder"))
    return Value(Path.cwd() / chdir.value, chdir.origin)


def _notes_on_config_file(gunicorn_settings: _GunicornSettings, config_file: Path) -> Iterator[str]:
    user = gunicorn_settings.account_setting("user")
    if user.value is None and hasattr(os, "geteuid") and os.geteuid() == 0:
        yield f"{shown_path(config_file)} names no user: this runs as root"


def _execute_config_file(config_file: Path, asked_by: Origin) -> Mapping[str, Any]:
    command = [sys.executable, "-c", _CONFIG_FILE_READER, str(config_file), *GUNICORN_SETTINGS]
    try:
        config_file_reader = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, timeout=CONFIG_FILE_SECONDS,
            env=DeployedApp().environ(os.environ), **_rights_of_file_owner(config_file),
        )  # fmt: skip
        gunicorn_settings: Any = (
            json.loads(config_file_reader.stdout) if config_file_reader.returncode == 0 else None
        )
    except subprocess.TimeoutExpired:
        raise LaunchError(
            f"{asked_by}: {shown_path(config_file)} has not ended within {CONFIG_FILE_SECONDS:g} s"
        ) from None
    except (OSError, ValueError) as error:
        raise LaunchError(
            f"{asked_by}: {shown_path(config_file)} can't be executed: {error}"
        ) from None
    if gunicorn_settings is None:
        error_lines = config_file_reader.stderr.decode(errors="replace").strip().splitlines()
        reason = error_lines[-1] if error_lines else f"exit status {config_file_reader.returncode}"
        raise LaunchError(f"{asked_by}: {shown_path(config_file)} fails: {reason}")
    return dict(gunicorn_settings)


def _rights_of_file_owner(config_file: Path) -> dict[str, Any]:
    """Whoever can write the file must not become root by it."""
    status = config_file.stat()
    if sys.platform == "win32" or os.geteuid() != 0 or status.st_uid == 0:
        return {}
    return {"user": status.st_uid, "group": status.st_gid, "extra_groups": []}
