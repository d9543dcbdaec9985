"""
The way in of one WebSocket: bytes to messages, in order, and not while a hook holds them up.

The hot path is `_takeShort`: whole short messages, parsed where they lie. Everything else that arrives
is parsed by Autobahn, always from a frame boundary. What must hold:

- `_takeShort` runs only at a frame boundary, outside a fragmented message, in state OPEN.
- After each delivery the state and `_held` are looked at again: a handler may close or pause, and the
  budget of the turn may be spent.
- RSV bits, control frames, long and fragmented messages and errors are left to the parser.
- After `fail` nothing more is parsed or delivered; after `close` nothing more is delivered.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from ..core.codes import CloseCode
from ..core.tokenbucket import Bucket
from .assembler import Assembler, Violation
from .deflate import Inflater
from .frames import BINARY, TEXT, unmask
from .ratelimit import CONTROL_BURST, CONTROL_RATE, PATIENCE, Meter
from .sender import OPEN, Sender

#: Why reading is held; bits of `_held`.
APPLICATION = 1
HOOK = 2
RATE = 4
TURN = 8
#: Those that aren't the client's doing.
_OURS = APPLICATION | HOOK
#: A hold so long, in seconds, lets what comes behind it be as much as could have come meanwhile.
LONG_HOLD = 1.0

#: Messages that one connection may have handled, and its handlers may send, in one turn of the reactor;
#: then the others get theirs. A long one counts once more for each `WEIGHT` bytes.
TURN_BUDGET = 512
WEIGHT = 4096
#: Bytes that are read ahead of a hook that takes long.
MAX_PEEKED = 64 * 1024
#: Longest payload whose length fits two bytes.
MAX_SHORT = 65535


class Receiver(Sender):
    """What a `WireProtocol` receives with, around Autobahn's parser."""

    isLean = True  # to `txroom.process.leanepoll`
    # What the parser reads, in place of Autobahn's per-instance configuration.
    factory: Any = SimpleNamespace(isServer=True)
    requireMaskedClientFrames = True
    applyMask = True
    failByDrop = True  # "discontinue after an error"; how it ends is `fail`
    logFrames = False
    trackedTimings: Any = None
    data: bytes = b""
    current_frame: Any = None
    inside_message = False

    # One set of options.
    _shortLimit: int
    _turnBudget: int

    # One connection.
    rtt: float | None = None
    connectedAt = 0.0
    lastReceived = 0.0
    lastActivity = 0.0
    resumedAt = 0.0
    incompleteSince: float | None = None
    _held = 0
    _heldUntil: float | None = None
    _heldFrom = 0.0  # of a hold that is ours
    _creditedUntil: float | None = None
    _excusedAt = 0.0
    _isReading = True
    _isPeeking = False
    _isParsing = False
    _isDiscarding = False
    _spent = 0  # of the turn's budget
    _message: Assembler | None = None
    _inflater: Inflater | None = None
    _control = b""
    _meter: Meter | None = None
    _controls: Bucket | None = None

    def fail(self, code: int, reason: str) -> None:
        """End the connection because the peer broke a rule."""
        raise NotImplementedError

    def _closeReceived(self, payload: bytes) -> None:
        """The peer sent a Close frame."""
        raise NotImplementedError

    def _takesMore(self, size: int) -> bool:
        """So many bytes have come of a peer that is to close; whether they are looked at."""
        raise NotImplementedError

    def _reschedule(self) -> None:
        """A deadline may have come nearer."""
        raise NotImplementedError

    def dataReceived(self, data: bytes) -> None:
        if self.state != OPEN and not self._takesMore(len(data)):
            return
        self.lastReceived = self.context.seconds()
        self.data = self.data + data if self.data else data
        if not self._held:
            self._parse()
        elif self._isPeeking and len(self.data) > MAX_PEEKED:
            self._isPeeking = False
            self._applyHeld()

    def _parse(self) -> None:
        """Take from `data` all that is complete, as far as reading isn't held."""
        if self._isParsing or self._held or self._isDiscarding:
            return
        self._isParsing = True
        self._spent = 0
        try:
            while not (self._held or self._isDiscarding):
                if self.current_frame is None:
                    if not self.data:
                        break
                    if self._spent and self._spent >= self._turnBudget and self.state == OPEN:
                        self._hold(TURN)
                        self.context.clock.callLater(0, self._unhold, TURN)
                        break
                    if not self.inside_message and self.state == OPEN and self._takeShort():
                        continue
                if not self.processData():
                    break
        finally:
            self._isParsing = False
        if self.data or self._held or self.inside_message or self.current_frame or not self._isReading:
            self._notice()

    def _takeShort(self) -> bool:
        """Deliver the whole, short, uncompressed messages at the start of `data`; whether there was one."""
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
            if at == size:  # nothing is left for which the budget would matter
                self._deliver(message, length)
                break
            self._deliverCharged(message, length)
            if self._held or self._spent >= self._turnBudget or self.state != OPEN:
                break
        if not at:
            return False
        self.data = b"" if self._isDiscarding else data[at:]
        self.incompleteSince = None
        return True

    def _deliver(self, message: str | bytes, size: int) -> None:
        self.lastActivity = self.lastReceived
        context = self.context
        context.messagesReceived += 1
        context.bytesReceived += size
        if context.isTracing:
            context.trace(self.connection, "message", kind=type(message).__name__, size=size)
        self.connection.received(message)
        if self._meter is not None and self.state == OPEN:
            self._charge(self._meter, size)

    def _deliverCharged(self, message: str | bytes, size: int) -> None:
        """As `_deliver`; the budget of the turn pays for it, and for all that is sent meanwhile."""
        context = self.context
        messages, octets = context.messagesSent, context.bytesSent
        self._deliver(message, size)
        self._spent += 1 + context.messagesSent - messages + (size + context.bytesSent - octets) // WEIGHT

    def _charge(self, meter: Meter, size: int) -> None:
        now = self.context.seconds()
        wait = meter.spend(size, now)
        if wait and self._stoodStill(now):
            wait = meter.credit(0.0, now)
        if meter.isAbused(now):
            self.fail(self.connection.application.abuseCode, "over the rate limit")
        elif wait:
            self._heldUntil = now + wait
            self._hold(RATE)
            self._reschedule()

    def _stoodStill(self, now: float) -> bool:
        """Whether the process stood still, for which this client hasn't been given credit yet."""
        lost = self.context.wheel.lostSince(max(self.connectedAt, self._excusedAt))
        self._excusedAt = now
        if lost:
            self._credit(lost, now)
        return lost > 0

    def _credit(self, seconds: float, now: float) -> None:
        """What comes now came while nobody read: for a while it may be as much as that time allows."""
        if self._controls is None:
            self._controls = Bucket(CONTROL_RATE, CONTROL_BURST, now)
        self._controls.credit(seconds, now)
        if self._meter is not None:
            self._meter.credit(seconds, now)
        self._creditedUntil = now + PATIENCE
        self._reschedule()

    def _settle(self) -> None:
        """What came meanwhile has been read."""
        self._creditedUntil = None
        if self._controls is not None:
            self._controls.settle()
        if self._meter is not None:
            self._meter.settle()

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

    # -- called by Autobahn's parser

    def onFrameBegin(self) -> None:
        header = self.current_frame
        if header.opcode > 7:
            self._control = b""
            return
        if not self.inside_message:
            self.inside_message = True
            self._message = Assembler(header.opcode == 1, self._inflaterFor(header), self.options)
        assert self._message is not None
        try:
            self._message.beginFrame(header.length)
        except Violation as violation:
            self.fail(violation.code, violation.reason)

    def onFrameData(self, payload: bytes) -> bool | None:
        if self._isDiscarding:
            return False
        if self._message is None or self.current_frame.opcode > 7:
            self._control += payload
            return None
        try:
            self._message.append(payload)
        except Violation as violation:
            self.fail(violation.code, violation.reason)
            return False
        return None

    def onFrameEnd(self) -> bool | None:
        header, self.current_frame = self.current_frame, None
        if header.opcode > 7:
            if not self.inside_message:
                self.incompleteSince = None
            self._controlReceived(header.opcode, self._control)
        elif header.fin:
            self.incompleteSince = None
            return self._endMessage()
        return None

    def _inflaterFor(self, header: Any) -> Inflater | None:
        if header.rsv != 4:
            return None
        if self._inflater is None:
            self._inflater = Inflater(self._perMessageCompress)
        return self._inflater

    def _endMessage(self) -> bool:
        """A message that came in parts is complete; whether it is sound."""
        assembled, self._message = self._message, None
        self.inside_message = False
        assert assembled is not None
        try:
            message = assembled.finish()
        except Violation as violation:
            self.fail(violation.code, violation.reason)
            return False
        if self.state == OPEN:
            self._deliverCharged(message, assembled.size)
        return True

    @property
    def receivedOfMessage(self) -> int:
        """Bytes that have come of a message that isn't complete."""
        return 0 if self._message is None else self._message.received

    def _fail_connection(self, code: int = 1002, reason: str = "") -> None:
        """Autobahn found an error."""
        self.fail(code, reason)

    def _controlReceived(self, opcode: int, payload: bytes) -> None:
        if self._controls is None:
            self._controls = Bucket(CONTROL_RATE, CONTROL_BURST, self.lastReceived)
        now = self.lastReceived
        if self._controls.spend(1, now) and not (
            self._stoodStill(now) and not self._controls.credit(0.0, now)
        ):
            self.fail(CloseCode.POLICY_VIOLATION, "too many control frames")
        elif opcode == 8:
            self._closeReceived(payload)
        elif self.state == OPEN:
            if opcode == 9:
                self._pingReceived(payload)
            else:
                self._pongReceived(payload)

    def _pingReceived(self, payload: bytes) -> None:
        if self.context.isTracing:
            self.context.trace(self.connection, "ping", size=len(payload))
        if self.options.autoPong:
            self.pong(payload)
        self.connection.notified("onPing", payload)

    def _pongReceived(self, payload: bytes) -> None:
        if self._heartbeat is not None and payload == self._heartbeat[0]:
            self.rtt = max(0.0, self.lastReceived - self._heartbeat[1])
            self._heartbeat = None
            return
        if self.context.isTracing:
            self.context.trace(self.connection, "pong", size=len(payload))
        self.connection.notified("onPong", payload)

    # -- holding

    @property
    def isHeld(self) -> bool:
        """Whether reading is held, by the application, a running hook or a rate limit."""
        return bool(self._held)

    @property
    def isReading(self) -> bool:
        """Whether the transport reads: what has come so far has been seen."""
        return self._isReading

    def pause(self) -> None:
        self._hold(APPLICATION)

    def resume(self) -> None:
        self._unhold(APPLICATION)

    def hold(self) -> None:
        self._hold(HOOK)

    def release(self) -> None:
        self._unhold(HOOK)

    def _hold(self, why: int) -> None:
        if self.state == OPEN:
            if why & _OURS and not self._held & _OURS:
                # A hook runs because something has just been received.
                self._heldFrom = self.lastReceived if why == HOOK else self.context.seconds()
            self._held |= why
            self._applyHeld()

    def _unhold(self, why: int) -> None:
        if not self._held & why:
            return
        self._held &= ~why
        if not self._held and self.transport is not None:
            self._isPeeking = False
            # What was silent or incomplete meanwhile was so because of us.
            self.lastReceived = self.resumedAt = now = self.context.seconds()
            self.incompleteSince = None
            if why & _OURS and now - self._heldFrom >= LONG_HOLD:
                self._credit(now - self._heldFrom, now)
            self._parse()
            self._applyHeld()

    def _applyHeld(self) -> None:
        """Pause or resume the transport, once for all that happened while a read was parsed."""
        reads = not self._held or self._isPeeking
        if self._isParsing or self.transport is None or self._isReading is reads:
            return
        self._isReading = reads
        if reads:
            self.transport.resumeProducing()
        else:
            self.transport.pauseProducing()

    def peek(self) -> bool:
        """
        Read on although it is held, without delivering, to hear whether the peer is there; whether it does.

        Up to `MAX_PEEKED` bytes lie ready, then reading stops again.
        """
        if self._held and len(self.data) <= MAX_PEEKED:
            self._isPeeking = True
            self._applyHeld()
        return self._isReading
