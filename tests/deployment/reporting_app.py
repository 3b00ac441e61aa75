"""An app that tells as whom, where and with what it runs."""

from __future__ import annotations

import json
from typing import Any

from ..apps.project import Served

APP = """\
import grp, os
import flask

os.umask(old := os.umask(0))
AT_IMPORT = {
    "uids": os.getresuid(), "gids": os.getresgid(), "groups": sorted(os.getgroups()),
    "umask": old, "folder": os.getcwd(), "environ": dict(os.environ),
}
app = flask.Flask(__name__)


@app.get("/")
def report():
    return AT_IMPORT
"""


def report_of(launched: Served) -> dict[str, Any]:
    told: dict[str, Any] = json.loads(launched.text())
    return told
