"""A file system that takes upper and lower case for the same, as Windows' and macOS's do: exFAT."""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from .requirements import require

# It runs in a program of its own (FUSE), which ends with the first process of the namespace.
NAMESPACE = ["unshare", "--mount", "--pid", "--fork", "--mount-proc", "sh", "-c"]
SETUP = """set -e
truncate -s 8M {image}
mkfs.exfat {image} >/dev/null
device=$(losetup --find --show {image})
mount.exfat-fuse $device {disk} >/dev/null || {{ losetup --detach $device; exit 1; }}
losetup --detach $device # as soon as nobody has it any more
cp -r {folder}/. {disk}
cd {disk}
exec "$@"
"""


def where_case_does_not_count(folder: Path) -> list[str]:
    """Runs what follows it in a copy of the folder on such a file system, which is gone with it."""
    image, disk = folder.with_name("disk.img"), folder.with_name("disk")
    disk.mkdir(exist_ok=True)
    places = {"image": image, "disk": disk, "folder": folder}
    script = SETUP.format(**{name: shlex.quote(str(path)) for name, path in places.items()})
    contain = [*NAMESPACE, script, "sh"]
    require("letter-case", missing=_missing(contain))
    return contain


def _missing(contain: list[str]) -> str | None:
    if sys.platform != "linux" or not shutil.which("mkfs.exfat"):
        return "there is no exFAT here"
    tried = subprocess.run([*contain, "true"], capture_output=True, text=True, timeout=60)
    return f"exFAT can't be mounted: {tried.stderr}" if tried.returncode else None
