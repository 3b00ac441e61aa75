"""What keeps an app from being served is told once, with its place and its fix."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .project import NO_RELOAD, RELOAD, ended, saying, served, without_rights, write

# Errors of the app's own


PYTHON_ITSELF = """
import sys, traceback
try:
    module = __import__(sys.argv[1])
    if sys.argv[2]:
        getattr(module, sys.argv[2])()
except Exception as error:
    error.__traceback__ = error.__traceback__.tb_next
    # Python 3.15 would import the package once more for a hint, and fail once more.
    if "." in (getattr(error, "name", None) or ""):
        error.name = None
    traceback.print_exception(error)
"""
IMPORTS_A_MISSING_MODULE = {
    "main.py": "import flask\nimport shop\n",
    "shop.py": "import nosuchdep\n",
}


@pytest.mark.parametrize(
    ("files", "app"),
    [
        (IMPORTS_A_MISSING_MODULE, "main"),
        (IMPORTS_A_MISSING_MODULE, "main:app"),
        ({"main.py": "import flask\napp = flask.Flask()\n"}, "main"),
        ({"main.py": "import flask\napp = flask.Flask(__name__\n"}, "main"),
        ({"main.py": "import broken\n", "broken.py": "def (:\n"}, "main"),
        ({"main.py": "def create_app():\n    raise ValueError('no database')\n"}, "main"),
        ({"main.py": "def create_app():\n    return helper(1)\ndef helper():\n    ...\n"}, "main"),
        (
            {"main.py": "try:\n    import nosuchdep\nexcept ImportError as error:\n    raise RuntimeError('install it') from error\n"},
            "main",
        ),
        ({"shop/__init__.py": "from . import web\n", "shop/web.py": "from .nosuch import x\n"}, "shop"),
    ],
    ids=["missing module", "missing module, named app", "wrong call", "syntax", "syntax in an import",
         "factory", "wrong call in the factory", "chained", "relative import"],
)  # fmt: skip
def test_the_apps_own_error_is_shown_as_python_shows_it(
    tmp_path: Path, files: dict[str, str], app: str
) -> None:
    """Without a frame of ours: as where Python itself imports the app, less that import's frame."""
    write(tmp_path, files)
    factory = "create_app" if "create_app" in "".join(files.values()) else ""
    python = subprocess.run(
        [sys.executable, "-c", PYTHON_ITSELF, app.partition(":")[0], factory],
        cwd=tmp_path, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    failed = ended(tmp_path, "--app", app)
    assert failed.status == 2
    assert failed.output == python.stderr.rstrip()
    assert "Error" in failed.output


@pytest.mark.parametrize("preload", ["packages", "modules"])
@pytest.mark.parametrize("app", ["main", "broken"])
def test_and_in_a_worker(tmp_path: Path, app: str, preload: str) -> None:
    write(tmp_path, {**IMPORTS_A_MISSING_MODULE, "broken.py": "def (:\n"})
    reloading = (*RELOAD, "--preload", preload)
    assert ended(tmp_path, *reloading, "--app", app) == ended(tmp_path, *NO_RELOAD, "--app", app)


@pytest.mark.slow
def test_in_a_later_worker_each_request_shows_it_so(tmp_path: Path) -> None:
    """In Werkzeug's page and in the log there is no frame of ours; for sys.exit() neither."""
    main = write(tmp_path, {"main.py": saying("one")}) / "main.py"
    with served(tmp_path, *RELOAD) as launched:
        for broken, error in (
            ("raise ValueError('no database')\n", "ValueError: no database"),
            ("import sys\nsys.exit(3)\n", "SystemExit(3)"),
            ("def (:\n", "SyntaxError: invalid syntax"),
        ):
            since = len(launched.program.lines)
            main.write_text(broken)
            launched.program.wait_for_line("could not be imported", since=since)
            page = launched.text()
            assert error in html.unescape(page)
            assert "flask_debuglaunch" not in page
            launched.program.wait_for_line(re.escape(error), since=since)
            assert "flask_debuglaunch" not in "".join(launched.program.lines[since:])


# The configuration


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("FLASK:\n\tDEBUG: true\n", "config.yaml:2:1: not valid YAML: "),
        ("FLASK:\n  DEBUG: 'true'\n", "config.yaml:2: FLASK.DEBUG must be true or false, not 'true'. Remove the quotes"),
        ("DEBUGLAUNCH:\n  PROT: 80\n", "config.yaml:2: DEBUGLAUNCH has no setting PROT. Did you mean PORT?"),
        ("FLASK:\n  DEBUG_WIHT_APTANA: true\n", "config.yaml:2: FLASK.DEBUG_WIHT_APTANA looks like DEBUG_WITH_APTANA."),
        ("- FLASK\n", "config.yaml:1: the file holds a list, expected a mapping"),
        ("FLASK: !!python/object:os.system {}\n", "config.yaml:1: the tag !!python/object:os.system makes Python objects"),
    ],
)  # fmt: skip
def test_a_yaml_that_does_not_fit(tmp_path: Path, text: str, message: str) -> None:
    write(tmp_path, {"config.yaml": text, "main.py": "raise SystemExit('imported')\n"})
    refused = ended(tmp_path, "--config", "config.yaml")
    assert refused.status == 2
    assert refused.message.startswith(message)


