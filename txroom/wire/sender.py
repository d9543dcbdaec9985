"""
The sending side of one WebSocket: messages, control frames and the Close frame.

`send` and `sendPrepared` are hot paths. They build each frame once, and `turn` decides when it is written.
`sendbuffer` counts the bytes that the operating system has not accepted. If a peer reads slowly, `_admits`
drops messages or closes the connection, and `_statusOf` returns BACKPRESSURE. `drainnotifier` calls `onDrain`
when the send buffer is empty again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

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
from .slowlink import SlowOutgoing
from .states import CLOSING, OPEN
from .turn import Parts

SENT = SendStatus.SENT  # looking up a member of an enumeration is slow

#: The size from which a payload is written separately from its header, to avoid copying it.
LONG = 64 * 1024
#: The size from which the last part is written separately, to avoid copying it into the join.
UNCOPIED = 16 * 1024
#: The largest value of `Sender.joinLimit`.
MOST_JOINED = 64 * 1024


class Sender:
    """
    The sending side of one connection.

    It is a base class of `WireProtocol` and not an attribute, which saves a call for each message.
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

    #: The options of the connection; an attribute of the class, see `protocolClass`.
    options: ServerOptions
    #: The context of all connections of the server.
    shared: WireContext
    #: When the parts of this turn reach this many bytes, they are written immediately.
    joinLimit: int

    def __init__(self) -> None:
        self.context = self.shared  # looking up an attribute of the instance is faster
        self.connection: Connection
        self.state = OPEN
        self.out: Outgoing | SlowOutgoing | None = None
        #: The parameters of permessage-deflate, if it was negotiated.
        self.parameters: DeflateParameters | None = None
        self._deflater: Deflater | None = None
        self._drainNotifier: DrainNotifier | None = None
        self._closing: CloseHandshake | None = None
        #: The frames that were sent in this turn and are not written yet, and their size in bytes.
        self.parts: Parts = None
        self.partsSize = 0

    def _become(self, state: int) -> None:
        """Change the state (see `states`)."""
        self.state = state

    def close(self, code: int | None, reason: str) -> None:
        """Start the closing handshake (RFC 6455 §7.1.2), unless the connection is closing or closed."""
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
        """Return the number of bytes that the peer has not acknowledged yet, and the number that it has."""
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

    def sendUnlimited(self, prepared: Prepared, mostRefused: int) -> SendStatus | None:
        out = self.out
        if self.state != OPEN or out is None:
            return SendStatus.CLOSED
        if out.mayWait:
            waiting = out.amount()
            if waiting > mostRefused:
                return None
            if waiting:
                notifier = self._awaitSent()
                exempt = notifier.unlimited  # no more than what still waits
                notifier.unlimited = (exempt if exempt < waiting else waiting) + len(prepared.payload)
                return self.sendPrepared(prepared)
        status = self.sendPrepared(prepared)
        if out.mayWait and out.amount():
            self._awaitSent().unlimited = len(prepared.payload)
        return status

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

    def _admits(self, out: Outgoing | SlowOutgoing, size: int) -> bool:
        """
        Return whether a message of `size` bytes may be queued, by `maxBackpressure`.

        If not, close the connection or note that `onDrain` is due.
        """
        waiting = out.amount()
        if waiting and self.parts is not None:  # bytes were refused since these frames were sent
            self.writeParts()
            waiting = out.amount()
        limit = self.options.maxBackpressure
        if not waiting or not limit or waiting + size <= limit:
            return True
        notifier = self._drainNotifier
        if notifier is not None and waiting + size <= limit + notifier.unlimited:
            return True
        self.context.messagesDropped += 1
        if self.options.closeOnBackpressureLimit:
            self.close(CloseCode.TRY_AGAIN_LATER, "too slow")
        else:
            self._awaitSent().isBlocked = True
        return False

    # -- joining the frames of one turn (see `turn`)

    def _queue(self, data: bytes) -> SendStatus:
        """Send one or several frames together with the other frames of this turn."""
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
        else:
            size = self.partsSize = self.partsSize + len(data)
            if size >= self.joinLimit:
                return self._statusOf(self._writeLast(data))
            if isinstance(parts, bytes):
                self.parts = [parts, data]
            else:
                parts.append(data)
            turn = self.context.turn
        turn.partsUntilCheck -= 1
        if not turn.partsUntilCheck:
            turn.check()
        return SENT

    def _writeLast(self, *last: bytes) -> int:
        """
        Write the parts of this turn, followed by `last`, which is one or two parts.

        Returns:
            The number of bytes that the operating system has not accepted.
        """
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
        """Write the parts now instead of at the end of the turn."""
        parts, self.parts = self.parts, None
        if parts is not None:
            assert self.out is not None
            self.out.write(parts if isinstance(parts, bytes) else b"".join(parts))

    def forgetParts(self) -> None:
        """Throw the parts away: the connection is dropped."""
        if self.parts is not None:
            self.parts = None
            if self._drainNotifier is None:
                self._drainNotifier = DrainNotifier()
            self._drainNotifier.hasLost = True

    def terminate(self) -> None:
        raise NotImplementedError

    def _statusOf(self, waiting: int) -> SendStatus:
        """
        Get the status of a message that was written.

        Args:
            waiting: The number of bytes that the operating system has not accepted.
        """
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
        if self.out.amount():
            return self._awaitSent().whenSent()
        notifier = self._drainNotifier
        return notifier.whenSent() if notifier is not None and notifier.hasLost else succeed(None)

    def _awaitSent(self) -> DrainNotifier:
        """Get the notifier, and arrange that `_sent` is called when the send buffer is empty."""
        if self._drainNotifier is None:
            self._drainNotifier = DrainNotifier()
        assert self.out is not None
        self.out.notifyWhenEmpty(self._sent)
        return self._drainNotifier

    def takesSent(self) -> Callable[[], None] | None:
        """Return what is to be called when the send buffer is empty; `None`: nothing waits for that."""
        assert self.out is not None
        return self._sent if self._drainNotifier is not None and self.out.amount() else None

    def _sent(self) -> None:
        notifier = self._drainNotifier
        assert notifier is not None
        wasBlocked, notifier.isBlocked = notifier.isBlocked, False
        pong, notifier.pong = notifier.pong, None
        if pong is not None:
            self.pong(pong)
        notifier.sent()
        # If a callback has filled the buffer again, `onDrain` waits until it is empty once more.
        if wasBlocked and not notifier.isBlocked and self.state == OPEN:
            if self.context.isTracing:
                self.context.trace(self.connection, "drain")
            self.connection.notified("onDrain")


def joinLimit(options: ServerOptions) -> int:
    """Get `Sender.joinLimit` for connections with these options."""
    limits = (MOST_JOINED, options.highWaterMark, options.maxBackpressure)
    return min(limit for limit in limits if limit)
