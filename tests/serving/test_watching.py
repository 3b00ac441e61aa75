"""Which saves are told of, and when, by each kind of events: files on a real disk."""

from __future__ import annotations

import cProfile
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from select import select
from typing import IO

import pytest

from flask_debuglaunch.configuration.environment_and_env_files import env_file_lookups
from flask_debuglaunch.serving.ipc_protocol import Watch
from flask_debuglaunch.serving.self_pipe import SelfPipe
from flask_debuglaunch.serving.watching import polling_backend
from flask_debuglaunch.serving.watching.polling_backend import (
    MOST_POLLING_CPU_SHARE,
    PollingEvents,
    folders_without_events,
    poll_pause_after,
)
from flask_debuglaunch.serving.watching.watched_files import (
    MAX_FOLDER_DEPTH,
    WatchedFiles,
    WatchRules,
    scan_watched_files,
)
from flask_debuglaunch.serving.watching.watcher import BURST_REST_SECONDS, OpenFileEvents, Watcher
from flask_debuglaunch.serving.watching.watchfiles_backend import WatchfilesEvents

from ..support.namespaces import in_namespace
from ..support.processes import TIMEOUT
from .project import HELLO, Project, launcher

KINDS: dict[str, OpenFileEvents] = {"watchfiles": WatchfilesEvents, "polling": PollingEvents}
if sys.platform == "linux":
    from flask_debuglaunch.serving.watching.inotify_backend import InotifyEvents

    KINDS["inotify"] = InotifyEvents


class Folder:
    """A folder of modules that is watched."""

    def __init__(self, root: Path, open_events: OpenFileEvents) -> None:
        self.root = root
        for name in ("main.py", "shop/cart.py", "shop/catalog.py"):
            (root / name).parent.mkdir(exist_ok=True)
            (root / name).write_text("x = 1\n")
        watched = WatchRules(roots=frozenset([str(root)]), files=frozenset())
        self.watcher = Watcher(watched, open_events)
        self.watcher.start()
        # Told of together with what has changed before the events are on their way.
        self.touch_until_told("main.py")

    def touch_until_told(self, name: str, text: str = "x = 2\n") -> None:
        self.save(name, text)
        assert self.told() == {name}

    def has_imported(self, *files: Path) -> None:
        """A worker says so."""
        self.watcher.watch_more(
            Watch(frozenset(map(str, files)), frozenset(), since=time.time() + 60)
        )

    def save(self, name: str, text: str) -> None:
        """In one step, so that polling does not see it half written."""
        new = self.root / f"{name}.new"
        new.write_text(text)
        os.replace(new, self.root / name)

    def told(self) -> set[str]:
        """What the watcher tells of next."""
        assert select([self.watcher], [], [], TIMEOUT)[0], "nothing was told"
        return {os.path.relpath(path, self.root) for path in self.watcher.changed()}

    def told_besides(self, *acts: Callable[[], object]) -> set[str]:
        """What is told of these acts; a save of main.py afterwards shows that there is no more."""
        told: set[str] = set()
        for act in acts:
            act()
        while not told:
            told |= self.told()
        self.save("main.py", f"x = {os.urandom(4).hex()!r}\n")  # never two of one signature
        while "main.py" not in (more := self.told()):
            told |= more
        return told | (more - {"main.py"})


@pytest.fixture(params=KINDS)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Folder]:
    folder = Folder(tmp_path, KINDS[request.param])
    with closing(folder.watcher):
        yield folder


def test_a_save_in_place(folder: Folder) -> None:
    cart = folder.root / "shop/cart.py"
    assert folder.told_besides(lambda: cart.write_text("x = 22\n")) == {"shop/cart.py"}


def test_a_file_that_replaces_another(folder: Folder) -> None:
    """Also by way of a file that would count itself."""
    for temporary in (".cart.py", "cart_1234.py"):
        new, cart = folder.root / "shop" / temporary, folder.root / "shop/cart.py"
        told = folder.told_besides(
            lambda new=new: new.write_text(f"x = {new.name!r}\n"),
            lambda new=new, cart=cart: os.replace(new, cart),
        )
        assert told == {"shop/cart.py"}


