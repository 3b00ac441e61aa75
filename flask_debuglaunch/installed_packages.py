"""Installed packages: their versions, the commands that install them, and the Flask that is needed.

The versions are read from the names of the packages' folders, not by importlib.metadata: importing
it takes longer than all checks of the doctor together.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

from flask_debuglaunch.errors import LaunchError

Version = tuple[int, ...]

OLDEST_FLASK = "3"
"""The first part of its version, as in pyproject.toml."""


def installed_version(package: str) -> Version | None:
    """The version's leading numbers, such as (1, 8, 22); None if it is not installed here."""
    distribution = package.replace("-", "_")
    for import_folder in filter(None, sys.path):
        for dist_info in Path(import_folder).glob(f"{distribution}-*.dist-info"):
            version_numbers = (
                dist_info.name.removesuffix(".dist-info").rpartition("-")[2].split(".")
            )
            return tuple(int(number) for number in version_numbers[:3] if number.isdigit())
    return None


def is_module_installed(module: str) -> bool:
    """Is a module of this name on sys.path, leaving out the pydevd that debugpy carries?"""
    # The path is searched, not sys.modules: once debugpy is imported, its pydevd is there.
    from importlib.machinery import PathFinder

    spec = PathFinder.find_spec(module)
    return spec is not None and "_vendored" not in (spec.origin or "")


def version_text(version: Version) -> str:
    return ".".join(map(str, version))


def install_command(package: str) -> str:
    """What to type to install a package for this interpreter."""
    return f"{sys.executable} -m pip install {package}"


def upgrade_command(package: str) -> str:
    return install_command(f"--upgrade {package}")


@functools.cache  # it reads the metadata; what is forked has it from the fork server
def require_flask() -> None:
    """Raises LaunchError where the Flask of this environment is missing or too old for us."""
    how_to_install = f"Install it for {sys.executable}: pip install 'flask>={OLDEST_FLASK}'"
    try:
        import flask  # noqa: F401
    except ModuleNotFoundError as error:
        if error.name != "flask":
            raise
        raise LaunchError(f"Flask is not installed. {how_to_install}") from None
    from importlib.metadata import version  # Flask has imported it already

    if int(version("flask").partition(".")[0]) < int(OLDEST_FLASK):
        raise LaunchError(f"Flask {version('flask')} is too old for the launcher. {how_to_install}")
