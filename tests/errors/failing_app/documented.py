"""The code of Flask's page "Application Errors", as one app.

Source: docs/errorhandling.rst of Flask 0.10 to 1.1, the sections in their order. In place of raven
there is sentry-sdk, which replaced it; its events stay in this process.
"""

from __future__ import annotations

import logging
import os
from logging.handlers import SMTPHandler

import sentry_sdk
import werkzeug.exceptions
from flask import Blueprint, Flask
from sentry_sdk.envelope import Envelope
from sentry_sdk.transport import Transport

# Error Logging Tools

events: list[str] = []


class KeepingTransport(Transport):
    def capture_envelope(self, envelope: Envelope) -> None:
        event = envelope.get_event()
        if event is not None and "exception" in event:
            events.append(event["exception"]["values"][-1]["type"])


sentry_sdk.init(dsn="http://key@localhost/1", transport=KeepingTransport)
app = Flask(__name__)


@app.get("/events")
def reported() -> list[str]:
    return events


# Registering


@app.errorhandler(werkzeug.exceptions.BadRequest)
def handle_bad_request(_error: Exception) -> tuple[str, int]:
    return "bad request!", 400


class InsufficientStorage(werkzeug.exceptions.HTTPException):
    code = 507
    description = "Not enough storage space."


def handle_507(_error: Exception) -> tuple[str, int]:
    return "storage is full", 507


app.register_error_handler(InsufficientStorage, handle_507)


@app.get("/bad-request")
def bad_request() -> str:
    raise werkzeug.exceptions.BadRequest


@app.get("/insufficient-storage")
def insufficient_storage() -> str:
    raise InsufficientStorage


# Handling


app.register_error_handler(ConnectionError, lambda _: ("connection error", 502))
app.register_error_handler(ConnectionRefusedError, lambda _: ("connection refused", 503))


@app.get("/refused")
def refused() -> str:
    raise ConnectionRefusedError


@app.get("/reset")
def reset() -> str:
    raise ConnectionResetError


app.register_error_handler(404, lambda _: ("the app's 404", 404))
app.register_error_handler(werkzeug.exceptions.HTTPException, lambda error: ("any", error.code))

blueprint = Blueprint("blueprint", __name__, url_prefix="/blueprint")
blueprint.register_error_handler(404, lambda _: ("the blueprint's 404", 404))
blueprint.register_error_handler(ConnectionError, lambda _: ("the blueprint's", 502))


@blueprint.get("/abort")
def aborting() -> str:
    werkzeug.exceptions.abort(404)


@blueprint.get("/refused")
def blueprint_refused() -> str:
    raise ConnectionRefusedError


app.register_blueprint(blueprint)


@app.get("/forbidden")
def forbidden() -> str:
    werkzeug.exceptions.abort(403)


@app.get("/unhandled")
def unhandled() -> str:
    raise LookupError("nobody handles it")


# Logging: by mail, as docs/logging.rst says, to which the page refers

mail_handler = SMTPHandler(
    mailhost=("127.0.0.1", int(os.environ["TEST_SMTP_PORT"])),
    fromaddr="server-error@example.com",
    toaddrs=["admin@example.com"],
    subject="Application Error",
)
mail_handler.setLevel(logging.ERROR)
if not app.debug:
    app.logger.addHandler(mail_handler)
