"""A forked worker is like a new interpreter, and where it could not be, it is one."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

import pytest

from flask_debuglaunch.serving.processes.next_worker_from_fork_servers import MAX_LOST_FORK_SERVERS

from ..support.processes import command_line, wait_until
from .project import HELLO, Project, Served
from .test_process_lifetime import WORKER, children_of, parent_of, wait_for_warm_worker

if sys.platform != "linux":
    pytest.skip("warm restarts need Linux", allow_module_level=True)

LOOK = '''\
import asyncio, decimal, json, locale, os, random, signal, sqlite3, sys, threading, uuid
import click, flask, jinja2, werkzeug
from flask import Flask

MODULE_STATE = []
MODULE_STATE.append("once")
app = Flask(__name__)


def descriptors():
    """Kinds of open files; the numbers may differ. From Python 3.14 on ctypes keeps its library
    open, in whatever process it was imported."""
    links = []
    for number in os.listdir("/proc/self/fd"):
        try:
            links.append(os.readlink("/proc/self/fd/" + number).partition(":")[0])
        except OSError:
            pass  # the listing's own
    return sorted(link for link in links if ".so" not in link)


AT_IMPORT = {
    "argv": sys.argv,
    "orig_argv": sys.orig_argv,
    "flags": list(sys.flags),
    "path": sys.path,
    "meta_path": [str(one).partition(" at ")[0] for one in sys.meta_path],
    "main": [sys.modules["__main__"].__name__, sys.modules["__main__"].__file__],
    "environ": dict(os.environ),
    "cwd": os.getcwd(),
    "locale": [locale.setlocale(locale.LC_ALL), locale.getpreferredencoding()],
    "encodings": [sys.stdin.encoding, sys.stdout.encoding, sys.getfilesystemencoding()],
    "buffering": [sys.stdout.line_buffering, sys.stderr.line_buffering],
    "signals": {str(n): str(signal.getsignal(n)).partition(" at ")[0] for n in signal.valid_signals()},
    "mask": sorted(map(str, signal.pthread_sigmask(signal.SIG_BLOCK, []))),
    "threads": [thread.name for thread in threading.enumerate()],
    "main_thread": threading.current_thread() is threading.main_thread(),
    "descriptors": descriptors(),
    "state": MODULE_STATE,
    "recursion": sys.getrecursionlimit(),
    "switch": sys.getswitchinterval(),
    "tracing": [str(sys.gettrace()), str(sys.getprofile())],
    "umask": os.umask(0o22),
    "decimal": str(decimal.getcontext()),
    "project_modules": sorted(n for n, m in sys.modules.items()
                              if os.getcwd() in str(getattr(m, "__file__", None))),
}
RANDOM = [random.random(), uuid.uuid4().hex, os.urandom(4).hex()]
if "numpy" in os.environ.get("LOOK_AT", ""):
    import numpy
    RANDOM.append(float(numpy.random.random()))


@app.get("/")
def look():
    return {"import": AT_IMPORT, "random": RANDOM, "parent": os.getppid()}
'''


def test_a_forked_worker_is_like_a_new_interpreter(project: Project) -> None:
    project.save("main.py", LOOK)
    seen = {}
    for preload in ("off", "auto"):
        with project.served("--preload", preload) as served:
            if preload == "auto":
                wait_for_warm_worker_of(project, served)
            seen[preload] = json.loads(served.text())
    fresh, forked = seen["off"]["import"], seen["auto"]["import"]
    for look in (fresh, forked):  # the command lines differ by the very switch
        for key in ("argv", "orig_argv"):
            look[key] = [one for one in look[key] if one not in ("off", "auto")]
        look["environ"].pop("TEST_FAMILY")
    for key in fresh:
        assert forked[key] == fresh[key], key


@pytest.mark.slow
def test_random_numbers_differ_from_worker_to_worker(project: Project) -> None:
    project.save("main.py", LOOK)
    with project.served() as served:
        wait_for_warm_worker_of(project, served)
        draws = []
        for _ in range(3):
            draws.append(json.loads(served.text())["random"])
            before = served.reloads
            project.main.touch()
            served.wait_for_reload(before + 1)
    for kind in zip(*draws, strict=True):
        assert len(set(kind)) == 3


@contextmanager
def warm(project: Project) -> Iterator[tuple[Served, int]]:
    """The app in a worker that was forked, and its fork server."""
    project.save("main.py", HELLO.format(text="one") + WORKER)
    with project.served() as served:
        wait_for_warm_worker(project, served)
        yield served, parent_of(int(served.text("/pid")))


def wait_for_warm_worker_of(project: Project, served: Served) -> None:
    def is_warm() -> bool:
        before = served.reloads
        project.main.touch()
        served.wait_for_reload(before + 1)
        return bool(json.loads(served.text())["parent"] != served.program.pid)

    wait_until(is_warm)


@pytest.fixture
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installed package, which the app imports."""
    folder = tmp_path_factory.mktemp("venv") / "lib" / "site-packages"
    folder.mkdir(parents=True)
    (folder / "installed.py").write_text("text = 'one'\n")
    return folder / "installed.py"


