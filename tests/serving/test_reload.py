"""The supervisor: one reload per save, no request lost, errors on the way."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
from pathlib import Path

import pytest

from ..support.processes import Program, free_port, http_get, in_background, wait_until
from .project import HELLO, READY, Project, launcher


def test_a_save_is_served(project: Project) -> None:
    with project.served() as served:
        assert served.text() == "one"
        project.say("two")
        served.wait_for_text("two")
        served.wait_for_reload(1)
    assert served.reloads == 1


def test_a_request_sent_during_a_reload_waits_and_gets_the_new_code(project: Project) -> None:
    slow = "import time\ntime.sleep(0.5)\n"
    with project.served() as served:
        project.save("main.py", slow + HELLO.format(text="two"))
        wait_until(lambda: served.text() == "two")
    assert served.program.output.count('"GET / ') >= 1


def test_no_request_is_lost_under_load(project: Project) -> None:
    with project.served() as served:
        stop: list[bool] = []

        def load() -> list[str]:
            return [served.text() for _ in iter(lambda: bool(stop), True)]

        clients = [in_background(load) for _ in range(3)]
        for number in range(1, 11):
            project.say(f"version {number}")
            served.wait_for_text(f"version {number}")
        stop.append(True)
        answers = [answer for client in clients for answer in client.result(30)]
    assert len(answers) > 20
    assert {answer.partition(" ")[0] for answer in answers} <= {"one", "version"}


def test_a_running_request_is_answered_by_the_old_worker(project: Project) -> None:
    gate = project.root / "gate.fifo"
    os.mkfifo(gate)
    wait = f'open({str(gate)!r}).read(); return "old"'
    project.save(
        "main.py", HELLO.format(text="one") + f"\n\n@app.get('/slow')\ndef slow():\n    {wait}\n"
    )
    with project.served() as served:
        slow = in_background(served.text, "/slow")
        with gate.open("w"):  # the request is running now
            project.say("two")
            new = in_background(served.wait_for_text, "two")
        assert slow.result(30) == "old"
        new.result(30)


def test_what_never_ends_is_cut_off_at_the_deadline(project: Project) -> None:
    endless = "\n\n@app.get('/endless')\ndef endless():\n    import threading\n    threading.Event().wait()\n"
    project.save("main.py", HELLO.format(text="one") + endless)
    with project.served() as served:
        pending = in_background(served.text, "/endless")
        served.wait_for_text("one")
        project.say("two")
        served.wait_for_text("two")
        with pytest.raises(ConnectionError):
            pending.result(30)


def test_many_files_at_once_are_one_reload(project: Project) -> None:
    for number in range(500):
        project.save(f"shop/module_{number}.py", "x = 1\n")
    with project.served() as served:
        for number in range(500):
            project.save(f"shop/module_{number}.py", "x = 22\n")
        served.wait_for_reload(1)
        project.say("two")
        served.wait_for_text("two")
        served.wait_for_reload(2)
    assert served.reloads == 2
    assert any("(500 files)" in line for line in served.program.lines)


def test_backup_and_rename_is_one_reload(project: Project) -> None:
    with project.served() as served:
        backup = project.main.with_name("main.py~")
        project.main.rename(backup)
        shutil.copyfile(backup, project.main)
        project.main.write_text(HELLO.format(text="two"))
        backup.unlink()
        served.wait_for_text("two")
        project.say("three")
        served.wait_for_text("three")
        wait_until(lambda: served.reloads == 2)


@pytest.mark.parametrize("way", ["new", "deleted", "renamed", "in a new folder"])
def test_files_that_come_and_go(project: Project, way: str) -> None:
    project.save("helper.py", "text = 'one'\n")
    project.save(
        "main.py",
        HELLO.format(text="one")
        .replace(
            "app =", "import importlib.util as u\nif u.find_spec('helper'): import helper\napp ="
        )
        .replace('"one"', "str([n for n in ('helper', 'extra', 'pack.extra') if found(n)])")
        + "\n\ndef found(n):\n    try:\n        return u.find_spec(n)\n"
        "    except ModuleNotFoundError:\n        return None\n",
    )
    with project.served() as served:
        if way == "new":
            project.save("extra.py", "")
        elif way == "deleted":
            (project.root / "helper.py").unlink()
        elif way == "renamed":
            (project.root / "helper.py").rename(project.root / "extra.py")
        else:
            project.save("pack/__init__.py", "")
        served.wait_for_reload(1)
        if way == "in a new folder":
            project.save("pack/extra.py", "")
            served.wait_for_text("pack.extra")


def test_a_touched_file_counts_and_one_that_is_the_same_does_not(project: Project) -> None:
    with project.served() as served:
        project.main.chmod(0o600)  # an event, but no change
        os.utime(project.main, (time.time(), time.time()))
        served.wait_for_reload(1)
        project.say("two")
        served.wait_for_text("two")
    assert served.reloads == 2


@pytest.mark.slow
def test_two_saves_of_one_size_within_a_second(project: Project) -> None:
    """Python would run the first one's bytecode (its time is kept in whole seconds)."""
    with project.served() as served:
        for number in range(100, 106):
            project.say(str(number))
            second = int(time.time())
            os.utime(project.main, (second, second))
            served.wait_for_text(str(number))


