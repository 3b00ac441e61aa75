"""User code that serves, or ends, on import: `app.run()` left unguarded, and `sys.exit()`."""

from __future__ import annotations

from pathlib import Path

import pytest

from ..support.processes import free_port, is_listening
from .project import RELOAD, ended, saying, served, write

IGNORED = "app.run() is ignored"


def test_app_run_neither_blocks_nor_serves(tmp_path: Path, mode: tuple[str, ...]) -> None:
    port = free_port()
    left = f"app.run(port={port}, debug=True)\nafter = 'reached'\n@app.get('/after')\ndef _():\n    return after\n"
    write(tmp_path, {"main.py": saying("served") + left})
    with served(tmp_path, *mode) as launched:
        assert launched.text() == "served"
        assert launched.text("/after") == "reached"
        assert not is_listening(port)
    told = [line for line in launched.program.lines if IGNORED in line]
    assert told == [
        f" * {tmp_path}/main.py:9: app.run() is ignored, the app is served already."
        ' Put it under `if __name__ == "__main__":`'
    ]


def test_it_is_told_of_once_not_on_each_reload(tmp_path: Path) -> None:
    main = tmp_path / "main.py"
    write(tmp_path, {"main.py": saying("one") + "app.run()\n"})
    with served(tmp_path, *RELOAD) as launched:
        for text in ("two", "three"):
            since = len(launched.program.lines)
            main.write_text(saying(text) + "app.run()\n")
            launched.program.wait_for_line("Reloaded", since=since)
            assert launched.text() == text
    assert launched.program.output.count(IGNORED) == 1


def test_in_a_factory_and_in_a_module_that_is_imported(tmp_path: Path) -> None:
    write(
        tmp_path,
        {
            "other.py": "import flask\nflask.Flask('other').run()\n",
            "main.py": """
                import flask, other
                def create_app():
                    app = flask.Flask(__name__)
                    app.run()
                    return app
            """,
        },
    )
    with served(tmp_path, "--no-debug") as launched:
        assert launched.get().status == 404
    assert f"{tmp_path}/other.py:2: {IGNORED}" in launched.program.output
    assert f"{tmp_path}/main.py:5: {IGNORED}" in launched.program.output


def test_a_guarded_main_is_left_alone(tmp_path: Path, mode: tuple[str, ...]) -> None:
    guarded = "\nif __name__ == '__main__':\n    raise SystemExit('started twice')\n"
    write(tmp_path, {"main.py": saying("served") + guarded})
    with served(tmp_path, *mode) as launched:
        assert launched.text() == "served"
    assert IGNORED not in launched.program.output


def test_app_run_is_flasks_own_again_after_the_import(tmp_path: Path) -> None:
    """An app may start another one in a thread of its own."""
    asks = """
import os
@app.get("/run")
def run():
    return f"{flask.Flask.run.__module__} {os.environ.get('FLASK_RUN_FROM_CLI')}"
"""
    write(tmp_path, {"main.py": saying("served") + asks})
    with served(tmp_path) as launched:
        assert launched.text("/run") == "flask.app None"


@pytest.mark.parametrize("code", ["0", "3", "5", "'no database'"])
def test_sys_exit_on_import_ends_the_start(tmp_path: Path, code: str) -> None:
    """With status 2, whatever the app says: 3 would mean "restart me" to others."""
    write(tmp_path, {"main.py": f"import sys\nsys.exit({code})\n"})
    failed = ended(tmp_path)
    assert failed.status == 2
    assert failed.output.splitlines()[:2] == [
        "Traceback (most recent call last):",
        f'  File "{tmp_path}/main.py", line 2, in <module>',
    ]
    reason = f"the app ended itself while it was imported: SystemExit({code})"
    assert failed.output.splitlines()[-1] == f"RuntimeError: {reason}"


def test_sys_exit_in_a_worker(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": "import sys\ndef create_app():\n    sys.exit(3)\n"})
    supervised = ended(tmp_path, *RELOAD)
    assert (supervised.status, supervised) == (2, ended(tmp_path))


def test_a_process_that_is_gone_at_once(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": "import os\nos._exit(3)\n"})
    failed = ended(tmp_path, *RELOAD)
    assert failed.status == 2
    assert failed.output == " * The app's process ended with exit status 3 before it could serve"


def test_the_users_line_is_named_not_the_extensions(tmp_path: Path, mode: tuple[str, ...]) -> None:
    """flask_socketio's own frame stands between."""
    pytest.importorskip("flask_socketio")
    left = """
from flask_socketio import SocketIO
socketio = SocketIO(app, async_mode="threading")
socketio.run(app, allow_unsafe_werkzeug=True)  # it asks for this where there is no terminal
"""
    write(tmp_path, {"main.py": saying("served") + left})
    with served(tmp_path, *mode) as launched:
        assert launched.text() == "served"
    told = [line for line in launched.program.lines if IGNORED in line]
    assert [line.split(": ")[0] for line in told] == [f" * {tmp_path}/main.py:12"]
