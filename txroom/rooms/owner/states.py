"""
What the parts of an owner do with the state of their room; most rooms declare none.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ...state import View
from ...state.excerpts import Excerpt
from ..contract.items import StateFull, StatePatch
from .member import Member

#: What is told of a room without a state.
NOTHING = Excerpt(None, False)


class Shown(NamedTuple):
    """What a client that joins or resumes is shown of the state."""

    #: The version that it has then.
    version: int
    #: The description of the state, if it gets all of it.
    schema: bytes
    #: What brings it to that version; `None`: it has it already.
    item: StatePatch | StateFull | None


class States:
    """
    The state of a room that declares none: nothing here does anything.

    All such rooms share one object. `StateSync` is for the others.
    """

    __slots__ = ()

    #: Whether the class of the room declares a state.
    isDeclared = False

    def begin(self, generation: int) -> None:
        """Make the state of a new room, before `onCreate`."""

    def use(self, root: Any) -> None:
        """
        Use another object as the state: one was assigned to `Room.state`.

        Raises:
            TypeError: It is of another class than the declared one.
            ValueError: It is, or is in, another state.
            RuntimeError: The room is open, so that clients know its state.
        """

    def view(self, member: Member) -> View:
        """Return the view of a member; see `Client.view`."""
        raise TypeError("the class of the room declares no state, so its clients have no view")

    # -- patches

    def start(self) -> None:
        """Send patches from now on, because the room is about to open."""

    def stop(self) -> None:
        """Send no more patches by time."""

    def close(self) -> None:
        """Break the reference cycles with the rest of the owner, because the room has ended."""

    def tick(self) -> None:
        """Send a patch, unless records have waited long for their commit: patches would wait, too."""

    def ask(self) -> None:
        """See `Room.patch`."""
        raise TypeError("patch(): the class of the room must declare a state, such as state: Game")

    # -- operators

    def excerpt(self, size: int, withPrivate: bool) -> Excerpt:
        """Return as much of the state as has so many bytes; see `excerptOf`."""
        return NOTHING

    # -- single clients

    def show(self, member: Member, format: str, known: int | None) -> Shown | None:
        """
        Return what a client is shown that joins or resumes; `None`: nothing.

        Args:
            member: The member.
            format: The format in which it gets the state; see `Join`.
            known: The version that it has; see `Resume`.

        Raises:
            Exception: The state can't be encoded, or is too large.
        """
        return None

    def kept(self, member: Member) -> Shown | None:
        """Return what a client is shown that keeps what it has of the state; `None`: it has none."""
        return None

    def mark(self, format: str) -> str:
        """
        Return what distinguishes the classes of the state from those of other owners, for the resume tokens
        of clients that keep what they were told of the classes; empty for all others.

        Raises:
            TypeError: The state can't be encoded in that format.
        """
        return ""

    def want(self, member: Member, known: int | None, isReceived: bool) -> None:
        """Send a client what it has missed; see `WantState`."""

    # -- saving

    def save(self) -> bytes:
        """Return the state as it is now, for a checkpoint; empty if there is none."""
        return b""

    def restore(self, data: bytes) -> None:
        """
        Go on with the state of an earlier owner.

        Raises:
            RoomError: It can't be loaded. The error is reported.
        """


#: For all rooms that declare no state; it has no state itself.
NO_STATE = States()
