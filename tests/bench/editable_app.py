"""What a save costs in a large app from PyPI that is worked on: ours beside `flask run --debug`.

Unpack its source distribution, install it with `pip install -e`, and name how the app is made and
which of its modules is edited:

    python tests/bench/editable_app.py --source ~/superset \\
        --app "from superset.app import create_app; app = create_app()" --edit superset.views.core

Each server gets a copy of the source, which comes first on PYTHONPATH, as an editable install does.
"""

from __future__ import annotations

import argparse
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from reload import (
    OURS,
    OURS_AUTO,
    STAT,
    Rows,
    Server,
    first_and_later,
    folder,
    print_rows,
    replace_text,
)

KINDS = [OURS, STAT, OURS_AUTO]
MAIN = """\
{app}
import {edited} as edited

def answer(environ, start_response, serve=app.wsgi_app):
    if environ["PATH_INFO"] != "/":
        return serve(environ, start_response)
    start_response("200 OK", [])
    return [edited.VERSION_OF_THE_BENCH.encode()]

app.wsgi_app = answer
"""


@dataclass
class EditedApp(Server):
    """One that answers / with the version of the edited module."""

    app: str = ""
    edited: str = ""
    text: str = ""

    @property
    def file(self) -> Path:
        return self.folder.joinpath(*self.edited.split(".")).with_suffix(".py")

    def copy(self, source: Path) -> EditedApp:
        shutil.copytree(source, self.folder, dirs_exist_ok=True, symlinks=True)
        (self.folder / "main.py").write_text(MAIN.format(app=self.app, edited=self.edited))
        self.text = self.file.read_text()
        return self

    def write_version(self) -> None:
        replace_text(self.file, f'{self.text}\nVERSION_OF_THE_BENCH = "{self.version}"\n')


def time_saves(options: argparse.Namespace) -> tuple[Rows, Rows]:
    """The first save of the module, and later ones."""
    with ExitStack() as cleanup:
        servers = [
            EditedApp(kind, folder(cleanup), app=options.app, edited=options.edit).copy(
                options.source
            )
            for kind in KINDS
        ]
        for server in servers:
            server.start(cleanup)
        return first_and_later(servers, options.saves, options.settle)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--source", type=Path, required=True)
    parser.add_argument("--app", required=True, help="statements that make `app`")
    parser.add_argument("--edit", required=True, help="a module")
    parser.add_argument("--saves", type=int, default=5)
    parser.add_argument("--settle", type=float, default=30, help="seconds until all is preloaded")
    options = parser.parse_args()
    first, later = time_saves(options)
    print_rows("first save to response", "ms", first)
    print_rows("later saves to response", "ms", later)


if __name__ == "__main__":
    main()
