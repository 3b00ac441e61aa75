"""`doctor --user NAME`: what that account can't read or write, and the command that mends it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ..doctor.clinic import findings
from ..doctor.clinic import write as write_project
from ..support.accounts import MadeAccount

CODE = """\
from flask import Flask

app = Flask(__name__)
app.config["UPLOAD_FOLDER"] = "uploads"
app.config.from_mapping(LOG_FILE="logs/shop.log", SQLALCHEMY_DATABASE_URI="sqlite:///shop.db")
"""


@pytest.fixture
def project(folder: Path) -> Iterator[Path]:
    """All of it root's, and readable by everybody; what is to be written, root's alone."""
    write_project(
        folder,
        {
            "app.py": CODE, "shop/views.py": "", "templates/index.html": "", "instance/shop.db": "",
            "logs/shop.log": "", "uploads/nothing": "", "config.yaml": "FLASK: {DEBUG: false}\n",
        },
    )  # fmt: skip
    for path in folder.rglob("*"):
        path.chmod(0o755 if path.is_dir() else 0o644)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "shop.sock"))
        (folder / "shop.sock").chmod(0o755)
        yield folder


def of_account(folder: Path, account: MadeAccount, path: str = "") -> list[dict[str, Any]]:
    env = {"PATH": path} if path else None
    found = findings(folder, "--user", account.name, env=env)
    return [one for one in found if one["check"] == "account-access"]


def places(found: list[dict[str, Any]]) -> set[tuple[str, str]]:
    return {(one["where"], one["what"].partition(" can't ")[2]) for one in found}


def mend(found: list[dict[str, Any]]) -> None:
    """As the person would type it who is root already."""
    for one in found:
        command = one["fix"].replace("sudo ", "")
        subprocess.run(command, shell=True, check=True, timeout=60)


def test_what_has_to_be_written_can_not_be(account: MadeAccount, project: Path) -> None:
    found = of_account(project, account)
    assert places(found) == {
        ("instance", "write in it (folder of the SQLite file, instance folder)"),
        ("instance/shop.db", "read and write it (SQLite file)"),
        ("logs/shop.log", "write to it (log)"),
        ("uploads", "write in it (upload folder)"),
        ("shop.sock", "write to it (socket)"),
    }, found


def test_what_has_to_be_read_can_not_be(account: MadeAccount, project: Path) -> None:
    for name in ("shop/views.py", "templates/index.html", "config.yaml"):
        (project / name).chmod(0o600)
    found = places(of_account(project, account))
    assert ("shop/views.py", "read it (code)") in found
    assert ("templates/index.html", "read it (template)") in found
    assert ("config.yaml", "read it (configuration)") in found
    project.chmod(0o700)
    (closed,) = of_account(project, account)
    assert closed["where"] == "."
    assert closed["what"].startswith(f"{account.name} can't list it (the app's folder, code, ")


@pytest.mark.slow
@pytest.mark.parametrize("how", ["setfacl", "chown"])
def test_the_commands_mend_it(account: MadeAccount, project: Path, how: str) -> None:
    """Where a folder is closed, what is in it is told after that is open."""
    path = os.environ["PATH"]
    if how == "setfacl" and shutil.which("setfacl") is None:
        pytest.skip("there is no setfacl here")
    if how == "chown":
        tools = project.parent / f"{project.name}-tools"
        tools.mkdir()
        for name in ("chmod", "chown"):
            (tools / name).symlink_to(shutil.which(name) or name)
        path = str(tools)
    try:
        for name in ("shop/views.py", "templates/index.html"):
            (project / name).chmod(0o600)
        (project / "templates").chmod(0o700)
        found = of_account(project, account, path)
        assert found
        for _ in range(3):
            commands = [one["fix"] for one in found]
            assert all(how in one or "chmod" in one for one in commands), commands
            mend(found)
            found = of_account(project, account, path)
        assert found == []
        others = (project / "shop/views.py").stat().st_mode & 0o007
        assert others == 0, "more was given than to the account"
    finally:
        if how == "chown":
            shutil.rmtree(tools)


def test_the_accounts_own_file_needs_its_owners_right(account: MadeAccount, project: Path) -> None:
    views = project / "shop/views.py"
    os.chown(views, account.uid, account.gid)
    views.chmod(0o200)
    found = [one for one in of_account(project, account) if one["where"] == "shop/views.py"]
    assert [one["fix"] for one in found] == [f"sudo chmod u+r {views}"]


def test_without_an_account_nothing_is_asked(project: Path) -> None:
    assert [one for one in findings(project) if one["check"] == "account-access"] == []