def test_a_config_that_is_not_there_or_may_not_be_read(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": saying("never"), "secret.yaml": "FLASK: {}\n"})
    refused = ended(tmp_path, "--config", "nosuch.yaml")
    assert (refused.status, refused.message) == (
        2, "nosuch.yaml: no such file. Write one with: python -m flask_debuglaunch init"
    )  # fmt: skip
    (tmp_path / "secret.yaml").chmod(0)
    command = without_rights("dac_override", "dac_read_search")
    refused = ended(tmp_path, "--config", "secret.yaml", command=command)
    assert (refused.status, refused.message) == (
        2, "secret.yaml: cannot be read: Permission denied."
        " Name the YAML file with --config"
    )  # fmt: skip


# Servers of production


@pytest.mark.parametrize(
    ("env", "name"),
    [({"SERVER_SOFTWARE": "gunicorn/23.0"}, "gunicorn"), ({"FLASK_ENV": "production"}, "env:FLASK_ENV=production")],
)  # fmt: skip
def test_no_debug_mode_in_production(tmp_path: Path, env: dict[str, str], name: str) -> None:
    write(tmp_path, {"main.py": "raise SystemExit('imported')\n"})
    refused = ended(tmp_path, "--debug", env=env)
    assert refused.status == 2
    assert refused.message.startswith(
        f"argv:--debug: debug mode is on, but this is production ({name})"
    )


# What would defeat the plan


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (("--debug", "--no-debugger"), "turned off (argv:--no-debugger)"),
        (("--no-debug",), "debug must be True for it to have any value"),
    ],
)
def test_a_debugger_that_the_app_brings_along(
    tmp_path: Path, flags: tuple[str, ...], reason: str
) -> None:
    own = (
        "from werkzeug.debug import DebuggedApplication\n"
        "app.wsgi_app = DebuggedApplication(app.wsgi_app)\n"
    )
    main = write(tmp_path, {"main.py": saying("one") + own}) / "main.py"
    with served(tmp_path, *flags) as launched:
        if "--debug" in flags:
            main.write_text(saying("two") + own)
            launched.program.wait_for_line("Reloaded")
            assert launched.text() == "two"
    told = [line for line in launched.program.lines if "DebuggedApplication" in line]
    assert len(told) == 1
    assert f"though use_debugger=False ({reason}). Remove it" in told[0]


def test_it_is_left_alone_where_werkzeugs_is_wanted(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": "from werkzeug.debug import DebuggedApplication\n" + saying("one")})
    with served(tmp_path, *NO_RELOAD) as launched:
        assert launched.text() == "one"
    assert "DebuggedApplication" not in launched.program.output


# Slips of a first-time user


def test_an_environment_without_flask_or_with_an_old_one(
    tmp_path: Path, mode: tuple[str, ...]
) -> None:
    write(tmp_path, {"main.py": saying("never")})
    hidden = {"sitecustomize.py": "import sys\nsys.modules['flask'] = None\n"}
    old = {
        "flask/__init__.py": "",
        "flask-2.3.3.dist-info/METADATA": "Name: flask\nVersion: 2.3.3\n",
    }
    fix = f"Install it for {sys.executable}: pip install 'flask>=3'"
    for files, message in (
        (hidden, "Flask is not installed"),
        (old, "Flask 2.3.3 is too old for the launcher"),
    ):
        packages = write(tmp_path / message, files)
        refused = ended(tmp_path, *mode, env={"PYTHONPATH": str(packages)})
        assert (refused.status, refused.message) == (2, f"{message}. {fix}")


@pytest.mark.parametrize("name", ["flask", "werkzeug", "click", "yaml", "logging", "random"])
def test_a_file_named_like_a_module_that_is_needed(tmp_path: Path, name: str) -> None:
    app = "from flask import Flask\napp = Flask(__name__)\n"
    write(tmp_path, {f"{name}.py": app, "config.yaml": "FLASK: {DEBUG: false}\n"})
    refused = ended(tmp_path, "--app", name)
    assert refused.status == 2
    hides = f"hides the module {name} that is needed here. Rename the file"
    assert refused.message == f"{tmp_path}/{name}.py: {hides}"


def test_an_import_error_is_not_blamed_on_the_users_files(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": "import wave\nfrom flask import nosuch\n", "wave.py": ""})
    assert "Rename" not in ended(tmp_path).output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["server.py"], "No such command 'server.py'. To start this app: --app server.py"),
        (["server:app"], "No such command 'server:app'. To start this app: --app server:app"),
        (["config.yaml"], "No such command 'config.yaml'. To use this configuration: --config config.yaml"),
        (["explian"], "No such command 'explian'. Did you mean explain?"),
    ],
)  # fmt: skip
def test_an_app_or_a_yaml_without_its_flag(
    tmp_path: Path, arguments: list[str], message: str
) -> None:
    write(tmp_path, {"server.py": saying("never"), "config.yaml": ""})
    refused = ended(tmp_path, *arguments)
    assert refused.status == 2
    assert refused.output.splitlines()[-1] == f"Error: {message}"
