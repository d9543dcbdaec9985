"""What the encodings of a state have in common."""

from __future__ import annotations

from typing import Protocol

from .changes import Changes
from .views import View


class Encoding(Protocol):
    """A way to write the states of a tree. Call `StateTree.commit` before, so that all changes are known."""

    #: What distinguishes the classes from those of another tree, for clients that keep what `schema` has told
    #: them; empty: clients get the schema each time that they get all of the state.
    mark: str

    def schema(self) -> bytes:
        """What a client has to know of the classes."""

    def patch(self, changes: Changes) -> bytes:
        """The changes that everybody sees; empty if there are none."""

    def patchOf(self, changes: Changes, view: View) -> bytes:
        """The changes that only a view sees, for after those of `patch`; empty if there are none."""

    def full(self, view: View | None) -> bytes:
        """The whole state as it is, with what a view sees of the private parts."""

    def since(self, version: int, view: View | None, isOurs: bool = False) -> bytes | None:
        """
        What brings a client up to date that has a version; None if that isn't possible.

        @param isOurs: whether a client whose version isn't known has nothing but what this encoding has made.
        """
