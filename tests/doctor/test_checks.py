"""Each cause that the doctor knows, provoked for real."""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..apps.project import LAUNCHER, without_rights
from ..support.apache import apache_with_mod_wsgi
from ..support.namespaces import in_namespace
from ..support.packages import packages_in_a_folder
from ..support.processes import (
    Program,
    free_port,
    http_get,
    is_listening,
    wait_for_port,
    wait_until,
)
from .clinic import APP, ECLIPSE, VSCODE, findings, only, write

ECLIPSE_EXAMPLE = Path(__file__).parents[2] / "eclipse"
LAUNCH = {"name": "mine", "type": "debugpy", "request": "launch", "module": "flask_debuglaunch"}


def launch_json(*configurations: dict[str, object]) -> dict[str, str]:
    content = {"version": "0.2.0", "configurations": configurations}
    return {".vscode/launch.json": json.dumps(content)}


def test_a_project_without_a_fault(tmp_path: Path) -> None:
    port = str(free_port())
    write(tmp_path, {"flask-debuglaunch.yaml": VSCODE})
    in_editors_container = {"REMOTE_CONTAINERS": "true"}  # the tests may run in one
    ports = ("--port", port, "--debug-port", str(free_port()))
    assert findings(tmp_path, *ports, env=in_editors_container) == []


def test_the_debugger_is_not_installed(tmp_path: Path) -> None:
    debugger = "pydevd-pycharm" if _is_installed("pydevd") else "pydevd"
    found = only(findings(write(tmp_path, {}), "--debug-with", debugger), "debugger-installed")
    assert found["fix"].endswith(f"-m pip install {debugger}")


def _is_installed(name: str) -> bool:
    script = f"from flask_debuglaunch.debuggers.known_debuggers import DEBUGGERS as d; exit(not d[{name!r}].installed())"
    return subprocess.run([sys.executable, "-c", script], timeout=60).returncode == 0


