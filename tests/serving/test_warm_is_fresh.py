"""What packages do while they are imported, and what an app changes before, is in a forked worker as
in a new interpreter."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flask_debuglaunch.serving.preloading.replayed_changes import MAX_UNLIKE_CHANGES
from flask_debuglaunch.serving.processes.fork_safety import CHANGES_OF_UNSAFE_SETTINGS

from ..support.processes import TIMEOUT, free_port, wait_until
from .project import RELOADED, Project, Served, launcher
from .test_warm_restarts import served_with

if sys.platform != "linux":
    pytest.skip("warm restarts need Linux", allow_module_level=True)

SERVE = """
import os, sys
from flask import Flask

app = Flask(__name__)


@app.get("/")
def seen():
    return {"seen": look(), "parent": os.getppid()}
"""
LOGGERS = """
import logging.config
logging.config.dictConfig({"version": 1, "root": {"level": "INFO"}})
import installed

def look():
    loggers = logging.root.manager.loggerDict.values()
    return {"installed": installed.logger.disabled, "class": type(installed.logger).__name__}
"""
LOGGER_CLASS = """
import logging
class Mine(logging.Logger): pass
logging.setLoggerClass(Mine)
import installed

def look():
    return type(installed.logger).__name__
"""
VENDORED = """
import sys
sys.path.insert(0, "vendor")
import installed

def look():
    return os.path.relpath(installed.__file__)
"""
SHIM = """
import collections
collections.OldName = dict
import installed

def look():
    return installed.has_old_name
"""
TERMINAL = """
import installed

def look():
    return installed.is_terminal
"""
TIME_ZONE = """
import os, time
os.environ["TZ"] = "Asia/Tokyo"
time.tzset()
import installed

def look():
    return installed.time_zone
"""
NEWER_SQLITE = """
import sys, types
sys.modules["sqlite3"] = types.ModuleType("pysqlite3")
import installed

def look():
    return installed.database
"""
ANOTHER_STDOUT = """
import io, sys
sys.stdout = io.StringIO()
import installed

def look():
    return installed.stdout
"""
CHANGES = {
    "another stdout before": ANOTHER_STDOUT,
    "another module in the place of one": NEWER_SQLITE,
    "the time zone before": TIME_ZONE,
    "logging.config before": LOGGERS,
    "another logger class before": LOGGER_CLASS,
    "another package of that name before": VENDORED,
    "a patch of the standard library before": SHIM,
    "a terminal": TERMINAL,
}
PACKAGE = """
import collections, logging, sqlite3, sys, time
time_zone = time.tzname[0]
database = sqlite3.__name__
stdout = type(sys.stdout).__name__
logger = logging.getLogger("installed")
has_old_name = hasattr(collections, "OldName")
is_terminal = [sys.stdout.isatty(), sys.stderr.isatty()]
"""


@pytest.fixture
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An installed package, which the app imports."""
    folder = tmp_path_factory.mktemp("venv") / "lib" / "site-packages"
    folder.mkdir(parents=True)
    (folder / "installed.py").write_text(PACKAGE)
    return folder / "installed.py"


@contextmanager
def served_warm(project: Project, package: Path, **options: Any) -> Iterator[Served]:
    with served_with(project, package, **options) as served:
        wait_until(lambda: reloaded(project, served)["parent"] != served.program.pid)
        yield served


def reloaded(project: Project, served: Served) -> Any:
    before = served.reloads
    project.main.touch()
    served.wait_for_reload(before + 1)
    return json.loads(served.text())


@pytest.mark.slow
@pytest.mark.parametrize("change", CHANGES)
def test_what_the_app_changes_before_an_import(
    project: Project, package: Path, change: str
) -> None:
    project.save("vendor/installed.py", PACKAGE)
    project.save("main.py", CHANGES[change] + SERVE)
    in_terminal = {"terminal": change == "a terminal"}
    with served_warm(project, package, **in_terminal) as served:
        first = json.loads(served.text())["seen"]
        assert "Started anew" not in served.program.output
    with served_with(project, package, flags=["--preload", "off"], **in_terminal) as served:
        assert json.loads(served.text())["seen"] == first


