"""`run --as-service`: as a systemd unit or a gunicorn configuration file has it."""

from __future__ import annotations

import grp
import json
import os
import shutil
import socket
import stat
import subprocess
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from ..apps.project import LAUNCHER, NO_RELOAD, RELOAD, ended, served, write
from ..support.accounts import MadeAccount, reachable, why_no_accounts
from ..support.processes import Program
from .reporting_app import APP, report_of

STRONGER, WEAKER = "/etc", "/usr/local/lib"


class Units:
    """Unit files of a name that nobody else has, in systemd's own folders.

    Not in /run/systemd/system: where that is there, programs take systemd for running.
    """

    def __init__(self) -> None:
        self.name = f"fdl{uuid.uuid4().hex[:10]}"

    def write(self, folder: str, file: str, text: str) -> Path:
        path = Path(folder) / "systemd/system" / file.format(name=self.name)
        write(path.parent, {path.name: text})
        return path

    def remove(self) -> None:
        for folder in (STRONGER, WEAKER):
            for path in Path(folder, "systemd/system").glob(f"{self.name}*"):
                shutil.rmtree(path) if path.is_dir() else path.unlink()


@pytest.fixture
def units() -> Iterator[Units]:
    if (reason := why_no_accounts()) is not None:
        pytest.skip(reason)
    made = Units()
    yield made
    made.remove()


def explained(service: str | Path, *flags: str, cwd: Path | None = None) -> dict[str, Any]:
    command = [*LAUNCHER, "explain", "--json", "--as-service", str(service), *flags]
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    told: dict[str, Any] = json.loads(done.stdout)
    return told


def values(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: one["value"] for name, one in told["deployed"].items()}


@pytest.mark.parametrize("mode", [NO_RELOAD, RELOAD], ids=["one", "supervised"])
def test_a_unit_with_a_drop_in(
    account: MadeAccount, folder: Path, units: Units, mode: tuple[str, ...]
) -> None:
    write(
        folder, {"app/shop.py": APP, "lib/nothing.py": "", "shop.env": "SECRET_KEY='of a file'\n"}
    )
    (folder / "shop.env").chmod(0o600)  # root's alone, as it is in production
    units.write(
        WEAKER, "{name}.service",
        f"""\
        [Service]
        User={account.name}
        SupplementaryGroups={account.extra_group}
        WorkingDirectory={folder}/app
        Environment="GREETING=good day" PYTHONPATH={folder}/lib
        Environment=FLASK_ENV=production
        EnvironmentFile={folder}/shop.env
        EnvironmentFile=-/nowhere/%n
        ExecStart=/usr/bin/gunicorn --bind unix:/run/%p.sock shop:app
        """,
    )  # fmt: skip
    units.write(STRONGER, "{name}.service.d/10-umask.conf", "[Service]\nUMask=0027\n")
    flags = (*mode, "--for", "1h", "--as-service", units.name)
    with served(folder, *flags, command=reachable(LAUNCHER), env={"OF_ROOT": "1"}) as launched:
        told, output = report_of(launched), launched.program.output
    assert told["uids"] == [account.uid] * 3
    assert told["groups"] == sorted({account.gid, grp.getgrnam(account.extra_group).gr_gid})
    assert (told["umask"], told["folder"]) == (0o027, f"{folder}/app")
    environ = told["environ"]
    assert (environ["GREETING"], environ["SECRET_KEY"]) == ("good day", "of a file")
    assert environ["PYTHONPATH"] == f"{folder}/lib"
    assert environ["HOME"] == str(account.home)
    assert "OF_ROOT" not in environ
    assert f" * Runs as {account.name} ({WEAKER}/systemd/system/{units.name}.service:2)" in output
    assert "of a file" not in output


