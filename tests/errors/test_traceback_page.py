"""What the browser shows for an unhandled error, with an external debugger or none."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from html.parser import HTMLParser
from pathlib import Path

import flask
import pytest
from werkzeug.test import Client

from flask_debuglaunch.editor_links import EditorLinks, link_template
from flask_debuglaunch.serving.app.local_clients import LocalClients
from flask_debuglaunch.serving.app.traceback_page import with_error_page

from ..support.debug_session import READY, python_m
from ..support.processes import TIMEOUT, Program, http_get
from ..support.requirements import require, require_debugger
from ..support.sources import marked_line
from .failing_app.app import app

APP = Path(__file__).parent / "failing_app" / "app.py"
FLASK_APP = Path(flask.__file__).with_name("app.py")


@contextmanager
def served(*flags: str, app: Path = APP) -> Iterator[str]:
    """The app served without an external debugger, but for what the flags say."""
    command = ["run", "--app", app.name, "--port", "0", "--no-reload", *flags]
    with Program(python_m(command), cwd=app.parent) as program:
        yield program.wait_for_line(READY)[1]


# However much there is to tell

HUGE = """\
from flask import Flask

app = Flask(__name__)

@app.get("/message")
def message():
    try:
        raise KeyError("k" * 20_000_000)
    except KeyError as error:
        raise ValueError("v" * 50_000_000) from error

@app.get("/recursion")
def recursion():
    return recursion()
"""


@pytest.mark.parametrize("path", ["/message", "/recursion"])
def test_it_is_bounded(tmp_path: Path, path: str) -> None:
    file = tmp_path / "huge.py"
    file.write_text(HUGE)
    with served("--debug", "--no-debugger", app=file) as url:
        page = http_get(url + path)
        as_json = http_get(url + path, headers={"Accept": "application/json"})
    assert page.status == as_json.status == 500
    assert len(page.body) < 2_000_000
    assert len(as_json.body) < 20_000
    assert ("49,990,000 more characters" in page.text) is (path == "/message")


# In the browser


def chromium(*arguments: str, profile: Path) -> str:
    program = shutil.which("chromium")
    require("chromium", missing=None if program else "chromium is not installed")
    quiet = [
        "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
        "--disable-background-networking", "--disable-component-update", "--disable-sync",
    ]  # fmt: skip
    command = [program, *quiet, f"--user-data-dir={profile}", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=True)
    return done.stdout


class Dom(HTMLParser):
    """What a browser has made of the page."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.forms: list[str | None] = []
        """The method of each."""
        self.tags: set[str] = set()
        self.text: dict[str, str] = {}
        self._tag = ""
        self.feed(source)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._tag = tag
        self.tags.add(tag)
        self.forms += [dict(attrs).get("method")] if tag == "form" else []
        self.links += [value for name, value in attrs if name == "href" and value]

    def handle_data(self, data: str) -> None:
        self.text.setdefault(self._tag, data)


@pytest.mark.slow
def test_the_page_in_a_browser(tmp_path: Path) -> None:
    require_debugger("debugpy")
    flags = ["--debug", "--debug-with", "vscode", "--debug-port", "0", "--editor", "vscode"]
    with served(*flags) as url:
        page = Dom(chromium("--dump-dom", f"{url}/view", profile=tmp_path / "profile"))
        picture = tmp_path / "page.png"
        chromium(f"--screenshot={picture}", f"{url}/view", profile=tmp_path / "profile")
    assert page.text["h1"] == "ValueError"
    assert page.text["title"] == page.text["p"] == "ValueError: view ['apple']"
    assert page.text["textarea"].startswith("Traceback (most recent call last):")
    # From the server's call to the raising line, none of them ours.
    files = [re.fullmatch(r"vscode://file(/.+):(\d+):1", link) for link in page.links]
    assert all(files)
    places = [(found[1], int(found[2])) for found in files if found]
    assert places[-1] == (str(APP), marked_line(APP, "view"))
    assert {file for file, _ in places} == {str(APP), str(FLASK_APP)}
    assert page.tags.isdisjoint({"script", "link", "img"})
    assert page.forms == ["post"]  # "Stop here in the debugger"
    assert picture.read_bytes().startswith(b"\x89PNG")


# Who gets it


@pytest.mark.parametrize("flags", [["--no-debugger"], ["--debug-with", "off"]])
def test_without_any_debugger(flags: list[str]) -> None:
    with served("--debug", *flags) as url:
        response = http_get(f"{url}/view")
    assert (response.status, response.complete) == (500, True)
    assert "<h1>ValueError</h1>" in response.text
    assert "EVALEX" not in response.text


def test_werkzeugs_own_page_is_its_own() -> None:
    flask_run = [sys.executable, "-m", "flask", "--app", APP.name, "run", "--debug", "--port", "0"]
    with (
        served("--debug") as url,
        Program([*flask_run, "--no-reload"], cwd=APP.parent) as peer,
    ):
        theirs = http_get(peer.wait_for_line(READY)[1] + "/view").text
        ours = http_get(f"{url}/view").text
    assert without_secrets(ours) == without_secrets(theirs)
    assert "EVALEX = true" in ours


