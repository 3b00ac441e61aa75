"""Which files are being edited in this run: those that were saved lately, few at a time."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from flask_debuglaunch.serving.watching.file_signature import Signature, signature

MOST_AT_ONCE = 4
"""Nobody edits more between two looks: it is a `git checkout`, or something that rewrites them."""
LEFT_ALONE = 20
"""After so many reloads without a save of it a file is not being edited any more."""


class EditedFiles:
    """Each with how it was when it was last seen to be saved, and at which reload that was."""

    def __init__(self) -> None:
        self._files: dict[str, tuple[Signature | None, int]] = {}
        self._reloads = 0

    @property
    def paths(self) -> Collection[str]:
        return self._files.keys()

    def reload_begins(self) -> None:
        """Look at all of them again."""
        self._reloads += 1
        self.add([*self._files])

    def add(self, files: Iterable[str]) -> None:
        for one in files:
            now = signature(one)
            if one not in self._files or self._files[one][0] != now:
                self._files[one] = (now, self._reloads)

    def are_too_many(self, files: Collection[str]) -> bool:
        """Were so many new ones saved at once that they are not being edited?"""
        return len(files - self._files.keys()) > MOST_AT_ONCE

    def left_alone(self) -> frozenset[str]:
        return frozenset(
            one for one, (_, saved) in self._files.items() if self._reloads - saved >= LEFT_ALONE
        )

    def forget(self, files: Iterable[str]) -> None:
        for one in files:
            self._files.pop(one, None)
