"""Whatever stands in an IDE's file: it is edited, or refused with its place, and never harmed."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.ides.generate_files import IDES, generate, write

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "40"))
NAMES = ["vscode", "eclipse", "pycharm"]
GIVEN = {"debug": True, "port": "8000"}


def files_of(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def generated() -> dict[str, bytes]:
    with tempfile.TemporaryDirectory(suffix="shop") as name:
        folder = Path(name) / "shop"
        folder.mkdir()
        write(generate(NAMES, ["wait"], folder, None, GIVEN))
        return files_of(folder)


FILES = generated()
PIECES = [
    b"", b"{", b"}", b"[", b"]", b'"', b",", b"//", b"/*", b"\\", b"<", b"/>", b"&", b"<!--", b"<![CDATA[",
    b"<!DOCTYPE a>", b"\xef\xbb\xbf", b"\r\n", b"\r", b"\x00", b"\xff", "\u2028😀".encode(), b"null", b"1e999",
    b'"args": [1, null, {}],', b'"name": "debuglaunch: debug",', b'<option name="PARAMETERS"/>',
    b'<module name="PARAMETERS" />', b"--port=1 --config x", b"&#13;",
]  # fmt: skip


@st.composite
def damaged(draw: st.DrawFn) -> dict[str, bytes]:
    """The generated files, with pieces cut out, moved or put in."""
    files = dict(FILES)
    for path in draw(st.lists(st.sampled_from(sorted(files)), min_size=1, max_size=3)):
        data = files[path]
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 40)))
        files[path] = data[:start] + draw(st.sampled_from(PIECES)) + data[end:]
    return files


def kept_or_written(folder: Path, before: dict[str, bytes], act: Callable[[], None]) -> bool:
    """Nothing but a LaunchError is raised, and then every file is as it was."""
    try:
        act()
    except LaunchError:
        is_written = False
    else:
        is_written = True
    assert is_written or files_of(folder) == before
    return is_written


@settings(max_examples=EXAMPLES)
@given(damaged())
def test_a_damaged_file_is_edited_or_refused(files: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "shop"
        for path, data in files.items():
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(data)

        def act() -> None:
            write(generate(NAMES, ["wait"], folder, None, GIVEN))

        if kept_or_written(folder, files, act):
            once = files_of(folder)
            act()
            assert files_of(folder) == once  # what was written is right, and stays


names = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=12
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 100)


@pytest.mark.slow
@settings(max_examples=EXAMPLES)
@given(names, names)
def test_any_name_of_the_folder_and_of_the_yaml(folder_name: str, yaml: str) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / folder_name
        folder.mkdir()
        (folder / f"{yaml}.yaml").write_text("FLASK: {DEBUG: true}")
        before = files_of(folder)
        for ide in IDES:

            def act(ide: str = ide) -> None:
                write(generate([ide], [], folder, Path(f"{yaml}.yaml"), GIVEN))

            if kept_or_written(folder, before, act):
                before = files_of(folder)
                act()
                assert files_of(folder) == before
