"""
One upgraded transport, from the 101 answer to the end of its TCP connection.

What it sends is in `sender`, what it receives in `receiver`; here is what time does to it, and the one
path on which it closes. A Close frame is sent once, and nothing after it.
"""

from __future__ import annotations

from typing import Any

import attrs
from autobahn.websocket.protocol import WebSocketProtocol
from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure

from ..core.codes import CloseCode, ReadyState
from ..core.options import ServerOptions
from . import heartbeat, pace
from .context import WireContext
from .deflate import DeflateParameters
from .frames import CLOSE, BadClose, closePayload, frame, parseClose
from .ratelimit import Meter
from .receiver import HOOK, MAX_SHORT, RATE, TURN_BUDGET, Receiver
from .sendbuffer import outgoing
from .sender import OPEN
from .transports import closeGently

CLOSED = WebSocketProtocol.STATE_CLOSED
CLOSING = WebSocketProtocol.STATE_CLOSING
_READY_STATES = {
    CLOSED: ReadyState.CLOSED,
    CLOSING: ReadyState.CLOSING,
    OPEN: ReadyState.OPEN,
}


#: Of the bytes that a peer still sends after our Close frame so many earn it time to answer.
MAX_EARNED = 1 << 20
#: How often in `closeTimeout` a connection that is closing is looked at for bytes that move.
LOOKS = 4

_USUAL_NAMES = """
    _control _controls _heartbeat _held _isDiscarding _isParsing _isReading _meter _out _perMessageCompress
    _spent address connected connectedAt connection context current_frame current_frame_masker data
    incompleteSince inside_message lastActivity lastReceived pingDue pingedAt rtt slot state transport
"""
#: The attributes of a connection that has had messages and a heartbeat.
USUAL = tuple(_USUAL_NAMES.split())


@attrs.define
class Closing:
    """
    A Close frame was written: when, and what the peer had taken till then.

    What it takes and sends from then on earns it time, and `movedAt` is when it was last seen to do so.
    """

    since: float
    taken: int
    movedAt: float
    moved: int = 0
    received: int = 0