def served_with(
    project: Project,
    package: Path,
    *,
    flags: Sequence[str] = (),
    command: list[str] | None = None,
    terminal: bool = False,
) -> AbstractContextManager[Served]:
    """Our interpreter takes the folder for one of installed packages: a user's site folder."""
    paths = os.pathsep.join(filter(None, [str(package.parent), os.environ.get("PYTHONPATH")]))
    base = package.parents[2]
    env = {"PYTHONPATH": paths, "PYTHONUSERBASE": str(base)}
    user_site = base / "lib" / f"python{sys.version_info[0]}.{sys.version_info[1]}"
    user_site.mkdir(exist_ok=True)
    if not (user_site / "site-packages").exists():
        (user_site / "site-packages").symlink_to(package.parent)
    return project.served(*flags, command=command, env=env, terminal=terminal)


USES_PACKAGE = "import installed\n" + HELLO.replace('"{text}"', "installed.text") + WORKER


def test_a_changed_package_is_noticed(project: Project, package: Path) -> None:
    project.save("main.py", USES_PACKAGE)
    with served_with(project, package) as served:
        wait_for_warm_worker(project, served)
        assert served.text() == "one"
        package.write_text("text = 'changed'\n")
        project.main.touch()
        served.wait_for_text("changed")


@pytest.mark.slow
def test_a_newly_installed_package_is_noticed(project: Project, package: Path) -> None:
    project.save(
        "main.py",
        "try:\n    import newcomer\nexcept ImportError:\n    newcomer = None\n"
        + HELLO.replace('"{text}"', "str(newcomer)")
        + WORKER,
    )
    with served_with(project, package) as served:
        wait_for_warm_worker(project, served)
        assert served.text() == "None"
        (package.parent / "newcomer.py").write_text("")
        project.main.touch()
        served.wait_for_text("newcomer.py")


def test_only_a_package_that_starts_a_thread_is_left_out(project: Project, package: Path) -> None:
    package.write_text(
        "import threading\ntext = 'one'\n"
        "started = [threading.Thread(target=threading.Event().wait, daemon=True), 'me']\n"
        "started[0].start()\n"
    )
    threads = "\n\n@app.get('/threads')\ndef threads():\n    return str(len(started))\n"
    project.save("main.py", USES_PACKAGE + threads.replace("started", "installed.started"))
    with served_with(project, package) as served:
        served.program.wait_for_line(
            "Not kept imported between reloads: installed, because it starts a thread"
        )
        # The rest is: the worker is forked, and starts the thread by itself.
        wait_for_warm_worker(project, served)
        assert served.text() == "one"
        assert served.text("/threads") == "2"


@pytest.mark.slow
def test_what_is_imported_after_a_change_of_the_environment_is_not_preloaded(
    project: Project, package: Path
) -> None:
    package.write_text("import os\ntext = os.environ['COLOUR']\n")
    colour = "import os\nos.environ['COLOUR'] = '{}'\n"
    project.save("main.py", colour.format("red") + USES_PACKAGE)
    with served_with(project, package) as served:
        wait_for_warm_worker(project, served)
        assert served.text() == "red"
        project.save("main.py", colour.format("blue") + USES_PACKAGE)
        served.wait_for_text("blue")


def test_what_packages_print_on_import_is_printed_once_a_start(
    project: Project, package: Path
) -> None:
    package.write_text("print('hello from the package', flush=True)\ntext = 'one'\n")
    project.save("main.py", USES_PACKAGE)
    with served_with(project, package) as served:
        wait_for_warm_worker(project, served)
    said = sum("hello from the package" in line for line in served.program.lines)
    assert said <= 1 + served.reloads - 1


@pytest.mark.slow
def test_numpy_can_be_preloaded(project: Project) -> None:
    """OpenBLAS starts threads while it is imported, and survives a fork."""
    project.save(
        "main.py",
        "import numpy\n"
        + HELLO.replace('"{text}"', "str((numpy.ones((500, 500)) @ numpy.ones((500, 500))).sum())")
        + WORKER,
    )
    with project.served() as served:
        wait_for_warm_worker(project, served)
        assert served.text() == "125000000.0"


