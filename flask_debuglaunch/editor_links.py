"""Links that open a file at a line in an editor, and the templates they are made from.

Sources: each editor's documentation of its URL scheme. `{path}` is the absolute path,
percent-encoded but for `/` and a drive's `:`; `{line}` and `{column}` count from 1.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LINKS_OF_EDITORS: Mapping[str, str] = {
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
_EDITOR_TERMINALS = (
    ("CURSOR_TRACE_ID", "", "cursor"),
    ("TERM_PROGRAM", "vscode", "vscode"),
    ("TERMINAL_EMULATOR", "JetBrains-JediTerm", "pycharm"),
    ("ZED_TERM", "", "zed"),
    ("NVIM", "", "neovim"),
)

_EDITORS_OF_DEBUGGERS = {"debugpy": "vscode", "pydevd-pycharm": "pycharm"}

# A link is put into a page: a scheme that runs code or shows text (javascript:, data:) never is.
SCHEMES_OF_EDITORS = frozenset(template.partition(":")[0] for template in LINKS_OF_EDITORS.values())


def is_editor_link_template(link: str) -> bool:
    """Is the text a link with {path} in it, of a scheme that opens an editor?"""
    scheme, separator, _ = link.partition("://")
    return bool(separator) and scheme.lower() in SCHEMES_OF_EDITORS and "{path}" in link


def editor_of_terminal(environ: Mapping[str, str]) -> str | None:
    """The editor whose terminal has this environment; None for a terminal of its own."""
    for variable, expected_value, editor in _EDITOR_TERMINALS:
        if variable in environ and expected_value in ("", environ[variable]):
            return editor
    return None


@dataclass(frozen=True)
class EditorLinks:
    """Links that open a file of this machine in the person's editor.

    template: as in LINKS_OF_EDITORS; None for no links. path_mappings: pairs of a folder as the
    editor has it and the same folder as this process sees it.
    """

    template: str | None
    path_mappings: tuple[tuple[str, str], ...] = ()

    def to(self, file: str, line: int) -> str | None:
        """The link to a line; None for what is no file, such as a template's <template>."""
        if self.template is None or not os.path.isabs(file):
            return None
        from urllib.parse import quote  # here: a light command does without

        path = quote(self._path_in_editor(Path(file)), safe="/:")
        if path.startswith("/"):
            template = self.template.replace("://file/{path}", "://file{path}")
        else:  # C:/app.py
            template = self.template.replace("=file://{path}", "=file:///{path}")
        for placeholder, replacement in {"path": path, "line": str(line), "column": "1"}.items():
            template = template.replace(f"{{{placeholder}}}", replacement)
        return template

    def _path_in_editor(self, file: Path) -> str:
        for editor_folder, our_folder in sorted(self.path_mappings, key=lambda pair: -len(pair[1])):
            if file.is_relative_to(our_folder):
                relative_path = file.relative_to(our_folder).as_posix()
                return f"{editor_folder.rstrip('/')}/{relative_path}".replace("\\", "/")
        return file.as_posix()


def link_template(
    editor: str, debugger: str, environ: Mapping[str, str] = os.environ
) -> str | None:
    """The template of EDITOR's value; auto is the editor of this terminal, else the debugger's."""
    if editor == "auto":
        terminal_editor = editor_of_terminal(environ) or ""
        debugger_editor = _EDITORS_OF_DEBUGGERS.get(debugger, "off")
        editor = terminal_editor if terminal_editor in LINKS_OF_EDITORS else debugger_editor
    if editor == "off":
        return None
    template = LINKS_OF_EDITORS.get(editor, editor)
    distribution = environ.get("WSL_DISTRO_NAME")
    if distribution and editor.startswith(("vscode", "cursor", "windsurf")):
        from urllib.parse import quote

        # The editor runs on Windows, the files are in here.
        return template.replace("://file/", f"://vscode-remote/wsl+{quote(distribution)}")
    return template