def test_explain_names_each_line_and_no_secret(folder: Path, units: Units) -> None:
    write(
        folder, {"shop.py": "raise SystemExit('imported')", "shop.env": "\nDB_PASSWORD=12345 6\n"}
    )
    unit = units.write(
        WEAKER, "{name}@.service",
        f"""\
        [Service]
        User=nobody
        WorkingDirectory={folder}
        Environment=INSTANCE=%i API_TOKEN=98765
        EnvironmentFile={folder}/shop.env
        ExecStart=@/usr/bin/gunicorn gunicorn shop:app
        """,
    )  # fmt: skip
    of_instance = units.write(
        WEAKER, "{name}@blue.service.d/50.conf",
        "[Service]\nUser=\nUser=daemon\nExecStart=\nExecStart=gunicorn \"shop:create_app('%i')\"\n",
    )  # fmt: skip
    units.write(WEAKER, "{name}@.service.d/50.conf", "[Service]\nUser=bin\n")  # the other's wins
    told = explained(f"{units.name}@blue.service")
    assert values(told) == {
        "user": "daemon", "umask": "0022", "working_directory": str(folder),
        "app": "shop:create_app('blue')", "env INSTANCE": "blue", "env API_TOKEN": "***",
        "env DB_PASSWORD": "***",
        "env PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    }  # fmt: skip
    origins = {name: one["origin"] for name, one in told["deployed"].items()}
    assert origins["user"] == f"{of_instance}:3"
    assert origins["working_directory"] == f"{unit}:3"
    assert origins["env DB_PASSWORD"] == f"{folder}/shop.env:2"
    assert origins["umask"] == "default"
    assert told["plan"]["app"]["value"] == "shop:create_app('blue')"
    assert told["plan"]["app_directory"]["value"] == str(folder)


def test_stronger_folders_mask(units: Units) -> None:
    units.write(WEAKER, "{name}.service", "[Service]\nUser=nobody\nWorkingDirectory=/tmp\n")
    units.write(WEAKER, "{name}.service.d/20.conf", "[Service]\nUser=bin\n")
    units.write(WEAKER, "{name}.service.d/10.conf", "[Service]\nUser=daemon\n")
    assert values(explained(units.name))["user"] == "bin"
    units.write(STRONGER, "{name}.service.d/20.conf", "[Service]\nGroup=daemon\n")
    assert values(explained(units.name))["user"] == "daemon"
    units.write(
        STRONGER, "{name}.service", "[Service]\nUser=nobody\nUMask=077\nWorkingDirectory=/\n"
    )
    assert values(explained(units.name))["umask"] == "0077"


def test_a_systemd_that_answers_names_the_files(folder: Path, units: Units) -> None:
    """No systemd runs where the tests run: a program in its place gives `systemctl show`'s answer."""
    write(
        folder,
        {
            "unit": "[Service]\nUser=nobody\nWorkingDirectory=/tmp\n",
            "more": "[Service]\nUser=bin\n",
        },
    )
    systemctl = folder / "bin/systemctl"
    answer = f"FragmentPath={folder}/unit\nDropInPaths={folder}/more\n"
    write(folder, {"bin/systemctl": f"#!/bin/sh\nprintf '{answer}'\n"})
    systemctl.chmod(systemctl.stat().st_mode | stat.S_IXUSR)
    done = subprocess.run(
        [*LAUNCHER, "explain", "--as-service", units.name], capture_output=True, text=True,
        env={**os.environ, "PATH": f"{folder}/bin:{os.environ['PATH']}"}, timeout=60,
    )  # fmt: skip
    assert f"{folder}/more:2" in done.stdout, done


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[Service]\nDynamicUser=yes\n", ":2: DynamicUser= makes an account for the service alone"),
        ("[Service]\nUser=fdl-not-there\n", ":2: there is no account fdl-not-there"),
        ("[Service]\nUMask=rwx\n", ":2: UMask= rwx is no octal number"),
        ("[Service]\nUser=%z\n", ":2: the specifier %z of User= is not known here"),
        ("[Service]\nEnvironmentFile=/nowhere\n", ":2: EnvironmentFile= /nowhere: No such file"),
        ("[Service]\nWorkingDirectory=/nowhere\n", ":2: /nowhere: No such file or directory"),
    ],
)
def test_units_that_can_not_be_followed(
    tmp_path: Path, units: Units, text: str, message: str
) -> None:
    units.write(WEAKER, "{name}.service", text)
    refused = ended(tmp_path, "--as-service", units.name)
    assert refused.status == 2
    assert refused.message.startswith(f"{WEAKER}/systemd/system/{units.name}.service{message}")


