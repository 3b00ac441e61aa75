"""The one declaration of every setting: its name, type, default, help and spellings.

Everything else follows from it: the YAML keys, the environment variables, the command line, the
JSON Schema, the starter YAML and the table of `explain`. A new setting is one field here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any, TypeVar

from flask_debuglaunch.configuration.setting_types import (
    AppImport,
    AutoBoolean,
    Boolean,
    Certificate,
    Choice,
    Duration,
    Editor,
    FilePath,
    HostName,
    PathMapping,
    PathMappings,
    Paths,
    Patterns,
    Port,
    PublishedAddress,
    Seconds,
    SettingType,
    Text,
)
from flask_debuglaunch.configuration.value_origins import Value
from flask_debuglaunch.debuggers.known_debuggers import DEBUGGERS

T = TypeVar("T")

YAML_BLOCK = "DEBUGLAUNCH"
ENV_PREFIX = "DEBUGLAUNCH_"
DEBUG_WITH_NAMES = (
    "auto",
    *(name for debugger in DEBUGGERS.values() for name in (debugger.name, *debugger.ides)),
    "off",
)


@dataclass(frozen=True)
class Declaration:
    """What is declared of one setting besides its default.

    flask_env: Flask's own variable for it, read below ours. own_flag, off_flag, short_flag: how
    Flask spells the flag where that is not the name. in_yaml: it has a key in DEBUGLAUNCH.
    argv_only: what no file may turn on. bare_flag: what the flag means without a value.
    """

    type: SettingType[Any]
    help: str
    name: str = ""
    flask_env: str | None = None
    own_flag: str | None = None
    off_flag: str | None = None
    short_flag: str | None = None
    bare_flag: str | None = None
    in_yaml: bool = True
    argv_only: bool = False

    @property
    def key(self) -> str:
        """The name in YAML and, with ENV_PREFIX, in the environment."""
        return self.name.upper()

    @property
    def env(self) -> str:
        return ENV_PREFIX + self.key

    @property
    def flag(self) -> str:
        return self.own_flag or "--" + self.name.replace("_", "-")

    @property
    def description(self) -> str:
        """The help, with the words that fit where there is a list of them."""
        words = getattr(self.type, "words", ())
        return f"{self.help} One of: {', '.join(words)}." if words else self.help

    @property
    def is_switch(self) -> bool:
        """Is the flag all that is to be said?"""
        return isinstance(self.type, (Boolean, AutoBoolean))

    @property
    def in_files(self) -> bool:
        """May the YAML's DEBUGLAUNCH block and the environment give it?"""
        return self.in_yaml and not self.argv_only


UNSET: Value[None] = Value(None)


def setting(setting_type: SettingType[Any], default: T, help: str, **spelling: Any) -> Value[T]:  # noqa: A002
    """Declare a setting; ``spelling`` holds more of Declaration's fields."""
    declaration = Declaration(setting_type, help, **spelling)
    setting_field: Value[T] = field(default=Value(default), metadata={"declaration": declaration})
    return setting_field


@dataclass(frozen=True)
class FileLookup:
    """A file that was looked for."""

    path: Path
    found: bool
    may_be_others: bool = False
    """Has it a name that other tools use too, and was not named by the user?"""
    passed_over: str | None = None
    """Why it is not read, though it is there."""


