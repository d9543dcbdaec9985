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
from .turn import Parts

SENT = SendStatus.SENT  # an enumeration's member costs a look-up of its own

#: Payloads of so many bytes are written apart from their header, so that they aren't copied.
LONG = 64 * 1024
#: Parts of so many bytes aren't copied to be joined with those before.
UNCOPIED = 16 * 1024
#: Parts of so many bytes are written at once, whatever the options say.
MOST_JOINED = 64 * 1024


class Sender:
    """
    Writes the frames of one connection.

    `WireProtocol` inherits from it instead of having it as a part, which saves a call for each message.
    """

    __slots__ = (
        "_closing",
        "_deflater",
        "_drainNotifier",
        "connection",
        "context",
        "out",
        "parameters",
        "parts",
        "partsSize",
        "state",
    )

    # One set of options, and all connections of the server.
    options: ServerOptions
    shared: WireContext
    #: Parts of so many bytes are written at once.
    joinLimit: int

    def __init__(self) -> None:
        self.context = self.shared  # an attribute of the instance is found faster
        self.connection: Connection
        self.state = OPEN
        self.out: Outgoing | None = None
        #: Of permessage-deflate, if it was negotiated.
        self.parameters: DeflateParameters | None = None
        self._deflater: Deflater | None = None
        self._drainNotifier: DrainNotifier | None = None
        self._closing: CloseHandshake | None = None
        #: What was sent in this turn of the reactor and isn't written yet, and how many bytes that is.
        self.parts: Parts = None
        self.partsSize = 0

    def _become(self, state: int) -> None:
        """Enter another state (see `states`)."""
        self.state = state

    def close(self, code: int | None, reason: str) -> None:
        """Begin the closing handshake (RFC 6455 §7.1.2), unless it has begun."""
        if self.state != OPEN:
            return
        out = self.out
        assert out is not None
        if self.context.isTracing:
            self.context.trace(self.connection, "close", code=code, reason=reason)
        self._become(CLOSING)
        self._writeLast(frame(CLOSE, closePayload(code, reason)))
        timeout = self.options.closeTimeout
        self._closing = CloseHandshake(
            timeout, self.context.clock.seconds(), out.progress()[1] if timeout else 0
        )

    @property
    def bufferedAmount(self) -> int:
        if self.out is None:
            return 0
        return self.out.amount() + (0 if self.parts is None else self.partsSize)

    @property
    def refusedAmount(self) -> int:
        return self.out.amount() if self.out is not None else 0

    def progress(self) -> tuple[int, int]:
        """Bytes that the peer has yet to take, and those that it has taken."""
        assert self.out is not None
        return self.out.progress()

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
        out = self.out
        assert out is not None
        if out.mayWait and not self._admits(out, size):
            return SendStatus.DROPPED
        if self.parameters is not None and size >= (self.options.threshold or 1):
            first |= COMPRESSED
            payload = self._ownDeflater(self.parameters).deflate(payload)
        context = self.context
        context.messagesSent += 1
        context.bytesSent += size
        if size >= LONG:
            return self._statusOf(self._writeLast(header(first, len(payload)), payload))
        return self._queue(frame(first, payload))

    def sendPrepared(self, prepared: Prepared) -> SendStatus:
        if self.state != OPEN:
            return SendStatus.CLOSED
        size = len(prepared.payload)
        out = self.out
        assert out is not None
        if out.mayWait and not self._admits(out, size):
            return SendStatus.DROPPED
        context = self.context
        context.messagesSent += 1
        context.bytesSent += size
        parameters = self.parameters
        if parameters is None or size < (self.options.threshold or 1):
            return self._queue(prepared.frame or preparedFrame(prepared))
        deflater = self._ownDeflater(parameters)
        if parameters.serverTakeover:
            first = COMPRESSED | (BINARY if prepared.isBinary else TEXT)
            return self._queue(frame(first, deflater.deflate(prepared.payload)))
        return self._queue(preparedDeflatedFrame(prepared, deflater))

    def sendAllPrepared(self, messages: Sequence[Prepared]) -> SendStatus:
        if self.parameters is not None:
            return self._sendEach(messages)
        if self.state != OPEN:
            return SendStatus.CLOSED
        size = sum([len(message.payload) for message in messages])
        out = self.out
        assert out is not None
        if out.mayWait and not self._admits(out, size):
            return SendStatus.DROPPED
        self.context.messagesSent += len(messages)
        self.context.bytesSent += size
        return self._queue(b"".join([message.frame or preparedFrame(message) for message in messages]))

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
        if waiting and self.parts is not None:  # the transport was blocked after they were sent
            self.writeParts()
            waiting = out.amount()
        limit = self.options.maxBackpressure
        if not waiting or not limit or waiting + size <= limit:
            return True
        if self.options.closeOnBackpressureLimit:
            self.close(CloseCode.TRY_AGAIN_LATER, "too slow")
        else:
            self._awaitSent().isBlocked = True
        return False

    # -- one write for each turn (see `turn`)

    def _queue(self, data: bytes) -> SendStatus:
        """Send a frame, or several, with what else is written in this turn."""
        parts = self.parts
        if parts is None:
            out = self.out
            assert out is not None
            size = len(data)
            if size >= self.joinLimit or (out.mayWait and out.amount()):
                return self._statusOf(out.write(data))
            self.parts = data
            self.partsSize = size
            turn = self.context.turn
            pending = turn.pending
            pending.append(self)
            if not turn.isActive and len(pending) == 1:
                turn.begin()
            return SENT
        size = self.partsSize = self.partsSize + len(data)
        if size >= self.joinLimit:
            return self._statusOf(self._writeLast(data))
        if isinstance(parts, bytes):
            self.parts = [parts, data]
        else:
            parts.append(data)
        turn = self.context.turn
        turn.room -= 1
        if not turn.room:
            turn.check()
        return SENT

    def _writeLast(self, *last: bytes) -> int:
        """Write the parts and one or two more; returns how many bytes wait after that."""
        out, parts = self.out, self.parts
        assert out is not None
        self.parts = None
        before = [*([parts] if isinstance(parts, bytes) else parts or ()), *last[:-1]]
        if not before:
            return out.write(last[-1])
        if len(last[-1]) < UNCOPIED:
            return out.write(b"".join([*before, last[-1]]))
        return out.writeLong(b"".join(before), last[-1])

    def writeParts(self) -> None:
        """Write the parts now, not at the end of the turn."""
        parts, self.parts = self.parts, None
        if parts is not None:
            assert self.out is not None
            self.out.write(parts if isinstance(parts, bytes) else b"".join(parts))

    def terminate(self) -> None:
        raise NotImplementedError

    def _statusOf(self, waiting: int) -> SendStatus:
        """The status of a message after which so many bytes wait that the operating system refused."""
        if waiting:
            limit = self.options.highWaterMark
            if limit and waiting > limit:
                self._awaitSent().isBlocked = True
                return SendStatus.BACKPRESSURE
        return SENT

    def ping(self, payload: bytes) -> None:
        if self.state == OPEN:
            self._queue(frame(PING, payload))

    def pong(self, payload: bytes) -> None:
        if self.state != OPEN:
            return
        assert self.out is not None
        if self.out.isBlocked():
            self._awaitSent().pong = payload
        else:
            self._queue(frame(PONG, payload))

    def whenSent(self) -> Deferred[None]:
        if self.out is None:
            return fail(ConnectionLost())
        self.writeParts()
        return self._awaitSent().whenSent() if self.out.amount() else succeed(None)

    def _awaitSent(self) -> DrainNotifier:
        """The notifier, which is told when nothing is queued any more."""
        if self._drainNotifier is None:
            self._drainNotifier = DrainNotifier()
        assert self.out is not None
        self.out.notifyWhenEmpty(self._sent)
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


def joinLimit(options: ServerOptions) -> int:
    """How many bytes a connection with these options has as parts, before they are written at once."""
    limits = (MOST_JOINED, options.highWaterMark, options.maxBackpressure)
    return min(limit for limit in limits if limit)
