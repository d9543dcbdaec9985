"""
The wire of a connection whose frames an Autobahn protocol reads and writes.

It does everything that a `WireProtocol` does except parse and write frames: states, deadlines, heartbeat,
rate limits and the send buffer. `AutobahnReceiver` passes received bytes to Autobahn, and `AutobahnTransport`
takes what Autobahn writes. Everything that is sent goes through that transport, so its order is kept.

Before the states of a `WireProtocol` comes CONNECTING: Autobahn decides about the request, and the bytes that
it writes are kept as the answer.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from autobahn.exception import PayloadExceededError
from autobahn.wamp.websocket import WampWebSocketProtocol
from autobahn.websocket.types import ConnectionRequest
from twisted.internet.error import ConnectionLost
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..core.codes import CloseCode, ReadyState, SendStatus
from ..core.handshake import UpgradeError
from ..core.message import Data, Prepared, encoded
from ..wire.closehandshake import CloseHandshake
from ..wire.heartbeat import Heartbeat
from ..wire.protocol import WireProtocol
from ..wire.sendbuffer import outgoing
from ..wire.states import CLOSED, CLOSING, DISCARDING, OPEN
from ..wire.transports import takeOver
from .autobahnprotocol import MountedProtocol, begin, isInsideMessage, sendLate
from .autobahnreceiver import AutobahnReceiver
from .autobahntransport import AutobahnTransport

CONNECTING = -1


class AutobahnWire(WireProtocol):
    """
    The wire of one connection. A subclass is made for each set of options.

    Args:
        transport: The client's transport, which still belongs to the upgrade.
    """

    _log = Logger()
    receiver: AutobahnReceiver

    def __init__(self, transport: Any) -> None:
        super().__init__()
        self.state = CONNECTING
        self.protocol: MountedProtocol
        #: The transport that the protocol gets.
        self.protocolTransport = AutobahnTransport(self, transport)
        #: While CONNECTING: Autobahn's request, the refusal, and the answer.
        self.request: ConnectionRequest | None = None
        self.refusal: UpgradeError | None = None
        self.answer = bytearray()
        #: Messages of `send` that wait until the protocol has completed a message that it sends in parts.
        self._waiting: list[tuple[bytes, bool]] = []
        self._waitingSize = 0
        self._isSending = self._isSlow = self._isLost = False

    # -- the handshake

    def requestReceived(self, request: ConnectionRequest) -> None:
        self.request = request

    def handshakeRefused(self, why: str, status: int) -> None:
        self._log.info("Autobahn refuses a client: {why}", why=why)
        if self.refusal is None:
            self.refusal = UpgradeError(refusalStatus(status), "handshake")

    def takeTransport(self, transport: Any) -> AutobahnWire:
        """Take over the transport, and write the answer."""
        now = self.context.clock.seconds()
        receiver = self.receiver
        receiver.connectedAt = receiver.lastReceived = receiver.lastActivity = now
        self._heartbeat = Heartbeat(self.options, now)
        self.subprotocol = self.protocol.websocket_protocol_in_use
        self._become(OPEN)
        takeOver(transport, receiver)
        self.out = outgoing(transport)
        self.out.write(bytes(self.answer))
        return self

    def abandon(self) -> None:
        """Tell the protocol that its connection is closed, because the upgrade failed."""
        self._become(CLOSED)
        self._loseProtocol(Failure(ConnectionLost()))
        self.receiver.forget()

    def begin(self) -> None:
        """Call the protocol's `onOpen`, unless a hook has already closed the connection."""
        if self.state == OPEN:
            try:
                begin(self.protocol)
            except Exception:
                self.methodRaised("onOpen")

    # -- properties

    @property
    def readyState(self) -> ReadyState:
        return ReadyState.CONNECTING if self.state == CONNECTING else super().readyState

    @property
    def extensions(self) -> str:
        if self.state == CONNECTING:
            return ""
        return ", ".join(each.EXTENSION_NAME for each in self.protocol.websocket_extensions_in_use)

    @property
    def rtt(self) -> float | None:
        return None if self.state == CONNECTING else super().rtt

    @property
    def bufferedAmount(self) -> int:
        return super().bufferedAmount + self._waitingSize

    @property
    def isWamp(self) -> bool:
        """Whether the protocol speaks WAMP. Then only the protocol may send messages on its connection."""
        return isinstance(self.protocol, WampWebSocketProtocol)

    # -- receiving

    @property
    def isOver(self) -> bool:
        """Whether nothing more can be sent."""
        return self.state >= DISCARDING

    def pause(self) -> None:
        if self.state != CONNECTING:
            super().pause()

    def resume(self) -> None:
        if self.state != CONNECTING:
            super().resume()

    @property
    def isStopped(self) -> bool:
        return self.state >= DISCARDING or bool(self.receiver.reading)

    def messageComplete(self, size: int) -> None:
        self.receiver.incompleteSince = None
        if self.state == OPEN:
            receiver, context = self.receiver, self.context
            receiver.lastActivity = receiver.lastReceived
            context.messagesReceived += 1
            context.bytesReceived += size
            if context.isTracing:
                context.trace(self.connection, "message", size=size)

    def messageDelivered(self, size: int) -> None:
        if self.state == OPEN:
            self.receiver.charge(size)

    def messageSent(self, size: int) -> None:
        if not self._isSending:
            self._count(size)

    def pingReceived(self, payload: bytes) -> bool:
        if not self._takesControl():
            return False
        if self.state == OPEN:
            self.connection.notified("onPing", payload)
        return self.state < DISCARDING

    def pongReceived(self, payload: bytes) -> bool:
        if not self._takesControl() or self.answersPing(payload):
            return False
        if self.state == OPEN:
            self.connection.notified("onPong", payload)
        return self.state < DISCARDING

    def _takesControl(self) -> bool:
        if self.state >= DISCARDING:
            return False
        allowance = self.receiver.limits()
        isAllowed = allowance.takesControl(self.receiver.lastReceived)
        if allowance.settleAt is not None:
            self.reschedule()
        if not isAllowed:
            self.fail(CloseCode.POLICY_VIOLATION, "too many control frames")
        return isAllowed

    def methodRaised(self, where: str) -> None:
        self._log.failure(
            "{where} of the protocol of connection {id} raised", where=where, id=self.connection.id
        )
        if self.state < DISCARDING:  # parsing cannot continue in the middle of a failed method
            self.fail(CloseCode.INTERNAL_ERROR, "")

    # -- sending

    def write(self, data: bytes) -> None:
        """Send what the protocol writes, or keep it while CONNECTING."""
        if self.state == CONNECTING:
            self.answer += data
            return
        if self.state >= DISCARDING or self.out is None:
            return
        before = self.out.amount() if self.out.mayWait else 0
        waiting = self.out.write(data)
        if self.protocolTransport.pauseProducerIfFull(waiting):
            self._awaitSent()
        limit = self.options.maxBackpressure
        if limit and before and waiting > limit and not (self._isSending or self._isSlow):
            self._isSlow = True
            # Not at once, because the protocol may still write the rest of a frame.
            self.context.clock.callLater(0, self._closeSlow)

    def _closeSlow(self) -> None:
        self.close(CloseCode.TRY_AGAIN_LATER, "too slow")

    def tellSent(self) -> None:
        """Resume the protocol's producer when all buffered bytes are sent."""
        self._awaitSent()

    def _sent(self) -> None:
        if self._drainNotifier is not None:
            super()._sent()
        self.protocolTransport.resume()

    def send(self, data: Data) -> SendStatus:
        payload, isBinary = encoded(data)
        if self.isWamp:
            raise TypeError(f"{self.connection!r} speaks WAMP: use publish or call of its session")
        return self._send(payload, isBinary)

    def sendPrepared(self, prepared: Prepared) -> SendStatus:
        """Send a prepared message. A connection that speaks WAMP is skipped."""
        return SendStatus.DROPPED if self.isWamp else self._send(prepared.payload, prepared.isBinary)

    def sendUnlimited(self, prepared: Prepared, mostRefused: int) -> SendStatus | None:
        """Send a prepared message, within the limits: what is queued here counts differently."""
        return None if self.refusedAmount > mostRefused else self.sendPrepared(prepared)

    def sendAllPrepared(self, messages: Sequence[Prepared]) -> SendStatus:
        return self._sendEach(messages)

    def _send(self, payload: bytes, isBinary: bool) -> SendStatus:
        protocol = self.protocol
        if self.state != OPEN or protocol.state != protocol.STATE_OPEN:
            return SendStatus.CLOSED
        out, size = self.out, len(payload)
        assert out is not None
        if out.mayWait and not self._admits(out, size + self._waitingSize):
            return SendStatus.DROPPED
        if isInsideMessage(protocol) or self._waiting:
            if self._waiting and 0 < self.options.maxBackpressure < self._waitingSize + size:
                return SendStatus.DROPPED
            self._waiting.append((payload, isBinary))
            self._waitingSize += size
            self._count(size)
            return self._statusOf(out.amount())
        if not self._sendNow(payload, isBinary):
            return SendStatus.DROPPED
        self._count(size)
        return self._statusOf(out.amount())

    def _count(self, size: int) -> None:
        self.context.messagesSent += 1
        self.context.bytesSent += size

    def _sendNow(self, payload: bytes, isBinary: bool) -> bool:
        """Let the protocol send a message. Returns `False` if it exceeds the size limit of the factory."""
        self._isSending = True
        try:
            self.protocol.sendMessage(payload, isBinary)
        except PayloadExceededError:  # Autobahn has logged it
            return False
        finally:
            self._isSending = False
        return True

    def sendingUnblocked(self) -> None:
        protocol = self.protocol
        if self.state >= DISCARDING:
            return
        sendLate(protocol)
        while self._waiting and not isInsideMessage(protocol) and self.state == OPEN:
            payload, isBinary = self._waiting.pop(0)
            self._waitingSize -= len(payload)
            self._sendNow(payload, isBinary)

    def ping(self, payload: bytes) -> None:
        if self.state == OPEN:
            self.protocol.sendPing(payload)

    def pong(self, payload: bytes) -> None:
        if self.state == OPEN:
            self.protocol.sendPong(payload)

    def defersPong(self, payload: bytes) -> bool:
        if self.out is None or not self.out.isBlocked():
            return False
        self._awaitSent().pong = payload
        return True

    # -- closing

    def closing(self) -> None:
        """Go from OPEN to CLOSING, because the protocol sends its Close frame."""
        if self.state != OPEN:
            return
        assert self.out is not None
        timeout = self.options.closeTimeout
        self._become(CLOSING)
        self._closing = CloseHandshake(
            timeout, self.context.clock.seconds(), self.progress()[1] if timeout else 0
        )
        self._awaitClose()
        self.receiver.flow()

    def close(self, code: int | None, reason: str) -> None:
        if self.state == CONNECTING:
            self.refusal = UpgradeError(403, "denied")
        elif self.state == OPEN:
            if self.context.isTracing:
                self.context.trace(self.connection, "close", code=code, reason=reason)
            self.protocol.sendCloseFrame(code, reason.encode() if reason else None)

    def fail(self, code: int, reason: str) -> None:
        if self.state == CONNECTING:
            return
        self.protocol.wasNotCleanReason = reason or "an error of the server"
        self.close(code, reason)
        self.closing()
        super().fail(code, reason)

    def terminate(self) -> None:
        if self.state == CONNECTING:
            self.refusal = UpgradeError(0, "denied")
        else:
            super().terminate()

    def finish(self, isAbort: bool) -> None:
        """Close the connection for the protocol: at once, or after everything it has written is sent."""
        protocol = self.protocol
        if self.state == CONNECTING:
            self.refusal = self.refusal or UpgradeError(0, "denied")
        elif self.state < DISCARDING:
            self.closing()
            if isAbort and not protocol.wasClean:
                self._tell()
                self.terminate()
            else:
                code, why = self._tell()
                self._discard(code, why, None, "")

    def _tell(self) -> tuple[int, str]:
        """Return the code and reason for `onDisconnect`, as Autobahn knows them."""
        protocol: Any = self.protocol
        told: tuple[int, str]
        if protocol.failedByMe and protocol.localCloseCode is not None:
            told = (protocol.localCloseCode, (protocol.localCloseReason or b"").decode())
        elif not protocol.wasClean:
            told = (CloseCode.ABNORMAL, "")
        elif protocol.remoteCloseCode is None:
            told = (CloseCode.NO_STATUS, "")
        else:
            told = (protocol.remoteCloseCode, protocol.remoteCloseReason or "")
        if self._closing is not None:
            self._closing.end(*told)
        return told

    def connectionLost(self, reason: Failure | None = None) -> None:
        if self.state == CLOSED or self._isLost:
            return
        self._isLost = True
        self._become(DISCARDING)
        self._loseProtocol(reason or Failure(ConnectionLost()))
        super().connectionLost(reason)

    def _loseProtocol(self, reason: Failure) -> None:
        self._waiting.clear()
        self._waitingSize = 0
        try:
            self.protocolTransport.lost()
            self.protocol.connectionLost(reason)
        except Exception:
            self.methodRaised("connectionLost")


def refusalStatus(status: int) -> int:
    """
    Return the HTTP status to refuse a client with, given the number that the protocol gives, which may be
    any.
    """
    return status if status in set(HTTPStatus) and 300 <= status <= 511 else HTTPStatus.FORBIDDEN.value
