"""Neovim: nvim-dap reads .vscode/launch.json by itself, with nvim-dap-python for debugpy."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from flask_debuglaunch.ides.ide_interface import FileEdit
from flask_debuglaunch.ides.opened_project import Project
from flask_debuglaunch.ides.vscode import LAUNCH_JSON, VSCode


class Neovim:
    marker = None
    next_step = "open a file of this folder in Neovim and give :DapContinue (nvim-dap)"
    # nvim-dap-python fails on an entry that listens, and nvim-dap knows no serverReadyAction.
    extras: Mapping[str, str] = {"docker": VSCode.extras["docker"]}

    def files(self, project: Project, extras: Collection[str]) -> Iterator[FileEdit]:
        return VSCode().files(project, set(extras) & set(self.extras))

    def notes(self, project: Project, extras: Collection[str]) -> Iterator[str]:
        comma_line = _line_of_trailing_comma(project.read_text(LAUNCH_JSON) or "")
        if comma_line:
            yield f"{LAUNCH_JSON}:{comma_line}: nvim-dap can't read the comma after the last item"
        yield from VSCode().notes(project, set(extras) & set(self.extras))


def _line_of_trailing_comma(launch_json: str) -> int | None:
    """The line of the first comma after a last item, if there is one."""
    from flask_debuglaunch.ides import jsonc_edit

    try:
        nodes = [jsonc_edit.parse(launch_json)]
    except jsonc_edit.JsoncError:
        return None  # the edit says it
    trailing_commas = []
    while nodes:
        node = nodes.pop()
        if node and node.children:
            nodes += node.children
            if node.children[-1].comma is not None:
                trailing_commas.append(node.children[-1].comma)
    return launch_json.count("\n", 0, min(trailing_commas)) + 1 if trailing_commas else None
