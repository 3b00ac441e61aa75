"""Everything that APP (--app) can name is found and served; what Flask takes, as Flask takes it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from .project import NO_RELOAD, RELOAD, ended, saying, served, write

FACTORY = """
import flask

def {name}({parameters}):
    app = flask.Flask(__name__)

    @app.get("/")
    def hello():
        return f"{answer}"

    return app
"""


def factory(answer: str = "made", name: str = "create_app", parameters: str = "") -> str:
    return FACTORY.format(name=name, parameters=parameters, answer=answer)


PROJECT = {
    "module.py": saying("module"),
    "shop/__init__.py": saying("package"),
    "shop/web.py": saying("dotted"),
    "shop/deep/__init__.py": "",
    "shop/deep/web.py": saying("deep"),
    "plain/web.py": saying("file in a folder"),
    "named.py": saying("two", "two") + saying("one", "one"),
    "application.py": saying("application", "application"),
    "single.py": saying("single", "whatever"),
    "both.py": saying("other", "other") + saying("preferred"),
    "maker.py": factory("make_app", "make_app"),
    "creator.py": factory() + factory("not me", "make_app"),
    "options.py": factory("{name} {size} {tags}", "build", "name, size=1, *, tags=()"),
    "optional.py": factory("{name}", "create_app", "name='default'"),
}


NAMES = {
    "module": "module",
    "module:app": "module",
    "module.py": "module",
    "./module.py": "module",
    "module.py:app": "module",
    "shop": "package",
    "shop/": "package",
    "shop/__init__.py": "package",
    "shop.web": "dotted",
    "shop/web.py": "dotted",
    "shop.deep.web": "deep",
    "plain/web.py": "file in a folder",
    "plain.web": "file in a folder",
    "plain/web": "file in a folder",
    "named:one": "one",
    "named: one ": "one",
    "application": "application",
    "single": "single",
    "both": "preferred",
    "maker": "make_app",
    "creator": "made",
    "creator:make_app": "not me",
    "creator:make_app()": "not me",
    "options:build('shop')": "shop 1 ()",
    "options:build('shop', 3, tags=['a', {'b': None}])": "shop 3 ['a', {'b': None}]",
    "optional": "default",
}

WRONG = {
    "several.py": saying("one", "one") + saying("two", "two"),
    "nothing.py": "x = 1\n",
    "lame.py": """
        def create_app(name, size): ...
        def returns_none(): ...
        async def makes_later(): ...
    """,
}
# Our message, then words of Flask's; None where Flask says nothing of it.
WRONG_NAMES = {
    "nosuch": (
        "there is no module nosuch in {folder}. Name a module or file that is there, such as shop.web or shop/web.py",
        "Could not import 'nosuch'",
    ),
    "no/such.py": ("there is no module such in {folder}/no.", "Could not import 'such'"),
    "nothng": ("there is no module nothng in {folder}. Did you mean nothing?", "Could not import"),
    "nothing": (
        "nothing (nothing.py) has no app: no Flask object, no create_app or make_app, no WSGI callable"
        " named app or application. Say what it is, as in --app nothing:name",
        "Failed to find Flask application or factory in module 'nothing'",
    ),
    "nothing:x": (
        "nothing:x is no app, but 1. Name a Flask object, a factory or another WSGI callable",
        "A valid Flask application was not obtained from 'nothing:x'",
    ),
    "several": (
        "several (several.py) has several Flask apps: one, two. Say which, as in --app several:one",
        "Detected multiple Flask applications in module 'several'",
    ),
    "several:three": (
        "several (several.py) has no three. Write the name of what is the app in it, as in --app several:app",
        "Failed to find attribute 'three' in 'several'",
    ),
    "several:tow": (
        "several (several.py) has no tow. Did you mean two?",
        "Failed to find attribute",
    ),
    "several:": (
        "what follows the colon must be a name, or a call with literal arguments, such as create_app('dev'), not ''",
        "Failed to parse ''",
    ),
    "several:one.two": ("what follows the colon must be a name", "Failed to parse 'one.two'"),
    "lame:create_app(1, x)": (
        "what follows the colon must be",
        "Failed to parse arguments as literal",
    ),
    "lame": (
        "the factory lame:create_app(name, size) can't be called without arguments. Write them as literals,"
        " as in --app \"lame:create_app('dev')\"",
        "Detected factory 'create_app' in module 'lame', but could not call it without arguments",
    ),
    "lame:create_app(1)": (
        "the factory lame:create_app(name, size) can't be called with these arguments.",
        "could not be called with the specified arguments",
    ),
    "lame:returns_none": (
        "the factory lame:returns_none returned None, expected the app. End it with `return app`",
        "A valid Flask application was not obtained from 'lame:returns_none'",
    ),
    "lame:makes_later": (
        "the factory lame:makes_later is async, but an app is made before there is an event loop."
        " Make it a plain function; the views may be async",
        "A valid Flask application was not obtained from 'lame:makes_later'",
    ),
}

# What `flask --app NAME run` serves, for many names: each in a process of its own, forked for speed.
PEER = """
import json, os, sys
from flask.cli import ScriptInfo

