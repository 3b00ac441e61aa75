"""ides/write_files.py: text files are written whole or not at all, and only if they change."""

from __future__ import annotations

import os
import resource
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.ides.write_files import Change, apply, diff, read

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
    apply(Change(NAME, None, text), tmp_path)
    assert (tmp_path / NAME).read_bytes() == text.encode()
    assert read(tmp_path / NAME) == text
    assert names_in(tmp_path / ".vscode") == {"launch.json"}


def test_a_new_file_has_the_mode_of_any_new_file(tmp_path: Path) -> None:
    apply(Change("a", None, "a"), tmp_path)
    (tmp_path / "b").touch()
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_what_is_not_there_is_none(tmp_path: Path) -> None:
    assert read(tmp_path / NAME) is None


@pytest.mark.parametrize("mode", [0o600, 0o644, 0o664, 0o755])
def test_the_mode_stays(launch_json: Path, tmp_path: Path, mode: int) -> None:
    launch_json.chmod(mode)
    apply(Change(NAME, "{}\n", "[]\n"), tmp_path)
    assert launch_json.read_bytes() == b"[]\n"
    assert stat.S_IMODE(launch_json.stat().st_mode) == mode


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_owner_stays(launch_json: Path, tmp_path: Path) -> None:
    os.chown(launch_json, 65534, 65533)
    apply(Change(NAME, "{}\n", "[]\n"), tmp_path)
    assert (launch_json.stat().st_uid, launch_json.stat().st_gid) == (65534, 65533)


def test_a_symbolic_link_stays_and_its_target_changes(launch_json: Path, tmp_path: Path) -> None:
    target = tmp_path / "dotfiles" / "launch.json"
    target.parent.mkdir()
    launch_json.rename(target)
    launch_json.symlink_to(Path("..") / "dotfiles" / "launch.json")
    apply(Change(NAME, "{}\n", "[]\n"), tmp_path)
    assert launch_json.is_symlink()
    assert target.read_bytes() == b"[]\n"
    assert names_in(target.parent) == names_in(launch_json.parent) == {"launch.json"}


def test_a_link_to_what_is_not_there_yet(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("later/file")
    apply(Change("link", None, "text"), tmp_path)
    assert (tmp_path / "later" / "file").read_text() == "text"


@pytest.mark.parametrize("before", ["{}\n", "what it was when it was read"])
def test_an_equal_file_is_not_touched(launch_json: Path, tmp_path: Path, before: str) -> None:
    os.utime(launch_json, (1, 1))
    inode = launch_json.stat().st_ino
    apply(Change(NAME, before, "{}\n"), tmp_path)
    assert (launch_json.stat().st_mtime, launch_json.stat().st_ino) == (1, inode)


@pytest.mark.parametrize("before", ["{ }\n", None])
def test_a_file_that_changed_in_the_meantime_stays(
    launch_json: Path, tmp_path: Path, before: str | None
) -> None:
    with pytest.raises(LaunchError, match=r"launch\.json: was changed by another program"):
        apply(Change(NAME, before, "[]\n"), tmp_path)
    assert launch_json.read_bytes() == b"{}\n"
    assert names_in(launch_json.parent) == {"launch.json"}


def test_a_file_that_went_in_the_meantime_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(LaunchError, match="was changed by another program"):
        apply(Change("a", "before", "after"), tmp_path)
    assert names_in(tmp_path) == set()


def test_who_reads_it_meanwhile_reads_the_old_text_to_its_end(
    launch_json: Path, tmp_path: Path
) -> None:
    with launch_json.open("rb") as opened_before:
        apply(Change(NAME, "{}\n", "[]\n"), tmp_path)
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
    with file_size_limit(50_000), pytest.raises(LaunchError, match="File too large"):
        apply(Change(NAME, "{}\n", after), tmp_path)
    assert launch_json.read_bytes() == b"{}\n"
    assert names_in(launch_json.parent) == {"launch.json"}


def test_a_read_only_file_is_not_replaced(launch_json: Path, tmp_path: Path) -> None:
    launch_json.chmod(0o444)
    with pytest.raises(LaunchError, match=r"launch\.json: it is read-only"):
        apply(Change(NAME, "{}\n", "[]\n"), tmp_path)
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
        with pytest.raises(LaunchError, match=rf"{name}: can't be written: .*: Permission denied"):
            apply(Change(name, before, "after"), folder)
    assert (folder / "a").read_bytes() == b"before"
    assert names_in(folder) == {"a"}


def test_a_file_that_may_not_be_read(ordinary_users_folder: Path) -> None:
    (ordinary_users_folder / "a").touch(mode=0)
    with pytest.raises(LaunchError, match="a: can't be read: Permission denied"):
        read(ordinary_users_folder / "a")


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    with pytest.raises(LaunchError, match="a: can't be read: Is a directory"):
        apply(Change("a", None, "after"), tmp_path)


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / ".vscode").touch()
    with pytest.raises(LaunchError, match=r"launch\.json: can't be (read|written): .*Not a dir"):
        apply(Change(NAME, None, "after"), tmp_path)


def test_a_link_to_itself(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("a")
    with pytest.raises(LaunchError, match="a: can't be read: Too many levels"):
        apply(Change("a", None, "after"), tmp_path)


def test_what_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes("{}".encode("utf-16"))
    with pytest.raises(LaunchError, match="a: byte 1 is not UTF-8"):
        read(tmp_path / "a")
    with pytest.raises(LaunchError, match=r"b: can't be written: '\\udcff'"):
        apply(Change("b", None, "\udcff"), tmp_path)
    assert names_in(tmp_path) == {"a"}


# The diff


def test_diff_of_a_changed_file() -> None:
    assert diff(Change(NAME, '{\n  "a": 1\n}\n', '{\n  "a": 2\n}\n')) == (
        "--- a/.vscode/launch.json\n"
        "+++ b/.vscode/launch.json\n"
        "@@ -1,3 +1,3 @@\n"
        " {\n"
        '-  "a": 1\n'
        '+  "a": 2\n'
        " }\n"
    )


def test_diff_of_a_new_file() -> None:
    assert diff(Change(NAME, None, "{}")) == (
        "--- /dev/null\n"
        "+++ b/.vscode/launch.json\n"
        "@@ -0,0 +1 @@\n"
        "+{}\n"
        "\\ No newline at end of file\n"
    )


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_no_diff_if_nothing_changes(text: str) -> None:
    assert diff(Change(NAME, text, text)) == ""


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
    patch = diff(Change("folder/file", before, after))
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
