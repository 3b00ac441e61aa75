"""However it ends: no process and no port is left, and the exit status says how."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..support.processes import (
    Program,
    command_line,
    free_port,
    http_get,
    in_background,
    is_listening,
    wait_for_port,
    wait_until,
)
from .project import HELLO, Project, Served, launcher

if sys.platform == "win32":
    pytest.skip("signals", allow_module_level=True)

WORKER = "\n\n@app.get('/pid')\ndef pid():\n    import os\n    return str(os.getpid())\n"
END_SIGNALS = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}


@pytest.fixture(params=["no reload", "fresh", "warm", "debugpy"])
def served(project: Project, request: pytest.FixtureRequest) -> object:
    """A server of each kind, whose worker tells its pid at /pid."""
    project.save("main.py", HELLO.format(text="one") + WORKER)
    flags = {
        "no reload": ["--no-reload"],
        "fresh": ["--preload", "off"],
        "warm": [],
        "debugpy": ["--debug-with", "debugpy", "--debug-port", str(free_port())],
    }[request.param]
    if request.param == "debugpy":
        pytest.importorskip("debugpy")
    with project.served(*flags) as served:
        if request.param == "warm":
            wait_for_warm_worker(project, served)
        yield served


def wait_for_warm_worker(project: Project, served: Served) -> None:
    """Reload until a worker comes from the fork_server: its parent is not the supervisor."""

    def is_warm() -> bool:
        project.main.touch()
        served.wait_for_reload(served.reloads + 1)
        return parent_of(int(served.text("/pid"))) != served.program.pid

    wait_until(is_warm)


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def port_of(served: Served) -> int:
    return int(served.url.rpartition(":")[2])


def assert_all_gone(served: Served, within: float = 5) -> None:
    served.program.assert_nothing_left(timeout=within)
    # A process that ends closes its files a moment after it has left the list of processes.
    wait_until(lambda: not is_listening(port_of(served)), within, "nobody listens any more")


@pytest.mark.parametrize("number", END_SIGNALS)
@pytest.mark.parametrize("to", ["the process", "its group"])
def test_a_signal_ends_it(served: Served, number: signal.Signals, to: str) -> None:
    if to == "the process":
        served.program.signal(number)
    else:
        served.program.signal_group(number)
    status = served.program.wait_exit(timeout=10)
    assert status in (END_SIGNALS[number], -number)
    assert_all_gone(served)
    assert "Traceback" not in served.program.output
    assert "The next save" not in served.program.output  # the worker may have ended first


@pytest.mark.slow
@pytest.mark.parametrize("to", ["the process", "all its children too"])
@pytest.mark.parametrize(
    "flags",
    [
        ["--preload", "off", "--cert", "adhoc"],
        [],
        ["--debug-with", "debugpy"],
        ["--debug-with", "debugpy", "--no-reload"],
    ],
    ids=" ".join,
)
def test_it_closes_what_it_has_opened_and_has_no_last_words(
    project: Project, flags: list[str], to: str
) -> None:
    """Python's development mode tells of what is left open, here in the launcher's own processes;
    and an adapter that ends at the same time is not missed."""
    if "debugpy" in flags:
        pytest.importorskip("debugpy")
        flags = [*flags, "--debug-port", str(free_port())]
    if "adhoc" in flags:
        pytest.importorskip("cryptography")
    command = [sys.executable, "-X", "dev", "-W", "error", *launcher()[1:]]
    with project.served(*flags, command=command) as served:
        if "--no-reload" not in flags:
            project.say("two")
            served.wait_for_reload(1)
        served.program.wait_for_line("CTRL")
        said = len(served.program.lines)
        if to == "the process":
            served.program.signal(signal.SIGTERM)
        else:
            served.program.signal_tree(signal.SIGINT)
        served.program.wait_exit()
        served.program.assert_nothing_left()
        assert served.program.lines[said:] == []
        assert "Warning" not in served.program.output


@pytest.mark.slow
def test_ctrl_c_in_a_terminal_and_a_closed_one(project: Project) -> None:
    for act in ("ctrl-c", "close"):
        with project.served(terminal=True) as served:
            if act == "ctrl-c":
                served.program.type_keys("\x03")
            else:
                served.program.close_terminal()
            served.program.wait_exit(timeout=10)
            assert_all_gone(served)
            assert "Traceback" not in served.program.output


def test_ctrl_c_while_the_app_is_imported(project: Project) -> None:
    project.save("main.py", "print('importing', flush=True)\nimport time\ntime.sleep(60)\n")
    with Program(launcher(), cwd=project.root) as program:
        program.wait_for_line("importing")
        program.signal_group(signal.SIGINT)
        assert program.wait_exit(timeout=10) == 130
        program.assert_nothing_left(timeout=5)


def test_a_killed_supervisor_takes_the_worker_along(served: Served) -> None:
    worker = int(served.text("/pid"))
    served.program.signal(signal.SIGKILL)
    wait_until(lambda: not command_line(worker), timeout=1, message="the worker has ended")
    assert_all_gone(served)


def test_a_supervisor_that_is_killed_while_the_worker_reports_to_it(project: Project) -> None:
    """The worker looks through sys.modules for that; here it finds what kills the supervisor."""
    trap = (
        "\n\nimport os, signal, sys, time\nsupervisor = os.getppid()\n\n\nclass Trap:\n"
        "    @property\n    def __dict__(self):\n        os.kill(supervisor, signal.SIGKILL)\n"
        "        while os.getppid() == supervisor:\n            time.sleep(0.01)\n"
        "        return {}\n\n\nsys.modules['trap'] = Trap()\n"
    )
    project.save("main.py", HELLO.format(text="one") + trap)
    port = free_port()
    # It may be killed before it can say that it serves.
    command = [*launcher(), "--preload", "off", "--port", str(port)]
    with Program(command, cwd=project.root) as program:
        assert program.wait_exit() == -signal.SIGKILL
        program.assert_nothing_left(timeout=5)
        wait_until(lambda: not is_listening(port), 5, "nobody listens any more")
        assert "Traceback" not in program.output


def test_a_stopped_thread_does_not_keep_the_worker_alive(project: Project) -> None:
    pytest.importorskip("debugpy")
    from ..support.dap import Editor

    port = free_port()
    with project.served("--debug-with", "debugpy", "--debug-port", str(port)) as served:
        with Editor.attach(port, breakpoints={project.main: [8]}) as editor:
            editor.wait_for_session(2)
            in_background(http_get, served.url)
            worker = editor.wait_for_stop().process_id
            served.program.signal(signal.SIGKILL)
            wait_until(lambda: not command_line(worker), timeout=1, message="the worker has ended")
        assert_all_gone(served)


@pytest.mark.parametrize(
    ("end", "said"),
    [
        ("os.kill(os.getpid(), 11)", "was ended by SIGSEGV"),
        ("os.kill(os.getpid(), 9)", r"was ended by SIGKILL \(out of memory\?\)"),
        ("os._exit(3)", "ended with exit status 3"),
    ],
)
@pytest.mark.parametrize("preload", ["auto", "off"])
def test_a_worker_that_dies_is_told_of_and_the_next_save_starts_another(
    project: Project, end: str, said: str, preload: str
) -> None:
    route = f"\n\n@app.get('/end')\ndef end():\n    import os\n    {end}\n"
    project.save("main.py", HELLO.format(text="one") + WORKER + route)
    with project.served("--preload", preload) as served:
        if preload == "auto":
            wait_for_warm_worker(project, served)
        with pytest.raises(ConnectionError):
            served.text("/end")
        served.program.wait_for_line(said + r"\. The next save starts it again")
        waiting = in_background(served.text)
        project.say("two")
        assert waiting.result(30) == "two"


def test_no_save_is_lost_if_the_process_that_was_started_ahead_is_killed(project: Project) -> None:
    leave = project.root / "leave"
    busy = (
        "\n\n@app.get('/busy')\ndef busy():\n    import os, time\n    print('busy', flush=True)\n"
        f"    while not os.path.exists({str(leave)!r}):\n        time.sleep(0.01)\n    return ''\n"
    )
    project.save("main.py", HELLO.format(text="one") + WORKER + busy)
    with project.served("--preload", "off") as served:
        old = int(served.text("/pid"))
        in_background(served.text, "/busy")
        served.program.wait_for_line("busy")
        project.say("two")
        others = wait_until(lambda: [one for one in children_of(served.program.pid) if one != old])
        os.kill(others[0], signal.SIGKILL)
        leave.touch()
        served.wait_for_text("two")
        assert "The next save" not in served.program.output


@pytest.mark.slow
def test_atexit_functions_run_before_the_next_worker_starts(project: Project) -> None:
    log = project.root / "log.txt"
    code = (
        "\n\ndef note(word):\n    import os\n"
        f"    with open({str(log)!r}, 'a') as file:\n        file.write(word + '\\n')\n\n"
        "import atexit\natexit.register(note, 'end')\nnote('start')\n"
    )
    project.save("main.py", HELLO.format(text="one") + code)
    with project.served() as served:
        for number in (1, 2, 3):
            project.main.touch()
            served.wait_for_reload(number)
        served.program.signal_group(signal.SIGINT)
        served.program.wait_exit()
    assert log.read_text().split() == ["start", "end"] * 4


@pytest.mark.slow
def test_threads_of_the_app_do_not_keep_it_from_reloading(project: Project) -> None:
    forever = "\n\nimport threading\nthreading.Thread(target=threading.Event().wait).start()\n"
    pool = (
        "\nfrom concurrent.futures import ThreadPoolExecutor\nThreadPoolExecutor().submit(print)\n"
        "import atexit\natexit.register(print, 'ended of itself', flush=True)\n"
    )
    project.save("main.py", HELLO.format(text="one") + pool)
    with project.served() as served:
        project.save("main.py", HELLO.format(text="two") + forever)
        served.program.wait_for_line("ended of itself")  # cut off, it says nothing
        served.wait_for_text("two")
        project.say("three")
        served.wait_for_text("three")


def test_what_the_app_forks_holds_neither_port_nor_supervisor(project: Project) -> None:
    fork = (
        "\n\nimport multiprocessing, time\n"
        "child = multiprocessing.get_context('fork').Process(target=time.sleep, args=(600,))\n"
        "child.start()\n"
        "import os\n@app.get('/die')\ndef die():\n    os._exit(1)\n"
    )
    project.save("main.py", HELLO.format(text="one") + fork)
    with project.served() as served:
        with pytest.raises(ConnectionError):
            served.text("/die")
        served.program.wait_for_line("The next save starts it again")
        served.program.signal(signal.SIGTERM)
        served.program.wait_exit()
        wait_until(lambda: not is_listening(port_of(served)), 5, "nobody listens any more")


@pytest.mark.slow
@pytest.mark.parametrize(("debugger", "processes"), [("none", 4), ("debugpy", 5)])
def test_many_reloads_leave_nothing_behind(project: Project, debugger: str, processes: int) -> None:
    """There are the supervisor, the fork server, the worker and the next one, and debugpy's
    adapter."""
    flags = ["--debug-with", "off"]
    if debugger == "debugpy":
        pytest.importorskip("debugpy")
        flags = ["--debug-with", "debugpy", "--debug-port", str(free_port())]
    figures = []
    with project.served(*flags) as served:
        for number in range(1, 101):
            project.say(f"version {number}")
            served.wait_for_text(f"version {number}")
            served.wait_for_reload(number)
            if number in (20, 100):
                # A fork server is started when the saves pause, and forks the next worker.
                wait_until(
                    lambda: _figures(served.program)[0] == processes,
                    message=lambda: f"{processes} of {served.program.family.members()}",
                )
                figures.append(_figures(served.program))
    assert figures[1][:2] == figures[0][:2]
    assert figures[1][2] < figures[0][2] * 1.05


def _figures(program: Program) -> tuple[int, int, int]:
    """Processes of the family; descriptors and resident pages of the supervisor."""

    def processes() -> int:
        return len([pid for pid in program.family.members() if command_line(pid)])

    descriptors = len(os.listdir(f"/proc/{program.pid}/fd"))
    pages = int(Path(f"/proc/{program.pid}/statm").read_text().split()[1])
    return processes(), descriptors, pages


CONTAIN = ["unshare", "--pid", "--fork", "--kill-child"]


@contextmanager
def as_process_1(project: Project, *flags: str) -> Iterator[tuple[Served, int]]:
    """The launcher as process 1 of a container, and the number that it has out here."""
    if subprocess.run([*CONTAIN, "true"], capture_output=True).returncode:
        pytest.skip("a process namespace needs root")
    with project.served(*flags, command=[*CONTAIN, *launcher()]) as served:
        yield served, next(iter(children_of(served.program.pid)))


@pytest.mark.parametrize("reload", ["--reload", "--no-reload"])
def test_process_1_of_a_container_ends_on_sigterm(project: Project, reload: str) -> None:
    """For process 1 the kernel has no default action: `docker stop` would wait, then kill."""
    with as_process_1(project, reload) as (served, first):
        os.kill(first, signal.SIGTERM)
        assert served.program.wait_exit(timeout=10) == 143
        assert_all_gone(served)


@pytest.mark.parametrize("reload", ["--reload", "--no-reload"])
def test_process_1_of_a_container_takes_in_orphans(project: Project, reload: str) -> None:
    orphan = "\n    import subprocess\n    subprocess.run(['sh', '-c', 'sleep 0.1 &'])\n"
    text = HELLO.format(text="one").replace("def hello():", f"def hello():{orphan}")
    project.save("main.py", text)
    with as_process_1(project, reload) as (served, first):
        alone = children_of(first)
        assert len(alone) == 1
        assert served.text() == "one"  # so that the orphan's parent is process 1 from now on
        wait_until(lambda: children_of(first) == alone, message="no child but the launcher")


def children_of(pid: int) -> list[int]:
    """With the zombies."""
    everybody = [int(name) for name in os.listdir("/proc") if name.isdigit()]
    return [one for one in everybody if _parent(one) == pid]


def _parent(pid: int) -> int | None:
    try:
        return parent_of(pid)
    except OSError:  # gone meanwhile
        return None


HOLDS_INTERPRETER = (
    "print('held by', __import__('os').getpid(), flush=True)\n"
    "__import__('re').match(r'(a+)+$', 'a' * 60 + 'b')"
)
"""For years: this pattern takes exponential time, and lets no other thread run."""


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of no other platform does it")
@pytest.mark.parametrize("start", ["fresh", "warm"])
def test_a_worker_that_holds_the_interpreter_ends_with_a_killed_supervisor(
    project: Project, start: str
) -> None:
    holds = "\n\n@app.get('/hold')\ndef hold():\n" + textwrap.indent(HOLDS_INTERPRETER, "    ")
    project.save("main.py", HELLO.format(text="one") + WORKER + holds)
    with project.served("--preload", "off" if start == "fresh" else "auto") as served:
        if start == "warm":
            wait_for_warm_worker(project, served)
        in_background(served.text, "/hold")
        served.program.wait_for_line("held by")
        served.program.signal(signal.SIGKILL)
        assert_all_gone(served, within=1)


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel of no other platform does it")
def test_a_fork_server_that_imports_ends_with_a_killed_supervisor(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = (
        tmp_path_factory.mktemp("venv")
        / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages"
    )
    folder.mkdir(parents=True)
    # In the worker it is quick; the fork server says nothing while it imports.
    slow = HOLDS_INTERPRETER.replace(
        "print('held by', __import__('os').getpid(), flush=True)",
        "open(__file__ + '.pid', 'w').close()",
    )
    (folder / "slow_package.py").write_text(
        "import sys\nif 'main' not in sys.modules:\n" + textwrap.indent(slow, "    ")
    )
    project.save("main.py", "import slow_package\n" + HELLO.format(text="one"))
    env = {"PYTHONUSERBASE": str(folder.parents[2]), "PYTHONPATH": str(folder)}
    with project.served(env=env) as served:
        wait_until((folder / "slow_package.py.pid").exists, message="the fork server imports")
        served.program.signal(signal.SIGKILL)
        assert_all_gone(served, within=1)


RAISING_LOADER = """
class Broken(Flask):
    @property
    def jinja_loader(self):
        raise RuntimeError("no loader")


