"""
One upgraded transport, from the 101 response to the end of its TCP connection.

`WireProtocol` is the `Wire` of a `Connection`. It changes the state of the connection (see `states`) and
coordinates the modules that do the rest: `receiver` reads, `sender` (its base class) writes, `heartbeat`
checks an open connection, and `closehandshake` limits the time of the closing handshake. A Close frame is
sent once, and nothing is sent after it.
"""

from __future__ import annotations

from collections.abc import Callable
from random import random
from typing import Any

from twisted.python.failure import Failure

from ..core.codes import CloseCode, ReadyState
from ..core.link import Link
from ..core.options import ServerOptions
from . import parser
from .context import WireContext
from .deadlines import NEVER
from .deflate import DeflateParameters
from .flowcontrol import APPLICATION, HOOK
from .frames import Violation, parseClose
from .heartbeat import Heartbeat
from .receiver import Receiver
from .sendbuffer import outgoing
from .sender import Sender, joinLimit
from .slowlink import SlowLink, SlowOutgoing
from .states import CLOSED, CLOSING, DISCARDING, OPEN
from .transports import closeGently, takeOver

_READY_STATES = {
    OPEN: ReadyState.OPEN,
    CLOSING: ReadyState.CLOSING,
    DISCARDING: ReadyState.CLOSING,
    CLOSED: ReadyState.CLOSED,
}


