"""
One upgraded transport: frames in, frames out, and the one path on which it closes.

The hot path is `_takeShort` (whole short messages, parsed where they lie) and `send`. Everything else
that arrives is parsed by Autobahn, always from a frame boundary. What must hold:

- `_takeShort` runs only at a frame boundary, outside a fragmented message, in state OPEN.
- After each delivery the state and `_held` are looked at again: a handler may close or pause.
- RSV bits, control frames, long and fragmented messages and errors are left to the parser.
- After `fail` nothing more is parsed or delivered; after `close` nothing more is delivered.
- A Close frame is sent once, and nothing after it.
"""

from __future__ import annotations

import codecs
from struct import Struct
from typing import TYPE_CHECKING, Any

from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from ..codes import CloseCode, ReadyState, SendStatus
from ..connection import Connection, Data, Prepared, encoded
from ..options import ServerOptions
from . import heartbeat
from .backpressure import Outgoing, outgoing
from .closing import closeGently
from .compression import Agreement, CorruptDeflate, Deflater, InflatedTooLarge, Inflater
from .frames import (
    BINARY,
    CLOSE,
    COMPRESSED,
    PING,
    PONG,
    TEXT,
    BadClose,
    closePayload,
    frame,
    parseClose,
    preparedDeflatedFrame,
    preparedFrame,
    unmask,
)
from .ratelimit import CONTROL_BURST, CONTROL_RATE, Bucket, Meter

if TYPE_CHECKING:
    from .factory import WireFactory

_CLOSED = WebSocketProtocol.STATE_CLOSED
_CLOSING = WebSocketProtocol.STATE_CLOSING
_OPEN = WebSocketProtocol.STATE_OPEN
_READY_STATES = {
    _CLOSED: ReadyState.CLOSED,
    _CLOSING: ReadyState.CLOSING,
    _OPEN: ReadyState.OPEN,
}

#: Why reading is held; bits of `_held`.
_APPLICATION = 1
_HOOK = 2
_RATE = 4
_TURN = 8

#: With more than this waiting the peer isn't reading, and only the newest pong is kept for it.
_PONG_QUEUE = 4096
#: Longest payload whose length fits two bytes.
MAX_SHORT = 65535

_heartbeatPayload = Struct("!d").pack
_UTF8 = codecs.getincrementaldecoder("utf-8")