def test_an_editor_s_backup_and_rename_is_one_change(folder: Folder) -> None:
    cart = folder.root / "shop/cart.py"
    backup = cart.with_name("cart.py~")
    cart.rename(backup)
    shutil.copyfile(backup, cart)
    cart.write_text("x = 22\n")
    backup.unlink()
    assert folder.told() == {"shop/cart.py"}


def test_a_new_module_counts_when_it_stays(folder: Folder) -> None:
    shop = folder.root / "shop"
    new, other = shop / "new.py", shop / "other.py"
    assert folder.told_besides(lambda: new.write_text("")) == {"shop/new.py"}
    assert folder.told_besides(lambda: new.rename(other)) == {"shop/other.py"}
    # Nothing was made from it: it goes without a word, and with one that is of a checker or merge.
    for moment in ("flycheck_cart.py", "cart_LOCAL_4711.py"):
        (shop / moment).write_text("x = 1\n")
    other.unlink()
    folder.touch_until_told("main.py", "x = 3\n")


def test_an_imported_module_that_goes_and_comes(folder: Folder) -> None:
    cart, catalog = folder.root / "shop/cart.py", folder.root / "shop/catalog.py"
    folder.has_imported(cart, catalog)
    assert folder.told_besides(cart.unlink) == {"shop/cart.py"}
    assert folder.told_besides(lambda: cart.write_text("x = 1\n")) == {"shop/cart.py"}
    away = folder.root.with_name(f"{folder.root.name}-away")
    both = {"shop/cart.py", "shop/catalog.py"}
    assert folder.told_besides(lambda: (folder.root / "shop").rename(away)) == both
    assert folder.told_besides(lambda: away.rename(folder.root / "shop")) == both
    assert folder.told_besides(lambda: cart.write_text("x = 22\n")) == {"shop/cart.py"}


def test_folders_that_come_and_go(folder: Folder) -> None:
    pack = folder.root / "pack"

    def make() -> None:
        pack.mkdir()
        (pack / "__init__.py").write_text("")

    assert folder.told_besides(make) == {"pack/__init__.py"}
    assert folder.told_besides(lambda: (pack / "more.py").write_text("")) == {"pack/more.py"}
    both = {pack / "__init__.py", pack / "more.py"}
    folder.has_imported(*both)
    assert folder.told_besides(lambda: shutil.rmtree(pack)) == {
        os.path.relpath(one, folder.root) for one in both
    }


def test_many_files_at_once_are_told_of_at_once(folder: Folder) -> None:
    names = {f"shop/module_{number}.py" for number in range(100)}
    longest_pause = BURST_REST_SECONDS
    while (
        longest_pause > BURST_REST_SECONDS / 2
    ):  # a busy machine: the files were not saved at once
        text, saved = f"x = {os.urandom(4).hex()!r}\n", []
        for name in names:
            folder.save(name, text)
            saved.append(time.monotonic())
        longest_pause = max(after - before for before, after in pairwise(saved))
        told = last = folder.told()
        while not names <= told:
            last = folder.told()
            told |= last
    assert last == names


def test_what_does_not_count_is_not_told_of(folder: Folder) -> None:
    told = folder.told_besides(
        lambda: folder.save("shop/readme.txt", "x"),
        lambda: folder.save("shop/.hidden.py", "x"),
        (folder.root / "__pycache__").mkdir,
        lambda: folder.save("__pycache__/main.py", "x"),
        lambda: os.utime(folder.root / "main.py", ns=(0, 0)),
    )
    assert told == {"main.py"}


def test_a_file_that_is_being_written_is_told_of_when_it_is_closed(tmp_path: Path) -> None:
    if "inotify" not in KINDS:
        pytest.skip("only inotify knows")
    folder = Folder(tmp_path, KINDS["inotify"])
    cart: IO[str]
    with closing(folder.watcher):
        with (folder.root / "shop/cart.py").open("w") as cart:
            cart.write("x = (1,")
            cart.flush()
            folder.touch_until_told("main.py")
            cart.write(" 2)\n")
        assert folder.told() == {"shop/cart.py"}


