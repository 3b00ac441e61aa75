"""pdb beside an attached debugger, for whoever has a pdb.set_trace() in the code."""

from __future__ import annotations

import pytest

from ..support.debugging import DEBUGGERS
from ..support.processes import http_get
from .debug_session import Shop, meet

VIEW = """

@app.get("/pdb")
def with_pdb():
    import io
    import pdb
    import sys

    sys.stdin = io.StringIO("p 6 * 7\\ncontinue\\n")
    pdb.set_trace()
    return "went on"
"""


@pytest.mark.parametrize("debugger", DEBUGGERS)
def test_pdb_works_beside_it(shop: Shop, debugger: str) -> None:
    shop.add_view(VIEW)
    with meet(shop, debugger, "connect") as meeting:
        meeting.stop_in_view()
        response = meeting.ide.without_stop(http_get, f"{meeting.url}/pdb")
        assert response.text == "went on"
        assert "42" in meeting.program.output
        meeting.stop_in_view()
