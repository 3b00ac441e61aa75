"""`doctor`, the command: its text, JSON, exit statuses and repairs, and the README's table."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

from flask_debuglaunch.doctor.run_checks import CHECKS

from ..support.processes import free_port
from .clinic import VSCODE, doctor, findings, write
from .test_checks import LAUNCH, launch_json

README = Path(__file__).parents[2] / "README.md"


def test_the_exit_status(tmp_path: Path) -> None:
    write(tmp_path, {})
    port = ["--port", str(free_port())]
    assert doctor(tmp_path, *port).returncode == 0
    stale = {"WERKZEUG_SERVER_FD": "3"}
    assert doctor(tmp_path, *port, env=stale).returncode == 0
    assert doctor(tmp_path, *port, "--strict", env=stale).returncode == 1
    (tmp_path / "app.py").unlink()
    assert doctor(tmp_path, *port).returncode == 1


def test_the_text(tmp_path: Path) -> None:
    write(tmp_path, {"app.py": ""})
    port = free_port()
    done = doctor(tmp_path, "--port", str(port), env={"FLASK_RUN_FROM_CLI": "true"})
    assert done.stdout == (
        "warning: FLASK_RUN_FROM_CLI is left over from another server's process"
        " (env:FLASK_RUN_FROM_CLI)\n"
        "    fix: unset FLASK_RUN_FROM_CLI\n"
        "1 possible reason found why a breakpoint of the app would not hit\n"
    )
    verbose = doctor(tmp_path, "--port", str(port), "-v").stdout
    assert "ok: the app is there (app.py)\n" in verbose


def test_json_hides_secrets(tmp_path: Path) -> None:
    write(tmp_path, {})
    done = doctor(tmp_path, "--json", "--app", "nope:create_app(password='hunter2')")
    assert json.loads(done.stdout)["schema"] == 1
    assert "hunter2" not in done.stdout


def test_fix_writes_what_it_says(tmp_path: Path) -> None:
    entry = {**LAUNCH, "subProcess": False, "args": ["--port", "1"]}
    write(tmp_path, launch_json(entry))
    file = tmp_path / ".vscode" / "launch.json"
    before = file.read_text()
    shown = doctor(tmp_path, "--fix", "--dry-run", "--port", str(free_port()))
    assert file.read_text() == before
    assert '"subProcess": true' in shown.stdout.partition("+++")[2]
    done = doctor(tmp_path, "--fix", "--port", str(free_port()))
    assert ".vscode/launch.json: changed" in done.stdout
    mended = json.loads(file.read_text())["configurations"][0]
    assert mended == {**entry, "subProcess": True, "jinja": True}
    assert not [one for one in findings(tmp_path) if one["check"] == "launch-json"]


def test_stale_ide_files_are_written_anew(tmp_path: Path) -> None:
    write(tmp_path, {"config.yaml": VSCODE})
    ide = [sys.executable, "-m", "flask_debuglaunch", "ide", "vscode"]
    subprocess.run(ide, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    port = ["--port", str(free_port()), "--debug-port", str(free_port())]
    assert [one for one in findings(tmp_path, *port) if "stale" in one["check"]] == []
    file = tmp_path / ".vscode" / "launch.json"
    file.write_text(file.read_text().replace("config.yaml", "older.yaml"))
    assert [one["check"] for one in findings(tmp_path, *port) if one["level"] == "warning"] == [
        "ide-files-stale"
    ]
    doctor(tmp_path, "--fix", *port)
    assert "config.yaml" in file.read_text()


def test_dry_run_goes_with_fix(tmp_path: Path) -> None:
    done = doctor(tmp_path, "--dry-run")
    assert done.returncode == 2
    assert "--fix" in done.stderr


def test_the_readmes_table_is_the_list_of_checks() -> None:
    rows = ["| check | what keeps the debugger out | what to do |", "|---|---|---|"]
    table = "\n".join([*rows, *(f"| `{c.name}` | {c.cause} | {c.cure} |" for c in CHECKS)])
    text = README.read_text(encoding="utf-8")
    found = re.search(r"<!-- doctor -->\n(.*)\n<!-- /doctor -->", text, re.DOTALL)
    assert found is not None
    assert found[1] == table, f"the table should be:\n{table}"
