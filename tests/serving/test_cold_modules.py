"""Modules of the project that have run ahead of the app are, to all that can see them, as if they
had run with it; and which are cold, and why the others are not."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from flask_debuglaunch.plan import MODULE_SECONDS_WORTH_KEEPING
from flask_debuglaunch.serving.ipc_protocol import ModuleRun
from flask_debuglaunch.serving.preloading.project_module_graph import (
    ImportOrderDiffers,
    ImportOrderReplay,
    cold_and_hot_modules,
)
from flask_debuglaunch.serving.preloading.state_snapshots import Snapshot, changed_modules
from flask_debuglaunch.serving.processes.project_module_fork_servers import (
    MOST_FILES_SAVED_AT_ONCE,
    RELOADS_UNTIL_LEFT_ALONE,
    EditedFiles,
)

from ..support.debug_session import debug_app
from ..support.processes import wait_until
from .project import Project, Served

if sys.platform != "linux":
    pytest.skip("warm restarts need Linux", allow_module_level=True)


def run(name: str, *imports: str, partial: str = "", **more: Any) -> ModuleRun:
    file = f"/{name}.py"
    read_paths = frozenset(more.pop("read_paths", ()))
    asked_paths = more.pop("asked_paths", {})
    return ModuleRun(
        name, file, imports, frozenset(partial.split()), read_paths, asked_paths, (), **more
    )


def test_what_depends_on_an_edited_file_is_hot() -> None:
    runs = [
        run("main", "views", "models"),
        run("views", "models", "words"),
        run("models"),
        run("words", read_paths=["/words.json"]),
    ]
    selection = cold_and_hot_modules(runs, ["/words.json"], {})
    assert [one.name for one in selection.cold] == ["models"]
    assert selection.hot == {
        "words": "/words.json was edited",
        "views": "depends on words: /words.json was edited",
        "main": "depends on words: /words.json was edited",
    }


def test_a_package_is_imported_by_all_that_is_in_it() -> None:
    runs = [run("shop", "shop.cart"), run("shop.cart", "shop"), run("shop.tax", "shop")]
    assert cold_and_hot_modules(runs, ["/shop.cart.py"], {}).cold == ()


def test_what_imports_objects_that_others_change_is_hot() -> None:
    runs = [run("registry", is_changed_after_run=True), run("plugin", "registry"), run("plain")]
    selection = cold_and_hot_modules(runs, [], {"requests": "imports requests"})
    assert [one.name for one in selection.cold] == ["registry", "plain"]


@pytest.mark.parametrize("imports", [True, False])
def test_an_object_of_an_imported_module_is_followed_once(imports: bool) -> None:
    shared, owner, user = [1], ModuleType("owner"), ModuleType("user")
    owner.settings, user.settings = [shared], {"shared": shared}  # type: ignore[attr-defined]
    owners: dict[int, Snapshot] = {}
    of_owner = Snapshot(owner, (), (), owners)
    of_user = Snapshot(user, (), [of_owner] if imports else (), owners)
    assert of_user.shared_snapshots == ({of_owner} if imports else set())
    shared.append(2)
    assert [*changed_modules({"user": of_user})] == ["user"]


def test_modules_that_have_the_same_object_by_chance_change_apart() -> None:
    shared, one, other = [1], ModuleType("one"), ModuleType("other")
    one.settings, one.own, other.settings = shared, [1], shared  # type: ignore[attr-defined]
    owners: dict[int, Snapshot] = {}
    snapshots = {name.__name__: Snapshot(name, (), (), owners) for name in (one, other)}
    one.own.append(2)
    assert [*changed_modules(snapshots)] == ["one"]


def test_a_cycle_that_is_entered_elsewhere_is_another_one() -> None:
    first, second = run("a", "b"), run("b", "a", partial="a")
    runs = {"a": first, "b": second}
    assert ImportOrderReplay(runs).import_("a") == ["b", "a"]
    with pytest.raises(ImportOrderDiffers):
        ImportOrderReplay(runs).import_("b")


class Laboratory:
    """A process that imports projects both ways."""

    def __init__(self, folder: Path) -> None:
        command = [sys.executable, "-m", "tests.serving.module_laboratory"]
        root = Path(__file__).parents[2]
        self._process = subprocess.Popen(
            command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._folder = folder
        self._number = 0

    def both_ways(self, files: Mapping[str, str], edited: Mapping[str, str]) -> Any:
        self._number += 1
        folder = self._folder / str(self._number)
        for name, text in files.items():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text(text)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(
            json.dumps({"folder": str(folder), "edited": edited}),
            file=self._process.stdin,
            flush=True,
        )
        line = self._process.stdout.readline()
        assert line, "the laboratory has failed"
        return json.loads(line)

    def close(self) -> None:
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(20)


@pytest.fixture(scope="module")
def laboratory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laboratory]:
    laboratory = Laboratory(tmp_path_factory.mktemp("laboratory").resolve())
    yield laboratory
    laboratory.close()


SHOP = {
    "main.py": "import shop.cart\nimport shop.tax\nimport words\nname = 'one'\n",
    "shop/__init__.py": "",
    "shop/cart.py": "from shop import tax\nfrom words import *\nrate = tax.rate\n",
    "shop/tax.py": "import words\nrate = len(words.items)\n",
    "words.py": "items = ['a']\n",
}


def test_all_but_what_was_edited_has_run_ahead(laboratory: Laboratory) -> None:
    told = laboratory.both_ways(SHOP, {"main.py": SHOP["main.py"] + "name = 'two'\n"})
    assert sorted(told["cold"]) == ["shop", "shop.cart", "shop.tax", "words"]
    assert told["warm"] == told["fresh"]
    assert told["fresh"]["modules"]["main"]["name"] == "'two'"


HOT = {
    "starts a thread": "import threading\nt = threading.Thread(target=threading.Event().wait)\n"
    "t.daemon = True\nt.start()\n",
    "changes os.environ['LAB']": "import os\nos.environ['LAB'] = '1'\n",
    "changes sys.path['/nowhere']": "import sys\nsys.path.append('/nowhere')\n",
    "registers an atexit function": "import atexit\nx = atexit.register(print)\n",
    "changes the signal handlers": "import signal\nx = signal.signal(signal.SIGUSR1, print)\n",
    "leaves a file or socket open": "kept = open(__file__)\n",
    "opens a socket": "import socket\nwith socket.socket() as s:\n    pass\n",
    "starts a process": "import subprocess\nx = subprocess.run(['true'])\n",
    "writes to a file": "from pathlib import Path\nx = Path('new.txt').write_text('')\n",
    "prints, or writes": "import sys\nx = sys.stdout.write('hello')\n",
    "uses time (line 2)": "import time\nx = time.time()\n",
    "uses uuid4 (line 2)": "from uuid import uuid4\nx = uuid4()\n",
    "asks for an object's id()": "import builtins as b\nx = getattr(b, 'i' + 'd')(b)\n",
    "draws random numbers": "import random\nx = getattr(random, 'rand' + 'om')()\n",
    "uses stamp, which takes such a value (line 2)": "import plain\nx = plain.stamp()\n",
    "changes the warnings filter 'ignore::Warning'": "import warnings\nx = warnings.simplefilter('ignore')\n",
    "changes json.JSONEncoder.default (line 2)": "import json\njson.JSONEncoder.default = None\n",
    "changes the installed json.decoder": "import json.decoder\nsetattr(json.decoder, 'x', 1)\n",
    "calls copyreg.pickle for its effect (line 2)": "import copyreg\ncopyreg.pickle(int, str)\n",
    "looks at /proc/self/stat": "x = open('/proc/self/stat').read()\n",
    "fails": "x = 1\nraise ValueError\n",
    "puts another object in its place": "import sys\nclass M: pass\n"
    "sys.modules.__setitem__(__name__, M())\n",
}


@pytest.mark.parametrize("reason", HOT)
def test_what_makes_a_module_hot(laboratory: Laboratory, reason: str) -> None:
    plain = "import time\ndef stamp():\n    return time.time()\n"
    main = "import plain\ntry:\n    import module\nexcept ValueError:\n    pass\n"
    files = {"main.py": main, "module.py": HOT[reason], "plain.py": plain}
    told = laboratory.both_ways(files, {"main.py": main + "x = 1\n"})
    assert told["cold"] == ["plain"]
    assert told["hot"]["module"] == reason


# What the app does now between two imports, with why that needs a new interpreter.
IN_BETWEEN = {
    "1": "",
    "words.items.append('b')": "changes objects of words before others",
    "import os; os.environ['LAB'] = '1'": "changes os.environ['LAB'] before shop",
    "for one in 'ab': words.items.append(one)": "changes objects of words before others",
}


@pytest.mark.parametrize("statement", IN_BETWEEN)
def test_what_an_app_does_between_imports_is_seen(laboratory: Laboratory, statement: str) -> None:
    main = f"import words\n{statement}\nimport shop.tax\nimport shop.cart\n"
    told = laboratory.both_ways(SHOP, {"main.py": main})
    assert "shop.tax" in told["cold"]
    assert told["warm"].get("afresh", "") == IN_BETWEEN[statement]
    if not IN_BETWEEN[statement]:
        assert told["warm"] == told["fresh"]


def test_an_app_that_does_without_a_module_now_is_started_anew(laboratory: Laboratory) -> None:
    """What the module has registered in an installed package is not seen."""
    registering = "import copyreg\nx = copyreg.dispatch_table.setdefault(float, None)\n"
    files = {"main.py": "import module\n", "module.py": registering}
    told = laboratory.both_ways(files, {"main.py": "x = 1\n"})
    assert "module" in told["warm"]["afresh"]


# Files that come to be there, each with what had looked for it.
LOOKED_FOR = {
    "local.py": "try:\n    import local\nexcept ImportError:\n    pass\n",
    "shop/late.py": "try:\n    from shop import late\nexcept ImportError:\n    pass\n",
    "plain/__init__.py": "import plain\n",
    "nested.py": "import nested\n",
    "folder/__init__.py": "import folder.inner\n",
    "flag": "from os import stat\nfrom os.path import exists\nis_there = exists('flag')\n",
    "text": "try:\n    text = open('text').read()\nexcept OSError:\n    text = ''\n",
}


@pytest.mark.parametrize("file", LOOKED_FOR)
def test_what_was_looked_for_in_vain_makes_a_module_hot(laboratory: Laboratory, file: str) -> None:
    """Also where a file would be found before the one that was found."""
    files = {
        "main.py": "import module\n",
        "module.py": LOOKED_FOR[file],
        "plain.py": "text = 'one'\n",
        "shop/__init__.py": "",
        "folder/inner.py": "",
        "lib/nested.py": "text = 'one'\n",
    }
    told = laboratory.both_ways(files, {"main.py": "import module\n"})
    assert "module" in told["cold"]
    assert told["warm"] == told["fresh"]
    told = laboratory.both_ways(files, {file: "text = 'two'\n"})
    assert "module" in told["hot"]
    assert told["warm"] == told["fresh"] != told["before"]


# What may stand in a module, each with the number of another one.
STATEMENTS = [
    "import {m}",
    "from {m} import v as v_{k}",
    "from {m} import *",
    "import {m} as alias_{k}\nn_{k} = sorted(x for x in vars(alias_{k}) if x[0] != '_')",
    "import {m}\nl_{k} = len(getattr({m}, 'items', ()))",
    "import {m}\n{m}.items.append({k})",
    "import {m}\nadded_{k} = {m}.add({k})",
    "import {m}\nsetattr({m}, 'patched_{k}', {k})",
    "try:\n    import {m}\nexcept Exception as e_{k}:\n    failed_{k} = type(e_{k}).__name__",
    "def late_{k}():\n    import {m}\n    return {m}.v",
    "def late_{k}():\n    import {m}\n    return {m}.v\nw_{k} = late_{k}()",
    "import importlib\ni_{k} = importlib.import_module('{m}').v",
    "import sys\ns_{k} = '{m}' in sys.modules",
    "import os\no_{k} = os.environ.get('LAB')",
    "import os\nos.environ['LAB'] = os.environ.get('LAB', '') + '{k}'",
    "class C_{k}:\n    x = v",
    "v = v + 1",
    "raise ValueError({k})",
]
GRAPHS = int(os.environ.get("GRAPHS", "0"))
"""So many random projects; by default some few, which are always the same."""
NAMES = ["main", "a", "b", "c", "pkg", "pkg.d", "pkg.e"]


def text_of(statements: list[tuple[int, int]], first: int = 0) -> str:
    lines = [
        STATEMENTS[which].format(m=NAMES[other], k=first + number)
        for number, (which, other) in enumerate(statements)
    ]
    return "".join(f"{line}\n" for line in lines)


START = "v = 1\nitems = []\ndef add(one):\n    items.append(one)\n    return len(items)\n"
some = st.lists(
    st.tuples(st.integers(0, len(STATEMENTS) - 1), st.integers(1, len(NAMES) - 1)), max_size=4
)
every = st.lists(st.integers(1, len(NAMES) - 1), min_size=1, max_size=6, unique=True)


@pytest.mark.slow
@settings(
    max_examples=GRAPHS or 15,
    derandomize=not GRAPHS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
@given(every, st.tuples(*[some] * len(NAMES)), st.integers(0, len(NAMES) - 1), some)
def test_random_projects(
    laboratory: Laboratory,
    imported: list[int],
    modules: tuple[list[tuple[int, int]], ...],
    edited: int,
    added: list[tuple[int, int]],
) -> None:
    files = {}
    for name, statements in zip(NAMES, modules, strict=True):
        path = "pkg/__init__.py" if name == "pkg" else f"{name.replace('.', '/')}.py"
        files[path] = START + text_of(statements)
    files["main.py"] = "".join(f"import {NAMES[one]}\n" for one in imported) + files["main.py"]
    path = list(files)[edited]
    told = laboratory.both_ways(files, {path: files[path] + text_of(added, first=50)})
    if "afresh" not in told["warm"]:  # else it becomes a new interpreter
        assert told["warm"] == told["fresh"], told["hot"]


APP = """\
import os
import shop.words
import shop.views
from flask import Flask

