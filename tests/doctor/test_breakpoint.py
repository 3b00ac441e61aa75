"""`doctor FILE:LINE`: why a breakpoint at that line would not be hit."""

from __future__ import annotations

import json
import os
import posixpath
from pathlib import Path

import pytest

from .clinic import APP, doctor, findings, only, write

VIEWS = '''"""Views."""

# a comment
def index():
    return (
        "index"
    )
'''


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    return write(
        tmp_path,
        {
            "app.py": "from shop import views\n" + APP,
            "shop/__init__.py": "",
            "shop/views.py": VIEWS,
            "shop/forgotten.py": "x = 1\n",
            "shop/broken.py": "x = = 1\n",
            "templates/index.html": "{{ 1 }}\n",
            "page.html": "{{ 1 }}\n",
        },
    )


def test_no_reason(shop: Path) -> None:
    done = doctor(shop, "shop/views.py:5")
    assert done.returncode == 0
    assert done.stdout.splitlines()[-1] == (
        "No reason found why a breakpoint in shop/views.py:5 would not hit"
    )


@pytest.mark.parametrize("app", ["shop.web:app", "shop/web.py", "shop.web"])
def test_the_app_is_in_a_package(shop: Path, app: str) -> None:
    write(shop, {"shop/__init__.py": "from . import views\n", "shop/web.py": APP})
    assert findings(shop, "--port", "0", "--app", app, "shop/web.py:3") == []
    assert findings(shop, "--port", "0", "--app", app, "shop/views.py:5") == []


@pytest.mark.parametrize(
    ("place", "words", "fix"),
    [
        ("shop/views.py:3", "the line holds no code", "Set the breakpoint at shop/views.py:4"),
        ("shop/forgotten.py:1", "no import statement leads", "doctor --import-app shop/forgotten.py:1"),
        ("page.html:1", "in no folder named templates", "template_folder"),
        (json.__file__, "just-my-code", "justMyCode"),
    ],
)  # fmt: skip
def test_a_reason(shop: Path, place: str, words: str, fix: str) -> None:
    found = only(findings(shop, place), "breakpoint")
    assert words in found["what"]
    assert fix in found["fix"]


@pytest.mark.skipif(
    not posixpath.join.__code__.co_filename.startswith("<frozen"),
    reason="this Python has it from its file",
)
def test_a_module_that_is_frozen_into_python(shop: Path) -> None:
    found = findings(shop, f"{posixpath.__file__}:72")
    frozen = next(one for one in found if "frozen" in one["what"])
    assert frozen["what"].startswith("Python has posixpath frozen in itself")
    command = frozen["fix"].split(" ")
    told = findings(shop, f"{posixpath.__file__}:72", command=command)
    assert not any("frozen" in one["what"] for one in told)


def test_a_class_is_not_its_module_in_another_case(shop: Path) -> None:
    write(shop, {"app.py": f"from shop import Forgotten\n{APP}"})
    found = only(findings(shop, "--port", "0", "shop/forgotten.py:1"), "breakpoint")
    assert "no import statement leads" in found["what"]


def test_a_file_that_is_no_python(shop: Path) -> None:
    found = findings(shop, "shop/broken.py:1")
    assert any(
        one["where"] == "shop/broken.py:1" and "valid Python" in one["what"] for one in found
    )


def test_a_template_needs_jinja(shop: Path) -> None:
    entry = {"name": "mine", "type": "debugpy", "request": "launch", "module": "flask_debuglaunch"}
    write(shop, {".vscode/launch.json": json.dumps({"configurations": [entry]})})
    found = only(findings(shop, "templates/index.html:1"), "breakpoint")
    assert "does not set jinja" in found["what"]


def test_a_link_and_a_mapping(shop: Path) -> None:
    (shop / "linked.py").symlink_to(shop / "shop" / "views.py")
    assert "symbolic link" in only(findings(shop, "linked.py:5"), "breakpoint")["what"]
    mapping = f"{shop / 'other'}=/app"
    found = findings(shop, "shop/views.py:5", "--path-mappings", mapping)
    assert "no path mapping covers" in only(found, "breakpoint")["what"]


@pytest.mark.parametrize("place", ["no.py:1", "shop/views.py:99"])
def test_no_such_place(shop: Path, place: str) -> None:
    done = doctor(shop, place)
    assert done.returncode == 2
    assert done.stderr.startswith(f"Error: argv:{place}: ")


@pytest.mark.slow
def test_import_app(shop: Path) -> None:
    assert findings(shop, "--import-app", "shop/views.py:5") == []
    found = findings(shop, "--import-app", "shop/forgotten.py:1")
    assert any("import does not run this file" in one["what"] for one in found)
    (shop / "app.py").write_text("print('noise')\n1 / 0\n")
    done = doctor(shop, "--json", "--import-app")
    assert only(json.loads(done.stdout)["findings"], "import")["level"] == "error"
    assert "ZeroDivisionError" in done.stderr
    assert os.linesep not in done.stdout[:1]