def test_a_unit_that_is_not_there(tmp_path: Path, units: Units) -> None:
    units.write(WEAKER, "{name}.service", "[Service]\n")
    refused = ended(tmp_path, "--as-service", f"{units.name}x")
    assert refused.message == (
        f"argv:--as-service: there is no unit {units.name}x.service."
        f" Did you mean {units.name}.service?"
    )


@pytest.mark.slow
def test_the_port_of_the_running_service_is_left_alone(
    account: MadeAccount, folder: Path, units: Units
) -> None:
    write(folder, {"shop.py": APP})
    with socket.create_server(("127.0.0.1", 0)) as running:
        port = running.getsockname()[1]
        unit = (
            f"[Service]\nUser={account.name}\nWorkingDirectory={folder}\n"
            f"Environment=FLASK_RUN_PORT={port}\nExecStart=flask --app shop run\n"
        )
        units.write(WEAKER, "{name}.service", unit)
        command = reachable([*LAUNCHER, "--as-service", units.name])
        with Program(command, cwd=folder) as program:
            program.wait_for_line(rf"Port {port} is in use.*, which is left alone")
            assert program.wait_for_line(r"Running on http://127.0.0.1:(\d+)")[1] != str(port)
        refused = ended(folder, "--port", str(port), command=command)
        assert f"port {port} is in use" in refused.output
        assert refused.status == 1


GUNICORN = """\
import os
print("on standard output")
chdir = "app"
user = {user!r}
group = {group!r}
umask = "027"
raw_env = ["GREETING=good day", "SECRET_KEY=98765"]
pythonpath = "lib"
wsgi_app = "shop:app"
executed_by = os.getuid()
os.path.exists("ran") or open("ran", "w").write(str(os.getuid()))
"""


def test_a_gunicorn_configuration_file(account: MadeAccount, folder: Path) -> None:
    write(folder, {"app/shop.py": APP, "lib/nothing.py": "",
                   "gunicorn.conf.py": GUNICORN.format(
                       user=account.name, group=account.extra_group)})  # fmt: skip
    flags = ("--as-service", "gunicorn.conf.py")
    with served(folder, *RELOAD, *flags, command=reachable(LAUNCHER)) as launched:
        told, output = report_of(launched), launched.program.output
    assert told["uids"] == [account.uid] * 3
    assert told["gids"] == [grp.getgrnam(account.extra_group).gr_gid] * 3
    assert (told["umask"], told["folder"]) == (0o027, f"{folder}/app")
    assert told["environ"]["GREETING"] == "good day"
    assert told["environ"]["PYTHONPATH"] == f"{folder}/lib"
    assert "98765" not in output
    said, runs = output.index("Executes gunicorn.conf.py, alone"), output.index("Runs as")
    assert said < runs
    assert output.count("Executes gunicorn.conf.py") == 1
    assert (
        f"as {account.name} (gunicorn.conf.py:user), in {folder}/app (gunicorn.conf.py:chdir)"
        in output
    )


def test_a_file_of_another_account_does_not_become_root(account: MadeAccount, folder: Path) -> None:
    write(
        folder,
        {"own/gunicorn.conf.py": GUNICORN.format(user=None, group=None), "own/app/shop.py": APP},
    )
    own = folder / "own"
    for path in (own, *own.rglob("*")):
        os.chown(path, account.uid, account.gid)
    command = reachable([*LAUNCHER, "explain", "--as-service", "gunicorn.conf.py"])
    done = subprocess.run(command, cwd=own, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done
    assert (own / "ran").read_text() == str(account.uid)
    assert "SECRET_KEY" in done.stdout
    assert "98765" not in done.stdout


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("import nowhere_there", "gunicorn.conf.py fails: ModuleNotFoundError: No module named"),
        ("raw_env = ['A']", "gunicorn.conf.py:raw_env: must be a list of texts"),
        ("umask = 'rwx'", "gunicorn.conf.py:umask: must be a number such as 0o022, not 'rwx'"),
        ("chdir = 5", "gunicorn.conf.py:chdir: must be a text, not 5"),
    ],
)
def test_files_of_gunicorn_that_can_not_be_followed(
    tmp_path: Path, text: str, message: str
) -> None:
    write(tmp_path, {"gunicorn.conf.py": text + "\n"})
    refused = ended(tmp_path, "--as-service", "gunicorn.conf.py")
    assert refused.status == 2
    assert message in refused.output