def test_the_next_worker_is_forked_ahead(project: Project) -> None:
    with warm(project) as (served, fork_server):

        def forked_ahead() -> list[int]:
            return [one for one in children_of(fork_server) if str(one) != served.text("/pid")]

        (ahead,) = wait_until(forked_ahead)
        project.save("main.py", HELLO.format(text="two") + WORKER)
        served.wait_for_text("two")
        assert served.text("/pid") == str(ahead)
        (ahead,) = wait_until(forked_ahead)
        os.kill(ahead, signal.SIGKILL)
        project.save("main.py", HELLO.format(text="three") + WORKER)
        served.wait_for_text("three")
        assert parent_of(int(served.text("/pid"))) == fork_server


@pytest.mark.slow
def test_a_fork_server_that_hangs_does_not_keep_anybody_waiting(project: Project) -> None:
    with warm(project) as (served, fork_server):
        os.kill(fork_server, signal.SIGSTOP)
        for text in ("two", "three"):
            project.save("main.py", HELLO.format(text=text) + WORKER)
            served.wait_for_text(text)
        wait_until(lambda: not command_line(fork_server), 5, "the hanging fork server is ended")
        served.program.signal(signal.SIGINT)
        assert served.program.wait_exit(timeout=10) == 130
        served.program.assert_nothing_left(timeout=5)


@pytest.mark.slow
def test_a_fork_server_that_hangs_keeps_nobody_from_ending(project: Project) -> None:
    with warm(project) as (served, fork_server):
        os.kill(fork_server, signal.SIGSTOP)
        served.program.signal(signal.SIGTERM)
        assert served.program.wait_exit(timeout=10) == 143
        served.program.assert_nothing_left(timeout=5)


@pytest.mark.slow
def test_reloads_are_warm_again_when_descriptors_are_no_longer_used_up(project: Project) -> None:
    import resource

    project.save("main.py", HELLO.format(text="one") + WORKER)
    with project.served() as served:
        # For a worker there is no room, nor for the fork server if that is not there yet.
        pid = served.program.pid
        limits = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        open_now = len(os.listdir(f"/proc/{pid}/fd"))
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_now, limits[1]))
        project.main.touch()
        served.program.wait_for_line("could not be started: .*Too many open files.*The next save")
        resource.prlimit(pid, resource.RLIMIT_NOFILE, limits)
        wait_for_warm_worker(project, served)
        assert "Traceback" not in served.program.output


@pytest.mark.slow
def test_reloads_are_warm_again_after_the_fork_server_was_killed(project: Project) -> None:
    with warm(project) as (served, fork_server):
        os.kill(fork_server, signal.SIGKILL)
        wait_until(lambda: not command_line(fork_server))
        wait_for_warm_worker(project, served)


# Ends the fork server, for which the app is not there yet, once for each file of a folder.
ENDS_FORK_SERVERS = """\
import os, signal, sys

left = os.listdir({folder!r})
if left and "main" not in sys.modules:
    os.unlink(os.path.join({folder!r}, left[0]))
    os.kill(os.getpid(), signal.SIGKILL)
text = "one"
"""


@pytest.fixture
def deaths(package: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a file for each fork server that the package is to end while it preloads."""
    folder = tmp_path_factory.mktemp("deaths")
    package.write_text(ENDS_FORK_SERVERS.format(folder=str(folder)))
    return folder


@pytest.mark.slow
def test_a_fork_server_that_ends_while_it_preloads_is_started_again(
    project: Project, package: Path, deaths: Path
) -> None:
    for number in range(MAX_LOST_FORK_SERVERS - 1):
        (deaths / str(number)).touch()
    project.save("main.py", USES_PACKAGE)
    with served_with(project, package) as served:
        served.program.wait_for_line("the next reload tries again: the process .* has ended")
        wait_for_warm_worker(project, served)
        assert not [*deaths.iterdir()]
        assert "Each reload starts a new interpreter" not in served.program.output


@pytest.mark.slow
def test_a_fork_server_that_always_ends_while_it_preloads_is_given_up(
    project: Project, package: Path, deaths: Path
) -> None:
    for number in range(MAX_LOST_FORK_SERVERS + 1):
        (deaths / str(number)).touch()
    project.save("main.py", USES_PACKAGE)
    with served_with(project, package) as served:
        for number in range(1, MAX_LOST_FORK_SERVERS + 3):
            project.main.touch()
            served.wait_for_reload(number)
        served.program.wait_for_line("Each reload starts a new interpreter: .* in a row")
        assert len([*deaths.iterdir()]) == 1
