"""A Redis server in memory that answers only what a test lets it answer."""

from __future__ import annotations

from typing import Any

from hiredis import Reader
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.python.failure import Failure

from txroom.engine.redis.resp import Connection

HELLO = b"%4\r\n+server\r\n+redis\r\n+version\r\n+7.0.15\r\n+mode\r\n+standalone\r\n+role\r\n+master\r\n"
OK = b"+OK\r\n"
PONG = b"+PONG\r\n"


def push(*parts: str | int) -> bytes:
    """A push of RESP3."""
    shown = [f":{part}" if isinstance(part, int) else f"${len(part)}\r\n{part}" for part in parts]
    return "\r\n".join([f">{len(parts)}", *shown, ""]).encode()


class Wire:
    """One connection, seen from the server."""

    def __init__(self) -> None:
        self._reader = Reader()
        self.protocol: Any = None
        self.isClosing = self.isAborted = self.isLost = False

    # -- for the client

    def write(self, data: bytes) -> None:
        assert not self.isLost
        self._reader.feed(data)

    def loseConnection(self) -> None:
        self.isClosing = True

    def abortConnection(self) -> None:
        self.isClosing = self.isAborted = True

    # -- for the test

    def commands(self) -> list[list[str]]:
        """The commands that have arrived since the last call."""
        found = []
        while (command := self._reader.gets()) is not False:
            found.append([part.decode() for part in command])
        return found

    def reply(self, *parts: bytes) -> None:
        """Send bytes to the client, all at once."""
        self.protocol.dataReceived(b"".join(parts))

    def lose(self, reason: Exception | None = None) -> None:
        """End the connection."""
        self.isLost = True
        self.protocol.connectionLost(
            Failure(reason or (ConnectionLost if self.isAborted else ConnectionDone)())
        )


class Server:
    """An endpoint whose attempts to connect the test accepts or refuses."""

    def __init__(self) -> None:
        self.attempts: list[tuple[Any, Deferred[Any]]] = []
        #: How many attempts were cancelled.
        self.cancelled = 0

    def connect(self, factory: Any) -> Deferred[Any]:
        def cancel(attempt: Deferred[Any]) -> None:
            self.cancelled += 1
            self.attempts.remove((factory, attempt))

        attempt: Deferred[Any] = Deferred(cancel)
        self.attempts.append((factory, attempt))
        return attempt

    def accept(self) -> Wire:
        """Accept the attempt; nothing is answered yet."""
        factory, attempt = self.attempts.pop(0)
        wire = Wire()
        protocol: Connection = factory.buildProtocol(None)
        wire.protocol = protocol
        protocol.makeConnection(wire)
        attempt.callback(protocol)
        return wire

    def welcome(self) -> Wire:
        """Accept the attempt, and let the client come in."""
        wire = self.accept()
        assert wire.commands()[0][0] == "HELLO"
        wire.reply(HELLO)
        assert wire.commands() == [["PING"]]
        wire.reply(PONG)
        return wire

    def refuse(self, error: Exception) -> None:
        """Let the attempt fail."""
        self.attempts.pop(0)[1].errback(error)