def without_secrets(page: str) -> str:
    return re.sub(r'SECRET = "\w+"|id="frame-\d+"', "", page)


def test_not_in_production() -> None:
    with served("--no-debug", "--debug-with", "off") as url:
        response = http_get(f"{url}/view")
    assert "Internal Server Error" in response.text
    assert "view" not in response.text


@pytest.mark.parametrize(
    "accept", ["application/json", "application/json, text/plain, */*", "application/*"]
)
def test_a_client_that_asks_for_json(accept: str) -> None:
    with served("--debug", "--no-debugger") as url:
        response = http_get(f"{url}/view", headers={"Accept": accept})
    assert response.headers["content-type"] == "application/json"
    assert json.loads(response.body) == {
        "error": "Internal Server Error",
        "exception": "ValueError: view ['apple']",
    }


@pytest.mark.parametrize("accept", ["*/*", "text/html,application/xhtml+xml,*/*;q=0.8"])
def test_other_clients(accept: str) -> None:
    with served("--debug", "--no-debugger") as url:
        response = http_get(f"{url}/view", headers={"Accept": accept})
    assert response.headers["content-type"].startswith("text/html")


ELSEWHERE = [
    {"REMOTE_ADDR": "192.0.2.7"},
    {"REMOTE_ADDR": "2001:db8::7"},
    {"REMOTE_ADDR": ""},
    *(
        {"REMOTE_ADDR": "127.0.0.1", f"HTTP_{name}": "192.0.2.7"}
        for name in (
            "X_FORWARDED_FOR",
            "X_FORWARDED_HOST",
            "X_FORWARDED_PROTO",
            "FORWARDED",
            "VIA",
            "X_REAL_IP",
            "CF_CONNECTING_IP",
            "TRUE_CLIENT_IP",
        )
    ),
    # DNS rebinding: a page of that host, in this browser
    *(
        {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": host}
        for host in (
            "attacker.example",
            "attacker.example:5000",
            "localhost.attacker.example",
            "notlocalhost",
            "127.0.0.1.attacker.example",
            "localhost@attacker.example",
            "[",
            "",
        )
    ),
]


@pytest.mark.parametrize("client", ELSEWHERE)
@pytest.mark.parametrize("accept", ["text/html", "application/json"])
def test_a_client_elsewhere(client: dict[str, str], accept: str) -> None:
    """It gets what the server makes of an error by itself."""
    shown = with_error_page(app.wsgi_app, EditorLinks(None))
    app.debug = True  # let the error pass
    with pytest.raises(ValueError, match="apple"):
        Client(shown).get("/view", environ_overrides=client, headers={"Accept": accept})


HERE = {"REMOTE_ADDR": "127.0.0.1", "HTTP_HOST": "localhost"}


@pytest.mark.parametrize("address", ["127.0.0.1", "127.1.2.3", "::1", "::ffff:127.0.0.1"])
def test_a_client_here(address: str) -> None:
    assert LocalClients().include({**HERE, "REMOTE_ADDR": address})


@pytest.mark.parametrize(
    "host",
    ["localhost:5000", "LOCALHOST", "shop.localhost", "127.0.0.1:5000", "[::1]:5000", "shop.test"],
)
def test_a_host_that_is_this_machine(host: str) -> None:
    assert LocalClients(host="shop.test").include({**HERE, "HTTP_HOST": host})


@pytest.mark.parametrize("address", ["172.17.0.1", "::ffff:172.17.0.1"])
def test_a_client_that_comes_through_a_containers_gateway(address: str) -> None:
    client = {**HERE, "REMOTE_ADDR": address}
    assert LocalClients(("172.17.0.1",)).include(client)
    assert not LocalClients(("172.17.0.2",)).include(client)
    assert not LocalClients(("172.17.0.1",)).include({**client, "HTTP_FORWARDED": "for=192.0.2.7"})


def test_the_page_on_every_address_of_this_machine() -> None:
    with served("--debug", "--no-debugger", "--host", "::") as url:
        response = http_get(f"{url.replace('[::1]', '127.0.0.1')}/view")
    assert "<h1>ValueError</h1>" in response.text


def test_a_host_name_that_was_pointed_here() -> None:
    with served("--debug", "--no-debugger") as url:
        response = http_get(f"{url}/view", headers={"Host": "attacker.example"})
    assert response.status == 500
    assert "apple" not in response.text


def test_a_client_behind_a_proxy_here() -> None:
    with served("--debug", "--no-debugger") as url:
        response = http_get(f"{url}/view", headers={"X-Forwarded-For": "192.0.2.7"})
    assert "<h1>Internal Server Error</h1>" in response.text
    assert "apple" not in response.text


ODD = """\
class Mute(Exception):
    def __str__(self):
        raise ValueError

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    if environ["PATH_INFO"] == "/mute":
        raise Mute
    raise ValueError("<script>alert(1)</script>")
"""


def test_odd_errors(tmp_path: Path) -> None:
    """Nothing in a message is code, some messages can't be told, and a status is not yet sent."""
    odd = tmp_path / "odd.py"
    odd.write_text(ODD)
    with served("--debug", "--no-debugger", app=odd) as url:
        script, mute = http_get(f"{url}/"), http_get(f"{url}/mute")
    assert (script.status, mute.status) == (500, 500)
    assert "<script>" not in script.text
    assert "&lt;script&gt;alert(1)" in script.text
    assert script.headers["content-security-policy"].startswith("default-src 'none';")
    assert "<h1>Mute</h1>" in mute.text


# The links


@pytest.mark.parametrize(
    ("editor", "link"),
    [
        ("vscode", "vscode://file/srv/my%20app/%C3%BC%23.py:7:1"),
        ("vscode-insiders", "vscode-insiders://file/srv/my%20app/%C3%BC%23.py:7:1"),
        ("vscodium", "vscodium://file/srv/my%20app/%C3%BC%23.py:7:1"),
        ("cursor", "cursor://file/srv/my%20app/%C3%BC%23.py:7:1"),
        ("windsurf", "windsurf://file/srv/my%20app/%C3%BC%23.py:7:1"),
        ("zed", "zed://file/srv/my%20app/%C3%BC%23.py:7:1"),
        ("pycharm", "pycharm://open?file=/srv/my%20app/%C3%BC%23.py&line=7"),
        ("idea", "idea://open?file=/srv/my%20app/%C3%BC%23.py&line=7"),
        ("sublime", "subl://open?url=file:///srv/my%20app/%C3%BC%23.py&line=7"),
        ("textmate", "txmt://open?url=file:///srv/my%20app/%C3%BC%23.py&line=7"),
        ("macvim", "mvim://open?url=file:///srv/my%20app/%C3%BC%23.py&line=7"),
        ("emacs", "emacs://open?url=file:///srv/my%20app/%C3%BC%23.py&line=7"),
        ("vscode://vscode-remote/ssh-remote+box{path}:{line}",
         "vscode://vscode-remote/ssh-remote+box/srv/my%20app/%C3%BC%23.py:7"),
    ],
)  # fmt: skip
def test_links(editor: str, link: str) -> None:
    links = EditorLinks(link_template(editor, "debugpy", {}))
    assert links.to("/srv/my app/ü#.py", 7) == link


@pytest.mark.parametrize(
    ("theirs", "link"),
    [
        ("/home/me/shop", "vscode://file/home/me/shop/a/b.py:7:1"),
        ("/home/me/shop/", "vscode://file/home/me/shop/a/b.py:7:1"),
        ("C:\\shop", "vscode://file/C:/shop/a/b.py:7:1"),
    ],
)
def test_links_to_where_the_editor_has_the_files(theirs: str, link: str) -> None:
    mappings = (("/elsewhere", "/"), (theirs, "/srv/shop"))
    links = EditorLinks(link_template("vscode", "debugpy", {}), mappings)
    assert links.to("/srv/shop/a/b.py", 7) == link
    assert links.to("/srv/shopping/b.py", 7) == "vscode://file/elsewhere/srv/shopping/b.py:7:1"


@pytest.mark.parametrize("file", ["<string>", "<template>", "<frozen importlib._bootstrap>"])
def test_no_link_to_what_is_no_file(file: str) -> None:
    assert EditorLinks(link_template("vscode", "debugpy", {})).to(file, 7) is None


@pytest.mark.parametrize(
    ("editor", "debugger", "environ", "begins"),
    [
        ("auto", "debugpy", {}, "vscode://file/"),
        ("auto", "pydevd-pycharm", {}, "pycharm://"),
        ("auto", "pydevd", {}, None),  # Eclipse has no links
        ("auto", "none", {}, None),
        ("auto", "pydevd", {"TERM_PROGRAM": "vscode"}, "vscode://file/"),
        ("auto", "debugpy", {"TERM_PROGRAM": "tmux"}, "vscode://file/"),
        ("auto", "debugpy", {"TERM_PROGRAM": "vscode", "CURSOR_TRACE_ID": "1"}, "cursor://file/"),
        ("auto", "debugpy", {"TERMINAL_EMULATOR": "JetBrains-JediTerm"}, "pycharm://"),
        ("auto", "debugpy", {"ZED_TERM": "true"}, "zed://file/"),
        ("auto", "debugpy", {"WSL_DISTRO_NAME": "U 24"}, "vscode://vscode-remote/wsl+U%2024{path}"),
        ("zed", "debugpy", {"TERM_PROGRAM": "vscode"}, "zed://file/"),
        ("off", "debugpy", {"TERM_PROGRAM": "vscode"}, None),
    ],
)
def test_the_editor(
    editor: str, debugger: str, environ: dict[str, str], begins: str | None
) -> None:
    template = link_template(editor, debugger, environ)
    assert template is begins if begins is None else str(template).startswith(begins)


def test_a_mapping_and_an_editor_of_the_command_line() -> None:
    mapping = f"/ide={APP.parent}"
    with served("--debug", "--no-debugger", "--editor", "idea", "--path-mappings", mapping) as url:
        page = http_get(f"{url}/view").text
    line = marked_line(APP, "view")
    assert f'href="idea://open?file=/ide/app.py&amp;line={line}"' in page
