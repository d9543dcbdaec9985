"""
The way out of one WebSocket: messages and control frames, and what is told of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from os import urandom
from typing import Any

from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost

from ..core.codes import CloseCode, SendStatus
from ..core.connection import Connection
from ..core.message import Data, Prepared, encoded
from ..core.options import ServerOptions
from .context import WireContext
from .deflate import Deflater
from .frames import BINARY, COMPRESSED, PING, PONG, TEXT, frame, header, preparedDeflatedFrame, preparedFrame
from .sendbuffer import Outgoing

OPEN = WebSocketProtocol.STATE_OPEN
SENT = SendStatus.SENT  # an enumeration's member costs a look-up of its own

#: Payloads that are worth two parts, so that they aren't copied.
LONG = 64 * 1024

#: Bytes of a heartbeat's payload.
HEARTBEAT_SIZE = 8


class Sender(WebSocketServerProtocol):
    """What a `WireProtocol` sends with; `send` is a hot path."""

    # One set of options.
    context: WireContext
    options: ServerOptions

    # One connection.
    connection: Connection
    transport: Any = None
    state = OPEN
    pingedAt: float | None = None
    _perMessageCompress: Any = None  # the DeflateParameters; Autobahn's parser looks whether there is one
    _out: Outgoing | None = None
    _isBlocked = False
    _pendingPong: bytes | None = None
    _heartbeat: tuple[bytes, float] | None = None  # the payload, and when it was sent
    _waiters: list[Deferred[None]] | None = None
    _takenBefore: int | None = None  # while something waited
    _deflater: Deflater | None = None

    def close(self, code: int | None, reason: str) -> None:
        """Begin the closing handshake."""
        raise NotImplementedError

    @property
    def bufferedAmount(self) -> int:
        return self._out.amount() if self._out is not None else 0

    def send(self, data: Data) -> SendStatus:
        if type(data) is str:
            payload = data.encode()
            first = TEXT
        else:
            payload, isBinary = encoded(data)
            first = BINARY if isBinary else TEXT
        if self.state != OPEN:
            return SendStatus.CLOSED
        size = len(payload)
        out = self._out
        assert out is not None
        if out.mayWait and not self._admits(out, size):
            return SendStatus.DROPPED
        if self._perMessageCompress is not None and size >= (self.options.threshold or 1):
            first |= COMPRESSED
            payload = self._ownDeflater().deflate(payload)
            size = len(payload)
        if size >= LONG:
            return self._written(out.writeLong(header(first, size), payload), size)
        return self._written(out.write(frame(first, payload)), size)

    def sendPrepared(self, prepared: Prepared) -> SendStatus:
        if self.state != OPEN:
            return SendStatus.CLOSED
        size = len(prepared.payload)
        out = self._out
        assert out is not None
        if out.mayWait and not self._admits(out, size):
            return SendStatus.DROPPED
        if self._perMessageCompress is None or size < (self.options.threshold or 1):
            return self._written(out.write(prepared.frame or preparedFrame(prepared)), size)
        deflater = self._ownDeflater()
        if self._perMessageCompress.serverTakeover:
            first = COMPRESSED | (BINARY if prepared.isBinary else TEXT)
            return self._written(out.write(frame(first, deflater.deflate(prepared.payload))), size)
        return self._written(out.write(preparedDeflatedFrame(prepared, deflater)), size)

    def sendAllPrepared(self, messages: Sequence[Prepared]) -> SendStatus:
        if self._perMessageCompress is not None:
            return self._sendEach(messages)
        if self.state != OPEN:
            return SendStatus.CLOSED
        size = sum([len(message.payload) for message in messages])
        out = self._out
        assert out is not None
        if out.mayWait and not self._admits(out, size):
            return SendStatus.DROPPED
        frames = b"".join([message.frame or preparedFrame(message) for message in messages])
        self.context.messagesSent += len(messages) - 1
        return self._written(out.write(frames), size)

    def _sendEach(self, messages: Sequence[Prepared]) -> SendStatus:
        status = SENT
        for message in messages:
            status = self.sendPrepared(message)
            if status is SendStatus.DROPPED:
                break
        return status

    def _ownDeflater(self) -> Deflater:
        if self._deflater is None:
            assert self._perMessageCompress is not None
            self._deflater = self.context.deflater(self._perMessageCompress)
        return self._deflater

    def _admits(self, out: Outgoing, size: int) -> bool:
        """Whether a message of `size` bytes may be queued."""
        waiting = out.amount()
        limit = self.options.maxBackpressure
        if not waiting or not limit or waiting + size <= limit:
            return True
        if self.options.closeOnBackpressureLimit:
            self.close(CloseCode.TRY_AGAIN_LATER, "too slow")
        else:
            self._block()
        return False

    def _block(self) -> None:
        """Tell `onDrain` when all that waits is gone."""
        assert self._out is not None
        self._isBlocked = True
        self._out.notifyWhenEmpty()

    def _written(self, waiting: int, size: int) -> SendStatus:
        """A message of `size` bytes was written, and so many bytes wait now."""
        context = self.context
        context.messagesSent += 1
        context.bytesSent += size
        if waiting:
            limit = self.options.highWaterMark
            if limit and waiting > limit:
                self._block()
                return SendStatus.BACKPRESSURE
        return SENT

    def whenSent(self) -> Deferred[None]:
        if self._out is None:
            return fail(ConnectionLost())
        if not self._out.amount():
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        if self._waiters is None:
            self._waiters = []
        self._waiters.append(waiter)
        self._out.notifyWhenEmpty()
        return waiter

    def _drained(self) -> None:
        """All that was queued has been taken by the operating system."""
        if self._pendingPong is not None and self.state == OPEN:
            pong, self._pendingPong = self._pendingPong, None
            self.pong(pong)
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            waiter.callback(None)
        if self._isBlocked:
            self._isBlocked = False
            if self.state == OPEN:
                if self.context.isTracing:
                    self.context.trace(self.connection, "drain")
                self.connection.notified("onDrain")

    def hasTaken(self) -> bool:
        """
        Whether the peer has taken anything since the last call, as far as that can be seen.

        It can while something waits, here or in the operating system.
        """
        assert self._out is not None
        waiting, taken = self._out.progress()
        seen = self._takenBefore
        if waiting or seen is not None:
            self._takenBefore = taken if waiting else None
        return seen is not None and taken > seen

    def ping(self, payload: bytes) -> None:
        if self.state == OPEN:
            assert self._out is not None
            self._out.write(frame(PING, payload))

    def pong(self, payload: bytes) -> None:
        if self.state != OPEN:
            return
        assert self._out is not None
        if self._out.isBlocked():
            # RFC 6455 §5.5.3: only the most recent ping need be answered.
            self._pendingPong = payload
            self._out.notifyWhenEmpty()
        else:
            self._out.write(frame(PONG, payload))

    def sendHeartbeat(self, now: float) -> None:
        """
        A ping of the server's own, from which the round trip is measured.

        Its payload is random: it tells nothing of the host, and who hasn't read it can't answer.
        """
        payload = urandom(HEARTBEAT_SIZE)
        self._heartbeat = (payload, now)
        self.pingedAt = now if self.options.pingTimeout else None
        self.ping(payload)
