"""Whatever a file is called: each format gives the argument back as it was, and it runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flask_debuglaunch.errors import LaunchError
from flask_debuglaunch.ides import eclipse, pycharm
from flask_debuglaunch.ides.eclipse import ARGUMENTS_KEY
from flask_debuglaunch.ides.generate_files import generate, write
from tests.ides.argument_splitting import as_pycharm, as_pydev, as_windows
from tests.support.processes import TIMEOUT

# All that XML and a file's name can hold, with what is special somewhere among the likely ones.
special = st.sampled_from([*" \t\n\r\\\"'`$&<>|;%#!*?()[]{}^~=,:", "\\\\", '\\"', "ü", "漢", "😀"])
character = st.characters(
    codec="utf-8", exclude_categories=["Cc"], exclude_characters="\ufffe\uffff"
)
text = st.lists(special | character, min_size=0, max_size=12).map("".join)
arguments = st.lists(text, max_size=4)

WINDOWS_PATHS = [r"C:\my shop\config.yaml", "C:\\shop\\", r"D:\R&D\$x\ünï.yaml", r'a\"b\\" c']


@pytest.mark.slow
@settings(max_examples=500)
@given(arguments)
@example(WINDOWS_PATHS)
@example(["", " ", '"', "\\", "a\\", "a b\\"])
def test_eclipse_on_posix(arguments: list[str]) -> None:
    assert as_pydev(" ".join(map(eclipse.quoted_argument, arguments))) == arguments


@pytest.mark.slow
@settings(max_examples=500)
@given(st.lists(text.filter(lambda text: "\\\\" not in text), max_size=4))
@example([r"C:\my shop\config.yaml", "C:\\my shop\\", r"D:\R&D\$x\ünï.yaml", 'a" b'])
def test_eclipse_on_windows(arguments: list[str]) -> None:
    """The same text: a .launch is shared. Two backslashes in a row are all that differs."""
    assert as_windows(" ".join(map(eclipse.quoted_argument, arguments))) == arguments


@pytest.mark.slow
@settings(max_examples=500)
@given(arguments)
@example(WINDOWS_PATHS)
@example(["", " ", '"', "\\", "a\\", "a b\\", 'a b\\"'])
def test_pycharm(arguments: list[str]) -> None:
    assert as_pycharm(" ".join(map(pycharm.quoted_argument, arguments))) == arguments


# Whole files

# A relative path: whatever a folder of this machine can hold, but what the IDEs refuse.
file_name = (
    text.map(lambda name: name.replace("/", "").replace("$", "S") + ".yaml")
    .filter(lambda name: len(name.encode()) < 200)
    .filter(lambda name: not name.startswith((" ", "-", "~")) and name == name.strip())
)


def of_vscode(folder: Path) -> list[str]:
    launch = json.loads((folder / ".vscode/launch.json").read_text(encoding="utf-8"))
    found: list[str] = launch["configurations"][0]["args"]
    return found


def of_eclipse(folder: Path) -> list[str]:
    [file] = folder.glob("* debug.launch")
    entries = {entry.get("key"): entry for entry in ET.parse(file).getroot()}
    return as_pydev(entries[ARGUMENTS_KEY].attrib["value"])


def of_pycharm(folder: Path) -> list[str]:
    root = ET.parse(folder / ".run/debuglaunch debug.run.xml").getroot()
    [option] = [one for one in root.iter("option") if one.get("name") == "PARAMETERS"]
    return as_pycharm(option.attrib["value"])


READERS: dict[str, Callable[[Path], list[str]]] = {
    "vscode": of_vscode,
    "eclipse": of_eclipse,
    "pycharm": of_pycharm,
}


def write_files(folder: Path, config: str) -> None:
    """What the command writes, in this process: a property needs many of them."""
    (folder / config).write_text("DEBUGLAUNCH: {PORT: 4711}\n", encoding="utf-8")
    write(generate(list(READERS), [], folder, Path(config), {"debug": True}))


@given(file_name)
def test_every_file_names_the_yaml(config: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_files(folder, config)
        for read in READERS.values():
            assert read(folder) == ["--config", config, "--debug"]


@pytest.mark.slow
@settings(max_examples=4)
@given(file_name)
@example('it\'s "my" $shop & ünïcode 漢字 😀\\.yaml')
def test_the_app_starts_with_it(config: str) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_files(folder, config)
        explain = [sys.executable, "-m", "flask_debuglaunch", "explain", "port", "--json"]
        for read in READERS.values():
            argv = [*explain, *read(folder)]
            done = subprocess.run(argv, cwd=folder, capture_output=True, timeout=TIMEOUT)
            assert done.returncode == 0, done.stderr
            port = json.loads(done.stdout)["settings"]["port"]
            assert port == {"value": 4711, "origin": f"{config}:1"}


@pytest.mark.parametrize("name", ["eclipse", "pycharm"])
@pytest.mark.skipif(os.name == "nt", reason="no such names on Windows")
def test_what_xml_can_t_say_is_refused(tmp_path: Path, name: str) -> None:
    config = Path("bell\a.yaml")
    (tmp_path / config).write_text("")
    with pytest.raises(LaunchError, match=r"would not take '\\x07' in this name"):
        generate([name], [], tmp_path, config, {})
    assert generate(["vscode"], [], tmp_path, config, {}).changes
