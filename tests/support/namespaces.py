"""Programs in a namespace of their own: what is mounted or limited there nobody else sees, and it
goes with them."""

from __future__ import annotations

import subprocess
import sys

import pytest

IN_NAMESPACE = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]


def in_namespace(*setup: str) -> list[str]:
    """Runs what follows it in a namespace of its own, after the setup."""
    contain = [*IN_NAMESPACE, " && ".join([*setup, 'exec "$@"']), "sh"]
    if (
        sys.platform != "linux"
        or subprocess.run([*contain, "true"], capture_output=True).returncode
    ):
        pytest.skip("a namespace of its own can't be had")
    return contain