# Lines at the top of an app that concern each package below them.
HEADS = {
    "a variable": "import os\nos.environ['SETTING'] = 'mine'\n",
    "a variable that is taken out": "import os\ndel os.environ['HOME']\n",
    "warnings": "import warnings\nwarnings.filterwarnings('ignore')\n",
    "warnings that are ignored anyway": (
        "import warnings\nwarnings.filterwarnings('ignore', category=DeprecationWarning)\n"
    ),
    "a warning of one module": (
        "import warnings\n"
        "warnings.filterwarnings('error', 'old', FutureWarning, 'installed', append=True)\n"
    ),
    "logging": "import logging\nlogging.basicConfig(level=logging.INFO)\n",
    "logging off": "import logging\nlogging.disable(logging.INFO)\n",
    "a folder in front": "import sys\nsys.path.insert(0, 'vendor')\n",
    "a folder at the end": "import sys\nsys.path.append('vendor')\n",
    "another working folder": "import os\nos.chdir('templates')\n",
    "locale": "import locale\nlocale.setlocale(locale.LC_ALL, 'C.UTF-8')\n",
    "recursion": "import sys\nsys.setrecursionlimit(4321)\n",
    "a function in the place of another": (
        "import ssl\nssl._create_default_https_context = ssl._create_unverified_context\n"
    ),
    "timeout": "import socket\nsocket.setdefaulttimeout(12.5)\n",
}
LOOKS_AT_ALL = """
import locale, logging, os, socket, ssl, sys, time, warnings

def state():
    root = logging.getLogger()
    return {
        "environ": {one: os.environ.get(one) for one in ("SETTING", "HOME")},
        "filters": [(one[0], str(one[1]), one[2].__name__) for one in warnings.filters],
        "handlers": len(root.handlers), "level": root.level, "off": root.manager.disable,
        "path": sys.path.copy(), "folder": os.getcwd(), "locale": locale.setlocale(locale.LC_ALL),
        "https": ssl._create_default_https_context.__name__,
        "recursion": sys.getrecursionlimit(), "timeout": socket.getdefaulttimeout(),
    }

at_import = state()
imported_at = time.time_ns()
"""
WARNS_ALWAYS = (
    "warnings.filterwarnings('always', category=DeprecationWarning, module='installed')\n"
)
LOOK_AT_ALL = """
import installed, then_installed.more
def look():
    return [installed.at_import, then_installed.at_import, installed.state()]
"""


@pytest.mark.slow
@pytest.mark.parametrize("head", HEADS)
def test_what_the_app_changes_at_its_top_keeps_no_package_from_being_preloaded(
    project: Project, package: Path, head: str
) -> None:
    package.write_text(LOOKS_AT_ALL + WARNS_ALWAYS)
    package.with_name("then_installed").mkdir()
    shows_always = WARNS_ALWAYS.replace("Deprecation", "PendingDeprecation")
    package.with_name("then_installed").joinpath("__init__.py").write_text(LOOKS_AT_ALL)
    more = "import warnings\n" + shows_always
    package.with_name("then_installed").joinpath("more.py").write_text(more)
    (project.root / "templates").mkdir()
    stamps = SERVE.replace("look()", "[installed.imported_at, then_installed.imported_at, look()]")
    project.save("main.py", HEADS[head] + LOOK_AT_ALL + stamps)
    with served_warm(project, package) as served:
        imported_at = json.loads(served.text())["seen"][:2]
        *again, warm = reloaded(project, served)["seen"]
        assert again == imported_at
        assert "Started anew" not in served.program.output
    with served_with(project, package, flags=["--preload", "off"]) as served:
        assert json.loads(served.text())["seen"][2] == warm


SETTING = "import os\n{}\nimport installed\nlook = lambda: os.environ.get('SETTING')\n"