def test_more_is_watched_when_a_worker_says_so(folder: Folder, tmp_path: Path) -> None:
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    (elsewhere / "lib.py").write_text("x = 1\n")
    os.utime(elsewhere / "lib.py", (1, 1))
    folder.watcher.watch_more(Watch(frozenset([str(elsewhere / "lib.py")]), frozenset(), since=2.0))
    folder.touch_until_told("main.py")
    name = os.path.relpath(elsewhere / "lib.py", folder.root)
    assert folder.told_besides(lambda: (elsewhere / "lib.py").write_text("x = 2\n")) == {name}


def test_a_file_that_changed_while_it_was_imported_is_told_of(
    folder: Folder, tmp_path: Path
) -> None:
    elsewhere = tmp_path.parent / f"{tmp_path.name}-elsewhere"
    elsewhere.mkdir()
    (elsewhere / "lib.py").write_text("x = 1\n")
    os.utime(elsewhere / "lib.py", (3, 3))
    folder.watcher.watch_more(Watch(frozenset([str(elsewhere / "lib.py")]), frozenset(), since=2.0))
    assert folder.told() == {os.path.relpath(elsewhere / "lib.py", folder.root)}


def test_a_file_that_goes_may_come_back(tmp_path: Path) -> None:
    """An editor that renames it before it writes the new one: only then it is at rest."""
    if "inotify" not in KINDS:
        pytest.skip("only inotify tells the two apart")
    cart = tmp_path / "cart.py"
    cart.write_text("x = 1\n")
    with closing(SelfPipe()) as ended, closing(KINDS["inotify"]([str(tmp_path)], ended)) as events:
        cart.rename(cart.with_name("cart.py~"))
        assert events.wait(0) == {str(cart): False, f"{cart}~": True}
        with cart.open("w") as file:
            assert events.wait(0) == {str(cart): False}
            file.write("x = 2\n")
        assert events.wait(0) == {str(cart): True}
        cart.unlink()
        assert events.wait(0) == {str(cart): False}
        ended.set()
        assert events.wait(None) == {}


def test_more_events_than_the_kernel_keeps(tmp_path: Path) -> None:
    if "inotify" not in KINDS:
        pytest.skip("only inotify has a limit that can be met")
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text())
    files = [tmp_path / "one.py", tmp_path / "two.py"]
    for file in files:
        file.write_text("")
    with closing(SelfPipe()) as ended, closing(KINDS["inotify"]([str(tmp_path)], ended)) as events:
        for number in range(limit + 100):
            os.utime(files[number % 2], (number, number))  # two that are the same would be merged
        assert events.wait(0)[str(tmp_path)] is False


@pytest.mark.slow
def test_no_more_watches_are_to_be_had(project: Project) -> None:
    """Then it is looked at the files again and again, and said why. The limit is the namespace's:
    the machine's own is left alone."""
    contain = in_namespace("echo 0 > /proc/sys/user/max_inotify_watches")
    with project.served(command=[*contain, *launcher()]) as served:
        served.program.wait_for_line(r"looked for several times a second: .*max_user_watches")
        for text in ("two", "three"):
            project.say(text)
            served.wait_for_text(text)
    assert served.program.output.count("several times a second") == 1