class WireProtocol(WebSocketServerProtocol):
    """
    The server side of one WebSocket, from the 101 answer to the end of the TCP connection.

    Classes of it are made per set of options (`WireFactory.protocolClass`), so that an instance
    carries only what changes; Autobahn's handshake, timers and close are not used.
    """

    # What Autobahn's parser reads, in place of its per-instance configuration.
    CONFIG_ATTRS: list[str] = []
    requireMaskedClientFrames = True
    applyMask = True
    failByDrop = True  # "discontinue after an error"; how it ends is `fail`
    logFrames = False
    trackedTimings: Any = None
    data: bytes = b""
    current_frame: Any = None
    inside_message = False
    _perMessageCompress: Any = None  # the Agreement

    # One set of options.
    factory: WireFactory
    options: ServerOptions
    closeOnError: bool
    _shortLimit: int

    # One connection.
    connection: Connection
    transport: Any = None
    state = _OPEN
    slot: int | None = None
    subprotocol: str | None = None
    extensions = ""
    rtt: float | None = None
    connectedAt = 0.0
    lastReceived = 0.0
    lastActivity = 0.0
    pingDue = heartbeat.NEVER
    pingedAt: float | None = None
    incompleteSince: float | None = None
    _out: Outgoing | None = None
    _held = 0
    _heldUntil: float | None = None
    _isReading = True
    _isParsing = False
    _isDiscarding = False
    _isBlocked = False
    _pendingPong: bytes | None = None
    _heartbeat: bytes | None = None
    _waiters: list[Deferred[None]] | None = None
    _closeDue: float | None = None
    _closeCode: int | None = None
    _closeReason = ""
    _deflater: Deflater | None = None
    _inflater: Inflater | None = None
    _meter: Meter | None = None
    _controls: Bucket | None = None

    # One message that came in parts.
    _isText = False
    _isCompressed = False
    _fragments = 0
    _wireSize = 0
    _message: bytearray | None = None
    _decoder: codecs.IncrementalDecoder | None = None
    _control = b""

    def __init__(self) -> None:
        """Nothing of Autobahn's; what a connection starts with are the class' values."""

    # -- open

    def open(
        self, transport: Any, answer: bytes, subprotocol: str | None, agreement: Agreement | None
    ) -> None:
        """Take over `transport`, and write the 101 answer to it."""
        now = self.factory.clock.seconds()
        self.transport = transport
        self.connected = 1
        self.connectedAt = self.lastReceived = self.lastActivity = now
        self.subprotocol = subprotocol
        if agreement is not None:
            self._perMessageCompress = agreement
            self.extensions = agreement.header
        self._meter = Meter.of(self.options, now)
        self._out = outgoing(transport, self._drained)
        self._out.write(answer)
        self.pingDue = heartbeat.firstPing(now, self.options.pingInterval)

    def start(self, connection: Connection, early: bytes) -> None:
        """Run the first hooks, then take what the client sent right behind its request."""
        self.connection = connection
        self.data = early
        self._isParsing = True
        try:
            self.factory.owner.opened(connection)
        finally:
            self._isParsing = False
        self._parse()
        self._applyHeld()
        self._reschedule()

    # -- receiving

    def dataReceived(self, data: bytes) -> None:
        if self._isDiscarding:
            return
        self.lastReceived = self.factory.seconds()
        self.data = self.data + data if self.data else data
        if not self._held:
            self._parse()

    def _parse(self) -> None:
        """Take from `data` all that is complete, as far as reading isn't held."""
        if self._isParsing or self._held or self._isDiscarding:
            return
        self._isParsing = True
        try:
            while True:
                if self.current_frame is None and not self.inside_message and self.state == _OPEN:
                    self._takeShort()
                if self._held or self._isDiscarding or not self.processData():
                    break
        finally:
            self._isParsing = False
        self._notice()

    def _takeShort(self) -> None:
        """Deliver the whole, short, uncompressed messages at the start of `data`."""
        data = self.data
        size = len(data)
        limit = self._shortLimit  # of what fits two bytes, the length is at most MAX_SHORT
        at = 0
        while size - at >= 6:
            first = data[at]
            if first != TEXT and first != BINARY:
                break
            length = data[at + 1] - 128  # less than 0: not masked
            start = at + 6
            if length == 126:
                if size - at < 8:
                    break
                length = data[at + 2] << 8 | data[at + 3]
                start = at + 8
                if length < 126:  # not the shortest form
                    break
            elif length > 126 or length < 0:
                break
            end = start + length
            if end > size or length > limit:
                break
            payload = unmask(data[start:end], data[start - 4 : start])
            message: str | bytes = payload
            if first == TEXT:
                try:
                    message = payload.decode()
                except UnicodeDecodeError:
                    break
            at = end
            self._deliver(message, length)
            if self._held or self.state != _OPEN:
                break
        if at:
            self.data = b"" if self._isDiscarding else data[at:]

    def _deliver(self, message: str | bytes, size: int) -> None:
        self.lastActivity = self.lastReceived
        factory = self.factory
        factory.messagesReceived += 1
        factory.bytesReceived += size
        if factory.isTracing:
            factory.trace(self, "message", kind=type(message).__name__, size=size)
        self.connection.received(message)
        if self._meter is not None and self.state == _OPEN:
            self._charge(self._meter, size)
        if not self.options.allowSynchronousEvents and self.state == _OPEN:
            self._hold(_TURN)
            factory.clock.callLater(0, self._unhold, _TURN)

    def _charge(self, meter: Meter, size: int) -> None:
        now = self.factory.seconds()
        wait = meter.spend(size, now)
        if meter.isAbused(now):
            self.fail(self.connection.application.abuseCode, "over the rate limit")
        elif wait:
            self._heldUntil = now + wait
            self._hold(_RATE)
            self._reschedule()

    def _notice(self) -> None:
        """After parsing: apply `_held` to the transport, and start or stop the assembly deadline."""
        if self._isDiscarding or self.transport is None:
            return
        self._applyHeld()
        if self.inside_message or self.current_frame is not None or (self.data and not self._held):
            if self.incompleteSince is None:
                self.incompleteSince = self.lastReceived
                self._reschedule()
        else:
            self.incompleteSince = None

    # -- Autobahn's parser calls these

    def onFrameBegin(self) -> None:
        header = self.current_frame
        if header.opcode > 7:
            self._control = b""
            return
        if not self.inside_message:
            self.inside_message = True
            self._isText = header.opcode == 1
            self._isCompressed = header.rsv == 4
            self._fragments = 0
            self._wireSize = 0
            self._message = bytearray()
            self._decoder = _UTF8() if self._isText and not self.options.skipUTF8Validation else None
            if self._isCompressed and self._inflater is None:
                assert self._perMessageCompress is not None
                self._inflater = Inflater(self._perMessageCompress)
        options = self.options
        self._fragments += 1
        self._wireSize += header.length
        limit = options.maxPayload
        if self._isCompressed and options.maxCompressedSize:
            limit = options.maxCompressedSize
        if limit and self._wireSize > limit:
            self.fail(CloseCode.MESSAGE_TOO_BIG, f"message longer than {limit} bytes")
        elif options.maxFragments and self._fragments > options.maxFragments:
            self.fail(CloseCode.POLICY_VIOLATION, f"more than {options.maxFragments} fragments")

    def onFrameData(self, payload: bytes) -> bool | None:
        if self._isDiscarding:
            return False
        if self.current_frame.opcode > 7:
            self._control += payload
            return None
        if self._isCompressed:
            assert self._inflater is not None
            return self._inflate(self._inflater.inflate, payload)
        return self._append(payload)

    def onFrameEnd(self) -> bool | None:
        header = self.current_frame
        if header.opcode > 7:
            self.current_frame = None
            self._controlReceived(header.opcode, self._control)
            return None
        if header.fin:
            if self._isCompressed:
                assert self._inflater is not None
                if self._inflate(self._inflater.finish) is False:
                    return False
            if not self._endMessage():
                return False
        self.current_frame = None
        return None

    def _inflate(self, step: Any, *args: bytes) -> bool | None:
        assert self._message is not None
        limit = self.options.maxPayload
        try:
            payload = step(*args, limit - len(self._message) if limit else None)
        except InflatedTooLarge:
            self.fail(CloseCode.MESSAGE_TOO_BIG, f"message longer than {limit} bytes")
            return False
        except CorruptDeflate:
            self.fail(CloseCode.INVALID_PAYLOAD, "not DEFLATE data")
            return False
        return self._append(payload)

    def _append(self, payload: bytes) -> bool | None:
        assert self._message is not None
        self._message += payload
        return None if self._isUTF8(payload, final=False) else False

    def _isUTF8(self, payload: bytes, final: bool) -> bool:
        if self._decoder is not None:
            try:
                self._decoder.decode(payload, final)
            except UnicodeDecodeError:
                self.fail(CloseCode.INVALID_PAYLOAD, "text that is not UTF-8")
                return False
        return True

    def _endMessage(self) -> bool:
        """A message that came in parts is complete; whether it is sound."""
        if not self._isUTF8(b"", final=True):
            return False
        assert self._message is not None
        payload = bytes(self._message)
        self._message = self._decoder = None
        self.inside_message = False
        self.current_frame = None
        if self.state == _OPEN:
            self._deliver(payload.decode(errors="replace") if self._isText else payload, len(payload))
        return True

    def _fail_connection(self, code: int = 1002, reason: str = "") -> None:
        """Autobahn found an error."""
        self.fail(code, reason)

    def _controlReceived(self, opcode: int, payload: bytes) -> None:
        if self._controls is None:
            self._controls = Bucket(CONTROL_RATE, CONTROL_BURST, self.lastReceived)
        if self._controls.spend(1, self.lastReceived):
            self.fail(CloseCode.POLICY_VIOLATION, "too many control frames")
        elif opcode == 8:
            self._closeReceived(payload)
        elif self.state == _OPEN:
            if opcode == 9:
                self._pingReceived(payload)
            else:
                self._pongReceived(payload)

    def _pingReceived(self, payload: bytes) -> None:
        if self.factory.isTracing:
            self.factory.trace(self, "ping", size=len(payload))
        if self.options.autoPong:
            self.pong(payload)
        self.connection.notified("onPing", payload)

    def _pongReceived(self, payload: bytes) -> None:
        if self._heartbeat is not None and payload == self._heartbeat:
            self._heartbeat = None
            (sent,) = Struct("!d").unpack(payload)
            self.rtt = max(0.0, self.lastReceived - sent)
            return
        if self.factory.isTracing:
            self.factory.trace(self, "pong", size=len(payload))
        self.connection.notified("onPong", payload)

    # -- holding

    @property
    def isHeld(self) -> bool:
        """Whether reading is held, by the application, a running hook or a rate limit."""
        return bool(self._held)

    def pause(self) -> None:
        self._hold(_APPLICATION)

    def resume(self) -> None:
        self._unhold(_APPLICATION)

    def hold(self) -> None:
        self._hold(_HOOK)

    def release(self) -> None:
        self._unhold(_HOOK)

    def _hold(self, why: int) -> None:
        if self.state == _OPEN:
            self._held |= why
            self._applyHeld()

    def _unhold(self, why: int) -> None:
        if not self._held & why:
            return
        self._held &= ~why
        if not self._held and self.transport is not None:
            self.lastReceived = self.factory.seconds()
            self._parse()
            self._applyHeld()

    def _applyHeld(self) -> None:
        """Pause or resume the transport, once for all that happened while a read was parsed."""
        if self._isParsing or self.transport is None or self._isReading is not bool(self._held):
            return
        self._isReading = not self._held
        if self._held:
            self.transport.pauseProducing()
        else:
            self.transport.resumeProducing()

    # -- sending

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
        if self.state != _OPEN:
            return SendStatus.CLOSED
        if not self._admits(len(payload)):
            return SendStatus.DROPPED
        if self._perMessageCompress is not None and len(payload) >= (self.options.threshold or 1):
            first |= COMPRESSED
            payload = self._ownDeflater().deflate(payload)
        return self._write(frame(first, payload), len(payload))

    def sendPrepared(self, prepared: Prepared) -> SendStatus:
        if self.state != _OPEN:
            return SendStatus.CLOSED
        size = len(prepared.payload)
        if not self._admits(size):
            return SendStatus.DROPPED
        if self._perMessageCompress is None or size < (self.options.threshold or 1):
            return self._write(preparedFrame(prepared), size)
        deflater = self._ownDeflater()
        if self._perMessageCompress.serverTakeover:
            first = COMPRESSED | (BINARY if prepared.isBinary else TEXT)
            return self._write(frame(first, deflater.deflate(prepared.payload)), size)
        return self._write(preparedDeflatedFrame(prepared, deflater), size)

    def _ownDeflater(self) -> Deflater:
        if self._deflater is None:
            assert self._perMessageCompress is not None
            self._deflater = self.factory.deflater(self._perMessageCompress)
        return self._deflater

    def _admits(self, size: int) -> bool:
        """Whether a message of `size` bytes may be queued."""
        assert self._out is not None
        waiting = self._out.amount()
        limit = self.options.maxBackpressure
        if not waiting or not limit or waiting + size <= limit:
            return True
        if self.options.closeOnBackpressureLimit:
            self.close(CloseCode.TRY_AGAIN_LATER, "too slow")
        return False

    def _write(self, data: bytes, size: int) -> SendStatus:
        assert self._out is not None
        self.factory.messagesSent += 1
        self.factory.bytesSent += size
        self._out.write(data)
        limit = self.options.highWaterMark
        if limit and self._out.amount() > limit:
            self._isBlocked = True
            self._out.notifyWhenEmpty()
            return SendStatus.BACKPRESSURE
        return SendStatus.SENT

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
        if self._pendingPong is not None and self.state == _OPEN:
            pong, self._pendingPong = self._pendingPong, None
            self.pong(pong)
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            waiter.callback(None)
        if self._isBlocked:
            self._isBlocked = False
            if self.state == _OPEN:
                if self.factory.isTracing:
                    self.factory.trace(self, "drain")
                self.connection.notified("onDrain")

    def ping(self, payload: bytes) -> None:
        if self.state == _OPEN:
            assert self._out is not None
            self._out.write(frame(PING, payload))

    def pong(self, payload: bytes) -> None:
        if self.state != _OPEN:
            return
        assert self._out is not None
        if self._out.amount() > _PONG_QUEUE:
            # RFC 6455 §5.5.3: only the most recent ping need be answered.
            self._pendingPong = payload
            self._out.notifyWhenEmpty()
        else:
            self._out.write(frame(PONG, payload))

    def sendHeartbeat(self, now: float) -> None:
        """A ping of the server's own, from which the round trip is measured."""
        self._heartbeat = _heartbeatPayload(now)
        self.pingedAt = now if self.options.pingTimeout else None
        self.ping(self._heartbeat)

    # -- time

    def due(self, now: float) -> None:
        """The sweep: the next deadline has passed."""
        if self.transport is None:
            self.connection.giveUp()
            del self.connection
        elif self._closeDue is not None:
            if now >= self._closeDue:
                self.transport.abortConnection()
            else:
                self._reschedule()
        else:
            if self._heldUntil is not None and now >= self._heldUntil:
                self._heldUntil = None
                self._unhold(_RATE)
            if self.state == _OPEN:
                heartbeat.judge(self, now)
            self._reschedule()

    def _reschedule(self) -> None:
        if self.transport is None:
            return
        when = self._closeDue
        if when is None and self.state == _OPEN:
            when = heartbeat.nextLook(self, self.factory.seconds())
            if self._heldUntil is not None:
                when = min(when, self._heldUntil)
        if when is not None and when != heartbeat.NEVER:
            self.factory.sweep.schedule(self, when)

    # -- closing

    @property
    def readyState(self) -> ReadyState:
        return _READY_STATES[self.state]

    def close(self, code: int | None, reason: str) -> None:
        """Begin the closing handshake (RFC 6455 §7.1.2); all that closes comes by here."""
        if self.state != _OPEN:
            return
        assert self._out is not None
        if self.factory.isTracing:
            self.factory.trace(self, "close", code=code, reason=reason)
        self._out.write(frame(CLOSE, closePayload(code, reason)))
        self.state = _CLOSING
        if self.options.closeTimeout:
            self._closeDue = self.factory.clock.seconds() + self.options.closeTimeout
            self._reschedule()
        else:
            self.factory.sweep.cancel(self)
        # The answer must be read, whatever was held.
        self._held = 0
        self._heldUntil = None
        if not self._isParsing:
            self._parse()
            self._applyHeld()

    def fail(self, code: int, reason: str) -> None:
        """The peer broke a rule (RFC 6455 §7.1.7): tell it why, and take nothing more from it."""
        if self._isDiscarding:
            return
        self._isDiscarding = True
        self.data = b""
        self._message = self._decoder = self._inflater = None
        if self._closeCode is None:
            self._closeCode, self._closeReason = code, reason
        self.close(code, reason)
        self._end()

    def lose(self, code: int, reason: str) -> None:
        """The peer is gone: send a Close frame as best effort, and drop the connection."""
        self.fail(code, reason)
        if self.transport is not None:
            self.transport.abortConnection()

    def terminate(self) -> None:
        if self.transport is not None and self.state != _CLOSED:
            self._isDiscarding = True
            self.state = _CLOSING
            self.transport.abortConnection()

    def _closeReceived(self, payload: bytes) -> None:
        try:
            code, reason = parseClose(payload)
        except BadClose as error:
            self.fail(error.code, "bad Close frame")
            return
        self._isDiscarding = True
        self._closeCode = CloseCode.NO_STATUS if code is None else code
        self._closeReason = reason
        self.close(code, "")  # the answer, unless it was us who began
        self._end()

    def _end(self) -> None:
        """Nothing more will be said: let the last bytes out, and the TCP connection go."""
        if self.transport is None:
            return
        assert self._out is not None
        self._held = 0
        self._applyHeld()
        self._out.forget()
        closeGently(self.transport)

    def connectionLost(self, reason: Failure | None = None) -> None:
        if self.transport is None:
            return
        factory = self.factory
        self.state = _CLOSED
        self.transport = None
        factory.sweep.cancel(self)
        if self._out is not None:
            self._out.forget()
            self._out = None
        self.data = b""
        self.current_frame = self._message = self._inflater = self._deflater = None
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            waiter.errback(ConnectionLost())
        connection = self.connection
        code = CloseCode.ABNORMAL if self._closeCode is None else self._closeCode
        if factory.isTracing:
            factory.trace(self, "disconnect", code=code, reason=self._closeReason)
        factory.leave(connection.handshake.peer, connection.application)
        factory.owner.closed(connection)
        connection.disconnected(code, self._closeReason)
        if connection.isBusy:
            factory.sweep.schedule(self, factory.clock.seconds() + self.options.closeTimeout)
        else:
            del self.connection  # a cycle less to collect
