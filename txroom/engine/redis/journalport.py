"""What a journal uses of its node, and what a node gets when it claims a room."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from twisted.internet.interfaces import IReactorTime

from .batches import Weight
from .scripts import Argument, Scripts


class NodeJournal(Protocol):
    """A journal, as its node uses it."""

    #: The room's id.
    room: str

    def flush(self) -> None:
        """The turn is over: send what was written, as one command."""

    def look(self) -> bool:
        """Look after old batches, and return whether to look again in a second."""
        ...

    def verify(self) -> None:
        """Find out whether the room is still this node's, and send again what has to be."""


class JournalPort(Protocol):
    """A node, as its journals use it."""

    clock: IReactorTime
    scripts: Scripts
    node: str
    #: The bytes of the batches of all its journals.
    weight: Weight
    #: The identity of the data in the Redis to which the node is connected.
    run: str
    #: Whether Redis never loses what it has confirmed.
    isDurable: bool

    @property
    def shift(self) -> float:
        """Redis's clock minus `clock`, in seconds."""
        ...

    @property
    def heldSince(self) -> float:
        """Since when the node's lease has not lapsed, by `clock`; infinite if it has."""
        ...

    @property
    def isUp(self) -> bool:
        """Whether the node is connected to Redis."""
        ...

    def send(self, reply: Callable[[Any], object], *args: Argument) -> None:
        """Send a command; see `Commands.send`."""

    def dirty(self, journal: NodeJournal) -> None:
        """Call `flush` of the journal at the end of the turn."""

    def active(self, journal: NodeJournal) -> None:
        """Call `look` of the journal every second as long as it returns true."""

    def retry(self, journal: NodeJournal) -> None:
        """Call `verify` of the journal after a moment, or when the node is connected again."""

    def verified(self, journal: NodeJournal) -> None:
        """`verify` has found out whether the room is still this node's."""

    def reload(self) -> None:
        """Redis has forgotten the scripts: load them."""

    def shed(self) -> None:
        """Let all journals forget their confirmed batches, because memory is short."""

    def ended(self, journal: NodeJournal, isOurs: bool) -> None:
        """The journal has ended: the room has ended, if `isOurs`, or is lost to this node."""

    def refused(self, error: Exception) -> None:
        """Redis refuses this node's user, or can't be used."""


class Ownership(NamedTuple):
    """What a node got when it claimed a room."""

    application: str
    name: str
    age: int
    #: The token that the room had before; empty if it is new.
    seen: str
    token: str
    generation: int
    epoch: str