@pytest.mark.slow
def test_inotify_simple_can_t_be_imported(project: Project, tmp_path: Path) -> None:
    broken = tmp_path / "broken"
    broken.mkdir()
    (broken / "inotify_simple.py").write_text("raise ImportError('no C library')\n")
    if "inotify" not in KINDS:
        (broken / "inotify_simple.py").rename(broken / "watchfiles.py")
    with project.served(env={"PYTHONPATH": str(broken)}) as served:
        for text in ("two", "three"):
            project.say(text)
            served.wait_for_text(text)
    said = [line for line in served.program.lines if "several times a second" in line]
    assert len(said) == 1
    assert "no C library" in said[0]
    assert "pip install" in said[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_save_at_the_moment_at_which_a_wait_is_ended(kind: str, tmp_path: Path) -> None:
    """A worker says what it has imported, and somebody saves: it is told of then, or by the next
    wait."""
    with closing(SelfPipe()) as ended, closing(KINDS[kind]([str(tmp_path)], ended)) as events:
        ended.set()
        (tmp_path / "one.py").write_text("")
        told = dict(events.wait(None))
        ended.clear()
        told = told or dict(events.wait(TIMEOUT))
        assert told.keys() & {str(tmp_path), str(tmp_path / "one.py")}


def test_a_mount_whose_path_has_a_blank(tmp_path: Path) -> None:
    mount = tmp_path / "my project"
    mount.mkdir()
    contain = in_namespace(f"mount -t tmpfs none '{mount}'")
    ask = "import sys; from flask_debuglaunch.serving.watching import polling_backend; "
    ask += "folder = sys.argv[1]; "
    ask += "print(polling_backend._file_system_types([folder], polling_backend._mounted_file_systems())[folder])"
    argv = [*contain, sys.executable, "-c", ask, str(mount / "shop")]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.stdout.strip() == "tmpfs", done.stderr


def test_the_folder_of_a_file_that_is_mounted_by_itself_is_polled(tmp_path: Path) -> None:
    for name in ("project/shop.py", "app/shop.py", "app/lib/other.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    contain = in_namespace(f"mount --bind '{tmp_path}/project/shop.py' '{tmp_path}/app/shop.py'")
    ask = "import sys; from flask_debuglaunch.serving.watching import polling_backend; "
    ask += "print(*map(tuple, [one.folders for one in polling_backend.folders_without_events(sys.argv[1:])]))"
    folders = [str(tmp_path / name) for name in ("app", "app/lib", "project")]
    argv = [*contain, sys.executable, "-c", ask, *folders]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=TIMEOUT)
    assert done.stdout.strip() == str((folders[0],)), done.stderr


def test_only_the_folders_without_events_are_polled(tmp_path: Path) -> None:
    if "inotify" not in KINDS:
        pytest.skip("elsewhere all are polled, or none")
    folders = [tmp_path / "polled", tmp_path / "told of"]
    for folder in folders:
        folder.mkdir()
    with closing(SelfPipe()) as ended:
        kernel = KINDS["inotify"]([str(folders[1])], ended)
        with closing(PollingEvents([str(folders[0])], ended, kernel)) as events:
            (folders[1] / "one.py").write_text("")
            assert str(folders[1] / "one.py") in events.wait(TIMEOUT)
            assert events.wait(TIMEOUT) == {str(folders[0]): True}


def test_what_was_edited_is_seen_before_everything_is_looked_at_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(polling_backend, "LONGEST_POLL_SECONDS", 4 * TIMEOUT)
    edited, folder = tmp_path / "edited.py", str(tmp_path)
    edited.write_text("")
    watched = WatchRules(roots=frozenset([folder]), files=frozenset())
    files = WatchedFiles(watched)
    with closing(SelfPipe()) as ended:
        events = PollingEvents([folder], ended, recent_files=files.recently_changed)
        with closing(events):
            assert events.wait(TIMEOUT) == {folder: True}
            look_began = time.thread_time()
            while poll_pause_after(time.thread_time() - look_began) < TIMEOUT:
                files.find_all_changes()
            edited.write_text("changed = 1")
            assert events.wait(TIMEOUT) == {str(edited): True}
            assert files.find_changes_of([str(edited)]) == {str(edited)}
            assert events.wait(0.2) == {}


WRITER = """
import os, sys, time
from pathlib import Path

print("imported", flush=True)
Path("generated.py").write_text(f"made = {time.time()}")
Path("moved.new").write_text(f"made = {time.time()}")
os.replace("moved.new", "moved.py")
import generated, moved
"""


@pytest.mark.slow
def test_an_app_that_writes_code_itself_is_not_restarted_by_it(project: Project) -> None:
    """While it is imported, or in a request."""
    write = "\n\n@app.get('/write')\ndef write():\n    Path('moved.py').write_text('x = 1')\n    return ''\n"
    project.save("main.py", WRITER + HELLO.format(text="one") + write)
    with project.served() as served:
        served.text("/write")
        project.save("main.py", WRITER + HELLO.format(text="two") + write)
        served.wait_for_text("two")
        served.wait_for_reload(1)
        # Had its own writes counted, more files than this one would be named, or more reloads.
        later = time.time() + 60  # somebody else's save
        os.utime(project.root / "generated.py", (later, later))
        served.wait_for_reload(2)
        told = [line for line in served.program.lines if "Reloaded in" in line]
        assert ["(main.py)" in told[0], "(generated.py)" in told[1]] == [True, True]
        assert sum(line == "imported" for line in served.program.lines) == 3


def test_an_app_that_makes_a_module_for_its_import_only_is_not_restarted_by_it(
    project: Project,
) -> None:
    """It has gone before the launcher is told of it, as what goes in a `git switch`."""
    make = "import time\nfrom pathlib import Path\n\nmade = Path(__file__).with_name('made.py')\n"
    make += "made.write_text('x = 1')\ntime.sleep(0.3)\nimport made as _\n\nmade.unlink()\n"
    make += "time.sleep(0.3)\nprint('imported', flush=True)\n\n"
    project.save("main.py", make + HELLO.format(text="one"))
    with project.served() as served:
        assert served.text() == "one"
        project.save("other.py", "x = 1\n")
        served.wait_for_reload(1)
        assert served.text() == "one"
        assert [line for line in served.program.lines if "made.py" in line] == []


def calls_in(function: Callable[[], object]) -> int:
    """How many functions it calls, Python's own included: work, whatever the machine does besides."""
    profile = cProfile.Profile()
    profile.runcall(function)
    return sum(one.callcount for one in profile.getstats())


@pytest.mark.parametrize("where", ["above", "below"])
def test_folders_in_folders_cost_no_more_than_their_number(tmp_path: Path, where: str) -> None:
    def work(depth: int) -> int:
        top = tmp_path / str(depth)
        deepest = top.joinpath(*("d" * depth))
        os.makedirs(deepest)
        root = str(deepest if where == "above" else top)
        watched = WatchRules(roots=frozenset([root]), files=frozenset())

        def look() -> None:
            folders = scan_watched_files(watched).folders
            assert root in folders
            assert len(folders) <= MAX_FOLDER_DEPTH + 1
            list(folders_without_events([*folders]))
            env_file_lookups(None, Path(root), look_for_defaults=True)

        return calls_in(look)

    few = work(200)
    assert work(400) < (2.2 * few if where == "above" else 1.1 * few)


def test_what_is_too_deep_is_said(project: Project) -> None:
    os.makedirs(project.root.joinpath(*("d" * (MAX_FOLDER_DEPTH + 2))))
    with project.served() as served:
        served.program.wait_for_line("than 64 one in the other: the others are watched only as far")


def test_links_that_lead_to_each_other_end(tmp_path: Path) -> None:
    """The kernel follows 40; a name that leads through thousands is still looked at."""
    for number in range(2000):
        os.symlink(f"{number + 1}.py", tmp_path / f"{number}.py")
    os.symlink("loop", tmp_path / "loop")
    watched = WatchRules(
        roots=frozenset([str(tmp_path)]), files=frozenset([str(tmp_path / "loop")])
    )
    assert str(tmp_path / "0.py") in scan_watched_files(watched).turning_points


@pytest.mark.parametrize("look", [0.0, 0.001, 0.02, 0.1, 0.15, 1.0, 10.0])
def test_polling_is_at_most_a_second_behind_as_long_as_that_costs_no_more_than_its_share(
    look: float,
) -> None:
    """A change comes just behind a look, and is seen by the next one: 0.15 s are 10,000 files."""
    pause = poll_pause_after(look)
    assert look <= 0.15 < 1 or look + pause > 1
    assert look > 0.15 or look + pause <= 1
    assert look / (look + pause) <= MOST_POLLING_CPU_SHARE