class WireProtocol(Sender):
    """
    The server side of one WebSocket.

    `protocolClass` makes a subclass for each set of options, so that options are not attributes of instances.
    """

    closeOnError: bool

    __slots__ = ("_heartbeat", "address", "receiver", "slot", "subprotocol")

    def __init__(self) -> None:
        super().__init__()
        #: The address under which the connection is counted.
        self.address = ""
        #: Set by the timer wheel.
        self.slot: int | None = None
        self.subprotocol: str | None = None
        self.receiver: Receiver
        self._heartbeat: Heartbeat

    # -- open

    def open(
        self, transport: Any, answer: bytes, subprotocol: str | None, parameters: DeflateParameters | None
    ) -> None:
        """Take over `transport` and write the 101 response; `connection` and `address` are already set."""
        context, options = self.context, self.options
        now = context.clock.seconds()
        self.subprotocol = subprotocol
        self.parameters = parameters
        self.receiver = Receiver(self, context, self.connection, options, now)
        self._heartbeat = Heartbeat(options, now)
        takeOver(transport, self.receiver)
        self.out = outgoing(transport)
        self.out.write(answer)

    def start(self, early: bytes) -> None:
        """Run the first hooks, then parse the bytes that the client sent directly after its request."""
        if self.state == CLOSED:
            return
        receiver, turn = self.receiver, self.context.turn
        receiver.begin(early)
        isOuter = not turn.isActive
        turn.isActive = True
        try:
            self.context.events.opened(self.connection, self.options)
        finally:
            receiver.isParsing = False
            if isOuter:
                turn.isActive = False
                if turn.pending:
                    turn.endRead()
        receiver.parse()
        receiver.applyReading()
        self.reschedule()

    # -- properties

    @property
    def readyState(self) -> ReadyState:
        return _READY_STATES[self.state]

    @property
    def extensions(self) -> str:
        """The negotiated extensions, as in the header of the 101 response."""
        return "" if self.parameters is None else self.parameters.header

    @property
    def connectedAt(self) -> float:
        return self.receiver.connectedAt

    @property
    def lastActivity(self) -> float:
        return self.receiver.lastActivity

    @property
    def rtt(self) -> float | None:
        return self._heartbeat.rtt

    # -- a simulated slow link

    def simulate(self, link: Link | None, onEnd: Callable[[], object] = lambda: None) -> bool:
        out = self.out
        if out is None or self.state != OPEN:
            return False
        if isinstance(out, SlowOutgoing):
            if link is None:
                out.link.end()
            else:
                out.link.change(link)
        elif link is not None:
            SlowLink(self, out, onEnd, random).begin(link)
        return True

    # -- reading

    def pause(self) -> None:
        self.receiver.hold(APPLICATION)

    def resume(self) -> None:
        self.receiver.release(APPLICATION)

    def hold(self) -> None:
        """Deliver nothing until `release`, because a hook is running."""
        if self.state == CLOSED:
            self.context.finishing.add(self)
        else:
            self.receiver.hold(HOOK)

    def release(self) -> None:
        """Continue to deliver, because the hook has ended."""
        if self.state == CLOSED:
            self._forget()
        else:
            self.receiver.release(HOOK)

    def takesMore(self, size: int) -> bool:
        if self._closing is not None:
            self._closing.received += size
        return self.state == CLOSING

    def controlReceived(self, opcode: int, payload: bytes) -> None:
        if opcode == parser.CLOSE:
            self._closeReceived(payload)
        elif self.state != OPEN:
            return
        elif opcode == parser.PING:
            if self.context.isTracing:
                self.context.trace(self.connection, "ping", size=len(payload))
            if self.options.autoPong:
                self.pong(payload)
            self.connection.notified("onPing", payload)
        elif not self.answersPing(payload):
            if self.context.isTracing:
                self.context.trace(self.connection, "pong", size=len(payload))
            self.connection.notified("onPong", payload)

    def answersPing(self, payload: bytes) -> bool:
        """Return whether a pong answers the last ping of the heartbeat, and note how long that took."""
        heartbeat = self._heartbeat
        if not heartbeat.isAnsweredBy(payload, self.receiver.lastReceived):
            return False
        if heartbeat.rtt is not None:
            self.context.pingTimes.observe(heartbeat.rtt)
        return True

    # -- deadlines

    def due(self, now: float) -> None:
        """Check all deadlines; called by the timer wheel."""
        if self.state == CLOSED:
            self.cancelHook()
            return
        if self._closing is not None:
            if now >= self._closeBy(now):
                self.receiver.transport.abortConnection()
                return
        else:
            self.receiver.due(now)
            if self.state == OPEN:
                self._heartbeat.checkDeadlines(self, self.receiver, now)
        self.reschedule()

    def reschedule(self) -> None:
        """Compute the next deadline again, because it may be earlier now."""
        if self.state == CLOSED:
            return
        when, now = NEVER, self.context.seconds()
        if self._closing is not None:
            when = self._closing.nextDeadline(self._closeBy(now), now)
        elif self.state == OPEN:
            receiver = self.receiver
            when = min(self._heartbeat.nextDeadline(self, receiver, now), receiver.nextDeadline())
        if when != NEVER:
            self.context.wheel.schedule(self, when)

    def _closeBy(self, now: float) -> float:
        """Get the time at which the connection is dropped if the peer has not closed it."""
        assert self._closing is not None and self.out is not None
        # The bytes of a peer that broke a rule do not extend the deadline.
        received = 0 if self.state == DISCARDING else self._closing.received
        return self._closing.deadline(self.out.progress()[1], received, now, self.context.wheel.lostSince)

    # -- closing

    def _become(self, state: int) -> None:
        self.state = self.receiver.state = state

    def close(self, code: int | None, reason: str) -> None:
        """Go from OPEN to CLOSING: send the Close frame, and nothing after it."""
        if self.state != OPEN:
            return
        super().close(code, reason)
        self._awaitClose()
        self.receiver.flow()

    def _awaitClose(self) -> None:
        if self.options.closeTimeout:
            self.reschedule()
        else:
            self.context.wheel.cancel(self)

    def fail(self, code: int, reason: str) -> None:
        """Fail the connection because the peer broke a rule (RFC 6455 §7.1.7)."""
        self._discard(code, reason, code, reason)

    def lose(self, code: int, reason: str) -> None:
        """Send a Close frame if possible, and drop the connection, because the peer does not answer."""
        self.fail(code, reason)
        if self.state != CLOSED:
            self.receiver.transport.abortConnection()

    def terminate(self) -> None:
        """Drop the TCP connection without a Close frame."""
        if self.state != CLOSED:
            self.forgetParts()
            self._become(DISCARDING)
            self.receiver.transport.abortConnection()

    def _closeReceived(self, payload: bytes) -> None:
        try:
            code, reason = parseClose(payload)
        except Violation as violation:
            self.fail(violation.code, violation.reason)
        else:
            self._discard(CloseCode.NO_STATUS if code is None else code, reason, code, "")

    def _discard(self, told: int, why: str, code: int | None, reason: str) -> None:
        """
        Go from OPEN or CLOSING to DISCARDING: write the queued bytes, then close the TCP connection.

        Args:
            told: The code for `onDisconnect`.
            why: The reason for `onDisconnect`.
            code: The code of our Close frame, if it is not sent yet.
            reason: The reason of our Close frame.
        """
        if self.state >= DISCARDING:
            return
        if self.state == OPEN:
            super().close(code, reason)
        if self.state != CLOSING:
            return  # the connection was lost while the Close frame was written
        assert self._closing is not None
        self._closing.end(told, why)
        self._become(DISCARDING)
        self._awaitClose()
        self.receiver.discard()
        assert self.out is not None
        self.out.end()
        closeGently(self.receiver.transport)

    def connectionLost(self, reason: Failure | None = None) -> None:
        if self.state == CLOSED:
            return
        context, connection = self.context, self.connection
        self._become(CLOSED)
        context.wheel.cancel(self)
        if self.out is not None:
            self.out.forget()
            self.out = self.parts = None
        self.receiver.forget()
        self._deflater = None
        code: int = CloseCode.ABNORMAL
        why = ""
        if self._closing is not None and self._closing.code is not None:
            code, why = self._closing.code, self._closing.reason
        context.closes[code] += 1
        if context.isTracing:
            context.trace(connection, "disconnect", code=code, reason=why)
        context.events.closed(connection, self.address)
        connection.disconnected(code, why)
        if connection.isBusy:
            context.finishing.add(self)
            self._scheduleCancel()
        else:
            self._forget()
        # Last, because a hook may wait for these Deferreds: it ends when they fail, and calls `release`.
        if self._drainNotifier is not None:
            self._drainNotifier.lost()

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
        """Release the connection; called twice if `onDisconnect` is a coroutine that never waited."""
        context = self.context
        context.wheel.cancel(self)
        context.finishing.discard(self)
        self.connection = None  # type: ignore[assignment]  # breaks a reference cycle
        context.events.finished()


def protocolClass(context: WireContext, options: ServerOptions) -> type[WireProtocol]:
    """Make the class for connections with these options."""
    made: type[WireProtocol] = type(
        "WireProtocol",
        (WireProtocol,),
        {
            "__slots__": (),
            "options": options,
            "closeOnError": options.closeOnError,
            "joinLimit": joinLimit(options),
            "shared": context,
        },
    )
    return made