app.__class__ = Broken
app.config["TEMPLATES_AUTO_RELOAD"] = False
"""
RAISING_MODULE = """
import sys


class Module:
    @property
    def __dict__(self):
        raise RuntimeError("no names")


sys.modules["raising"] = Module()
"""


@pytest.mark.parametrize("code", [RAISING_LOADER, RAISING_MODULE], ids=["loader", "module"])
def test_what_raises_when_it_is_looked_at_does_not_end_the_thread_that_obeys(
    project: Project, code: str
) -> None:
    more = (
        "\n\nimport atexit\natexit.register(print, 'cleaned up', flush=True)\n"
        "\n\n@app.get('/import')\ndef late():\n    import colorsys\n    return 'imported'\n"
    )
    project.save("main.py", HELLO.format(text="one") + code + more)
    with project.served() as served:
        assert served.text("/import") == "imported"  # looked at again
        project.save("main.py", HELLO.format(text="two") + code)
        served.program.wait_for_line("cleaned up")  # it has obeyed; killed, it says nothing
        served.wait_for_text("two")
        assert "Traceback" not in served.program.output


@pytest.mark.parametrize("closed", ["<&- >&-", "| true"])
def test_nobody_has_to_read_what_it_says(project: Project, closed: str) -> None:
    port = free_port()
    shell = [
        "sh",
        "-c",
        f'exec "$@" {closed}' if "|" not in closed else f'"$@" 2>&1 {closed}; wait',
    ]
    with Program([*shell, "sh", *launcher(), "--port", str(port)], cwd=project.root) as program:
        served = Served(program, f"http://127.0.0.1:{port}")
        wait_for_port(port)
        for text in ("two", "three", "four"):  # the last ones are forked
            project.say(text)
            served.wait_for_text(text)
        assert "Traceback" not in program.output


CLEANS_UP = """
import atexit, os, time


