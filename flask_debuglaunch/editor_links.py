"""The editors that a link can open at a file and line, and the links' templates.

Sources: each editor's documentation of its URL scheme. `{path}` is the absolute path,
percent-encoded but for `/` and a drive's `:`; `{line}` and `{column}` count from 1.
"""

from __future__ import annotations

from collections.abc import Mapping

EDITORS: Mapping[str, str] = {
    "vscode": "vscode://file/{path}:{line}:{column}",
    "vscode-insiders": "vscode-insiders://file/{path}:{line}:{column}",
    "vscodium": "vscodium://file/{path}:{line}:{column}",
    "cursor": "cursor://file/{path}:{line}:{column}",
    "windsurf": "windsurf://file/{path}:{line}:{column}",
    "pycharm": "pycharm://open?file={path}&line={line}",
    "idea": "idea://open?file={path}&line={line}",
    "zed": "zed://file/{path}:{line}:{column}",
    "sublime": "subl://open?url=file://{path}&line={line}",
    "textmate": "txmt://open?url=file://{path}&line={line}",
    "macvim": "mvim://open?url=file://{path}&line={line}",
    "emacs": "emacs://open?url=file://{path}&line={line}",
}

# The terminals of editors, by a variable that each sets; the more special ones first.
_TERMINALS = (
    ("CURSOR_TRACE_ID", "", "cursor"),
    ("TERM_PROGRAM", "vscode", "vscode"),
    ("TERMINAL_EMULATOR", "JetBrains-JediTerm", "pycharm"),
    ("ZED_TERM", "", "zed"),
    ("NVIM", "", "neovim"),
)

# A link is put into a page: a scheme that runs code or shows text (javascript:, data:) never is.
SCHEMES = frozenset(template.partition(":")[0] for template in EDITORS.values())


def is_template(text: str) -> bool:
    """Is the text a link with {path} in it, of a scheme that opens an editor?"""
    scheme, separator, _ = text.partition("://")
    return bool(separator) and scheme.lower() in SCHEMES and "{path}" in text


def editor_of_terminal(environ: Mapping[str, str]) -> str | None:
    """The editor whose terminal has this environment; None for a terminal of its own."""
    for variable, value, editor in _TERMINALS:
        if variable in environ and value in ("", environ[variable]):
            return editor
    return None
