"""Reloads are warm also where the debugger, the interpreter and the packages are not where pip puts
them: brought along by an IDE, behind links, on PYTHONPATH; and with old debuggers."""

from __future__ import annotations

import http.client
import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

from ..support.dap import Editor
from ..support.packages import packages_in_a_folder
from ..support.processes import free_port, wait_until
from .project import HELLO, Project, Served, launcher
from .test_process_lifetime import WORKER, parent_of, wait_for_warm_worker

if sys.platform != "linux":
    pytest.skip("warm restarts need Linux", allow_module_level=True)

APP = "at_import = 1\n" + HELLO.format(text="one") + WORKER
NOT_WARM = ("starts a new interpreter", "Not kept imported")


@pytest.fixture(params=["1.8.0", "1.8.14", "a copy of the installed one"])
def bundled(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The oldest that is allowed, the last that can't be told its parent by an argument, and what
    is installed here."""
    unknown_from = {"1.8.0": (3, 12), "1.8.14": (3, 14)}.get(request.param)
    if unknown_from and sys.version_info >= unknown_from:
        pytest.skip(f"debugpy {request.param} does not know this Python")
    if request.param[0].isdigit():
        return packages_in_a_folder(request.config.cache, f"debugpy=={request.param}")
    debugpy = pytest.importorskip("debugpy")
    folder = tmp_path_factory.mktemp("bundled")
    shutil.copytree(Path(debugpy.__file__).parent, folder / "debugpy")
    return folder


@pytest.mark.slow
def test_breakpoints_hit_in_warm_workers_under_a_debugger_that_the_ide_brings_along(
    project: Project, bundled: Path
) -> None:
    project.save("main.py", APP)
    port = free_port()
    command = [sys.executable, str(bundled / "debugpy"), "--listen", str(port), *launcher()[1:]]
    env = {"PYDEVD_DISABLE_FILE_VALIDATION": "1"}
    with (
        project.served(command=command, env=env) as served,
        Editor.attach(port) as editor,
    ):
        editor.wait_for_session(2)
        wait_for_warm_worker(project, served)
        editor.set_breakpoints(project.main, [1])
        for _ in range(2):
            before = served.reloads
            project.main.touch()
            stop = editor.wait_for_stop()
            assert stop.line == 1
            assert parent_of(stop.process_id) != served.program.pid
            stop.resume()
            served.wait_for_reload(before + 1)
        assert_nothing_was_in_the_way(served)


def assert_nothing_was_in_the_way(served: Served) -> None:
    assert not [line for line in served.program.lines if any(one in line for one in NOT_WARM)]


@pytest.mark.slow
def test_a_linked_environment_and_what_python_itself_imports_from_pythonpath(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """uv links the interpreter's folder, people their environments; PyDev's Run puts a
    sitecustomize on PYTHONPATH, which then imports the one behind it."""
    debugpy = pytest.importorskip("debugpy")
    folder = tmp_path_factory.mktemp("linked")
    venv = folder / "real"
    (folder / "cpython").symlink_to(sys.base_prefix)
    python = Path("bin") / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    create = [folder / "cpython" / python, "-m", "venv", "--without-pip", venv]
    subprocess.run(create, check=True)
    assert f"{folder / 'cpython'}" in (venv / "pyvenv.cfg").read_text()
    lib = Path("lib") / f"python{sys.version_info[0]}.{sys.version_info[1]}" / "site-packages"
    (venv / lib / "installed.py").write_text("text = 'one'\n")
    here = {sysconfig.get_path("purelib"), str(Path(__file__).parents[2])}
    (venv / lib / "others.pth").write_text("".join(f"{path}\n" for path in here))
    (folder / "link").symlink_to(venv)
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text("import beside_it\n")
    (folder / "site" / "beside_it.py").write_text("")
    pydev = Path(debugpy.__file__).parent / "_vendored" / "pydevd" / "pydev_sitecustomize"
    shutil.copytree(pydev, folder / "pysrc" / "pydev_sitecustomize")
    project.save("main.py", "import beside_it, installed, numpy\n" + APP)
    command = [str(folder / "link" / "bin" / "python"), *launcher()[1:]]
    paths = [folder / "pysrc" / "pydev_sitecustomize", folder / "site"]
    env = {"PYTHONPATH": os.pathsep.join(map(str, paths))}
    with project.served(command=command, env=env) as served:
        wait_for_warm_worker(project, served)
        assert_nothing_was_in_the_way(served)


@pytest.fixture
def without_fork(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """As on Windows, and on macOS, where forks are not safe."""
    site = tmp_path_factory.mktemp("site")
    (site / "sitecustomize.py").write_text("import os\ndel os.fork\n")
    return {"PYTHONPATH": str(site)}


IMPORTS = "import os, sys\nis_there = 'jsonschema' in sys.modules\nimport jsonschema\n"
WHO = "\n\n@app.get('/who')\ndef who():\n    return f'{os.getpid()} {is_there}'\n"
SHOP = IMPORTS + HELLO.format(text="one") + WHO


@pytest.mark.slow
def test_where_there_is_no_fork_a_process_waits_with_the_packages_imported(
    project: Project, without_fork: dict[str, str]
) -> None:
    project.save("main.py", SHOP)
    with project.served(env=without_fork) as served:
        members = served.program.family.members
        for number in (1, 2):
            # The supervisor, the worker, and the one that waits.
            wait_until(lambda: len(members()) == 3, message=lambda: str(members()))
            there = members()
            project.main.touch()
            served.wait_for_reload(number)
            pid, is_there = served.text("/who").split()
            assert (int(pid) in there, is_there) == (True, "True")
        assert_nothing_was_in_the_way(served)
        # It is too late to import them for an app that changes something before; not for the next.
        project.save("main.py", "import os\nos.environ['TZ'] = 'UTC'\n" + SHOP)
        served.wait_for_text("False", "/who")

        def has_them_again() -> bool:
            reloads = served.reloads
            project.main.touch()
            served.wait_for_reload(reloads + 1)
            return served.text("/who").endswith("True")

        wait_until(has_them_again)


@pytest.mark.slow
def test_a_python_without_pidfd_open(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """It is not in Pythons that were built on an old Linux, as conda's and uv's are."""
    site = tmp_path_factory.mktemp("site")
    (site / "sitecustomize.py").write_text("import os\ndel os.pidfd_open\n")
    crash = "\n\n@app.get('/crash')\ndef crash():\n    import signal\n"
    crash += "    os.kill(os.getpid(), signal.SIGSEGV)\n"
    project.save("main.py", "import os\nassert not hasattr(os, 'pidfd_open')\n" + APP + crash)
    with project.served(env={"PYTHONPATH": str(site)}) as served:
        wait_for_warm_worker(project, served)
        with pytest.raises((OSError, http.client.HTTPException)):
            served.text("/crash")
        served.program.wait_for_line("was ended by SIGSEGV")
        project.main.touch()
        wait_until(lambda: served.text() == "one")