class WireProtocol(Receiver):
    """
    The server side of one WebSocket.

    Classes of it are made per set of options (`protocolClass`), so that an instance carries only
    what changes; Autobahn's handshake, timers and close are not used.
    """

    CONFIG_ATTRS: list[str] = []

    # One set of options.
    closeOnError: bool

    # One connection.
    slot: int | None = None
    address = ""  # what the connection is counted under
    subprotocol: str | None = None
    extensions = ""
    pingDue = pace.NEVER
    stuckSince: float | None = None
    _closing: Closing | None = None
    _closeCode: int | None = None
    _closeReason = ""

    def __init__(self) -> None:
        """Nothing of Autobahn's; what a connection starts with are the class' values."""

    @classmethod
    def reserve(cls) -> None:
        """
        Set on one instance what nearly all will have some day; called before any other is made.

        CPython (3.11 on) lets instances share a table of attributes, 29 at most, which grows with the first
        few of them only. Later each would get a table of its own, at its first heartbeat: 1.5 KiB.
        """
        first = cls()
        for name in USUAL:
            setattr(first, name, None)

    # -- open

    def open(
        self, transport: Any, answer: bytes, subprotocol: str | None, parameters: DeflateParameters | None
    ) -> None:
        """Take over `transport`, and write the 101 answer to it."""
        now = self.context.clock.seconds()
        self.transport = transport
        self.connected = 1
        self.connectedAt = self.lastReceived = self.lastActivity = now
        if subprotocol is not None:
            self.subprotocol = subprotocol
        if parameters is not None:
            self.extensions = parameters.header
        self._meter = Meter.of(self.options, now)
        # What each message looks at is found faster here than in the class.
        self.context = self.context
        self._perMessageCompress = parameters
        self._held = 0
        self._isParsing = self._isDiscarding = self.inside_message = False
        self._isReading = True
        self.current_frame = None
        self.state = OPEN
        self._out = outgoing(transport, self._drained)
        self._out.write(answer)
        self.pingDue = heartbeat.firstPing(now, self.options.pingInterval)

    def start(self, early: bytes) -> None:
        """Run the first hooks, then take what the client sent right behind its request."""
        if self.transport is None:
            return
        connection = self.connection
        self._held &= ~HOOK
        self.data = early + self.data
        self._isParsing = True
        try:
            self.context.events.opened(connection, self.options)
        finally:
            self._isParsing = False
        self._parse()
        self._applyHeld()
        self._reschedule()

    # -- time

    def due(self, now: float) -> None:
        """The timer wheel calls: the next deadline has passed."""
        if self.transport is None:
            self.cancelHook()
        elif self._closing is not None:
            if now >= self._closeBy(self._closing, now):
                self.transport.abortConnection()
            else:
                self._reschedule()
        else:
            if self._heldUntil is not None and now >= self._heldUntil:
                self._heldUntil = None
                self._unhold(RATE)
            if self._creditedUntil is not None and now >= self._creditedUntil:
                self._settle()
            if self.state == OPEN:
                heartbeat.judge(self, now)
            self._reschedule()

    def _reschedule(self) -> None:
        if self.transport is None:
            return
        when, now = pace.NEVER, self.context.seconds()
        if self._closing is not None:
            when = min(self._closeBy(self._closing, now), now + self.options.closeTimeout / LOOKS)
        elif self.state == OPEN:
            when = heartbeat.nextLook(self, now)
            if self._heldUntil is not None:
                when = min(when, self._heldUntil)
            if self._creditedUntil is not None:
                when = min(when, self._creditedUntil)
        if when != pace.NEVER:
            self.context.wheel.schedule(self, when)

    # -- closing

    @property
    def readyState(self) -> ReadyState:
        return _READY_STATES[self.state]

    def close(self, code: int | None, reason: str) -> None:
        """Begin the closing handshake (RFC 6455 §7.1.2); all that closes comes by here."""
        if self.state != OPEN:
            return
        assert self._out is not None
        if self.context.isTracing:
            self.context.trace(self.connection, "close", code=code, reason=reason)
        self._out.write(frame(CLOSE, closePayload(code, reason)))
        self.state = CLOSING
        if self.options.closeTimeout:
            now = self.context.clock.seconds()
            self._closing = Closing(now, self._out.progress()[1], now)
            self._reschedule()
        else:
            self.context.wheel.cancel(self)
        # The answer must be read, whatever was held.
        self._held = 0
        self._heldUntil = None
        if not self._isParsing:
            self._parse()
            self._applyHeld()

    def _closeBy(self, closing: Closing, now: float) -> float:
        """
        When the peer must have closed.

        What moves meanwhile, either way, earns it more time, as long as it goes on moving. A peer that broke
        a rule earns none by what it sends.
        """
        taken = 0 if self._out is None else max(0, self._out.progress()[1] - closing.taken)
        received = 0 if self._isDiscarding else closing.received
        if taken + received != closing.moved:
            closing.moved, closing.movedAt = taken + received, now
        earned = taken + min(received, MAX_EARNED)
        timeout, lostSince = self.options.closeTimeout, self.context.wheel.lostSince
        return min(
            pace.dueBy(closing.since, timeout, earned) + lostSince(closing.since),
            closing.movedAt + timeout + lostSince(closing.movedAt),
        )

    def _takesMore(self, size: int) -> bool:
        if self._closing is not None:
            self._closing.received += size
        return not self._isDiscarding

    def fail(self, code: int, reason: str) -> None:
        """The peer broke a rule (RFC 6455 §7.1.7): tell it why, and take nothing more from it."""
        if self._isDiscarding:
            return
        self._isDiscarding = True
        self.data = b""
        self._message = self._inflater = None
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
        if self.transport is not None and self.state != CLOSED:
            self._isDiscarding = True
            self.state = CLOSING
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
        self._out.end()
        closeGently(self.transport)

    def connectionLost(self, reason: Failure | None = None) -> None:
        if self.transport is None:
            return
        context = self.context
        self.state = CLOSED
        self.transport = None
        context.wheel.cancel(self)
        if self._out is not None:
            self._out.forget()
            self._out = None
        self.data = b""
        self.current_frame = self._message = self._inflater = self._deflater = None
        connection = self.connection
        code = CloseCode.ABNORMAL if self._closeCode is None else self._closeCode
        if context.isTracing:
            context.trace(self.connection, "disconnect", code=code, reason=self._closeReason)
        context.events.closed(connection, self.address)
        connection.disconnected(code, self._closeReason)
        if connection.isBusy:
            context.finishing.add(self)
            self._scheduleCancel()
        else:
            self._forget()
        # A hook may be waiting for these: only now would its end be noticed.
        waiters, self._waiters = self._waiters, None
        for waiter in waiters or ():
            waiter.errback(ConnectionLost())

    # -- the hooks that still run when the TCP connection is gone

    def hold(self) -> None:
        if self.state == CLOSED:
            self.context.finishing.add(self)
        else:
            super().hold()

    def release(self) -> None:
        if self.state == CLOSED:
            self._forget()
        else:
            super().release()

    def cancelHook(self) -> None:
        """Cancel the hook that still runs; `onDisconnect` follows."""
        if self in self.context.finishing:
            self.connection.cancelHook()
        if self in self.context.finishing:
            self._scheduleCancel()

    def _scheduleCancel(self) -> None:
        if self.options.closeTimeout:
            self.context.wheel.schedule(self, self.context.clock.seconds() + self.options.closeTimeout)

    def _forget(self) -> None:
        """All is over; twice if `onDisconnect` was a coroutine that had nothing to wait for."""
        context = self.context
        context.wheel.cancel(self)
        context.finishing.discard(self)
        self.__dict__.pop("connection", None)  # a cycle less to collect
        context.events.finished()


def protocolClass(context: WireContext, options: ServerOptions) -> type[WireProtocol]:
    """The class of all connections that have these options; what the options decide is in the class."""
    made: type[WireProtocol] = type(
        "WireProtocol",
        (WireProtocol,),
        {
            "context": context,
            "options": options,
            "closeOnError": options.closeOnError,
            "_shortLimit": options.maxPayload or MAX_SHORT,
            "_turnBudget": TURN_BUDGET if options.allowSynchronousEvents else 1,
        },
    )
    made.reserve()
    return made
