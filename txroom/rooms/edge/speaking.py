"""
Speaking: how a session sends the items of rooms to its client.
"""

from __future__ import annotations

from typing import Any

from ...core.codes import CloseCode, SendStatus
from ...core.connection import Connection
from ..contract.items import Item, Replay
from .attachment import Attachment
from .ports import Dialect
from .replaying import sendReplay
from .services import EdgeServices

# For the hot path: looking up a member of an enumeration is slow.
SENT, DROPPED = SendStatus.SENT, SendStatus.DROPPED


class SpeakingSession:
    """
    The part of a `RoomSession` that sends.

    Args:
        services: The objects that all sessions use.
        connection: The client's connection.
        dialect: The dialect that the client speaks.
    """

    def __init__(self, services: EdgeServices, connection: Connection, dialect: Dialect) -> None:
        self.services = services
        self.connection = connection
        self.dialect = dialect
        #: Whether nothing more is sent to the client, and its messages are ignored.
        self.isMute = False
        #: The attachments that have joined, by room.
        self.rooms: dict[str, Attachment] = {}

    def say(self, item: Item, isVolatile: bool = False) -> None:
        """
        Send an item. Called for every message.

        If too many bytes are queued for the client, volatile items are dropped, and items of the state wait.
        If another item has to be dropped, the connection is closed, and the client resumes.
        """
        if self.isMute:
            return
        connection = self.connection
        if isVolatile and connection.refusedAmount > self.services.volatileLimit:
            self.services.meters.volatileDropped += 1
            return
        if item.isSpecial:
            status = self._saySpecial(item)
        else:
            message = item.prepared(self.dialect)
            if message is None:
                return
            status = connection.sendFrame(message)
        if status is DROPPED:
            self.isMute = True
            self.services.clock.callLater(0, self._tooSlow)

    def _saySpecial(self, item: Any) -> SendStatus:
        """Send a `Replay` or a `StateItem`."""
        if type(item) is Replay:
            return sendReplay(self.connection, self.dialect, item)
        attachment = self.rooms.get(item.room)
        if attachment is None or attachment.states is None:
            return SENT
        return attachment.states.send(
            self.connection, self.dialect, item, attachment, self.services.volatileLimit
        )

    def _tooSlow(self) -> None:
        """Close the connection of a slow client, which gets the missed messages when it resumes."""
        self.services.meters.slowConsumers += 1
        self._part()
        self.connection.close(self.dialect.closeCode(CloseCode.SLOW_CONSUMER), "too slow")

    def _part(self, hasLeft: bool = False) -> None:
        """End all attachments."""
        raise NotImplementedError
