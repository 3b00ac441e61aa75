"""The files that make a unit: itself and its drop-ins, in the order in which systemd reads them.

Where a systemd answers it is asked (`systemctl show`); else they are looked for as it does
(systemd.unit(5), "Unit File Load Path"). It is the values in the files that count, each with its
line.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from flask_debuglaunch.configuration.value_origins import Origin
from flask_debuglaunch.errors import LaunchError, did_you_mean
from flask_debuglaunch.regular_file import read_regular_file

LOAD_PATH = tuple(
    map(
        Path,
        (
            "/etc/systemd/system.control", "/run/systemd/system.control", "/run/systemd/transient",
            "/run/systemd/generator.early", "/etc/systemd/system", "/etc/systemd/system.attached",
            "/run/systemd/system", "/run/systemd/system.attached", "/run/systemd/generator",
            "/usr/local/lib/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system",
            "/run/systemd/generator.late",
        ),
    )
)  # fmt: skip
"""The strongest first."""
ANSWER_SECONDS = 5.0


@dataclass(frozen=True)
class UnitName:
    """`shop@blue.service`: prefix shop, instance blue; None where it is no instance."""

    full: str
    prefix: str
    instance: str | None

    @property
    def file_names(self) -> tuple[str, ...]:
        """The unit's own, then that of its template."""
        template = f"{self.prefix}@.service"
        return (self.full, template) if self.instance is not None else (self.full,)

    @property
    def drop_in_folders(self) -> tuple[str, ...]:
        """The strongest first: an instance's, its template's, shop-web- and shop- for
        shop-web-1.service, and those of all services."""
        parts = self.prefix.split("-")
        dashes = [f"{'-'.join(parts[:n])}-.service" for n in range(len(parts) - 1, 0, -1)]
        return tuple(f"{name}.d" for name in (*self.file_names, *dashes, "service"))


def unit_name(text: str) -> UnitName:
    full = text if text.endswith(".service") else f"{text}.service"
    prefix, at, instance = full.removesuffix(".service").partition("@")
    return UnitName(full, prefix, instance if at else None)


def unit_files(name: UnitName, asked: Origin) -> tuple[Path, ...]:
    """The unit's file and then its drop-ins, as they are read. Raises LaunchError."""
    found = _told_by_systemd(name) or tuple(_looked_for(name))
    if not found:
        hint = did_you_mean(name.full, _known_units(), ". `systemctl list-unit-files` lists them")
        raise LaunchError(f"{asked}: there is no unit {name.full}{hint}")
    if found[0].resolve() == Path("/dev/null"):
        raise LaunchError(f"{asked}: {name.full} is masked ({found[0]})")
    return found


def read_unit_file(file: Path, asked: Origin) -> str:
    """Raises LaunchError where it can't be read."""
    try:
        return read_regular_file(file).decode(errors="replace")
    except OSError as error:
        raise LaunchError(f"{asked}: {file} can't be read: {error.strerror}") from None


def of_path(file: Path) -> tuple[Path, ...]:
    """A unit that is named by its path, and the drop-ins beside it."""
    name = unit_name(file.name)
    return (file, *_drop_ins(name, (file.parent,)))


def _told_by_systemd(name: UnitName) -> tuple[Path, ...] | None:
    """None where there is no systemd that answers, or it knows no such unit."""
    systemctl = shutil.which("systemctl")
    if systemctl is None:
        return None
    command = [systemctl, "show", "--property=FragmentPath,DropInPaths", "--", name.full]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=ANSWER_SECONDS)
    except (OSError, subprocess.TimeoutExpired):
        return None
    told = dict(line.partition("=")[::2] for line in done.stdout.splitlines())
    if done.returncode or not told.get("FragmentPath"):
        return None
    return (Path(told["FragmentPath"]), *map(Path, told.get("DropInPaths", "").split()))


def _looked_for(name: UnitName) -> Iterator[Path]:
    candidates = (folder / one for one in name.file_names for folder in LOAD_PATH)
    fragment = next((one for one in candidates if one.exists()), None)
    if fragment is not None:
        yield fragment
        yield from _drop_ins(name, LOAD_PATH)


def _drop_ins(name: UnitName, load_path: tuple[Path, ...]) -> Iterator[Path]:
    """In the order of their file names; of two with one name the stronger folder's counts, and a
    link to /dev/null there takes both away."""
    by_name: dict[str, Path] = {}
    for drop_ins in name.drop_in_folders:
        for folder in load_path:
            for file in sorted((folder / drop_ins).glob("*.conf")):
                by_name.setdefault(file.name, file)
    for _, file in sorted(by_name.items()):
        if file.resolve() != Path("/dev/null"):
            yield file


def _known_units() -> list[str]:
    return sorted({one.name for folder in LOAD_PATH for one in folder.glob("*.service")})
