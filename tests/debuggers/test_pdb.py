"""pdb beside an attached debugger, for whoever has a pdb.set_trace() in the code."""

from __future__ import annotations

import pytest

from ..support.debugging import DEBUGGERS
from ..support.processes import http_get
from .shop import Shop, debug_shop

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
    with debug_shop(shop, debugger, "connect") as session:
        shop.stop_in_view(session)
        response = session.ide.without_stop(http_get, f"{session.url}/pdb")
        assert response.text == "went on"
        assert "42" in session.program.output
        shop.stop_in_view(session)