@pytest.mark.slow
@pytest.mark.skipif(sys.version_info < (3, 12), reason="every debugpy runs on this Python")
def test_a_debugger_that_is_too_old_for_this_python(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    old = packages_in_a_folder(pytestconfig.cache, "debugpy==1.5.1")
    write(tmp_path, {"config.yaml": VSCODE})
    found = only(findings(tmp_path, env={"PYTHONPATH": str(old)}), "debugger-version")
    assert found["what"].startswith("debugpy 1.5.1 on Python")


@pytest.mark.parametrize(
    ("left", "words", "fix"),
    [
        (["pydevd-3.3.0", "pydevd_pycharm-252.1"], "both installed", "uninstall -y pydevd pydevd-pycharm && "),
        (["pydevd_pycharm-252.1"], "its files are gone", "install --force-reinstall pydevd-pycharm"),
    ],
    ids=["both", "one uninstalled"],
)  # fmt: skip
def test_debuggers_over_each_other(tmp_path: Path, left: list[str], words: str, fix: str) -> None:
    """By what pip leaves of them."""
    if len(left) == 1 and (_is_installed("pydevd") or _is_installed("pydevd-pycharm")):
        pytest.skip("the files are there")
    for package in left:
        (tmp_path / "site" / f"{package}.dist-info").mkdir(parents=True)
    found = findings(write(tmp_path / "shop", {}), env={"PYTHONPATH": str(tmp_path / "site")})
    found_one = only(found, "debuggers-over-each-other")
    assert words in found_one["what"]
    assert fix in found_one["fix"]


def test_vscode_takes_another_interpreter(tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", other], check=True, timeout=120)
    settings = {"python.defaultInterpreterPath": str(other / "bin" / "python")}
    write(tmp_path, {".vscode/settings.json": json.dumps(settings)})
    found = only(findings(tmp_path), "interpreter-of-the-ide")
    assert "has no flask and no flask_debuglaunch" in found["what"]
    settings = {"python.defaultInterpreterPath": "${workspaceFolder}/.venv/bin/python"}
    write(tmp_path, {".vscode/settings.json": json.dumps(settings)})
    assert "is not there" in only(findings(tmp_path), "interpreter-of-the-ide")["what"]


@pytest.mark.parametrize(
    "patch",
    [
        "from gevent import monkey\nmonkey.patch_all()\n",
        "import eventlet\neventlet.monkey_patch()\n",
    ],
)
def test_gevent_patches_the_app(tmp_path: Path, patch: str) -> None:
    write(tmp_path, {"app.py": patch + APP, "config.yaml": VSCODE})
    assert only(findings(tmp_path), "gevent-support")["where"] == "app.py:2"
    found = findings(tmp_path, env={"GEVENT_SUPPORT": "True"})
    assert not [one for one in found if one["check"] == "gevent-support"]


def test_no_ide_listens(tmp_path: Path) -> None:
    write(tmp_path, {"config.yaml": ECLIPSE})
    found = only(findings(tmp_path, "--debug-port", str(free_port())), "debug-port")
    assert found["what"] == "no IDE listens on the debug port"
    assert "Start Debug Server" in found["fix"]


@pytest.mark.skipif(sys.platform != "linux", reason="the system does not tell who listens")
@pytest.mark.parametrize(
    ("yaml", "words"),
    [(VSCODE, "is taken by"), (ECLIPSE, "listens where pydevd expects its IDE")],
)
def test_another_program_is_on_the_debug_port(tmp_path: Path, yaml: str, words: str) -> None:
    write(tmp_path, {"config.yaml": yaml})
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = str(stranger.getsockname()[1])
        found = only(findings(tmp_path, "--debug-port", port), "debug-port")
        assert words in found["what"]
        assert f"(process {os.getpid()})" in found["what"]
        taken = only(findings(tmp_path, "--port", port), "http-port")
        assert f"(process {os.getpid()})" in taken["what"]


CODE = [
    ("import debugpy\ndebugpy.connect(5678)", "debugpy.connect() starts a debugger of its own"),
    ("import debugpy\ndebugpy.breakpoint()", "debugpy.breakpoint() stops here at each pass"),
    ("import debugpy\ndebugpy.listen(5678)", "debugpy.listen() starts a debugger of its own"),
    ("from debugpy import listen\nlisten(5678)", "debugpy.listen()"),
    ("import pydevd as d\nd.settrace()", "pydevd.settrace()"),
    ("import pydevd_pycharm\npydevd_pycharm.settrace('localhost')", "pydevd_pycharm.settrace()"),
    ("import ptvsd\nptvsd.enable_attach()", "ptvsd.enable_attach()"),
    ("def f():\n    import pdb; pdb.set_trace()", "pdb.set_trace() stops in the terminal"),
    ("from werkzeug.serving import run_simple\nrun_simple('localhost', 1, app)", "serves the app"),
    ("socketio = 1\nsocketio.run(app)", "socketio.run() serves the app"),
    ("from werkzeug.debug import DebuggedApplication\napp = DebuggedApplication(app)", "catches"),
    ("def f():\n    import os\n    os._exit(1)", "os._exit() ends the process at once"),
    ("if __name__ == '__main__':\n    app.run(debug=True)", "app.run()"),
    ("import os, debugpy\nif os.environ.get('X'):\n    debugpy.listen(1)", "only if the condition"),
]  # fmt: skip


@pytest.mark.parametrize(("code", "words"), CODE, ids=lambda one: one[:40])
def test_what_the_code_does_by_itself(tmp_path: Path, code: str, words: str) -> None:
    write(tmp_path, {"shop/late.py": f"app = None\n{code}\n"})
    found = only(findings(tmp_path), "calls-in-the-code")
    assert words in found["what"]
    lines = f"app = None\n{code}".split("\n")
    assert found["where"].startswith("shop/late.py:")
    called = found["what"].partition("()")[0].rpartition(".")[2]
    assert called in lines[int(found["where"].rpartition(":")[2]) - 1]


def test_what_the_code_does_only_when_started_as_a_program(tmp_path: Path) -> None:
    guarded = "if __name__ == '__main__':\n    socketio.run(app)\n    app.run()\n"
    assert findings(write(tmp_path, {"app.py": APP + guarded})) == []


@pytest.mark.parametrize(
    ("files", "env", "check", "words"),
    [
        ({"config.yaml": "flask: {}\n"}, {}, "passed-over", "another tool's"),
        ({"flask-debuglaunch.yaml": "flask:\n  DEBUG: True\n"}, {}, "configuration", "the block is FLASK, not flask"),
        ({"config.yaml": "FLASK:\n  DEBUG: maybe\n"}, {}, "configuration", "must be true or false"),
        ({"config.yaml": "DEBUG_WITH_VSCODE: true\nFLASK: {}\n"}, {}, "configuration", "does not count here"),
        ({"config.yaml": "FLASK: {}\nAPP:\n  DEBUG_WITH_VSCODE: true\n"}, {}, "configuration", "the app's block is FLASK"),
        ({"config.yaml": "FLASK: {}\nFLASK: {}\n"}, {}, "configuration", "FLASK is given again"),
        ({}, {"FLASK_DEBUG": "off"}, "configuration", "must be 0, 1, true or false, not 'off'"),
        ({"config.yaml": "DEBUGLAUNCH:\n  APP: nope\n"}, {}, "app", "APP"),
        ({"main.py": APP}, {}, "app", "app.py is taken for the app, not main.py"),
        ({}, {"WERKZEUG_SERVER_FD": "3"}, "variables", "WERKZEUG_SERVER_FD is left over"),
        ({}, {"WATCHFILES_FORCE_POLLING": "1"}, "no-file-events", "changes are polled"),
        ({"config.yaml": VSCODE}, {"container": "podman"}, "container", "is not the IDE's"),
        ({"config.yaml": "DEBUGLAUNCH:\n  PATH_MAPPINGS: {/home/me: /nowhere}\n"}, {}, "path-mappings", "/nowhere is not there"),
        ({}, {"FLASK_ENV": "development"}, "variables", "since Flask 2.3"),
        ({".env": "FLASK_ENV=development\n"}, {}, "variables", "since Flask 2.3"),
        ({"config.yaml": VSCODE}, {"FLASK_DEBUG": "0"}, "debug-off", "off by the environment"),
        ({"config.yaml": "DEBUGLAUNCH:\n  EXTRA_FILES: [no.csv]\n"}, {}, "patterns", "no.csv is not"),
        ({"config.yaml": "DEBUGLAUNCH:\n  EXCLUDE_PATTERNS: ['x*y']\n"}, {}, "patterns", "matches no"),
        ({"config.yaml": "DEBUGLAUNCH:\n  HOST: 0.0.0.0\nFLASK:\n  DEBUG: true\n  DEBUG_WITH_VSCODE: true\n"}, {}, "reachable-by-others", "other machines"),
        (launch_json({**LAUNCH, "jinja": True, "subProcess": False}), {}, "launch-json", "subProcess is false"),
        (launch_json(LAUNCH), {}, "launch-json", "jinja is not set"),
        (launch_json({**LAUNCH, "module": "flask", "jinja": True, "args": ["run", "--debug"]}), {}, "launch-json", "its reloader"),
        (launch_json({**LAUNCH, "module": "flask", "jinja": True, "args": ["run"], "env": {"FLASK_DEBUG": "1"}}), {}, "launch-json", "its reloader"),
        (launch_json({**LAUNCH, "jinja": True, "cwd": "${workspaceFolder}/no"}), {}, "launch-json", "cwd names what is not there"),
        (launch_json({**LAUNCH, "jinja": True, "python": "${workspaceFolder}/no/python"}), {}, "launch-json", "names what is not there"),
        (launch_json({**LAUNCH, "jinja": True, "pathMappings": [{"localRoot": "${workspaceFolder}/no", "remoteRoot": "/app"}]}), {}, "launch-json", "pathMappings names"),
        (launch_json({**LAUNCH, "jinja": True}, {**LAUNCH, "name": "again", "jinja": True}), {}, "launch-json", "starts the same as mine"),
        ({"old.launch": (ECLIPSE_EXAMPLE / "eclipse debug.launch").read_text().replace("--config config.yaml", "--app shop.old:app")}, {}, "removed-module", "it starts shop.old"),
        ({".run/old.run.xml": '<component><configuration><option name="PARAMETERS" value="--app old:app"/><option value="flask_debuglaunch"/></configuration></component>'}, {}, "removed-module", "it starts old"),
    ],
)  # fmt: skip
def test_files_and_variables(
    tmp_path: Path, files: dict[str, str], env: dict[str, str], check: str, words: str
) -> None:
    found = only(findings(write(tmp_path, files), env=env), check)
    assert words in found["what"]


def test_the_ide_is_opened_at_the_parent(tmp_path: Path) -> None:
    (tmp_path / ".vscode").mkdir()
    folder = write(tmp_path / "backend", launch_json({**LAUNCH, "jinja": True}))
    assert str(tmp_path) in only(findings(folder), "ide-folder")["what"]


@pytest.mark.skipif(os.name == "nt", reason="permissions of another kind")
def test_what_this_user_cannot_read(tmp_path: Path) -> None:
    ordinary = without_rights("dac_override", "dac_read_search")
    write(tmp_path, {"shop/secret.py": "", "hidden/views.py": ""})
    (tmp_path / "shop/secret.py").chmod(0)
    found = only(findings(tmp_path, command=ordinary), "unreadable-files")
    assert (found["what"], found["where"]) == ("this user can't read the file", "shop/secret.py")
    (tmp_path / "hidden").chmod(0)
    found = only(findings(tmp_path, command=ordinary), "unreadable-files")
    (tmp_path / "hidden").chmod(0o755)
    assert found["what"] == "this user can't read the folder and 1 more"
    assert found["where"] == "hidden"


@pytest.mark.parametrize("limit", ["max_inotify_watches", "max_inotify_instances"])
def test_the_kernel_tells_of_no_more_files(tmp_path: Path, limit: str) -> None:
    contain = in_namespace(f"echo 0 > /proc/sys/user/{limit}")
    found = only(findings(write(tmp_path, {}), command=[*contain, *LAUNCHER]), "file-events")
    assert "changes are polled every 0.15 to 0.85 seconds" in found["what"]
    assert found["fix"].startswith("sudo sysctl fs.inotify.max_user_watches=")


@pytest.mark.slow
def test_a_watchdog_that_is_deaf_under_werkzeugs_reloader(
    tmp_path: Path, pytestconfig: pytest.Config
) -> None:
    folder = packages_in_a_folder(pytestconfig.cache, "watchdog>=7")
    found = findings(write(tmp_path, {}), "--debug", env={"PYTHONPATH": str(folder)})
    assert only(found, "watchdog")["fix"] == "pip install 'watchdog<7'"


# In the server's own process: a child of mod_wsgi's inherits no mark of it.
IN_SERVER = """
import os
import flask
from click.testing import CliRunner
from flask_debuglaunch.cli import main

os.chdir(os.path.dirname(__file__))  # Apache's is /
app = application = flask.Flask(__name__)
@app.get("/")
def ask():
    return CliRunner().invoke(main, ["doctor", "--json", "--port", "0"]).stdout
"""


@pytest.mark.skipif(os.name == "nt", reason="none of them runs there")
@pytest.mark.parametrize("server", ["gunicorn", "uwsgi", "mod_wsgi"])
def test_inside_a_production_server(
    tmp_path: Path, pytestconfig: pytest.Config, server: str
) -> None:
    write(tmp_path, {"app.py": IN_SERVER})
    with SERVERS[server](tmp_path, pytestconfig.cache) as url:
        answer = http_get(url).text
    found = json.loads(answer)["findings"]
    assert only(found, "production")["what"].startswith(f"this is production ({server})")


@contextmanager
def _gunicorn(folder: Path, _: pytest.Cache) -> Iterator[str]:
    pytest.importorskip("gunicorn")
    argv = [sys.executable, "-m", "gunicorn", "--bind", "127.0.0.1:0", "app:app"]
    with Program(argv, cwd=folder) as program:
        yield program.wait_for_line(r"Listening at: (http://\S+)")[1]


@contextmanager
def _uwsgi(folder: Path, cache: pytest.Cache) -> Iterator[str]:
    packages, port = packages_in_a_folder(cache, "pyuwsgi"), free_port()
    argv = [str(packages / "bin" / "uwsgi"), "--http-socket", f"127.0.0.1:{port}"]
    env = {**os.environ, "PYTHONPATH": str(packages)}
    with Program([*argv, "--module", "app:app", "--die-on-term"], cwd=folder, env=env):
        wait_for_port(port)
        yield f"http://127.0.0.1:{port}"


@contextmanager
def _mod_wsgi(folder: Path, _: pytest.Cache) -> Iterator[str]:
    with apache_with_mod_wsgi(folder / "app.py") as (_program, address):
        yield address


SERVERS = {"gunicorn": _gunicorn, "uwsgi": _uwsgi, "mod_wsgi": _mod_wsgi}


def test_not_the_whole_disk_is_looked_at(tmp_path: Path) -> None:
    write(tmp_path, {f"{'d/' * 66}deep.py": ""})
    assert "not all were looked at" in only(findings(tmp_path), "many-files")["what"]


def test_the_clock_is_behind(tmp_path: Path) -> None:
    write(tmp_path, {})
    os.utime(tmp_path / "app.py", (time.time() + 3600,) * 2)
    assert only(findings(tmp_path), "clock")["fix"] == "touch app.py"


@pytest.mark.parametrize(
    ("yaml", "fix"),
    [(VSCODE, r"kill (\d+)"), (ECLIPSE, r"kill (\d+), then: .*Start Debug Server.*")],
)
def test_an_adapter_that_has_outlived_its_program(tmp_path: Path, yaml: str, fix: str) -> None:
    pytest.importorskip("debugpy")
    port = free_port()
    where = "import debugpy.adapter as a; print(*a.__path__)"
    folder = subprocess.check_output([sys.executable, "-c", where], text=True, timeout=60).strip()
    write(tmp_path, {"config.yaml": yaml})
    with socket.create_server(("127.0.0.1", 0)) as server:
        told = str(server.getsockname()[1])
        command = [sys.executable, folder, "--port", str(port), "--for-server", told]
        with Program(command, cwd=tmp_path) as adapter:
            wait_until(lambda: is_listening(port))
            found = only(findings(tmp_path, "--debug-port", str(port)), "debug-port")
            match = re.fullmatch(fix, found["fix"])
            # The adapter goes on as a process of its own when it is told of its server.
            assert match is not None, found
            assert int(match[1]) in adapter.family.members()


@pytest.mark.parametrize(
    ("yaml", "fix"),
    [(VSCODE, "--debug-port"), (ECLIPSE, "End the program that it debugs, then: ")],
)
def test_an_adapter_whose_program_runs_is_not_to_be_killed(
    tmp_path: Path, yaml: str, fix: str
) -> None:
    pytest.importorskip("debugpy")
    port = free_port()
    listen = f"import debugpy, time\ndebugpy.listen({port})\nprint('ready')\ntime.sleep(600)\n"
    write(tmp_path / "mine", {"config.yaml": yaml})
    with Program([sys.executable, "-c", listen], cwd=tmp_path) as other:
        other.wait_for_line("ready")
        found = only(findings(tmp_path / "mine", "--debug-port", str(port)), "debug-port")
    assert fix in found["fix"]
    assert "kill" not in found["fix"]


def test_the_version_that_runs(tmp_path: Path) -> None:
    port = free_port()
    write(tmp_path, {"shop.py": "x = 1\n", "app.py": "import shop\n" + APP})
    command = [sys.executable, "-m", "flask_debuglaunch", "--port", str(port), "--no-reload"]
    with Program(command, cwd=tmp_path) as program:
        program.wait_for_line("Running on")
        assert http_get(f"http://127.0.0.1:{port}/").status == 404
        assert findings(tmp_path, "shop.py:1", "--port", str(port)) == []
        os.utime(tmp_path / "shop.py", (time.time() + 1,) * 2)
        found = only(findings(tmp_path, "shop.py:1", "--port", str(port)), "breakpoint")
        assert f"process {program.pid}" in found["what"]