@pytest.mark.slow
def test_a_save_that_changes_otherwise_what_the_app_changes_before_an_import(
    project: Project, package: Path
) -> None:
    project.save("main.py", SETTING.format("os.environ['SETTING'] = 'one'") + SERVE)
    with served_warm(project, package) as served:
        for line, deed, seen in [
            ("os.environ['SETTING'] = 'two'", "changes os.environ['SETTING'] otherwise", "two"),
            ("", "no longer changes os.environ['SETTING']", None),
        ]:
            before = served.reloads
            project.save("main.py", SETTING.format(line) + SERVE)
            served.program.wait_for_line(
                rf"the app now {re.escape(deed)} before it imports installed"
            )
            served.wait_for_reload(before + 1)
            assert json.loads(served.text())["seen"] == seen
            wait_until(lambda: reloaded(project, served)["parent"] != served.program.pid)
        assert served.program.output.count("Started anew") == 2


@pytest.mark.slow
def test_what_the_app_changes_in_another_way_each_time(project: Project, package: Path) -> None:
    """It is not tried again and again to have it ready."""
    drawn = SETTING.format("import uuid\nos.environ['SETTING'] = uuid.uuid4().hex")
    project.save("main.py", drawn + SERVE)
    with served_with(project, package) as served:
        told = "Not kept imported between reloads: installed and what follows, because the app"
        wait_until(
            lambda: reloaded(project, served) and told in served.program.output,
            timeout=3 * TIMEOUT,
            message="it is given up",
        )
        started = served.program.output.count("Started anew")
        assert started >= MAX_UNLIKE_CHANGES
        for _ in range(3):
            reloaded(project, served)
        assert served.program.output.count("Started anew") == started


@pytest.mark.slow
def test_what_the_server_imports_is_not_what_packages_ask_for_later(
    project: Project, package: Path
) -> None:
    """Werkzeug's debugger brings ctypes along, which numpy imports: after the app's change."""
    package.write_text("import ctypes\n")
    hook = "import sys\nsys.excepthook = lambda *error: None\nimport installed\nlook = int\n"
    project.save("main.py", hook + SERVE)
    with served_with(project, package, flags=["--debug"]) as served:
        served.program.wait_for_line("installed and what follows, because the app changes sys.exc")
        for _ in range(3):
            reloaded(project, served)
        assert "Started anew" not in served.program.output


DOOR = """
import socket
door = socket.create_server(("127.0.0.1", {port}))
door.set_inheritable(True)
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "statement",
    ["import installed", "import importlib\ninstalled = importlib.import_module('installed')"],
)
def test_a_change_that_a_save_puts_before_an_import(
    project: Project, package: Path, statement: str
) -> None:
    """The modules are there already: the forked worker becomes a new interpreter, in which nothing
    is open that the old one had opened."""
    changed = DOOR.format(port=free_port()) + LOGGER_CLASS.replace("import installed", statement)
    project.save("main.py", "import installed\nimport logging\n" + LOGGER_CLASS + SERVE)
    with served_warm(project, package) as served:
        assert json.loads(served.text())["seen"] == "Logger"
        before = served.reloads
        project.save("main.py", changed + SERVE)
        served.program.wait_for_line(
            "Started anew, in a new interpreter: the app now changes logging's logger class"
            " before it imports installed"
        )
        served.wait_for_reload(before + 1)
        assert json.loads(served.text())["seen"] == "Mine"
        # From now on it is not preloaded, and nothing has to be started anew.
        wait_until(lambda: reloaded(project, served)["parent"] != served.program.pid)
        started = [line for line in served.program.lines if "Started anew" in line]
        assert reloaded(project, served)["seen"] == "Mine"
        assert [line for line in served.program.lines if "Started anew" in line] == started


@pytest.mark.parametrize("name", CHANGES_OF_UNSAFE_SETTINGS)
def test_what_only_one_package_minds_is_no_change(
    project: Project, package: Path, name: str
) -> None:
    """As mlflow does that is installed editable: it is part of the project then."""
    drawn = f"import os, uuid\n{name} = uuid.uuid4().hex\nimport installed\nlook = int\n"
    project.save("main.py", drawn + SERVE)
    with served_warm(project, package) as served:
        reloaded(project, served)
        assert "Started anew" not in served.program.output


def test_a_change_that_a_save_puts_after_all_imports(project: Project, package: Path) -> None:
    """As most apps set their logging up; numpy, which a save adds, changes the warnings filters."""
    project.save("main.py", "look = int\n" + SERVE)
    with served_warm(project, package) as served:
        before = served.reloads
        project.save("main.py", "import logging\nlook = int\n" + SERVE + "logging.basicConfig()\n")
        served.wait_for_reload(before + 1)
        assert json.loads(served.text())["parent"] != served.program.pid
        reloaded(project, served)
        assert "Started anew" not in served.program.output
        assert "Not kept" not in served.program.output


DRAWN = """
import random, secrets, tempfile
import numpy
generator = random.Random()
seeded = random.Random(1)
numpys = [numpy.random.default_rng(), numpy.random.RandomState()]
numpys_seeded = [numpy.random.default_rng(1), numpy.random.RandomState(1)]
"""


# As celery's has it.
BILLIARD = """
import os
class Process:
    authkey = os.urandom(32)
