"""The launcher and debugpy as a bundle that a container can be given, whatever its image has: a
folder, or that as an archive.

`python FOLDER` runs FOLDER/__main__.py, which puts FOLDER/site-packages behind all that the image
has installed. Nothing in there is made for one Python or platform only, so that it can be copied
from the environment that this runs in: what is compiled is an extra, named for its interpreter.
"""

from __future__ import annotations

import base64
import importlib.util
import io
import lzma
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from flask_debuglaunch.atomic_file_changes import why_not_written
from flask_debuglaunch.errors import LaunchError

HOST_FOLDER: Final = "~/.cache/flask-debuglaunch/container"
"""Outside of the project, so that no image is built with it; Compose and Windows know ~ too."""
IN_CONTAINER: Final = "/opt/flask-debuglaunch"

MODULES = ("flask_debuglaunch", "debugpy", "yaml", "dotenv", "inotify_simple", "click")
SKIPPED = shutil.ignore_patterns(
    "__pycache__", "*.c", "*.h", "*.hpp", "*.cpp", "*.pyx", "*.pxd", "*.dll", "*.exe", "*.dylib",
    "*.pdb", "winappdbg",
)  # fmt: skip
PRESET = 2
"""Of xz: a third of the time of the usual 6 for a sixth more; gzip's best does not fit in."""
MAIN = '''\
"""Start the launcher from this folder, behind all that is installed."""

import os
import sys

if sys.version_info < (3, 10):
    sys.exit("Error: flask-debuglaunch needs Python 3.10 or newer, and this is " + sys.version)
sys.path.append(os.path.join(sys.path[0], "site-packages"))
sys.path[0] = os.getcwd()  # as `python -m` has it

import flask_debuglaunch.__main__  # noqa: E402, F401
'''


def provide(folder: Path | None = None) -> None:
    """Have the folder as this installation has it. Raises LaunchError if something is missing in
    it, or the folder can't be written."""
    folder = folder or Path(HOST_FOLDER).expanduser()
    sources = dict(_sources())
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:
            new = Path(temporary) / "new"
            _fill(new, sources)
            if _files(new) != _files(folder):
                _replace(folder, new, Path(temporary) / "old")
    except OSError as error:
        raise _not_written(folder, error) from None


def _not_written(path: Path, error: OSError) -> LaunchError:
    why = f"can't be written: {why_not_written(error)}. Nothing is changed"
    return LaunchError(f"{path}: {why}", exit_status=1)


def packed() -> str:
    """The folder as a .tar.xz in base64, always the same bytes for the same files; without what is
    compiled for one Python, as Kubernetes has 1 MiB for it (before base64)."""
    with tempfile.TemporaryDirectory() as temporary, io.BytesIO() as archive:
        folder = Path(temporary) / "new"
        _fill(folder, dict(_sources()))
        with (
            lzma.open(archive, "wb", preset=PRESET) as compressed,
            tarfile.open(fileobj=compressed, mode="w") as tar,
        ):
            for path in sorted(folder.rglob("*")):
                if not path.name.endswith(".so") or "cpython" not in path.name:
                    tar.add(path, path.relative_to(folder), recursive=False, filter=_anonymous)
        return base64.b64encode(archive.getvalue()).decode()


def _anonymous(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = 0o755 if member.isdir() else 0o644
    return member


def _sources() -> Iterator[tuple[str, Path]]:
    """Where each of MODULES is: a folder, or a file."""
    for name in MODULES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise LaunchError(
                f"{name} is not installed here, and the container gets it from here: install"
                " flask-debuglaunch[containers]"
            )
        origin = Path(spec.origin)
        yield name, origin.parent if spec.submodule_search_locations else origin


def _fill(folder: Path, sources: Mapping[str, Path]) -> None:
    packages = folder / "site-packages"
    packages.mkdir(parents=True)
    for name, path in sources.items():
        if path.is_dir():
            shutil.copytree(path, packages / name, ignore=SKIPPED, copy_function=_copy)
        else:
            shutil.copy2(path, packages / path.name)
    (folder / "__main__.py").write_text(MAIN, encoding="utf-8")


def _copy(source: str, target: str) -> None:
    try:
        shutil.copy2(source, target)
    except OSError as error:  # copytree() itself would try all others, and tell their names
        raise _not_written(Path(target), error) from None


def _files(folder: Path) -> dict[str, bytes]:
    """Every file's content, by its path below the folder."""
    found = (path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): path.read_bytes() for path in found}


def _replace(folder: Path, new: Path, old: Path) -> None:
    """In one step, so that a container that is being started finds all of it."""
    if folder.exists():
        os.rename(folder, old)
    os.rename(new, folder)
