"""atomic_file_changes.py: text files are written whole, all or none, and only if they change."""

from __future__ import annotations

import os
import random
import re
import resource
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_debuglaunch.atomic_file_changes import FileChange, apply_changes, diff, read_text
from flask_debuglaunch.errors import LaunchError

pytestmark = pytest.mark.quick

NAME = ".vscode/launch.json"
TEXTS = {
    "LF": "{\n}\n",
    "CRLF": "{\r\n}\r\n",
    "mixed": "{\r\n\r}\n",
    "byte order mark": "\ufeff{}\n",
    "no line end": "{}",
    "unicode": '{"é": "😀\u2028\x0c"}\n',
    "empty": "",
}


@pytest.fixture
def launch_json(tmp_path: Path) -> Path:
    path = tmp_path / NAME
    path.parent.mkdir()
    path.write_bytes(b"{}\n")
    return path


def names_in(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_a_text_comes_back_as_it_was_written(tmp_path: Path, text: str) -> None:
    apply_changes([FileChange(NAME, None, text)], tmp_path)
    assert (tmp_path / NAME).read_bytes() == text.encode()
    assert read_text(tmp_path / NAME) == text
    assert names_in(tmp_path / ".vscode") == {"launch.json"}


def test_a_new_file_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    apply_changes([FileChange("a", None, "a")], tmp_path)
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    assert read_text(tmp_path / NAME) is None


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o755])
def test_the_mode_stays(launch_json: Path, tmp_path: Path, mode: int) -> None:
    launch_json.chmod(mode)
    apply_changes([FileChange(NAME, "{}\n", "[]\n")], tmp_path)
    assert launch_json.read_bytes() == b"[]\n"
    assert stat.S_IMODE(launch_json.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_stays(launch_json: Path, tmp_path: Path) -> None:
    os.chown(launch_json, 65534, 65533)
    apply_changes([FileChange(NAME, "{}\n", "[]\n")], tmp_path)
    assert (launch_json.stat().st_uid, launch_json.stat().st_gid) == (65534, 65533)


@pytest.mark.skipif(not hasattr(os, "setxattr"), reason="Python knows them on Linux alone")
def test_extended_attributes_stay(launch_json: Path, tmp_path: Path) -> None:
    os.setxattr(launch_json, "user.mine", b"kept")
    apply_changes([FileChange(NAME, "{}\n", "[]\n")], tmp_path)
    assert launch_json.read_bytes() == b"[]\n"
    assert os.getxattr(launch_json, "user.mine") == b"kept"


@pytest.mark.parametrize("after", ["[]\n", "[ ]", "[" + " " * 10_000 + "]\n"])
def test_hard_links_stay(launch_json: Path, tmp_path: Path, after: str) -> None:
    other = tmp_path / "other"
    os.link(launch_json, other)
    apply_changes([FileChange(NAME, "{}\n", after)], tmp_path)
    assert launch_json.read_text() == other.read_text() == after
    assert launch_json.samefile(other)
    assert names_in(tmp_path / ".vscode") == {"launch.json"}


# What is never written


@pytest.fixture
def outside(tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("outside") / "authorized_keys"
    file.write_text("{}\n")
    return file


def link_to_file(path: Path, outside: Path) -> str:
    path.symlink_to(outside)
    return f"it is a symbolic link to {outside}"


def link_to_nothing(path: Path, outside: Path) -> str:
    path.symlink_to(outside.with_name("new"))
    return "it is a symbolic link to "


def link_inside(path: Path, outside: Path) -> str:  # noqa: ARG001
    (path.parent / "main.py").write_text("{}\n")
    path.symlink_to("main.py")
    return "it is a symbolic link to main.py"


def link_to_device(path: Path, outside: Path) -> str:  # noqa: ARG001
    path.symlink_to("/dev/null")
    return "it is a device"


def named_pipe(path: Path, outside: Path) -> str:  # noqa: ARG001
    os.mkfifo(path)
    return "it is a named pipe"


def endless(path: Path, outside: Path) -> str:  # noqa: ARG001
    path.symlink_to("/dev/zero")
    return "it is a device"


def far_too_large(path: Path, outside: Path) -> str:  # noqa: ARG001
    with path.open("wb") as file:
        file.truncate(10**12)
    return "it is larger than 1024 KiB"


def link_in_place_of_the_folder(path: Path, outside: Path) -> str:
    path.parent.rmdir()
    path.parent.symlink_to(outside.parent)
    return f"it would be {outside.parent / path.name}, which is not in this project"


@pytest.mark.parametrize(
    "put",
    [link_to_file, link_to_nothing, link_inside, link_to_device, named_pipe, endless,
     far_too_large, link_in_place_of_the_folder],
)  # fmt: skip
def test_only_files_of_the_project_are_written(
    tmp_path: Path, outside: Path, put: Callable[[Path, Path], str]
) -> None:
    path = tmp_path / NAME
    path.parent.mkdir()
    why = put(path, outside)
    there = path.lstat() if path.is_symlink() or path.exists() else None
    with pytest.raises(LaunchError, match=re.escape(why)):
        apply_changes([FileChange(NAME, read_text(path), "[]\n")], tmp_path)
    assert (path.lstat() if there else None) == there
    assert outside.read_text() == "{}\n"
    assert names_in(outside.parent) == {"authorized_keys"}


# All or none


def test_all_or_none(launch_json: Path, tmp_path: Path) -> None:
    (tmp_path / "last").mkdir()
    changes = [
        FileChange(NAME, "{}\n", "[]\n"),
        FileChange("new/folder/file", None, "text"),
        FileChange("last/file", None, "text"),
    ]
    (tmp_path / "last" / "file").symlink_to("nowhere")
    with pytest.raises(LaunchError, match=r"last/file: can't be written.* Nothing is changed"):
        apply_changes(changes, tmp_path)
    assert launch_json.read_text() == "{}\n"
    assert names_in(tmp_path) == {".vscode", "last"}
    (tmp_path / "last" / "file").unlink()
    apply_changes(changes, tmp_path)
    assert [(tmp_path / one.path).read_text() for one in changes] == ["[]\n", "text", "text"]


def test_what_was_put_in_place_is_taken_back(launch_json: Path, tmp_path: Path) -> None:
    os.link(launch_json, tmp_path / "other")
    changes = [
        FileChange("new", None, "text"),
        FileChange(NAME, "{}\n", "[" + " " * 100_000 + "]\n"),
    ]
    # What has several names is written into when all else is done.
    with file_size_limit(50_000), pytest.raises(LaunchError, match=r"\(ulimit -f\).*Nothing is"):
        apply_changes(changes, tmp_path)
    assert launch_json.read_bytes() == b"{}\n"
    assert names_in(tmp_path) == {".vscode", "other"}


KILLED = """\
import sys
from pathlib import Path
from flask_debuglaunch.atomic_file_changes import FileChange, apply_changes
texts = ["a" * 70_000, "b" * 90_000]
sys.stdout.write("ready\\n")
sys.stdout.flush()
while True:
    apply_changes([FileChange(name, *texts) for name in ("one", "folder/two")], Path("."))
    texts.reverse()
"""


@pytest.mark.slow
def test_whoever_is_killed_leaves_whole_files_and_nothing_else(tmp_path: Path) -> None:
    """At random moments; the files that are there are of either text."""
    texts = {"a" * 70_000, "b" * 90_000}
    files = [tmp_path / "one", tmp_path / "folder" / "two"]
    files[1].parent.mkdir()
    chance = random.Random(5678)
    left_behind: set[Path] = set()
    for _ in range(15):
        for file in files:
            file.write_text("a" * 70_000)
        argv = [sys.executable, "-c", KILLED]
        with subprocess.Popen(argv, cwd=tmp_path, stdout=subprocess.PIPE) as program:
            assert program.stdout
            assert program.stdout.readline() == b"ready\n"
            time.sleep(chance.uniform(0, 0.05))
            program.kill()
        assert {file.read_text() for file in files} <= texts
        left_behind |= {path for path in tmp_path.rglob("*") if path.is_file()} - {*files}
    # A name is given and moved in two system calls: some 20 microseconds of each write.
    assert len(left_behind) <= 1


def test_what_a_killed_one_has_left_goes(launch_json: Path, tmp_path: Path) -> None:
    (launch_json.parent / ".launch.json.flask-debuglaunch.tmp").write_text("half")
    apply_changes([FileChange(NAME, "{}\n", "[]\n")], tmp_path)
    assert names_in(launch_json.parent) == {"launch.json"}
    assert launch_json.read_text() == "[]\n"


@pytest.mark.parametrize("before", ["{}\n", "what it was when it was read"])
def test_an_equal_file_is_not_touched(launch_json: Path, tmp_path: Path, before: str) -> None:
    os.utime(launch_json, (1, 1))
    inode = launch_json.stat().st_ino
    apply_changes([FileChange(NAME, before, "{}\n")], tmp_path)
    assert (launch_json.stat().st_mtime, launch_json.stat().st_ino) == (1, inode)


@pytest.mark.parametrize("before", ["{ }\n", None])
def test_a_file_that_changed_in_the_meantime_stays(
    launch_json: Path, tmp_path: Path, before: str | None
) -> None:
    with pytest.raises(LaunchError, match=r"launch\.json: was changed by another program"):
        apply_changes([FileChange(NAME, before, "[]\n")], tmp_path)
    assert launch_json.read_bytes() == b"{}\n"
    assert names_in(launch_json.parent) == {"launch.json"}


def test_a_file_that_went_in_the_meantime_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="was changed by another program"):
        apply_changes([FileChange("a", "before", "after")], tmp_path)
    assert names_in(tmp_path) == set()


def test_who_reads_it_meanwhile_reads_the_old_text_to_its_end(
    launch_json: Path, tmp_path: Path
) -> None:
    with launch_json.open("rb") as opened_before:
        apply_changes([FileChange(NAME, "{}\n", "[]\n")], tmp_path)
        assert opened_before.read() == b"{}\n"
    assert launch_json.read_bytes() == b"[]\n"


@contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    """Writing more ends with "File too large", half way."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


def test_a_failure_half_way_leaves_the_old_file(launch_json: Path, tmp_path: Path) -> None:
    after = "[" + " " * 100_000 + "]\n"
    with (
        file_size_limit(50_000),
        pytest.raises(LaunchError, match=r"\(ulimit -f\).*Nothing is changed"),
    ):
        apply_changes([FileChange(NAME, "{}\n", after)], tmp_path)
    assert launch_json.read_bytes() == b"{}\n"
    assert names_in(launch_json.parent) == {"launch.json"}


def test_a_read_only_file_is_not_replaced(launch_json: Path, tmp_path: Path) -> None:
    launch_json.chmod(0o444)
    with pytest.raises(LaunchError, match=r"launch\.json: can't be written: it is read-only"):
        apply_changes([FileChange(NAME, "{}\n", "[]\n")], tmp_path)
    assert launch_json.read_bytes() == b"{}\n"


@pytest.fixture
def ordinary_users_folder() -> Iterator[Path]:
    """Root may do everything, so the test goes on as somebody else."""
    folder = Path(tempfile.mkdtemp())
    user = os.geteuid()
    if user == 0:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        yield folder
    finally:
        os.seteuid(user)
        shutil.rmtree(folder)


def test_a_folder_that_may_not_be_written(ordinary_users_folder: Path) -> None:
    folder = ordinary_users_folder / "read-only"
    folder.mkdir()
    (folder / "a").write_bytes(b"before")
    folder.chmod(0o555)
    for name, before in (("a", "before"), ("b", None), ("c/d", None)):
        with pytest.raises(LaunchError, match=rf"{name}: can't be written: you have no permission"):
            apply_changes([FileChange(name, before, "after")], folder)
    assert (folder / "a").read_bytes() == b"before"
    assert names_in(folder) == {"a"}


def test_a_file_that_may_not_be_read(ordinary_users_folder: Path) -> None:
    (ordinary_users_folder / "a").touch(mode=0)
    with pytest.raises(LaunchError, match="a: can't be read: Permission denied"):
        read_text(ordinary_users_folder / "a")


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(LaunchError, match="a: can't be read: it is a folder"):
        apply_changes([FileChange("a", None, "after")], tmp_path)


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / ".vscode").touch()
    with pytest.raises(LaunchError, match=r"launch\.json: can't be (read|written): .*Not a dir"):
        apply_changes([FileChange(NAME, None, "after")], tmp_path)


def test_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("a")
    with pytest.raises(LaunchError, match="a: can't be read: Too many levels"):
        apply_changes([FileChange("a", None, "after")], tmp_path)


def test_what_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("{}".encode("utf-16"))
    with pytest.raises(LaunchError, match="a: byte 1 is not UTF-8"):
        read_text(tmp_path / "a")
    with pytest.raises(LaunchError, match=r"b: can't be written: '\\udcff'"):
        apply_changes([FileChange("b", None, "\udcff")], tmp_path)
    assert names_in(tmp_path) == {"a"}


# The diff


def test_diff_of_a_changed_file() -> None:
    assert diff(FileChange(NAME, '{\n  "a": 1\n}\n', '{\n  "a": 2\n}\n')) == (
        "--- a/.vscode/launch.json\n"
        "+++ b/.vscode/launch.json\n"
        "@@ -1,3 +1,3 @@\n"
        " {\n"
        '-  "a": 1\n'
        '+  "a": 2\n'
        " }\n"
    )


def test_diff_of_a_new_file() -> None:
    assert diff(FileChange(NAME, None, "{}")) == (
        "--- /dev/null\n"
        "+++ b/.vscode/launch.json\n"
        "@@ -0,0 +1 @@\n"
        "+{}\n"
        "\\ No newline at end of file\n"
    )


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_no_diff_if_nothing_changes(text: str) -> None:
    assert diff(FileChange(NAME, text, text)) == ""


LINES = st.sampled_from(
    ["", "{", "}", "-- a", "++ b", "\r", "é", "\ufeff", "\x0c", "\u2028", "\x85"]
)
TEXT = st.lists(LINES, max_size=8).map("\n".join)
PATCHES = {"git": ["git", "apply", "--whitespace=nowarn"], "patch": ["patch", "-p1", "--binary"]}


@pytest.mark.parametrize("program", PATCHES)
@given(before=st.none() | TEXT, after=TEXT)
def test_the_diff_makes_after_from_before(program: str, before: str | None, after: str) -> None:
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    patch = diff(FileChange("folder/file", before, after))
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "folder" / "file"
        path.parent.mkdir()
        if before is not None:
            path.write_bytes(before.encode())
        if patch:
            done = subprocess.run(
                PATCHES[program], input=patch.encode(), cwd=name, capture_output=True, timeout=60
            )
            assert done.returncode == 0, done.stderr + done.stdout
        assert (path.read_bytes().decode() if path.exists() else "") == after