process = Process()
def current_process():
    return process
"""


@pytest.mark.slow
def test_what_a_package_has_drawn_is_drawn_anew(project: Project, package: Path) -> None:
    package.write_text(DRAWN)
    billiard = package.with_name("billiard")
    billiard.mkdir()
    (billiard / "process.py").write_text(BILLIARD)
    look = (
        "\ndef look():\n    key = billiard.process.current_process().authkey.hex()\n"
        "    numpys, seeded = installed.numpys, installed.numpys_seeded\n"
        "    new = [installed.generator.random(), key, numpys[0].spawn(1)[0].random()]\n"
        "    return {\n"
        "        'new': [*new, *(one.uniform() for one in numpys)],\n"
        "        'same': [installed.seeded.random(), *(one.uniform() for one in seeded)],\n"
        "    }\n"
    )
    project.save("main.py", "import billiard.process, installed\n" + look + SERVE)
    with served_warm(project, package) as served:
        draws = [reloaded(project, served)["seen"] for _ in range(3)]
        assert "Not kept imported" not in served.program.output
    assert [len(set(kind)) for kind in zip(*(one["new"] for one in draws), strict=True)] == [3] * 5
    assert [len(set(kind)) for kind in zip(*(one["same"] for one in draws), strict=True)] == [1] * 3


SPOILERS = {
    "draws random bytes": ("import secrets\nvalue = secrets.token_hex()\n", 3),
    "makes /": ("import tempfile\nkept = tempfile.TemporaryDirectory()\nvalue = kept.name\n", 3),
    "asks for its process's number": ("import os\nvalue = os.getpid()\n", 3),
    "keeps /": ("kept = open(__file__)\nvalue = kept.tell()\n", 1),
    "starts a process": (
        "import subprocess, sys\nwait = 'import sys; sys.stdin.read()'\n"
        "kept = subprocess.Popen([sys.executable, '-c', wait], stdin=subprocess.PIPE)\n"
        "value = kept.pid\n",
        3,
    ),
    "imports helper.py of the project": ("import helper\nvalue = helper.value\n", 1),
}


@pytest.mark.slow
@pytest.mark.parametrize("spoiler", SPOILERS)
def test_only_what_a_fork_must_not_share_is_left_out(
    project: Project, package: Path, spoiler: str
) -> None:
    source, kinds = SPOILERS[spoiler]
    package.write_text(source)
    project.save("helper.py", "value = 1\n")
    look = (
        "\ndef look():\n    exists = os.path.exists(str(installed.value))\n"
        "    return [installed.value, exists]\n"
    )
    project.save("main.py", "import installed, sqlite3\n" + look + SERVE)
    with served_warm(project, package) as served:
        seen = [reloaded(project, served) for _ in range(3)]
        assert {one["parent"] for one in seen} != {served.program.pid}
        told = [line for line in served.program.lines if "Not kept imported" in line]
        assert len(told) == 1
        assert f"installed, because it {spoiler}" in told[0]
        explained = explained_in(project.root)
        assert [one["pid"] for one in explained["running"]] == [served.program.pid]
        assert explained["running"][0]["said"] == [told[0].removeprefix(" * ")]
    assert explained_in(project.root)["running"] == []
    assert len({one["seen"][0] for one in seen}) == kinds
    assert {one["seen"][1] for one in seen} == {spoiler == "makes /"}


def explained_in(folder: Path) -> Any:
    """What `explain` says of warm restarts, in another process."""
    command = [sys.executable, "-m", "flask_debuglaunch", "explain", "preload", "--json"]
    return json.loads(subprocess.run(command, cwd=folder, stdout=subprocess.PIPE).stdout)


LIBRARY = """
import _ctypes
kept = open(_ctypes.__file__, "rb")
"""


@pytest.mark.slow
def test_a_library_that_keeps_its_own_file_open_is_shared(project: Project, package: Path) -> None:
    """As libffi does, since Python 3.14 as soon as ctypes is imported."""
    package.write_text(LIBRARY)
    project.save("main.py", "import installed\nlook = int\n" + SERVE)
    with served_warm(project, package) as served:
        assert "Not kept imported" not in served.program.output


# As matplotlib.use("Agg"): the app sets a package up before it imports more of it.
USES = """
import installed
installed.use("Agg")
import installed_plot
assert installed_plot.backend() == "Agg"
"""


@pytest.mark.parametrize("imports", ["import installed", USES], ids=["imports", "sets up"])
def test_saves_in_quick_succession_are_warm(project: Project, package: Path, imports: str) -> None:
    package.write_text("chosen = ['Tk']\n\ndef use(name):\n    chosen[0] = name\n")
    plot = "import installed\n\ndef backend():\n    return installed.chosen[0]\n"
    (package.parent / "installed_plot.py").write_text(plot)
    project.save("main.py", f"{imports}\nlook = int\n" + SERVE)
    with served_with(project, package) as served:
        parents = [reloaded(project, served)["parent"] for _ in range(4)]
        assert [one for one in parents[2:] if one == served.program.pid] == []
        assert sum(RELOADED in line for line in served.program.lines) == 4


@pytest.mark.slow
def test_a_ready_fork_server_serves_until_the_next_is_ready(
    project: Project, package: Path
) -> None:
    (package.parent / "slow.py").write_text("import time\ntime.sleep(1)\n")
    project.save("main.py", "look = int\n" + SERVE)
    with served_warm(project, package) as served:
        project.save("main.py", "import slow\nlook = int\n" + SERVE)
        served.wait_for_reload(served.reloads + 1)
        assert reloaded(project, served)["parent"] != served.program.pid


STAMP = "import time\nimported_at = time.time_ns()\n"
LEFT_OUT_LATER = """
import os
os.environ["SET_BY_PACKAGE_LATER"] = "1"
import heavier
"""
LEFT_OUT = """
import os, threading
os.environ["SET_BY_PACKAGE"] = "1"
import heavy
thread = threading.Thread(target=threading.Event().wait, daemon=True)
thread.start()
"""


@pytest.mark.slow
def test_what_a_package_that_is_left_out_imports_is_preloaded(
    project: Project, package: Path
) -> None:
    """The one that has started the thread is left out, not the one that was imported last; and
    what any of its modules changes starts nothing anew."""
    package.unlink()
    sources = {
        "installed/__init__": LEFT_OUT,
        "installed/later": LEFT_OUT_LATER,
        "heavy": STAMP,
        "heavier": STAMP,
    }
    package.with_suffix("").mkdir()
    for name, source in sources.items():
        (package.parent / f"{name}.py").write_text(source)
    look = (
        "\ndef look():\n    modules = (installed.heavy, installed.later.heavier)\n"
        "    return [[one.imported_at for one in modules], installed.thread.is_alive()]\n"
    )
    project.save("main.py", "import installed, installed.later, sqlite3\n" + look + SERVE)
    with served_warm(project, package) as served:
        wait_until(lambda: reloaded(project, served)["seen"] == reloaded(project, served)["seen"])
        assert reloaded(project, served)["seen"][1]
        told = [line for line in served.program.lines if "Not kept" in line or "anew" in line]
    assert len(told) == 1
    assert "installed, because it starts a thread while it is imported" in told[0]


@pytest.mark.slow
def test_a_fork_server_that_cannot_fork_becomes_the_next_worker(
    project: Project, package: Path
) -> None:
    """It has imported what can't be shared. The one after it has what that imports."""
    package.write_text(LEFT_OUT + STAMP)
    (package.parent / "heavy.py").write_text(STAMP)
    look = "\ndef look():\n    return [installed.imported_at, installed.heavy.imported_at]\n"
    project.save("main.py", "import installed\n" + look + SERVE)
    with served_with(project, package) as served:
        served.program.wait_for_line("Not kept imported between reloads: installed")
        saved = time.time_ns()
        itself, *forked = (reloaded(project, served) for _ in range(3))
        assert itself["seen"][0] < saved
        assert itself["parent"] == served.program.pid
        assert served.program.pid not in {one["parent"] for one in forked}
        installed, heavy = zip(*(one["seen"] for one in forked), strict=True)
        assert len(set(installed)) == 2
        assert len(set(heavy)) == 1


