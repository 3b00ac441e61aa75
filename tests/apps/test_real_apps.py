"""Real input: httpbin from PyPI, and a shop of several files."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from ..support.processes import Response, http_get
from ..support.requirements import require_debugger
from .project import RELOAD, Served, served

SHOP = Path(__file__).with_name("shop")
SHOP_FLAGS = ("--config", "shop/config.yaml", "--app", "shop")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The folder that holds the package `shop`, with its config.yaml."""
    shutil.copytree(SHOP, tmp_path / "shop", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


def post(launched: Served, path: str, form: str, **headers: str) -> Response:
    form_type = {"Content-Type": "application/x-www-form-urlencoded"}
    return http_get(
        launched.url + path, method="POST", body=form.encode(), headers={**form_type, **headers}
    )


def test_the_shop(shop: Path, mode: tuple[str, ...]) -> None:
    with served(shop, *mode, *SHOP_FLAGS) as launched:
        page = launched.text()
        assert "<title>A small shop</title>" in page
        assert '<a href="/product/2">coffee</a>' in page
        assert launched.get("/static/shop.css").headers["content-type"].startswith("text/css")
        assert json.loads(launched.text("/product/1")) == {"number": 1, "name": "tea"}
        assert launched.text("/list.csv") == "1,tea\n2,coffee\n"

        added = post(launched, "/cart/", "name=tea")
        assert (added.status, added.headers["location"]) == (303, "/cart/")
        cookie = added.headers["set-cookie"].partition(";")[0]
        assert "<p>tea</p>" in http_get(f"{launched.url}/cart/", headers={"Cookie": cookie}).text


def test_the_shops_error_handlers(shop: Path, mode: tuple[str, ...]) -> None:
    with served(shop, *mode, *SHOP_FLAGS) as launched:
        handled = launched.get("/product/9")
        assert (handled.status, json.loads(handled.text)) == (404, {"not sold": 9})
        missing = launched.get("/nosuch")
        assert (missing.status, "There is no such page" in missing.text) == (404, True)
        assert (launched.get("/cart/pay").status, launched.text("/cart/pay")) == (
            409,
            "the cart is empty",
        )
        failed = launched.get("/cart/lose")
        assert failed.status == 500
        assert "LookupError: the cart is lost" in failed.text  # Werkzeug's page


def test_the_shops_own_error_page_without_debug_mode(shop: Path) -> None:
    with served(shop, *SHOP_FLAGS) as launched:
        failed = launched.get("/cart/lose")
        assert (failed.status, "That is our fault" in failed.text) == (500, True)


def test_the_shop_reloads_code_and_shows_new_templates(shop: Path) -> None:
    with served(shop, *RELOAD, *SHOP_FLAGS) as launched:
        catalog = shop / "shop/catalog.py"
        catalog.write_text(catalog.read_text().replace("coffee", "cocoa"))
        launched.program.wait_for_line(r"Reloaded in .*shop/catalog.py")
        assert ">cocoa<" in launched.text()
        (shop / "shop/templates/index.html").write_text("new template")
        assert launched.text() == "new template"


def test_the_shop_under_debugpy(shop: Path, mode: tuple[str, ...]) -> None:
    require_debugger("debugpy")
    debugged = ("--debug-with", "debugpy", "--debug-port", "0")
    with served(shop, *mode, *SHOP_FLAGS, *debugged) as launched:
        assert ">coffee<" in launched.text()
        assert launched.get("/nosuch").status == 404
        assert launched.get("/cart/lose").status == 500


def test_httpbin(tmp_path: Path, mode: tuple[str, ...]) -> None:
    pytest.importorskip("httpbin")
    with served(tmp_path, *mode, "--app", "httpbin:app") as launched:
        got = json.loads(launched.text("/get?a=1&b=%C3%B6"))
        assert got["args"] == {"a": "1", "b": "ö"}
        assert got["url"] == f"{launched.url}/get?a=1&b=ö"
        posted = json.loads(post(launched, "/post", "name=tea&name=milk", **{"X-Own": "7"}).text)
        assert posted["form"] == {"name": ["tea", "milk"]}
        assert posted["headers"]["X-Own"] == "7"
        large = os.urandom(1024) * 1024
        echoed = http_get(f"{launched.url}/put", method="PUT", body=large)
        assert int(json.loads(echoed.text)["headers"]["Content-Length"]) == len(large)

        streamed = launched.get("/stream/5")
        assert streamed.complete
        assert [json.loads(line)["id"] for line in streamed.text.splitlines()] == [0, 1, 2, 3, 4]
        assert len(launched.get("/stream-bytes/10000?chunk_size=100&seed=1").body) == 10000
        assert len(launched.get("/range/26").body) == 26
        assert json.loads(launched.get("/gzip").headers["content-length"]) > 0
        assert launched.get("/status/418").status == 418
        assert launched.get("/redirect/2").headers["location"] == "/relative-redirect/1"
        assert launched.get("/basic-auth/me/secret").status == 401
        assert http_get(f"{launched.url}/get", method="HEAD").body == b""
        assert launched.get("/").status == 200
