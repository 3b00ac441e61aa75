"""Every IDE by its name, and by the names of those that read the same files."""

from __future__ import annotations

from collections.abc import Mapping

from flask_debuglaunch.ides.eclipse import Eclipse
from flask_debuglaunch.ides.ide_interface import Ide
from flask_debuglaunch.ides.neovim import Neovim
from flask_debuglaunch.ides.pycharm import PyCharm
from flask_debuglaunch.ides.vscode import VSCode
from flask_debuglaunch.ides.zed import Zed

IDES: Mapping[str, Ide] = {
    "vscode": VSCode(),
    "eclipse": Eclipse(),
    "pycharm": PyCharm(),
    "neovim": Neovim(),
    "zed": Zed(),
}
# Those that read the same files; together, whatever DEBUG_WITH takes for an IDE.
IDE_OF: Mapping[str, str] = {
    **{name: name for name in IDES},
    **dict.fromkeys(("cursor", "windsurf", "vscodium"), "vscode"),
    **dict.fromkeys(("aptana", "pydev", "liclipse"), "eclipse"),
    "intellij": "pycharm",
}