app = Flask(__name__)


@app.get("/")
def seen():
    runs = [shop.words.RUN_BY, shop.views.RUN_BY]
    return {"text": "one", "parent": os.getppid(), "pid": os.getpid(), "ahead": runs}
"""
# Asked for in a way that is not looked for: it is to tell where it has run.
MODULE = "import os\nRUN_BY = int(os.readlink('/proc/self'))\nTEXT = 'one'\n"


def ahead(project: Project, served: Served, file: str) -> list[str]:
    """After a save of the file: the modules that ran in another process than the worker."""
    before = served.reloads
    (project.root / file).write_text((project.root / file).read_text() + "# saved\n")
    served.wait_for_reload(before + 1)
    seen = json.loads(served.text())
    names = ("words", "views")
    return [n for n, pid in zip(names, seen["ahead"], strict=True) if pid != seen["pid"]]


@pytest.fixture
def shop(project: Project) -> Project:
    project.save("main.py", APP)
    # Not with the same code as another one: debugpy takes them for one, whatever their files are.
    project.save("shop/__init__.py", "")
    project.save("shop/words.py", MODULE)
    project.save("shop/views.py", "import shop.words\n" + MODULE)
    return project


REBUILD_SECONDS = 120
"""Each try is a reload, beside which the next modules are run ahead."""


def wait_for_ahead(project: Project, served: Served, file: str, names: list[str]) -> None:
    wait_until(
        lambda: ahead(project, served, file) == names,
        REBUILD_SECONDS,
        message=lambda: served.program.output,
    )


def test_what_was_edited_and_what_depends_on_it_runs_in_each_worker(shop: Project) -> None:
    with shop.served("--preload", "modules") as served:
        wait_for_ahead(shop, served, "main.py", ["words", "views"])
        # The first save of a file that has run ahead is served without any; then with the rest.
        assert ahead(shop, served, "shop/views.py") == []
        wait_for_ahead(shop, served, "shop/views.py", ["words"])
        assert ahead(shop, served, "shop/words.py") == []
        wait_for_ahead(shop, served, "main.py", [])
        assert "Started anew" not in served.program.output


@pytest.mark.slow
def test_many_files_saved_at_once_are_not_being_edited(shop: Project, tmp_path: Path) -> None:
    names = [f"more{number}" for number in range(MOST_FILES_SAVED_AT_ONCE)]
    for name in names:
        shop.save(f"shop/{name}.py", "")
    shop.save("main.py", "".join(f"import shop.{name}\n" for name in names) + APP)
    with shop.served("--preload", "modules") as served:
        wait_for_ahead(shop, served, "main.py", ["words", "views"])
        old, new = shop.root / "shop", tmp_path.parent / f"{tmp_path.name}-new"
        shutil.copytree(old, new)
        before = served.reloads
        old.rename(tmp_path.parent / f"{tmp_path.name}-old")
        new.rename(old)
        served.wait_for_reload(before + 1)
        wait_for_ahead(shop, served, "main.py", ["words", "views"])


def test_a_file_that_is_left_alone_is_not_being_edited_any_more(tmp_path: Path) -> None:
    edited, files = EditedFiles(), [str(tmp_path / name) for name in ("first", "second")]
    edited.add(files)
    for _ in range(RELOADS_UNTIL_LEFT_ALONE):
        assert not edited.left_alone()
        edited.reload_begins()
        with open(files[1], "a") as second:
            second.write("# saved\n")
    assert edited.left_alone() == {files[0]}


# So much processor time, however fast the machine is; asked for in a way that is not looked for.
SLOW = f"""\
import time as clocks
clock = getattr(clocks, "thread" + "_time")
end = clock() + {MODULE_SECONDS_WORTH_KEEPING} + 0.05
while clock() < end:
    pass
