"""
The receiving side of one WebSocket: it parses frames and delivers messages in order.

Twisted's transport delivers to `Receiver`. Its hot path is `_takeShort`, which parses short messages of one
frame. `assembler` parses all other frames, always from the start of a frame. These rules hold:

- `_takeShort` only runs between frames and messages, in the state OPEN.
- `state` and `reading` are checked again after each message, because its handler may close or pause the
  connection, and the budget of the turn may be spent.
- In the state CLOSING, frames are parsed within the same budget, but messages are not delivered. From
  DISCARDING on, nothing is parsed.

`state` is the state of the connection (see `states`). `reading` is FLOWING, HELD or PEEKING (see
`flowcontrol`).
"""

from __future__ import annotations

from typing import Any, Protocol

from twisted.internet.interfaces import ILoggingContext
from twisted.python.failure import Failure
from zope.interface import implementer

from ..core.codes import CloseCode
from ..core.connection import Connection
from ..core.options import ServerOptions
from .assembler import Incoming
from .context import WireContext
from .deadlines import NEVER
from .deflate import DeflateParameters
from .flowcontrol import FLOWING, HOOK, MAX_PEEKED, PEEKING, RATE, TURN, FlowControl
from .frames import BINARY as WHOLE_BINARY
from .frames import TEXT as WHOLE_TEXT
from .frames import Violation
from .masking import unmask
from .parser import CLOSE, CONTINUATION
from .ratelimit import Allowance, Meter
from .states import CLOSED, DISCARDING, OPEN

#: The number of messages that one connection may receive, and that its handlers may send, before the reactor
#: reads other connections. A long message counts once more for each `WEIGHT` bytes.
TURN_BUDGET = 512
WEIGHT = 4096
#: The largest payload whose length is written in the header in at most two bytes.
MAX_SHORT = 65535


class WirePort(Protocol):
    """What the `Receiver` needs of its `WireProtocol`."""

    options: ServerOptions
    parameters: DeflateParameters | None

    def takesMore(self, size: int) -> bool:
        """Count bytes received while the connection is closing. Returns whether they have to be parsed."""
        ...

    def controlReceived(self, opcode: int, payload: bytes) -> None:
        """Handle a Close frame, a ping or a pong."""
        ...

    def fail(self, code: int, reason: str) -> None:
        """Fail the connection, because the peer broke a rule."""
        ...

    def reschedule(self) -> None:
        """Compute the next deadline again."""
        ...

    def connectionLost(self, reason: Failure | None = None) -> None:
        """End the connection, because its TCP connection is closed."""
        ...


