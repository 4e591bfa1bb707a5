"""What can go wrong in a worker in a way that the user can mend."""

from __future__ import annotations


class Trouble(Exception):
    """A known failure; the parent turns it into one line and what to type.

    Attributes:
        kind: which one, a key of the parent's `failures.KINDS`.
        about: what it is about: a name, a path, a version.
    """

    def __init__(self, kind: str, about: str = ""):
        super().__init__(f"{kind}: {about}")
        self.kind, self.about = kind, about
