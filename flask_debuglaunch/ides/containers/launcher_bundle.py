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

BUNDLE_ON_HOST: Final = "~/.cache/flask-debuglaunch/container"
"""Outside of the project, so that no image is built with it; Compose and Windows know ~ too."""
BUNDLE_IN_CONTAINER: Final = "/opt/flask-debuglaunch"

BUNDLED_PACKAGES = ("flask_debuglaunch", "debugpy", "yaml", "dotenv", "inotify_simple", "click")
LEFT_OUT_FILES = shutil.ignore_patterns(
    "__pycache__", "*.c", "*.h", "*.hpp", "*.cpp", "*.pyx", "*.pxd", "*.dll", "*.exe", "*.dylib",
    "*.pdb", "winappdbg",
)  # fmt: skip
XZ_PRESET = 2
"""Of xz: a third of the time of the usual 6 for a sixth more; gzip's best does not fit in."""
BUNDLE_MAIN = '''\
"""Start the launcher from this folder, behind all that is installed."""

import os
import sys

if sys.version_info < (3, 10):
    sys.exit("Error: flask-debuglaunch needs Python 3.10 or newer, and this is " + sys.version)
sys.path.append(os.path.join(sys.path[0], "site-packages"))
sys.path[0] = os.getcwd()  # as `python -m` has it

import flask_debuglaunch.__main__  # noqa: E402, F401
'''


def provide_bundle(bundle: Path | None = None) -> None:
    """Have the folder as this installation has it. Raises LaunchError if something is missing in
    it, or the folder can't be written."""
    bundle = bundle or Path(BUNDLE_ON_HOST).expanduser()
    packages = dict(_installed_packages())
    try:
        bundle.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=bundle.parent) as temporary:
            new_bundle = Path(temporary) / "new"
            _fill_bundle(new_bundle, packages)
            if _contents_by_path(new_bundle) != _contents_by_path(bundle):
                _replace_bundle(bundle, new_bundle, Path(temporary) / "old")
    except OSError as error:
        raise _not_written(bundle, error) from None


def _not_written(path: Path, error: OSError) -> LaunchError:
    reason = f"can't be written: {why_not_written(error)}. Nothing is changed"
    return LaunchError(f"{path}: {reason}", exit_status=1)


def packed_bundle() -> str:
    """The folder as a .tar.xz in base64, always the same bytes for the same files; without what is
    compiled for one Python, as Kubernetes has 1 MiB for it (before base64)."""
    with tempfile.TemporaryDirectory() as temporary, io.BytesIO() as archive:
        bundle = Path(temporary) / "new"
        _fill_bundle(bundle, dict(_installed_packages()))
        with (
            lzma.open(archive, "wb", preset=XZ_PRESET) as compressed,
            tarfile.open(fileobj=compressed, mode="w") as bundle_tar,
        ):
            for path in sorted(bundle.rglob("*")):
                if not path.name.endswith(".so") or "cpython" not in path.name:
                    name = path.relative_to(bundle)
                    bundle_tar.add(path, name, recursive=False, filter=_anonymous_tar_member)
        return base64.b64encode(archive.getvalue()).decode()


def _anonymous_tar_member(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = ""
    member.mtime = 0
    member.mode = 0o755 if member.isdir() else 0o644
    return member


def _installed_packages() -> Iterator[tuple[str, Path]]:
    """Where each of BUNDLED_PACKAGES is: a folder, or a file."""
    for name in BUNDLED_PACKAGES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise LaunchError(
                f"{name} is not installed here, and the container gets it from here: install"
                " flask-debuglaunch[containers]"
            )
        module_file = Path(spec.origin)
        yield name, module_file.parent if spec.submodule_search_locations else module_file


def _fill_bundle(bundle: Path, packages: Mapping[str, Path]) -> None:
    site_packages = bundle / "site-packages"
    site_packages.mkdir(parents=True)
    for name, path in packages.items():
        if path.is_dir():
            shutil.copytree(
                path, site_packages / name, ignore=LEFT_OUT_FILES, copy_function=_copy_file
            )
        else:
            shutil.copy2(path, site_packages / path.name)
    (bundle / "__main__.py").write_text(BUNDLE_MAIN, encoding="utf-8")


def _copy_file(source: str, target: str) -> None:
    try:
        shutil.copy2(source, target)
    except OSError as error:  # copytree() itself would try all others, and tell their names
        raise _not_written(Path(target), error) from None


def _contents_by_path(bundle: Path) -> dict[str, bytes]:
    files = (path for path in bundle.rglob("*") if path.is_file())
    return {str(path.relative_to(bundle)): path.read_bytes() for path in files}


def _replace_bundle(bundle: Path, new_bundle: Path, old_bundle: Path) -> None:
    """In one step, so that a container that is being started finds all of it."""
    if bundle.exists():
        os.rename(bundle, old_bundle)
    os.rename(new_bundle, bundle)
