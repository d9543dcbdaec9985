"""
The flow of a room's state to one client.

Each patch leads from one version of the state to another. A client that reads too slowly gets no patches, and
so nothing is queued for it. When everything that was sent to it before has left, the edge asks the room for
what the client has missed::

    IN STEP --too much is queued--> BEHIND --the queue is empty: WantState--> ASKING --the answer--> IN STEP
    IN STEP --a patch begins after the client's version: the room has lost one by an error--> BEHIND

In BEHIND and ASKING patches are left out, since they begin after the version that the client has.
"""

from __future__ import annotations

from typing import Any, Protocol

from ...core.codes import SendStatus
from ...core.connection import Connection
from ..contract.commands import WantState
from ..contract.items import StateFull, StatePatch, StatePatches
from .ports import Dialect

SENT = SendStatus.SENT
#: In place of a version: the client has no state.
NONE = -2


class Asker(Protocol):
    """The part of an `Attachment` that a flow uses."""

    #: The client's link, for `StatePatches`.
    id: str

    def submit(self, frame: WantState) -> None:
        """Pass a command to the room."""


class StateFlow:
    """
    The state of one room, for one client.

    Args:
        version: The version that the client has; `None`: it has no state; -1: it has one of some version.
    """

    __slots__ = ("_current", "_isAsking", "_isBehind", "_told")

    def __init__(self, version: int | None) -> None:
        #: The version that the client has been told, and the version up to which nothing has changed since
        #: that the client could see.
        self._told = self._current = NONE if version is None else version
        self._isBehind = self._isAsking = False

    @property
    def version(self) -> int:
        """The version up to which the client was sent all changes; negative: none, or not known."""
        return self._current

    def send(
        self,
        connection: Connection,
        dialect: Dialect,
        item: Any,
        asker: Asker,
        limit: int,
    ) -> SendStatus:
        """
        Send an item of the state, unless the client has missed one before it, or reads too slowly.

        Called for every patch and client.

        Args:
            connection: The client's connection.
            dialect: The dialect that it speaks.
            item: A `StateItem`.
            asker: The client's attachment, which asks the room when the queue is empty again.
            limit: If more bytes than this are queued, the client reads too slowly.
        """
        kind = type(item)  # isinstance takes ten times as long for Structs
        version = item.version
        if kind is not StateFull:
            since = item.since
            if not since <= self._current < version:
                if since > self._current != NONE and not self._isAsking:
                    self._fallBehind(connection, asker)
                return SENT
            if kind is StatePatches:
                item = self._own(item, asker.id)
                if item is None:
                    self._current = version
                    self._isAsking = False
                    return SENT
            elif since > self._told:
                item = StatePatch(item.room, self._told, version, item.data)
        message = item.prepared(dialect)
        status = SENT if message is None else connection.sendUnlimited(message, limit)
        if status is None:
            if kind is StateFull:  # `joined` may have told the client to forget what it has
                self._told = self._current = NONE
            self._fallBehind(connection, asker)
            return SENT
        self._told = self._current = version
        self._isAsking = False
        return status

    def _own(self, item: StatePatches, link: str) -> StatePatch | None:
        """Return the patch for a client with a view; `None`: it sees no change."""
        data = item.data + item.own.get(link, b"")
        return StatePatch(item.room, self._told, item.version, data) if data else None

    def _fallBehind(self, connection: Connection, asker: Asker) -> None:
        self._isAsking = False
        if not self._isBehind:
            self._isBehind = True
            connection.whenSent().addCallbacks(self._drained, _lost, callbackArgs=(asker,))

    def _drained(self, _: None, asker: Asker) -> None:
        self._isBehind, self._isAsking = False, True
        asker.submit(WantState(None if self._current == NONE else self._current))


def _lost(failure: object) -> None:
    """Do nothing: the connection is lost, and the client resumes."""
