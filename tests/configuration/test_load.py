"""The sources together: precedence, env files, what was looked for."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from flask.helpers import get_debug_flag, get_load_dotenv

from flask_debuglaunch.configuration.environment_and_env_files import flask_combines_env_files
from flask_debuglaunch.configuration.load_settings import load_settings
from flask_debuglaunch.configuration.settings import Settings
from flask_debuglaunch.detect_environment import observe
from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.plan import resolve

from ..support.processes import in_background

pytestmark = pytest.mark.quick


@pytest.fixture(autouse=True)
def in_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def load(
    environ: dict[str, str] | None = None, config: str | None = None, **flags: str
) -> Settings:
    return load_settings(Path(config) if config else None, flags, environ or {}, Path.cwd())


def test_precedence() -> None:
    """Each source in turn wins over all that were there before."""
    folder = Path.cwd()
    assert (load().port.value, str(load().port.origin)) == (5000, "default")
    (folder / "config.yaml").write_text("DEBUGLAUNCH: {PORT: 1}\n")
    assert (load().port.value, str(load().port.origin)) == (1, "config.yaml:1")
    (folder / ".flaskenv").write_text("DEBUGLAUNCH_PORT=2\n")
    assert (load().port.value, str(load().port.origin)) == (2, ".flaskenv:DEBUGLAUNCH_PORT")
    (folder / ".env").write_text("FLASK_RUN_PORT=3\n")
    assert (load().port.value, str(load().port.origin)) == (3, ".env:FLASK_RUN_PORT")
    (folder / "my.env").write_text("DEBUGLAUNCH_PORT=4\n")
    named = {"DEBUGLAUNCH_ENV_FILE": "my.env"}
    assert load(named).port.value == (4 if flask_combines_env_files() else 3)
    flask = {**named, "FLASK_RUN_PORT": "5"}
    assert (load(flask).port.value, str(load(flask).port.origin)) == (5, "env:FLASK_RUN_PORT")
    ours = {**flask, "DEBUGLAUNCH_PORT": "6"}
    assert (load(ours).port.value, str(load(ours).port.origin)) == (6, "env:DEBUGLAUNCH_PORT")
    assert str(load(ours, port="7").port.origin) == "argv:--port"


def test_flags_of_the_block_rank_with_the_yaml() -> None:
    Path("config.yaml").write_text("FLASK: {DEBUG: true, DEBUG_WITH_APTANA: true}\n")
    assert load().debug_with.value == "pydevd"
    assert load({"DEBUGLAUNCH_DEBUG_WITH": "vscode"}).debug_with.value == "vscode"
    assert load({"FLASK_DEBUG": "0"}).debug.value is False


def test_config_names_in_their_order() -> None:
    for name in ("config.yml", "config.yaml", "flask-debuglaunch.yaml"):
        Path(name).write_text("FLASK: {DEBUG: true}\n")
        assert str(load().debug.origin) == f"{name}:1"
    assert [one.path.name for one in load().lookups[:3]] == [
        "flask-debuglaunch.yaml", "config.yaml", "config.yml",
    ]  # fmt: skip


def test_relative_paths_belong_to_the_file_that_names_them() -> None:
    Path("sub").mkdir()
    Path("sub/config.yaml").write_text(
        "DEBUGLAUNCH: {EXTRA_FILES: data.json, APP: src/main.py, ENV_FILE: dev.env}\n"
    )
    Path("sub/dev.env").write_text("DEBUGLAUNCH_KEY=server.key\n")
    settings = load(config="sub/config.yaml")
    sub = Path.cwd() / "sub"
    assert settings.extra_files.value == (str(sub / "data.json"),)
    assert settings.app.value == str(sub / "src/main.py")
    assert settings.key.value == sub / "server.key"
    assert load(extra_files="data.json").extra_files.value == (str(Path.cwd() / "data.json"),)


def test_env_files_are_found_upwards_as_flask_does() -> None:
    (Path.cwd() / ".env").write_text("FLASK_RUN_PORT=81\n")
    Path("deep/er").mkdir(parents=True)
    os.chdir("deep/er")
    assert load().port.value == 81
    assert load({"FLASK_SKIP_DOTENV": "1"}).port.value == 5000


@pytest.mark.parametrize(
    ("environ", "message"),
    [
        ({"DEBUGLAUNCH_PROT": "1"}, "env:DEBUGLAUNCH_PROT: no such setting. Did you mean DEBUGLAUNCH_PORT?"),
        ({"DEBUGLAUNCH_DEBUG": "1"}, "env:DEBUGLAUNCH_DEBUG: debug mode is Flask's own variable: set FLASK_DEBUG"),
        ({"DEBUGLAUNCH_ALLOW_REMOTE_DEBUG": "1"}, "env:DEBUGLAUNCH_ALLOW_REMOTE_DEBUG: can't be set by a variable: give --allow-remote-debug on the command line"),
        ({"FLASK_DEBUG": "off"}, "env:FLASK_DEBUG: must be 0, 1, true or false, not 'off': Flask takes every other word, off too, for true"),
        ({"DEBUGLAUNCH_PORT": "http"}, "env:DEBUGLAUNCH_PORT: must be a port from 0 (any free one) to 65535, not 'http'"),
        ({"DEBUGLAUNCH_ENV_FILE": "/no/such"}, "env:DEBUGLAUNCH_ENV_FILE: no such env file: /no/such"),
        ({"DEBUGLAUNCH_CONFIG": "no.yaml"}, "no.yaml: no such file. Write one with: python -m flask_debuglaunch init"),
    ],
)  # fmt: skip
def test_bad_environment(environ: dict[str, str], message: str) -> None:
    with pytest.raises(LaunchError) as caught:
        load(environ)
    assert str(caught.value) == message


def test_bad_env_file_names_file_and_variable() -> None:
    Path(".env").write_text("FLASK_RUN_PORT=http\n")
    with pytest.raises(LaunchError, match=r"^\.env:FLASK_RUN_PORT: must be a port"):
        load()


def test_bad_flag() -> None:
    with pytest.raises(LaunchError, match=r"^argv:--wait: must be off, on"):
        load(wait="soon")


@pytest.mark.parametrize(
    ("file", "text", "origin"),
    [
        (".env", "FLASK_ENV=production\n", ".env:FLASK_ENV"),
        (".flaskenv", "FLASK_ENV=Production\n", ".flaskenv:FLASK_ENV"),
        ("config.yaml", "FLASK:\n  ENV: production\n", "config.yaml:2"),
    ],
)
def test_flask_env_counts_wherever_it_stands(file: str, text: str, origin: str) -> None:
    Path(file).write_text(text)
    with pytest.raises(LaunchError, match=rf"this is production \({origin}=production\)"):
        resolve(load({"FLASK_DEBUG": "1"}), observe({}))
    assert resolve(load({"FLASK_DEBUG": "1", "FLASK_ENV": "development"}), observe({}))


@pytest.mark.parametrize(
    ("text", "value"), [("0", False), ("no", False), ("NO", False), ("1", True), ("yes", True)]
)
def test_flask_debug_as_flask_reads_it(
    monkeypatch: pytest.MonkeyPatch, text: str, value: bool
) -> None:
    monkeypatch.setenv("FLASK_DEBUG", text)
    assert get_debug_flag() is load({"FLASK_DEBUG": text}).debug.value is value


@pytest.mark.parametrize("text", ["1", "0", "no", "NO", "False", "", "yes", "off"])
def test_flask_skip_dotenv_as_flask_reads_it(monkeypatch: pytest.MonkeyPatch, text: str) -> None:
    Path(".env").write_text("FLASK_RUN_PORT=81\n")
    monkeypatch.setenv("FLASK_SKIP_DOTENV", text)
    is_read = load({"FLASK_SKIP_DOTENV": text}).port.value == 81
    assert is_read is get_load_dotenv()


@pytest.mark.parametrize("line", ["'A=B'=c\n", 'A="x\0y"\n', "A\0B=c\n"])
def test_what_can_be_no_variable(line: str) -> None:
    Path(".env").write_text(line)
    with pytest.raises(LaunchError, match=r"^\.env: .* can't be a variable of the environment"):
        load()


FOREIGN = {
    "ansible": "- hosts: all\n  tasks: []\n",
    "kubernetes": "apiVersion: v1\n---\nkind: Service\n",
    "a template": "a: {{ b }}: c\n",
    "python": "theme: !!python/name:material.theme x\n",
    "large": "#" * 300_000,
}


@pytest.mark.parametrize("text", FOREIGN.values(), ids=FOREIGN)
def test_another_tools_config_is_passed_over_and_said(text: str) -> None:
    Path("config.yaml").write_text(text)
    Path("config.yml").write_text("FLASK: {DEBUG: true}\n")
    settings = load()
    assert (settings.debug.value, settings.config_file) == (True, Path.cwd() / "config.yml")
    (note,) = settings.notes
    assert note.startswith(
        "config.yaml: passed over as another tool's, for it has none of our blocks"
    )
    assert note.endswith("Name yours flask-debuglaunch.yaml, or give it with --config")
    with pytest.raises(LaunchError):
        load(config="config.yaml")


@pytest.mark.parametrize(
    ("name", "text"),
    [("config.yaml", "FLASK: [\n"), ("config.yaml", "a: 1\n---\n'DEBUGLAUNCH': {}\n"),
     ("flask-debuglaunch.yaml", "- hosts: all\n"), ("config.yaml", "FLASK: {DEBUG: 7}\n")],
)  # fmt: skip
def test_ours_with_a_mistake_is_never_passed_over(name: str, text: str) -> None:
    Path(name).write_text(text)
    with pytest.raises(LaunchError, match=rf"^{name}:"):
        load()


def test_extra_files_that_name_nothing_are_said() -> None:
    Path("config.yaml").write_text("DEBUGLAUNCH:\n  EXTRA_FILES: [config.yaml, nosuch]\n")
    gone = Path.cwd() / "nosuch"
    assert load().notes == (
        f"config.yaml:2: EXTRA_FILES {gone}: there is no such file or folder yet",
    )


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="needs root, to chown")
@pytest.mark.parametrize("name", [".env", ".flaskenv"])
def test_a_strangers_env_file_in_a_folder_above_is_passed_over_and_said(name: str) -> None:
    """It could name the app."""
    Path(name).write_text("FLASK_APP=evil\n")
    os.chown(name, 12345, 12345)
    assert load().app.value == "evil"  # whoever works in this very folder has chosen it
    Path("project").mkdir()
    os.chdir("project")
    assert load().app.value is None
    (note,) = load().notes
    assert note.startswith(f"{Path.cwd().parent / name}: passed over: it stands in a folder above")
    assert note.endswith(
        "(uid 12345), who could run code through it. If it is yours, name it with --env-file"
    )
    assert load(env_file=f"../{name}").app.value == "evil"
    os.chown(".", 12345, 12345)  # a container's bind mount: all of it is that user's
    assert load().app.value == "evil"


@pytest.mark.parametrize(
    ("flag", "path"),
    [("cert", "x" * 256), ("env_file", "x/" * 3000), ("app", "x" * 256 + ".py"), ("key", "\ud800")],
)
def test_paths_that_no_file_system_takes(flag: str, path: str) -> None:
    with pytest.raises(
        LaunchError, match=rf"^argv:--{flag.replace('_', '-')}: must be a"
    ) as caught:
        load(**{flag: path})
    assert len(str(caught.value)) < 200


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no such files")
@pytest.mark.parametrize("flag", ["config", "env_file"])
@pytest.mark.parametrize("file", ["pipe", "/dev/zero"])
def test_what_waits_or_never_ends_is_not_read(flag: str, file: str) -> None:
    os.mkfifo("pipe")
    error = in_background(load, **{flag: file}).exception(timeout=20)
    assert isinstance(error, LaunchError)
    assert ", expected a file. Name " in str(error)


def test_a_wait_that_waits_for_nothing_is_said() -> None:
    notes = resolve(load(wait="3"), observe({})).notes
    assert "argv:--wait: nothing waits: werkzeug needs no connection" in notes