@implementer(ILoggingContext)
class Receiver:
    """
    The receiving side of one connection.

    It is the protocol of the connection's transport, in Twisted's sense.
    """

    isLean = True  # `txroom.process.leanepoll` may read without a logging context

    __slots__ = (
        "_allowance",
        "_flowControl",
        "_incoming",
        "_isInside",
        "_meter",
        "_shortLimit",
        "_spent",
        "_turnBudget",
        "_wire",
        "connectedAt",
        "connection",
        "context",
        "data",
        "incompleteSince",
        "isParsing",
        "lastActivity",
        "lastReceived",
        "reading",
        "state",
        "transport",
    )

    def __init__(
        self,
        wire: WirePort,
        context: WireContext,
        connection: Connection,
        options: ServerOptions,
        now: float,
    ) -> None:
        self._wire = wire
        self.context = context
        self.connection = connection
        self._shortLimit = options.maxPayload or MAX_SHORT
        self._turnBudget = TURN_BUDGET if options.allowSynchronousEvents else 1
        self._meter = Meter.of(options, now)
        self.transport: Any = None
        self.state = OPEN
        self.reading = FLOWING
        self.data = b""
        #: Whether the start of a fragmented or long message has arrived, but not its end.
        self._isInside = False
        #: When the incomplete message or frame started.
        self.incompleteSince: float | None = None
        self.isParsing = False
        self._spent = 0  # how much of `_turnBudget` is used
        self.connectedAt = self.lastReceived = self.lastActivity = now
        # Created when they are needed.
        self._incoming: Incoming | None = None
        self._flowControl: FlowControl | None = None
        self._allowance: Allowance | None = None

    def logPrefix(self) -> str:
        """Return the name for Twisted's log."""
        return "WireProtocol"

    def connectionLost(self, reason: Failure | None = None) -> None:
        if self.state != CLOSED:
            self._wire.connectionLost(reason)

    def dataReceived(self, data: bytes) -> None:
        if self.state != OPEN and (self.state == CLOSED or not self._wire.takesMore(len(data))):
            return
        context = self.context
        self.lastReceived = now = context.seconds()
        turn = context.turn
        if turn.pending:
            turn.beginRead(now)
        else:
            turn.since = now
        self.data = self.data + data if self.data else data
        if not self.reading:  # FLOWING
            self.parse()
        elif self.reading == PEEKING and len(self.data) > MAX_PEEKED:
            assert self._flowControl is not None
            self._flowControl.tooMuch()

    def parse(self) -> None:
        """Parse and deliver the complete frames in `data`, unless reading is held."""
        if self.isParsing or self.reading or self.state >= DISCARDING:
            return
        self.isParsing = True
        self._spent = 0
        turn = self.context.turn
        isOuter = not turn.isActive
        turn.isActive = True
        try:
            while self.data and not self.reading and self.state < DISCARDING:
                if self._spent and self._spent >= self._turnBudget:
                    self._makeFlowControl().hold(TURN)
                    self.context.clock.callLater(0, self.release, TURN)
                    break
                if self.state != OPEN:
                    self._spent += 1  # parsing a frame takes time even if nothing is delivered
                elif not self._isInside and self._takeShort():
                    continue
                if not self._takeFrame():
                    break
        finally:
            self.isParsing = False
            if isOuter:
                turn.isActive = False
                if turn.pending:
                    turn.endRead()
        if self.data or self.reading or self._isInside:
            self._notice()

    def _takeShort(self) -> bool:
        """Deliver the short uncompressed messages at the start of `data`. Returns whether there were any."""
        data = self.data
        size = len(data)
        limit = self._shortLimit  # a length of two bytes is at most MAX_SHORT
        at = 0
        while size - at >= 6:
            first = data[at]
            if first != WHOLE_TEXT and first != WHOLE_BINARY:
                break
            length = data[at + 1] - 128  # negative if the frame is not masked
            start = at + 6
            if length == 126:
                if size - at < 8:
                    break
                length = data[at + 2] << 8 | data[at + 3]
                start = at + 8
                if length < 126:  # not the shortest encoding
                    break
            elif length > 126 or length < 0:
                break
            end = start + length
            if end > size or length > limit:
                break
            payload = unmask(data[start:end], data[start - 4 : start])
            message: str | bytes = payload
            if first == WHOLE_TEXT:
                try:
                    message = payload.decode()
                except UnicodeDecodeError:
                    break
            at = end
            if at == size:  # there are no more messages, so the budget does not matter
                self._deliver(message, length)
                break
            self._deliverCharged(message, length)
            if self.reading or self._spent >= self._turnBudget or self.state != OPEN:
                break
        if not at:
            return False
        self.data = b"" if self.state >= DISCARDING else data[at:]
        self.incompleteSince = None
        return True

    def _deliver(self, message: str | bytes, size: int) -> None:
        self.lastActivity = self.lastReceived
        context = self.context
        context.messagesReceived += 1
        context.bytesReceived += size
        if context.isTracing:
            context.traceMessage(self.connection, message, size)
        self.connection.received(message)
        if self._meter is not None and self.state == OPEN:
            self._charge(self._meter, size)

    def _deliverCharged(self, message: str | bytes, size: int) -> None:
        """Like `_deliver`; charge the budget for the message and for all messages that its handler sends."""
        context = self.context
        messages, octets = context.messagesSent, context.bytesSent
        self._deliver(message, size)
        self._spent += 1 + context.messagesSent - messages + (size + context.bytesSent - octets) // WEIGHT
        if context.turn.pending:
            context.turn.check()

    def _takeFrame(self) -> bool:
        """
        Parse a frame that `_takeShort` does not take, or a part of one. Returns whether anything was parsed.
        """
        incoming = self._incoming
        if incoming is None:
            incoming = self._incoming = Incoming(self._wire.options, self._wire.parameters)
        try:
            taken = incoming.take(self.data)
        except Violation as violation:
            self._wire.fail(violation.code, violation.reason)
            return False
        if taken is None:
            return False
        opcode, content, size, self.data = taken
        self._isInside = incoming.isInside
        if opcode >= CLOSE:
            assert type(content) is bytes
            if not self._isInside:
                self.incompleteSince = None
            self._controlReceived(opcode, content)
        elif opcode != CONTINUATION:
            self.incompleteSince = None
            if self.state == OPEN:
                self._deliverCharged(content, size)
        return True

    def _controlReceived(self, opcode: int, payload: bytes) -> None:
        allowance = self.limits()
        isAllowed = allowance.takesControl(self.lastReceived)
        if allowance.settleAt is not None:
            self._wire.reschedule()
        if isAllowed:
            self._wire.controlReceived(opcode, payload)
        else:
            self._wire.fail(CloseCode.POLICY_VIOLATION, "too many control frames")

    def _notice(self) -> None:
        """After parsing, pause or resume the transport, and start or stop the deadline `messageTimeout`."""
        if self.state >= DISCARDING:
            return
        self.applyReading()
        if self._isInside or (self.data and not self.reading):
            if self.incompleteSince is None:
                self.incompleteSince = self.lastReceived
                self._wire.reschedule()
        else:
            self.incompleteSince = None

    # -- rate limits

    def limits(self) -> Allowance:
        """Get the rate limits of the connection."""
        if self._allowance is None:
            wheel = self.context.wheel
            self._allowance = Allowance(self._meter, self.connectedAt, self.lastReceived, wheel)
        return self._allowance

    def _charge(self, meter: Meter, size: int) -> None:
        now = self.context.seconds()
        wait = meter.spend(size, now)
        if wait:
            wait = self.limits().excuse(wait, now)
            if not wait:
                self._wire.reschedule()
        if meter.isAbused(now):
            self._wire.fail(self.connection.application.abuseCode, "over the rate limit")
        elif wait:
            self.hold(RATE)
            if self._flowControl is not None:
                self._flowControl.until = now + wait
            self._wire.reschedule()

    def credit(self, seconds: float, now: float) -> None:
        """Make allowance for messages that arrived during `seconds` in which the connection was not read."""
        self.limits().credit(seconds, now)
        self._wire.reschedule()

    # -- reading

    @property
    def isHeld(self) -> bool:
        """Whether reading is held by the application, a running hook, a rate limit or the turn's budget."""
        return self.reading != FLOWING

    @property
    def isReading(self) -> bool:
        """Whether the transport reads, so that everything that has arrived is known."""
        return self._flowControl is None or self._flowControl.isReading

    @property
    def resumedAt(self) -> float:
        """When reading was last resumed after a hold; 0 if reading was never held."""
        return 0.0 if self._flowControl is None else self._flowControl.resumedAt

    @property
    def receivedOfMessage(self) -> int:
        """The number of bytes received of an incomplete message."""
        return 0 if self._incoming is None else self._incoming.received

    def hold(self, why: int) -> None:
        """Hold reading for a reason, in addition to others."""
        if self.state == OPEN:
            self._makeFlowControl().hold(why)

    def _makeFlowControl(self) -> FlowControl:
        """Get the flow control, which is created when it is first needed."""
        if self._flowControl is None:
            self._flowControl = FlowControl(self)
        return self._flowControl

    def release(self, why: int) -> None:
        """Remove a reason to hold reading. When no reason is left, reading continues."""
        if self._flowControl is not None:
            self._flowControl.release(why)

    def peek(self) -> bool:
        """Read ahead although reading is held, if possible. Returns whether the transport reads."""
        return self._flowControl is None or self._flowControl.peek()

    def applyReading(self) -> None:
        """Pause or resume the transport."""
        if self._flowControl is not None:
            self._flowControl.apply()

    # -- called by `WireProtocol`

    def begin(self, early: bytes) -> None:
        """Keep the bytes that the client sent directly after its request, until `isParsing` is reset."""
        if self._flowControl is not None:
            self._flowControl.lift(HOOK)
        self.data = early + self.data
        self.isParsing = True

    def flow(self) -> None:
        """Drop all holds, because the connection is closing and the peer's answer has to be read."""
        if self._flowControl is not None:
            self._flowControl.clear()
        if not self.isParsing:
            self.parse()
            self.applyReading()

    def discard(self) -> None:
        """Discard all received bytes; nothing more is parsed."""
        self.data = b""
        self._isInside = False
        self._incoming = None
        self.flow()

    def due(self, now: float) -> None:
        """End the hold of a rate limit, or a credit, when its time has come."""
        control, allowance = self._flowControl, self._allowance
        if control is not None and control.until is not None and now >= control.until:
            control.until = None
            control.release(RATE)
        if allowance is not None and allowance.settleAt is not None and now >= allowance.settleAt:
            allowance.settle()

    def nextDeadline(self) -> float:
        """Get the time at which `due` has to be called."""
        when = NEVER
        if self._flowControl is not None and self._flowControl.until is not None:
            when = self._flowControl.until
        if self._allowance is not None and self._allowance.settleAt is not None:
            when = min(when, self._allowance.settleAt)
        return when

    def forget(self) -> None:
        """Break the reference cycles of a connection that is closed."""
        del self._wire, self.connection
        self.transport = None
        self.data = b""
        self._incoming = self._flowControl = self._allowance = None
