"""An app with errors in every place where one can happen; each raising line is marked.

It is started by the tests of this folder. FAILING lists the paths that end in an unhandled error,
HANDLED those that do not.
"""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Iterator

from flask import (
    Blueprint,
    Flask,
    abort,
    after_this_request,
    g,
    redirect,
    render_template,
    request,
    stream_with_context,
)
from werkzeug.exceptions import HTTPException, NotFound
from werkzeug.wrappers import Response

FAILING = {
    "view": "/view",
    "nested": "/nested",
    "library": "/library",
    "before": "/before",
    "after": "/after",
    "teardown": "/teardown",
    "template": "/template",
    "async": "/async",
    "stream": "/stream",
    "closing": "/closing",
    "blueprint": "/shop/blueprint",
    "handler": "/handler",
    "middleware": "/middleware",
    # Flask's docs of TRAP_BAD_REQUEST_ERRORS: in debug mode it is "treated as an unhandled
    # exception so that you get the interactive debugger".
    "missing-key": "/missing-key",
}
HANDLED = {
    "fine": "/",
    "abort": "/abort",
    "missing page": "/no-such-page",
    "redirect": "/redirect",
    "class": "/class",
    "subclass": "/subclass",
    "code": "/code",
    "blueprint first": "/shop/handled",
    "catch-all": "/catching/error",
    "caught": "/caught",
    "exit": "/exit",
    "failing exit": "/exit?status=1",
}

app = Flask(__name__)
shop = Blueprint("shop", __name__, url_prefix="/shop")
catching = Blueprint("catching", __name__, url_prefix="/catching")


class OutOfStock(Exception):
    pass


class SoldOut(OutOfStock):
    pass


# Places of unhandled errors


@app.get("/view")
def view() -> str:
    basket = ["apple"]
    g.customer = "Ada"
    raise ValueError(f"view {basket}")  # @bp:view


@app.get("/nested")
def nested() -> str:
    def inner(depth: int) -> str:
        if depth:
            return inner(depth - 1)
        raise LookupError("nested")  # @bp:nested

    return inner(3)


@app.get("/library")
def library() -> str:
    return str(json.loads("{"))  # @bp:library


@app.before_request
def before() -> None:
    if request.path == "/before":
        raise RuntimeError("before")  # @bp:before


@app.get("/before")
def never() -> str:
    return "never"


@app.get("/after")
def after() -> str:
    @after_this_request
    def fail(_response: Response) -> Response:
        raise RuntimeError("after")  # @bp:after

    return "after"


@app.get("/teardown")
def with_teardown() -> str:
    return "teardown"


@app.teardown_request
def teardown(_error: BaseException | None) -> None:
    if request.path == "/teardown":
        raise RuntimeError("teardown")  # @bp:teardown


@app.get("/template")
def template() -> str:
    return render_template("wrong.html", zero=0)  # @bp:template


@app.get("/async")
async def asynchronous() -> str:
    await asyncio.sleep(0)
    raise RuntimeError("async")  # @bp:async


@app.get("/stream")
def stream() -> Iterator[str]:
    yield "first part"
    raise RuntimeError("stream")  # @bp:stream


@app.get("/closing")
def closing() -> Response:
    def fail() -> None:
        raise RuntimeError("closing")  # @bp:closing

    response = Response("closing")
    response.call_on_close(fail)
    return response


@app.get("/missing-key")
def missing_key() -> str:
    return request.args["no such key"]  # @bp:missing-key


@shop.get("/blueprint")
def blueprint() -> str:
    raise RuntimeError("blueprint")  # @bp:blueprint


class HandlerFails(Exception):
    pass


@app.get("/handler")
def to_handler() -> str:
    raise HandlerFails


@app.errorhandler(HandlerFails)
def handler(_error: HandlerFails) -> str:
    raise RuntimeError("handler") from None  # @bp:handler


def middleware(inner):  # type: ignore[no-untyped-def]
    def call(environ, start_response):  # type: ignore[no-untyped-def]
        if environ["PATH_INFO"] == "/middleware":
            raise RuntimeError("middleware")  # @bp:middleware
        return inner(environ, start_response)

    return call


app.wsgi_app = middleware(app.wsgi_app)  # type: ignore[method-assign]


# Places of handled ones


@app.get("/")
def index() -> str:
    return "fine"


@app.get("/abort")
def aborting() -> str:
    abort(404)


@app.get("/redirect")
def redirecting() -> Response:
    return redirect("/")


@app.get("/class")
def out_of_stock() -> str:
    raise OutOfStock


@app.get("/subclass")
def sold_out() -> str:
    raise SoldOut


@app.errorhandler(OutOfStock)
def handle_out_of_stock(error: OutOfStock) -> tuple[str, int]:
    return type(error).__name__, 409


@app.get("/code")
def code() -> str:
    abort(410)


@app.errorhandler(410)
def handle_code(_error: HTTPException) -> tuple[str, int]:
    return "handled by its code", 410


@shop.get("/handled")
def shop_handled() -> str:
    raise OutOfStock


@shop.errorhandler(OutOfStock)
def shop_handle(_error: OutOfStock) -> tuple[str, int]:
    return "handled by the blueprint", 409


@catching.get("/error")
def catch_all_error() -> str:
    raise RuntimeError("caught by the handler of Exception")  # @bp:catch-all


@catching.errorhandler(Exception)
def catch_all(_error: Exception) -> tuple[str, int]:
    return "caught by the handler of Exception", 418


@app.get("/caught")
def caught() -> str:
    try:
        raise NotFound
    except NotFound:
        return "caught"


@app.get("/exit")
def exiting() -> str:
    sys.exit(request.args.get("status", type=int))


@app.route("/upload", methods=["POST"])
def upload() -> str:
    return str(len(request.get_data()))


@app.route("/echo", methods=["POST"])
def echo() -> Response:
    def parts() -> Iterator[bytes]:
        yield b"first part"
        try:
            yield request.stream.read()
        finally:
            print("the echo is closed", file=sys.stderr)

    return Response(stream_with_context(parts()))


@app.get("/endless")
def endless() -> Iterator[str]:
    try:
        while True:
            yield "x" * 1000
    finally:
        print("the endless response is closed", file=sys.stderr)


app.register_blueprint(shop)
app.register_blueprint(catching)