def clean_up():
    deadline = time.monotonic() + 1.5
    while not os.path.exists({marker!r}) and time.monotonic() < deadline:
        time.sleep(0.01)
    print("cleaned up:", "beside the next" if os.path.exists({marker!r}) else "alone", flush=True)


atexit.register(clean_up)
"""
HAS_A_PORT = """
import socket
own = socket.create_server(("127.0.0.1", {port}))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the next worker always waits")
@pytest.mark.parametrize("has_a_port", [False, True])
def test_the_next_worker_waits_for_a_long_clean_up_only_where_it_may_need_what_is_held(
    project: Project, has_a_port: bool
) -> None:
    marker = project.root / "next"
    old = CLEANS_UP.format(marker=str(marker))
    port = HAS_A_PORT.format(port=free_port()) if has_a_port else ""
    project.save("main.py", HELLO.format(text="warm") + WORKER)
    with project.served() as served:
        wait_for_warm_worker(project, served)  # an interpreter may take longer than the clean-up
        project.save("main.py", HELLO.format(text="one") + port + old)
        served.wait_for_text("one")
        begins = f"open({str(marker)!r}, 'w').close()\n"
        project.save("main.py", begins + HELLO.format(text="two") + port)
        cleaned_up = served.program.wait_for_line("cleaned up: (.*)")[1]
        assert cleaned_up == ("alone" if has_a_port else "beside the next")
        served.wait_for_text("two")
        assert "Traceback" not in served.program.output
        # And a worker that cleans up does not outlive the launcher.
        project.save(
            "main.py",
            HELLO.format(text="three") + "\nimport atexit, time\natexit.register(time.sleep, 60)\n",
        )
        served.wait_for_text("three")
        project.say("four")
        served.wait_for_text("four")
        served.program.signal(signal.SIGTERM)
        served.program.wait_exit(timeout=10)
        assert_all_gone(served)