def answer(name):
    try:
        return ScriptInfo(app_import_path=name).load_app().test_client().get("/").text
    except Exception as error:
        return str(error)

for name in sys.argv[1:]:
    if os.fork() == 0:
        print(json.dumps([name, answer(name or None)]), flush=True)
        os._exit(0)
    os.wait()
"""


def under_flask(folder: Path, *names: str) -> dict[str, str]:
    """The answers of the apps of these names, or Flask's errors; the empty name is none."""
    done = subprocess.run(
        [sys.executable, "-c", PEER, *names],
        cwd=folder,
        check=True,
        timeout=60,
        capture_output=True,
    )
    return dict(json.loads(line) for line in done.stdout.splitlines())


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("project"), {**PROJECT, **WRONG})


@pytest.fixture(scope="module")
def peers(project: Path) -> dict[str, str]:
    return under_flask(project, *NAMES, *WRONG_NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_the_same_app_as_under_flask(project: Path, peers: dict[str, str], name: str) -> None:
    with served(project, "--app", name) as ours:
        assert ours.text() == NAMES[name] == peers[name]


@pytest.mark.parametrize("name", WRONG_NAMES)
def test_refused_as_by_flask_with_the_fix(project: Path, peers: dict[str, str], name: str) -> None:
    ours, flasks = WRONG_NAMES[name]
    refused = ended(project, "--app", name)
    assert refused.status == 2
    assert refused.message.startswith(f"argv:--app: {ours.format(folder=project)}")
    assert flasks in peers[name]


@pytest.mark.parametrize("name", ["nosuch", "nothing:x", "lame:create_app"])
def test_a_worker_refuses_alike(project: Path, name: str) -> None:
    assert ended(project, *RELOAD, "--app", name) == ended(project, *NO_RELOAD, "--app", name)


@pytest.mark.parametrize("name", ["shop.web", "plain/web.py", "options:build('shop', size=2)"])
def test_a_worker_finds_alike(project: Path, name: str) -> None:
    with (
        served(project, *RELOAD, "--app", name) as reloading,
        served(project, "--app", name) as one,
    ):
        assert reloading.text() == one.text()


# Without a name


@pytest.mark.parametrize(
    ("files", "answer"),
    [
        (["main.py", "app.py", "wsgi.py"], "wsgi.py"),
        (["main.py", "app.py"], "app.py"),
        (["main.py"], "main.py"),
        (["main.py", "app/__init__.py"], "app/__init__.py"),
    ],
)
def test_found_by_itself(tmp_path: Path, files: list[str], answer: str) -> None:
    write(tmp_path, {name: saying(name) for name in files})
    with served(tmp_path) as launched:
        assert launched.text() == answer
    if answer != "main.py":
        assert under_flask(tmp_path, "") == {"": answer}


def test_nothing_to_be_found(tmp_path: Path) -> None:
    refused = ended(tmp_path)
    assert refused.status == 2
    assert refused.message == (
        f"{tmp_path}: there is no app: no wsgi.py, app.py, main.py. Name it with APP in the YAML or"
        " on the command line, as in --app server.py"
    )
    write(tmp_path, {"src/shop/__init__.py": saying("shop")})
    assert ended(tmp_path).message.endswith(", as in --app src/shop")
    with served(tmp_path, "--app", "src/shop") as launched:
        assert launched.text() == "shop"


def test_an_app_with_two_names_is_one_app(tmp_path: Path) -> None:
    """Flask wants to be told which of the two."""
    write(tmp_path, {"main.py": saying("same", "one") + "other = one\n"})
    with served(tmp_path) as launched:
        assert launched.text() == "same"


# Factories and the configuration

CONFIG = "FLASK: {DEBUG: true, SECRET: pepper}\n"


@pytest.mark.parametrize(
    ("parameters", "app", "answer"),
    [
        ("config", "main", "{folder}/config.yaml"),
        ("config=None", "main:create_app", "None"),
        ("config: 'str | None' = None", "main", "None"),
        ("config: 'Path | None' = None", "main", "{folder}/config.yaml"),
        ("config: os.PathLike | str = None", "main", "{folder}/config.yaml"),
        ("settings=None, config_yaml=None", "main", "{folder}/config.yaml"),
        ("config_yaml", "main", "{folder}/config.yaml"),
        ("config_filename=None", "main", "None"),
        ("config='config.yaml'", "main:create_app()", "{folder}/config.yaml"),
        ("config='production'", "main", "production"),
        ("config", "main:create_app('mine.yaml')", "mine.yaml"),
        ("config", "main:create_app(config='mine.yaml')", "mine.yaml"),
        ("name='x', *, config", "main", "{folder}/config.yaml"),
    ],
)
def test_a_factory_gets_the_configuration(
    tmp_path: Path, parameters: str, app: str, answer: str
) -> None:
    name = next(re.finditer(r"config\w*", parameters))[0]
    made = "import os\n" + factory(f"{{{name}}}", "create_app", parameters)
    write(tmp_path, {"config.yaml": CONFIG, "main.py": made})
    with served(tmp_path, "--no-reload", "--app", app) as launched:
        assert launched.text() == answer.format(folder=tmp_path)


def test_a_factory_that_can_do_without_is_left_alone(tmp_path: Path) -> None:
    """It may take a mapping, a name or an object: a path breaks each of these lines."""
    takes_no_path = """
        import flask
        CONFIGS = {"dev": object()}
        def create_app(config=None):
            app = flask.Flask(__name__)
            app.config.from_mapping(config)
            app.config.from_object(CONFIGS[config or "dev"])
            app.config.from_object(config)
            app.config.update(config or {})
            app.add_url_rule("/", view_func=lambda: "made")
            return app
    """
    write(tmp_path, {"config.yaml": CONFIG, "main.py": takes_no_path})
    with served(tmp_path, "--no-reload") as launched:
        assert launched.text() == "made"


def test_without_a_configuration_a_factory_that_wants_one_is_told_of(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": factory("{config}", "create_app", "config")})
    assert "main:create_app(config) can't be called without arguments" in ended(tmp_path).message


# Plain WSGI

HELLO = """
def {name}(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"wsgi"]
"""


@pytest.mark.parametrize(
    ("code", "name"),
    [
        (HELLO.format(name="application"), "main"),
        (HELLO.format(name="serve"), "main:serve"),
        (
            HELLO.format(name="hello")
            + "class App:\n    def __call__(self, *args):\n        return hello(*args)\napp = App()\n",
            "main",
        ),
        (
            "import functools\ndef hello(greeting, environ, start_response):\n"
            "    start_response('200 OK', [])\n    return [greeting]\n"
            "app = functools.partial(hello, b'wsgi')\n",
            "main",
        ),
        (
            "import functools\n" + factory("wsgi", "make", "size")
            + "small = functools.partial(make, size=1)\n",
            "main:small",
        ),
        (saying("wsgi", "site") + "application = site.wsgi_app\ndel site\n", "main"),
        (
            saying("wsgi", "site") + "from werkzeug.middleware.proxy_fix import ProxyFix\n"
            "site.wsgi_app = ProxyFix(site.wsgi_app)\n",
            "main",
        ),
        (
            saying("wsgi", "site") + "from werkzeug.middleware.dispatcher import DispatcherMiddleware\n"
            "both = DispatcherMiddleware(site, {'/x': site})\n",
            "main:both",
        ),
        (
            saying("wsgi", "site") + "def create_app():\n    return lambda *args: site(*args)\n",
            "main:create_app",
        ),
    ],
    ids=["function", "named function", "object", "partial", "partial of a factory",
         "bound wsgi_app", "wrapped wsgi_app", "middleware", "made by a factory"],
)  # fmt: skip
def test_any_wsgi_callable(tmp_path: Path, code: str, name: str) -> None:
    write(tmp_path, {"main.py": code})
    with served(tmp_path, "--app", name) as launched:
        assert launched.text() == "wsgi"


def test_a_wsgi_callable_with_reload(tmp_path: Path) -> None:
    write(tmp_path, {"main.py": HELLO.format(name="application")})
    with served(tmp_path, *RELOAD) as launched:
        assert launched.text() == "wsgi"


# Places


def test_folders_and_files_of_any_name(tmp_path: Path, mode: tuple[str, ...]) -> None:
    name = "my größe 日本"
    folder = write(tmp_path / name, {"config.yaml": CONFIG, "größe.py": saying(name)})
    with served(folder, *mode, "--app", "größe.py") as launched:
        assert launched.text() == name
    with served(tmp_path, *mode, "--app", f"{name}/größe.py") as launched:
        assert launched.text() == name


@pytest.mark.parametrize(
    ("app", "flags"),
    [
        ("main", NO_RELOAD),
        ("main.py", NO_RELOAD),
        ("src/shop", NO_RELOAD),
        ("src/shop:create_app()", RELOAD),
    ],
)
def test_app_is_relative_to_the_yaml_that_names_it(
    tmp_path: Path, app: str, flags: tuple[str, ...]
) -> None:
    write(
        tmp_path / "project",
        {
            "deploy.yaml": f'DEBUGLAUNCH: {{APP: "{app}"}}\n',
            "main.py": saying("main"),
            "src/shop/__init__.py": "from shop.web import create_app\n",
            "src/shop/web.py": factory("shop"),
        },
    )
    elsewhere = write(tmp_path / "elsewhere", {"main.py": saying("wrong")})
    with served(elsewhere, *flags, "--config", "../project/deploy.yaml") as launched:
        assert launched.text() == ("shop" if "shop" in app else "main")


def test_with_a_config_elsewhere_the_app_is_looked_for_beside_it(tmp_path: Path) -> None:
    write(tmp_path / "project", {"config.yaml": CONFIG, "main.py": saying("beside the YAML")})
    with served(tmp_path, "--no-reload", "--config", "project/config.yaml") as launched:
        assert launched.text() == "beside the YAML"


def test_a_file_that_is_named_like_an_installed_module(tmp_path: Path) -> None:
    """The console script does not put the folder first: --app means the file all the same."""
    script = (str(Path(sys.executable).with_name("flask-debuglaunch")),)
    write(
        tmp_path, {"flask.py": saying("never"), "shop/__init__.py": "", "shop/web.py": saying("x")}
    )
    refused = ended(tmp_path, "--app", "flask", command=script)
    assert refused.message.startswith(
        "argv:--app: flask.py can't be imported: flask is the module /"
    )
    assert refused.message.endswith(" already. Rename the file")
    with served(tmp_path, "--app", "shop.web", command=script) as launched:
        assert launched.text() == "x"


def test_a_loop_of_links_is_no_module(tmp_path: Path) -> None:
    (tmp_path / "main.py").symlink_to("other.py")
    (tmp_path / "other.py").symlink_to("main.py")
    refused = ended(tmp_path, "--app", "main.py")
    assert refused.message.startswith(f"argv:--app: there is no module main in {tmp_path}")