def test_a_module_imported_from_elsewhere_is_watched(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "editable.py").write_text("text = 'one'\n")
    project.save("main.py", "import editable\n" + HELLO.replace('"{text}"', "editable.text"))
    with project.served(env=_with_python_path(elsewhere)) as served:
        assert served.text() == "one"
        (elsewhere / "editable.py").write_text("text = 'two'\n")
        served.wait_for_text("two")


def test_a_module_imported_by_a_request_is_watched(
    project: Project, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "late.py").write_text("text = 'one'\n")
    lazily = "__import__('late').text"
    project.save("main.py", HELLO.replace('"{text}"', lazily))
    with project.served(env=_with_python_path(elsewhere)) as served:
        assert served.text() == "one"
        # Told of when the response is out already, so the first saves may come too early.
        wait_until(lambda: _save_and_look(elsewhere / "late.py", served.text))


def _with_python_path(folder: Path) -> dict[str, str]:
    paths = [str(folder), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {"PYTHONPATH": os.pathsep.join(paths)}


def _save_and_look(file: Path, look: object) -> bool:
    file.write_text(f"text = 'two'  # {time.monotonic()}\n")
    assert callable(look)
    return bool(look() == "two")


def test_extra_files_and_excluded_ones(project: Project) -> None:
    data = project.save("data.txt", "1")
    folder = project.root / "locale"
    project.save("locale/de/messages.po", "1")
    project.save("generated/code.py", "")
    flags = ("--extra-files", os.pathsep.join([str(data), str(folder)]))
    with project.served(*flags, "--exclude-patterns", "*/generated/*") as served:
        project.save("data.txt", "2")
        served.wait_for_reload(1)
        project.save("locale/de/messages.po", "2")
        served.wait_for_reload(2)
        project.save("generated/code.py", "x = 1")
        project.save("unrelated.txt", "2")
        project.say("two")
        served.wait_for_text("two")
        served.wait_for_reload(3)
    assert served.reloads == 3
    assert not any("generated/code" in line for line in served.program.lines)


@pytest.mark.slow
def test_patterns_relate_to_the_yaml_and_what_matches_nothing_is_said(project: Project) -> None:
    patterns = ["run/*", "./made/", "parameters.py", "slip/*.py"]
    files = ["run/u1/one.py", "made/two.py", "deep/er/parameters.py"]
    for file in files:
        project.save(f"conf/{file}", "x = 1")
    (project.root / "main.py").rename(project.root / "conf/main.py")
    project.save(
        "conf/config.yaml",
        f"DEBUGLAUNCH:\n  EXCLUDE_PATTERNS: {patterns}\n  EXTRA_FILES: [locale, conf]\n",
    )
    with project.served("--config", "conf/config.yaml") as served:
        served.program.wait_for_line(r"config.yaml:3: EXTRA_FILES \S*/conf/locale: there is no")
        served.program.wait_for_line(r"config.yaml:2: EXCLUDE_PATTERNS conf/slip/\*.py matches no")
        for file in files:
            project.save(f"conf/{file}", "x = 22")
        project.save("conf/main.py", HELLO.format(text="two"))
        served.wait_for_text("two")
        served.wait_for_reload(1)
        served.program.wait_for_line(r"Reloaded in .* \(conf/main.py\)")
        said = [line for line in served.program.lines if "config.yaml:" in line]
    assert len(said) == 3, said  # and EXTRA_FILES conf/conf


def test_what_programs_write_into_an_extra_folder_does_not_count(project: Project) -> None:
    project.save(".git/index", "1")
    clutter = ["app.log", "data.sqlite3", "data.sqlite3-wal", "main.py~", ".main.py.swp"]
    clutter += ["__pycache__/main.pyc", ".git/index", "node_modules/x.js"]
    with project.served("--extra-files", ".") as served:
        for name in clutter:
            (project.root / name).parent.mkdir(exist_ok=True)
            (project.root / name).write_text("22")
        project.save("notes.txt", "22")
        served.wait_for_reload(1)
        served.program.wait_for_line(r"Reloaded in .* \(notes.txt\)")
        project.say("two")
        served.wait_for_text("two")
        served.wait_for_reload(2)
    assert served.reloads == 2


def test_templates_are_left_to_flask(project: Project) -> None:
    project.save("templates/page.html", "one")
    project.save("main.py", _renders("page.html"))
    with project.served() as served:
        assert served.text() == "one"
        project.save("templates/page.html", "two")
        served.wait_for_text("two")
    assert served.reloads == 0


def test_templates_are_watched_where_flask_does_not_reload_them(project: Project) -> None:
    project.save("templates/page.html", "one")
    off = "\napp.config['TEMPLATES_AUTO_RELOAD'] = False\n"
    project.save("main.py", _renders("page.html") + off)
    with project.served() as served:
        assert served.text() == "one"
        project.save("templates/page.html", "two")
        served.wait_for_text("two")
    assert served.reloads == 1


def _renders(template: str) -> str:
    render = f'__import__("flask").render_template("{template}")'
    return HELLO.replace('"{text}"', render)


def test_polling_finds_changes_too(project: Project) -> None:
    with project.served(env={"WATCHFILES_FORCE_POLLING": "1"}) as served:
        project.say("two")
        served.wait_for_text("two")


def test_a_syntax_error_is_printed_and_served_and_the_next_save_recovers(project: Project) -> None:
    with project.served() as served:
        project.save("main.py", HELLO.format(text="two")[:-3])  # half written
        served.wait_for_text("SyntaxError")
        assert http_get(served.url).status == 500
        assert any("SyntaxError" in line for line in served.program.lines)
        project.say("three")
        served.wait_for_text("three")


@pytest.mark.slow
def test_an_error_on_import_shows_the_app_s_own_lines(project: Project) -> None:
    with project.served() as served:
        project.save(
            "main.py", "def broken():\n    raise RuntimeError('no database')\n\nbroken()\n"
        )
        served.program.wait_for_line("RuntimeError: no database")
        output = served.program.output
        assert f'File "{project.main}", line 4' in output
        assert "flask_debuglaunch/" not in output
        project.say("two")
        served.wait_for_text("two")


@pytest.mark.parametrize("code", ["1 / 0\n", "def f(:\n", "import sys\nsys.exit(3)\n"])
@pytest.mark.parametrize("reload", ["--reload", "--no-reload"])
def test_the_first_start_exits_2_with_the_app_s_traceback(
    project: Project, code: str, reload: str
) -> None:
    project.save("main.py", code)
    with Program([*launcher(), reload], cwd=project.root) as program:
        assert program.wait_exit() == 2
        program.assert_nothing_left()
    assert "main.py" in program.output or "SystemExit(3)" in program.output
    assert "flask_debuglaunch/" not in program.output
    assert "Running on" not in program.output


def test_a_change_of_the_yaml_resolves_the_plan_anew(project: Project) -> None:
    show = "__import__('os').environ['FLASK_DEBUG'] + str(app.debug)"
    project.save("main.py", HELLO.replace('"{text}"', show))
    project.save("config.yaml", "FLASK: {DEBUG: true}\n")
    command = [sys.executable, "-m", "flask_debuglaunch", "--port", "0"]
    with project.served(command=command) as served:
        assert served.text() == "1True"
        project.save("config.yaml", "FLASK: {DEBUG: 1 2 3}\n")
        served.program.wait_for_line("config.yaml.*stays as it was")
        assert served.text() == "1True"
        port = free_port()
        project.save("config.yaml", f"FLASK: {{DEBUG: true}}\nDEBUGLAUNCH: {{PORT: {port}}}\n")
        # --port on the command line is stronger; only what the YAML decides follows.
        project.save("config.yaml", "FLASK: {DEBUG: false}\n")
        served.wait_for_text("0False")


@pytest.mark.slow
def test_a_running_launcher_survives_whatever_the_yaml_says(project: Project) -> None:
    good = "FLASK: {DEBUG: true}\n"
    project.save("config.yaml", good)
    command = [sys.executable, "-m", "flask_debuglaunch", "--port", "0"]
    bad = (
        'X: "\\UFFFFFFFF"',
        "X: !!int ''",
        "X: !!bool maybe",
        "X: !!float ''",
        "X: !!timestamp x",
        "DEBUGLAUNCH: {WAIT: 1" + "0" * 400 + "}",
        "X: &x [*x]\nFLASK: *x",
        "[" * 5000,
        "\x00",
    )
    with project.served(command=command) as served:
        for number, text in enumerate(bad, 1):
            project.save("config.yaml", f"{good}{text}\n")
            served.wait_for_reload(number)
        project.save("config.yaml", "FLASK: {DEBUG: false}\n")
        served.wait_for_reload(number + 1)
        assert served.text() == "one"
        assert "Traceback" not in served.program.output


def test_an_interpreter_that_can_t_be_started_is_named(project: Project) -> None:
    started = (
        "import sys; sys.executable = sys.orig_argv[0] = '/no/python'; del sys.orig_argv[1:3]\n"
        "from flask_debuglaunch.cli import main; main()"
    )
    command = [sys.executable, "-c", started, "--debug", "--port", "0"]
    with Program(command, cwd=project.root) as program:
        assert program.wait_exit() == 2
        assert "could not be started: " in program.output
        assert "/no/python" in program.output
        assert "Traceback" not in program.output


def test_a_change_of_the_port_in_the_yaml_moves_the_server(project: Project) -> None:
    first, second = free_port(), free_port()
    project.save("config.yaml", f"FLASK: {{DEBUG: true}}\nDEBUGLAUNCH: {{PORT: {first}}}\n")
    with project.served(command=[sys.executable, "-m", "flask_debuglaunch"]) as served:
        assert served.url.endswith(f":{first}")
        project.save("config.yaml", f"FLASK: {{DEBUG: true}}\nDEBUGLAUNCH: {{PORT: {second}}}\n")
        url = served.program.wait_for_line(f"Running on (http.*:{second})")[1]
        assert http_get(url).text == "one"


def test_a_change_of_the_watched_files_in_the_yaml(project: Project) -> None:
    data = project.save("data.txt", "1")
    project.save("generated/code.py", "")
    project.save("config.yaml", "FLASK: {DEBUG: true}\nDEBUGLAUNCH: {PORT: 0}\n")
    more = f"EXTRA_FILES: [{data}], EXCLUDE_PATTERNS: ['*/generated/*']"
    with project.served(command=[sys.executable, "-m", "flask_debuglaunch"]) as served:
        project.save("config.yaml", f"FLASK: {{DEBUG: true}}\nDEBUGLAUNCH: {{PORT: 0, {more}}}\n")
        served.wait_for_reload(1)
        project.save("generated/code.py", "x = 1")
        project.save("data.txt", "2")
        served.program.wait_for_line(r"Reloaded .*\(data\.txt\)")
    assert not any("generated/code" in line for line in served.program.lines)


def test_env_files_are_read_anew(project: Project) -> None:
    project.save("main.py", HELLO.replace('"{text}"', "__import__('os').environ['COLOUR']"))
    project.save(".env", "COLOUR=red\n")
    with project.served() as served:
        assert served.text() == "red"
        project.save(".env", "COLOUR=blue\n")
        served.wait_for_text("blue")
        project.main.touch()
        served.wait_for_reload(2)
        assert served.text() == "blue"


def test_run_with_an_app_of_the_user_s_own(project: Project) -> None:
    run = "\n\nif __name__ == '__main__':\n    import flask_debuglaunch\n    flask_debuglaunch.run(app, port=0)\n"
    project.save("config.yaml", "FLASK: {DEBUG: true}\n")
    project.save("main.py", HELLO.format(text="one") + run)
    with project.served(command=[sys.executable, "main.py"]) as served:
        assert served.text() == "one"
        project.save("main.py", HELLO.format(text="two") + run)
        served.wait_for_text("two")
        served.program.wait_for_line(r"Each reload starts a new interpreter: run\(app\)")


def test_app_run_left_in_user_code_is_ignored_and_told_of_once(project: Project) -> None:
    project.save("main.py", HELLO.format(text="one") + "\n\napp.run()\n")
    with project.served() as served:
        assert served.text() == "one"
        project.save("main.py", HELLO.format(text="two") + "\n\napp.run()\n")
        served.wait_for_text("two")
    told = [line for line in served.program.lines if "app.run() is ignored" in line]
    assert len(told) == 1
    assert f"{project.main}:11" in told[0]


def test_the_app_s_environment(project: Project) -> None:
    code = textwrap.dedent("""\
        import os
        from flask import Flask
        NAMES = ("FLASK_DEBUG", "WERKZEUG_RUN_MAIN", "WERKZEUG_SERVER_FD", "FLASK_RUN_FROM_CLI")
        while_imported = {name: os.environ.get(name) for name in NAMES}
        app = Flask(__name__)

        @app.get("/")
        def look():
            now = {name: os.environ.get(name) for name in NAMES}
            ours = [name for name in os.environ if "DEBUGLAUNCH_CHILD" in name]
            return {"import": while_imported, "now": now, "ours": ours}
        """)
    project.save("main.py", code)
    stale = {"WERKZEUG_RUN_MAIN": "true", "WERKZEUG_SERVER_FD": "3", "FLASK_RUN_FROM_CLI": "true"}
    with project.served(env=stale) as served:
        seen = __import__("json").loads(served.text())
        for name in stale:
            served.program.wait_for_line(f"env:{name}: .*dropped")
    common = {"FLASK_DEBUG": "1", "WERKZEUG_RUN_MAIN": "true", "WERKZEUG_SERVER_FD": None}
    assert seen["import"] == {**common, "FLASK_RUN_FROM_CLI": "true"}
    assert seen["now"] == {**common, "FLASK_RUN_FROM_CLI": None}
    assert seen["ours"] == []


@pytest.mark.slow
def test_werkzeug_s_debugger_inside_the_app_is_warned_of(project: Project) -> None:
    wrap = "\n\nfrom werkzeug.debug import DebuggedApplication\napp.wsgi_app = DebuggedApplication(app.wsgi_app)\n"
    project.save("main.py", HELLO.format(text="one") + wrap)
    with project.served("--debug-with", "pydevd", "--debug-port", str(free_port())) as served:
        served.program.wait_for_line("Warning: the app wraps itself in Werkzeug's")
    with project.served() as served:
        assert served.text() == "one"
    assert "Warning" not in served.program.output


@pytest.mark.slow
def test_standard_input_is_the_app_s(project: Project) -> None:
    project.save("main.py", HELLO.replace('"{text}"', "input()"))
    with project.served(terminal=True) as served:
        for line in ("first", "second"):
            pending = in_background(served.text)
            served.program.type_keys(f"{line}\n")
            assert pending.result(30) == line
            project.main.touch()
            served.wait_for_reload(1)


@pytest.mark.slow
def test_a_first_start_that_fails_is_served_where_asked_and_mended_by_a_save(
    project: Project,
) -> None:
    """As in a container, which would be restarted for ever."""
    project.save("main.py", "def (:\n")
    with project.served("--import-errors=serve") as served:
        served.wait_for_text("SyntaxError")
        project.save("main.py", "raise SystemExit(3)\n")
        served.wait_for_text("the app ended itself")
        project.say("mended")
        served.wait_for_text("mended")


def test_a_first_start_that_dies_waits_for_a_save_where_asked(project: Project) -> None:
    project.save("main.py", "import os\nos._exit(7)\n")
    flags = ["--import-errors=serve", "--no-debugger"]
    with Program([*launcher(), *flags], cwd=project.root) as program:
        program.wait_for_line("ended with exit status 7. The next save starts it again")
        project.say("mended")
        url = program.wait_for_line(READY)[1]
        assert http_get(url).text == "mended"
