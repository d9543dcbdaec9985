"""
The demo's applications without rooms.
"""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

from twisted.internet.error import ConnectionLost

from ..core.application import Application
from ..core.codes import SendStatus
from ..core.connection import Connection


class Echo(Application):
    """
    Sends every message back, text as text and binary as binary, and loses none.

    It stops reading from a client that does not read its answers.
    """

    def onMessage(self, connection: Connection, message: str | bytes) -> Coroutine[Any, Any, None] | None:
        status = connection.send(message)
        if status is SendStatus.BACKPRESSURE:
            connection.pause()
        elif status is SendStatus.DROPPED:  # too long to be queued behind the others, but not alone
            return self._sendLater(connection, message)
        return None

    def onDrain(self, connection: Connection) -> None:
        connection.resume()

    async def _sendLater(self, connection: Connection, message: str | bytes) -> None:
        try:
            await connection.whenSent()
        except ConnectionLost:
            return
        if connection.send(message) is SendStatus.BACKPRESSURE:
            connection.pause()


class Broadcast(Application):
    """Sends every message to all connections, including the sender's."""

    def onMessage(self, connection: Connection, message: str | bytes) -> None:
        self.broadcast(message)