@dataclass(frozen=True)
class Settings:
    """Every setting with its origin, and the files they were read from."""

    app: Value[str | None] = setting(
        AppImport(), None,
        "The app: module, file or factory, as Flask's --app takes it. "
        "Unset: wsgi.py, app.py, then main.py.",
        flask_env="FLASK_APP", short_flag="-A",
    )  # fmt: skip
    host: Value[str] = setting(
        HostName(), "127.0.0.1", "The address to serve on.",
        flask_env="FLASK_RUN_HOST", short_flag="-h",
    )  # fmt: skip
    port: Value[int] = setting(
        Port(), 5000, "The port to serve on; 0 takes a free one.",
        flask_env="FLASK_RUN_PORT", short_flag="-p",
    )  # fmt: skip
    debug: Value[bool] = setting(
        Boolean(), False,
        "Debug mode. In YAML it is DEBUG of the app's own block; in the environment FLASK_DEBUG.",
        flask_env="FLASK_DEBUG", off_flag="--no-debug", in_yaml=False,
    )  # fmt: skip
    debug_with: Value[str] = setting(
        Choice(DEBUG_WITH_NAMES), "auto",
        "The debugger or the IDE to debug with. auto: the one that is already there, else "
        "Werkzeug's.",
    )  # fmt: skip
    debug_connection: Value[str] = setting(
        Choice(("auto", "listen", "connect")), "auto",
        "listen: the IDE attaches to us; connect: we dial the IDE. auto: listen for debugpy, "
        "connect for pydevd and pydevd-pycharm.",
    )  # fmt: skip
    debug_host: Value[str] = setting(
        HostName(), "127.0.0.1", "The debug port's address: ours to listen on, or the IDE's."
    )
    debug_port: Value[int] = setting(
        Port(), 5678, "The debug port: ours to listen on, or the IDE's."
    )
    published_on: Value[str | None] = setting(
        PublishedAddress(), None,
        "In a container: the host machine's address that its ports are published on. Where that "
        "is 127.0.0.1, DEBUG_HOST may be 0.0.0.0, and tracebacks are shown to that machine. "
        "With the port, if PORT is another one there: 127.0.0.1:8001.",
    )  # fmt: skip
    wait: Value[float | None] = setting(
        Seconds(), None,
        "Wait for the IDE before the app is imported: off, on (60 seconds), or seconds.",
        bare_flag="on",
    )  # fmt: skip
    reload: Value[bool | None] = setting(
        AutoBoolean(), None,
        "Restart when a file changes. auto: in debug mode, but not with pydevd and pydevd-pycharm.",
        flask_env="FLASK_RUN_RELOAD", off_flag="--no-reload",
    )  # fmt: skip
    import_errors: Value[str] = setting(
        Choice(("exit", "serve")), "exit",
        "An app that can't be imported at the start. exit: end with its error; serve: with reload, "
        "serve the error until a save mends it, as for a container that would be restarted.",
    )  # fmt: skip
    preload: Value[str] = setting(
        Choice(("packages", "auto", "modules", "off")), "packages",
        "Warm restarts: what stays imported between reloads. packages: the installed packages; "
        "modules: also the project's modules that depend on no edited file; auto: these only where "
        "they take longer than 0.25 s.",
    )  # fmt: skip
    stop_on_errors: Value[str] = setting(
        Choice(("unhandled", "all", "off")), "unhandled",
        "Which errors stop the IDE. unhandled: those that become a 500; all: also those that an "
        "error handler takes; off: none.",
    )  # fmt: skip
    editor: Value[str] = setting(
        Editor(), "auto",
        "The editor that the links of the traceback page open; auto: the one whose terminal or "
        "debugger this is.",
    )  # fmt: skip
    path_mappings: Value[PathMapping] = setting(
        PathMappings(), (), "Where the IDE's paths are on the machine (container) of the app."
    )
    extra_files: Value[tuple[str, ...]] = setting(
        Paths(), (), "More files or folders that restart the app when they change.",
        flask_env="FLASK_RUN_EXTRA_FILES",
    )  # fmt: skip
    exclude_patterns: Value[tuple[str, ...]] = setting(
        Patterns(), (), "Files that do not restart the app (names, or fnmatch patterns).",
        flask_env="FLASK_RUN_EXCLUDE_PATTERNS",
    )  # fmt: skip
    env_file: Value[Path | None] = setting(
        FilePath(), None, "Load environment variables from this file, besides .env and .flaskenv.",
        short_flag="-e",
    )  # fmt: skip
    cert: Value[str | None] = setting(
        Certificate(), None, 'Serve HTTPS: a certificate file, or "adhoc".',
        flask_env="FLASK_RUN_CERT",
    )  # fmt: skip
    key: Value[Path | None] = setting(
        FilePath(), None, "The certificate's key file.", flask_env="FLASK_RUN_KEY"
    )
    with_threads: Value[bool] = setting(
        Boolean(), True,
        "Serve each request in a thread; without, a breakpoint blocks all requests.",
        flask_env="FLASK_RUN_WITH_THREADS", off_flag="--without-threads",
    )  # fmt: skip
    block: Value[str] = setting(
        Text("the name of the app's block in the YAML"), "FLASK",
        "The app's own block in the YAML, which holds DEBUG and DEBUG_WITH_APTANA.",
    )  # fmt: skip
    use_debugger: Value[bool | None] = setting(
        AutoBoolean(), None,
        "Werkzeug's debugger in the browser. auto: in debug mode, where no other debugger is.",
        flask_env="FLASK_RUN_DEBUGGER", own_flag="--debugger", off_flag="--no-debugger",
    )  # fmt: skip
    allow_remote_debug: Value[bool] = setting(
        Boolean(), False,
        "Allow a debug port, or Werkzeug's console, that other machines can reach: whoever "
        "reaches it can run code here.",
        argv_only=True,
    )  # fmt: skip

    run_for: Value[float | None] = setting(
        Duration(), None,
        "End by itself after this time (15m, 90s, 1h30m), and say so a minute before. The only way "
        "to debug in production: then on 127.0.0.1, and without Werkzeug's console.",
        own_flag="--for", argv_only=True,
    )  # fmt: skip
    user: Value[str | None] = setting(
        Text("the name of an account"), None,
        "Run as this account (as root): with its groups, its HOME, and nothing of your environment "
        "but PATH, language, terminal, and what is meant for Flask, the launcher and the debugger.",
        argv_only=True,
    )  # fmt: skip
    as_service: Value[str | None] = setting(
        Text("a systemd unit, or a gunicorn configuration file"), None,
        "Run as this service does: account, groups, umask, folder, environment and app of a "
        "systemd unit (shop.service) or of a gunicorn configuration file (gunicorn.conf.py), which "
        "is executed for that. The service itself is left alone.",
        argv_only=True,
    )  # fmt: skip

    flask_env: Value[str | None] = UNSET
    """FLASK_ENV, or ENV of the app's block: "production" keeps debug mode off."""
    config_file: Path | None = None
    env_files: tuple[Path, ...] = ()
    """The strongest first."""
    variables: Mapping[str, str] = field(default_factory=dict)
    """What the env files define; the environment's own variables win over them."""
    lookups: tuple[FileLookup, ...] = ()
    notes: tuple[str, ...] = ()
    """What is to be said about the sources."""


DECLARATIONS: Mapping[str, Declaration] = {
    setting_field.name: replace(setting_field.metadata["declaration"], name=setting_field.name)
    for setting_field in fields(Settings)
    if setting_field.metadata
}


def values_of(settings: Settings) -> Iterator[tuple[Declaration, Value[Any]]]:
    """Every declared setting with its value, in the order of the declaration."""
    for name, declaration in DECLARATIONS.items():
        yield declaration, getattr(settings, name)