"""


@pytest.mark.slow
def test_auto_keeps_modules_that_take_long(shop: Project) -> None:
    shop.save("shop/words.py", MODULE + SLOW)
    with shop.served("--preload", "auto") as served:
        served.program.wait_for_line("Kept imported between reloads: 4 of 4 modules")
        wait_for_ahead(shop, served, "main.py", ["words", "views"])


# When a module writes to a file, with how often it does at each save: in each worker, which is seen
# at once, or only where it runs ahead of an app that was edited, which is seen when it does.
WRITES = {"True": 1, "'main' not in sys.modules": 0}


@pytest.mark.slow
@pytest.mark.parametrize("when", WRITES)
def test_what_was_seen_to_be_hot_is_not_tried_again(
    shop: Project, tmp_path_factory: pytest.TempPathFactory, when: str
) -> None:
    log, others = tmp_path_factory.mktemp("log") / "runs", ["first", "second"]
    writes = f"import sys\nif {when}:\n    print('run', file=open({str(log)!r}, 'a'))\n"
    shop.save("shop/views.py", "import shop.words\n" + MODULE + writes)
    for other in others:
        shop.save(f"{other}.py", "")
    shop.save("main.py", "".join(f"import {other}\n" for other in others) + APP)
    with shop.served("--preload", "modules") as served:
        wait_for_ahead(shop, served, "main.py", ["words"])
        served.program.wait_for_line("shop.views, because it writes to a file")
        before, reloads = log.read_text().count("run"), served.reloads
        for other in others:  # each has another process made, without it
            assert ahead(shop, served, f"{other}.py") == []
            wait_for_ahead(shop, served, "main.py", ["words"])
        saves = served.reloads - reloads
        assert log.read_text().count("run") - before == saves * WRITES[when]


@pytest.mark.slow
def test_an_app_that_now_changes_a_module_is_started_anew(shop: Project) -> None:
    with shop.served("--preload", "modules") as served:
        wait_for_ahead(shop, served, "main.py", ["words", "views"])
        before = served.reloads
        change = "import shop.words\nshop.words.TEXT = 'two'\n"
        shop.save("main.py", change + APP.replace('"one"', "shop.views.TEXT"))
        shop.save("shop/views.py", "import shop.words\n" + MODULE + "TEXT = shop.words.TEXT\n")
        served.wait_for_reload(before + 1)
        served.wait_for_text('"two"')
        shop.save("main.py", change + change + APP.replace('"one"', "shop.views.TEXT"))
        wait_for_ahead(shop, served, "main.py", ["words"])
        assert json.loads(served.text())["text"] == "two"


@pytest.mark.slow
@pytest.mark.parametrize("fate", [signal.SIGSTOP, signal.SIGKILL])
def test_a_process_with_modules_that_hangs_or_has_gone_is_replaced(
    shop: Project, fate: signal.Signals
) -> None:
    with shop.served("--preload", "modules") as served:
        wait_for_ahead(shop, served, "main.py", ["words", "views"])
        os.kill(json.loads(served.text())["parent"], fate)
        wait_for_ahead(shop, served, "main.py", [])
        wait_for_ahead(shop, served, "main.py", ["words", "views"])
        assert "Traceback" not in served.program.output


@pytest.mark.slow
@pytest.mark.parametrize("debugger", ["debugpy", "pydevd", "pydevd-pycharm"])
def test_a_breakpoint_at_a_line_that_runs_on_import_makes_a_module_hot(
    shop: Project, debugger: str
) -> None:
    flags = ("--preload", "modules")
    with debug_app(debugger, "connect", shop.main, *flags, reload=True) as session:
        served = Served(session.program, session.url)
        wait_for_ahead(shop, served, "main.py", ["words", "views"])
        session.ide.set_breakpoints(shop.root / "shop" / "words.py", [3])
        before = served.reloads
        shop.save("main.py", APP + "# saved once more\n")
        stop = session.ide.wait_for_stop()
        assert (stop.line, stop.reason) == (3, "breakpoint")
        stop.resume()
        served.wait_for_reload(before + 1)
        seen = json.loads(served.text())
        assert seen["ahead"] == [seen["pid"]] * 2  # what imports it runs anew with it
        (told,) = [line for line in session.program.lines if "shop.words, because" in line]
        assert "shop.words, because it has a breakpoint there" in told
