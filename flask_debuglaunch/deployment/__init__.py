"""The app by hand where it is deployed: as the account, in the folder and with the environment of
its service (`--user`, `--as-service`)."""

from __future__ import annotations

NAMES_OF_DEPLOYED = frozenset({"user", "as_service"})
"""The settings that name an account or a service."""
