"""The README's picture: a first session with an IDE, played for real and drawn as SVG.

python -m tests.readme.first_session          writes first_session.svg anew
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
from pathlib import Path

from ..support.dap import Editor
from ..support.processes import Program, free_port, http_get, in_background

PICTURE = Path(__file__).with_suffix(".svg")
PROMPT = "$ flask-debuglaunch --debug --debug-with vscode"
SHOP = """\
from flask import Flask

app = Flask(__name__)


@app.get("/")
def index():
    greeting = "Hello"
    return greeting
"""
BREAKPOINT = 9
ACCESS_LOG = re.compile(r"\] \"GET ")


def play(folder: Path) -> list[str]:
    """Start the app, attach, stop at a breakpoint, save meanwhile, go on, and stop in the new code.

    Returns what the terminal shows, with remarks on what the person does in the IDE.
    """
    port, debug_port = free_port(), free_port()
    shop = folder / "app.py"
    shop.write_text(SHOP)
    command = [sys.executable, "-m", "flask_debuglaunch", "--debug", "--debug-with", "vscode"]
    ports = ["--port", str(port), "--debug-port", str(debug_port)]
    with Program([*command, *ports], cwd=folder) as program:
        program.wait_for_line("Press CTRL")
        shown = [PROMPT, *program.lines, "# attach the IDE, set a breakpoint, open the page"]
        with Editor.attach(debug_port, breakpoints={shop: [BREAKPOINT]}) as ide:
            ide.wait_for_session(2)  # the supervisor's is the first
            answer = in_background(http_get, f"http://127.0.0.1:{port}/")
            stop = ide.wait_for_stop()
            seen = len(program.lines)
            shop.write_text(SHOP.replace("Hello", "Welcome"))
            program.wait_for_line("reload waits")
            shown += ["# stopped at the breakpoint: save app.py", *program.lines[seen:]]
            seen = len(program.lines)
            stop.resume()
            assert answer.result(30).text == "Hello"
            program.wait_for_line("Reloaded in")
            shown += ["# continue", *program.lines[seen:]]
            answer = in_background(http_get, f"http://127.0.0.1:{port}/")
            stop = ide.wait_for_stop()
            assert stop.variables()["greeting"] == "'Welcome'"
            shown += ["# open the page again: stopped in the new code"]
            stop.resume()
            assert answer.result(30).text == "Welcome"
    ours = [line for line in shown if not ACCESS_LOG.search(line)]
    return [_as_by_default(line, port, debug_port) for line in ours]


def _as_by_default(line: str, port: int, debug_port: int) -> str:
    """What differs from run to run, as it is in a run of no options on a quiet machine."""
    line = line.replace(f" --port {port} --debug-port {debug_port}", "")
    line = line.replace(str(port), "5000").replace(str(debug_port), "5678")
    return re.sub(r"\d+\.\d+ s\b", "0.04 s", line)


def draw(lines: list[str]) -> str:
    """The lines as a picture of a terminal."""
    from rich.console import Console
    from rich.text import Text

    console = Console(record=True, width=max(map(len, lines)) + 2, file=io.StringIO())
    for line in lines:
        style = {"$": "bold", "#": "dim italic"}.get(line[:1], "")
        console.print(Text(line, style=style))
    svg = console.export_svg(title="flask-debuglaunch", unique_id="session")
    # rich's fonts come from a server; the reader's own monospace does as well.
    return re.sub(r"@font-face \{.*?\}\s*", "", svg, flags=re.DOTALL)


def words_of(svg: str) -> str:
    """What is written in the picture."""
    import html

    texts = re.findall(r"<text[^>]*>(.*?)</text>", svg, re.DOTALL)
    return " ".join(html.unescape(" ".join(texts)).replace("\xa0", " ").split())


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as temporary:
        PICTURE.write_text(draw(play(Path(temporary))), encoding="utf-8")