@pytest.mark.slow
def test_names_of_opentelemetrys_keys_may_be_shared(project: Project, package: Path) -> None:
    (package.parent / "opentelemetry").mkdir()
    create_key = "import uuid\n\ndef create_key(name):\n    return name + str(uuid.uuid4())\n"
    (package.parent / "opentelemetry" / "context.py").write_text(create_key)
    package.write_text("from opentelemetry import context\nkey = context.create_key('it')\n")
    project.save("main.py", "import installed\nlook = lambda: installed.key\n" + SERVE)
    with served_warm(project, package) as served:
        assert reloaded(project, served)["seen"] == reloaded(project, served)["seen"]


@pytest.mark.slow
def test_a_package_that_replaces_itself(project: Project, package: Path) -> None:
    """As cv2 does: it takes itself out of sys.modules, changes sys.path, and imports its other
    half under the same name."""
    package.unlink()
    here, inner = package.parent / "installed", package.parent / "installed" / "inner"
    inner.mkdir(parents=True)
    (here / "__init__.py").write_text(
        "import importlib, os, sys\nfrom . import version\nthis = sys.modules.pop('installed')\n"
        f"sys.path.insert(1, {str(inner)!r})\nother = importlib.import_module('installed')\n"
        f"sys.path.remove({str(inner)!r})\nthis.imported_at = other.imported_at\nsys.modules['installed'] = this\n"
    )
    (here / "version.py").write_text("")
    (inner / "installed.py").write_text(STAMP)
    look = "\ndef look():\n    return installed.imported_at\n"
    project.save("main.py", "import installed\n" + look + SERVE)
    with served_warm(project, package) as served:
        wait_until(lambda: reloaded(project, served)["seen"] == reloaded(project, served)["seen"])
        assert not [line for line in served.program.lines if "Not kept" in line]


@pytest.mark.slow
def test_a_fork_server_that_does_not_get_ready_keeps_nobody_waiting(
    project: Project, package: Path
) -> None:
    """It ignores Ctrl-C, which is how the package knows it here."""
    package.write_text(
        "import signal, time\n"
        "if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:\n    time.sleep(600)\n"
    )
    project.save("main.py", "import installed\nlook = int\n" + SERVE)
    start = project.save(
        "start.py",
        "from flask_debuglaunch.cli import main\n"
        "from flask_debuglaunch.serving.processes import next_worker_from_fork_servers\n"
        "next_worker_from_fork_servers.PATIENCE_SECONDS = 1.0\nmain()\n",
    )
    command = [sys.executable, str(start), *launcher()[3:], "--app", "main"]
    with served_with(project, package, command=command) as served:

        def is_said() -> bool:
            assert reloaded(project, served)["parent"] == served.program.pid
            return "The packages are not imported ahead yet" in served.program.output

        wait_until(is_said)
        package.write_text("")
        wait_until(lambda: reloaded(project, served)["parent"] != served.program.pid)
