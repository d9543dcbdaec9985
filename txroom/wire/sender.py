"""
The sending side of one WebSocket: it writes messages, control frames, and at last the Close frame.

`send` and `sendPrepared` are hot paths: header and payload are built once and written at once if nothing
waits. `sendbuffer` measures what waits. A slow peer is noticed here: `_admits` drops a message or closes the
connection, `_written` returns BACKPRESSURE. `drainnotifier` keeps what is to be done once it is empty.
"""

from __future__ import annotations

from collections.abc import Sequence

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost

from ..core.codes import CloseCode, SendStatus
from ..core.connection import Connection
from ..core.message import Data, Prepared, encoded
from ..core.options import ServerOptions
from .closehandshake import CloseHandshake
from .context import WireContext
from .deflate import DeflateParameters, Deflater
from .drainnotifier import DrainNotifier
from .frames import (
    BINARY,
    CLOSE,
    COMPRESSED,
    PING,
    PONG,
    TEXT,
    closePayload,
    frame,
    header,
    preparedDeflatedFrame,
    preparedFrame,
)
from .sendbuffer import Outgoing
from .states import CLOSING, OPEN

SENT = SendStatus.SENT  # an enumeration's member costs a look-up of its own

#: Payloads of so many bytes are written apart from their header, so that they aren't copied.
LONG = 64 * 1024


class Sender:
    """
    Writes the frames of one connection.

    `WireProtocol` inherits from it instead of having it as a part, which saves a call for each message.
    """

    __slots__ = (
        "_closing",
        "_deflater",
        "_drainNotifier",
        "_out",
        "connection",
        "context",
        "parameters",
        "state",
    )

    # One set of options, and all connections of the server.
    options: ServerOptions
    shared: WireContext

    def __init__(self) -> None:
        self.context = self.shared  # an attribute of the instance is found faster
        self.connection: Connection
        self.state = OPEN
        self._out: Outgoing | None = None
        #: Of permessage-deflate, if it was negotiated.
        self.parameters: DeflateParameters | None = None
        self._deflater: Deflater | None = None
        self._drainNotifier: DrainNotifier | None = None
        self._closing: CloseHandshake | None = None

    def _become(self, state: int) -> None:
        """Enter another state (see `states`)."""
        self.state = state

    def close(self, code: int | None, reason: str) -> None:
        """Begin the closing handshake (RFC 6455 §7.1.2), unless it has begun."""
        if self.state != OPEN:
            return
        out = self._out
        assert out is not None
        if self.context.isTracing:
            self.context.trace(self.connection, "close", code=code, reason=reason)
        self._become(CLOSING)
        out.write(frame(CLOSE, closePayload(code, reason)))
        timeout = self.options.closeTimeout
        self._closing = CloseHandshake(
            timeout, self.context.clock.seconds(), out.progress()[1] if timeout else 0
        )

    @property
    def bufferedAmount(self) -> int:
        return self._out.amount() if self._out is not None else 0

    def progress(self) -> tuple[int, int]:
        """Bytes that the peer has yet to take, and those that it has taken."""
        assert self._out is not None
        return self._out.progress()

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
        if self.parameters is not None and size >= (self.options.threshold or 1):
            first |= COMPRESSED
            payload = self._ownDeflater(self.parameters).deflate(payload)
        if size >= LONG:
            return self._written(out.writeLong(header(first, len(payload)), payload), size)
        return self._written(out.write(frame(first, payload)), size)

    def sendPrepared(self, prepared: Prepared) -> SendStatus:
        if self.state != OPEN:
            return SendStatus.CLOSED
        size = len(prepared.payload)
        out = self._out
        assert out is not None
        if out.mayWait and not self._admits(out, size):
            return SendStatus.DROPPED
        parameters = self.parameters
        if parameters is None or size < (self.options.threshold or 1):
            return self._written(out.write(prepared.frame or preparedFrame(prepared)), size)
        deflater = self._ownDeflater(parameters)
        if parameters.serverTakeover:
            first = COMPRESSED | (BINARY if prepared.isBinary else TEXT)
            return self._written(out.write(frame(first, deflater.deflate(prepared.payload))), size)
        return self._written(out.write(preparedDeflatedFrame(prepared, deflater)), size)

    def sendAllPrepared(self, messages: Sequence[Prepared]) -> SendStatus:
        if self.parameters is not None:
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

    def _ownDeflater(self, parameters: DeflateParameters) -> Deflater:
        if self._deflater is None:
            self._deflater = self.context.deflater(parameters)
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
            self._awaitSent().isBlocked = True
        return False

    def _written(self, waiting: int, size: int) -> SendStatus:
        """A message of `size` bytes was written, and so many bytes wait now."""
        context = self.context
        context.messagesSent += 1
        context.bytesSent += size
        if waiting:
            limit = self.options.highWaterMark
            if limit and waiting > limit:
                self._awaitSent().isBlocked = True
                return SendStatus.BACKPRESSURE
        return SENT

    def ping(self, payload: bytes) -> None:
        if self.state == OPEN:
            assert self._out is not None
            self._out.write(frame(PING, payload))

    def pong(self, payload: bytes) -> None:
        if self.state != OPEN:
            return
        assert self._out is not None
        if self._out.isBlocked():
            self._awaitSent().pong = payload
        else:
            self._out.write(frame(PONG, payload))

    def whenSent(self) -> Deferred[None]:
        if self._out is None:
            return fail(ConnectionLost())
        return self._awaitSent().whenSent() if self._out.amount() else succeed(None)

    def _awaitSent(self) -> DrainNotifier:
        """The notifier, which is told when nothing is queued any more."""
        if self._drainNotifier is None:
            self._drainNotifier = DrainNotifier()
        assert self._out is not None
        self._out.notifyWhenEmpty(self._sent)
        return self._drainNotifier

    def _sent(self) -> None:
        notifier = self._drainNotifier
        assert notifier is not None
        wasBlocked, notifier.isBlocked = notifier.isBlocked, False
        pong, notifier.pong = notifier.pong, None
        if pong is not None:
            self.pong(pong)
        notifier.sent()
        # If one of those who were told has filled the buffer again, `onDrain` is called when that is out too.
        if wasBlocked and not notifier.isBlocked and self.state == OPEN:
            if self.context.isTracing:
                self.context.trace(self.connection, "drain")
            self.connection.notified("onDrain")
