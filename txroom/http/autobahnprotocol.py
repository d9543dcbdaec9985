"""
What is laid over the class of an Autobahn protocol while one of its instances is served by txroom.

`MountedProtocol` is Autobahn's own server protocol with the places overridden where it asks, answers, sends
and closes; `mount` makes an instance of a user's class one of these as well. What happens there is told to a
`MountEvents`, which is the wire of the connection.
"""

from __future__ import annotations

from contextlib import suppress
from functools import cache
from typing import Any, Protocol

from autobahn.exception import Disconnected
from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.protocol import PreparedMessage
from autobahn.websocket.types import ConnectionRequest
from twisted.internet.defer import Deferred

#: The options of an Autobahn protocol that it has from txroom: no timer of its own runs, and it speaks for
#: nobody but its clients.
FIXED = {
    "openHandshakeTimeout": 0,
    "closeHandshakeTimeout": 0,
    "autoPingInterval": 0,
    "autoPingTimeout": 0,
    "trustXForwardedFor": 0,
    "webStatus": False,
    "serveFlashSocketPolicy": False,
}


class MountEvents(Protocol):
    """What a mounted protocol tells."""

    @property
    def isStopped(self) -> bool:
        """Whether it is to parse no more, for now or for ever."""
        ...

    def requestReceived(self, request: ConnectionRequest) -> None:
        """The client's request is sound."""
        ...

    def handshakeRefused(self, why: str, status: int) -> None:
        """It refuses the client."""
        ...

    def messageComplete(self, size: int) -> None:
        """A message of so many bytes is complete, and not yet delivered."""
        ...

    def messageDelivered(self, size: int) -> None:
        """It is delivered."""
        ...

    def messageSent(self, size: int) -> None:
        """The protocol has sent a message of so many bytes."""
        ...

    def pingReceived(self, payload: bytes) -> bool:
        """A ping has come; whether the protocol is to be told."""
        ...

    def pongReceived(self, payload: bytes) -> bool:
        """A pong has come; whether the protocol is to be told."""
        ...

    def defersPong(self, payload: bytes) -> bool:
        """Whether a pong is sent later, since the client takes nothing now."""
        ...

    def methodRaised(self, where: str) -> None:
        """That method of the protocol has raised."""
        ...

    def closing(self) -> None:
        """The Close frame is written, or will be as soon as that is possible."""
        ...

    def sendingUnblocked(self) -> None:
        """A frame or a message that was sent in parts is complete."""
        ...


class HandshakeDone(Exception):
    """Ends Autobahn's handshake, whose answer is written, before the protocol's `onOpen` runs."""


class MountedProtocol(WebSocketServerProtocol):
    """Autobahn's protocol under a `MountEvents`; `connection` is what txroom knows it as."""

    _mount: MountEvents
    #: Bytes of messages that were told so far; and that were sent before the one that is sent in parts.
    _mountCounted = _mountBegun = 0
    #: Control frames that wait until half a frame is whole, of each kind the newest.
    _mountLate: dict[str, tuple[Any, ...]]
    connection: Any

    # -- the handshake

    def onConnect(self, request: ConnectionRequest) -> Any:
        """Called by Autobahn; the protocol itself is asked by `ask`, and Autobahn waits for ever."""
        self._mount.requestReceived(request)
        return Deferred()

    def failHandshake(self, reason: str, code: int = 400, responseHeaders: Any = None) -> None:
        self._mount.handshakeRefused(reason, code)

    def _onOpen(self) -> None:
        raise HandshakeDone

    # -- what comes

    def processData(self) -> bool:
        return not self._mount.isStopped and bool(super().processData())

    def _onMessageEnd(self) -> None:
        mount, stats = self._mount, self.trafficStats
        size = stats.incomingOctetsAppLevel - self._mountCounted
        self._mountCounted = stats.incomingOctetsAppLevel
        mount.messageComplete(size)
        try:
            super()._onMessageEnd()
        except Disconnected:
            if self.state == self.STATE_OPEN:
                raise
            # It answers a message that came while it is being closed, which is no fault of anybody's.
        mount.messageDelivered(size)

    def _onPing(self, payload: bytes) -> None:
        if self._mount.pingReceived(payload):
            super()._onPing(payload)

    def _onPong(self, payload: bytes) -> None:
        if self._mount.pongReceived(payload):
            super()._onPong(payload)

    def _onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        try:
            super()._onClose(wasClean, code, reason)
        except Exception:
            self._mount.methodRaised("onClose")  # Autobahn has to count it all the same

    # -- what goes

    def sendMessage(self, payload: bytes, *args: Any, **more: Any) -> None:
        super().sendMessage(payload, *args, **more)
        self._mount.messageSent(len(payload))

    def sendPreparedMessage(self, preparedMsg: PreparedMessage) -> None:
        if self.state != self.STATE_OPEN:
            return  # Autobahn would write it, behind its Close frame
        before = self.trafficStats.outgoingWebSocketMessages
        super().sendPreparedMessage(preparedMsg)
        if self.trafficStats.outgoingWebSocketMessages == before:  # it was not sent by `sendMessage`
            self._mount.messageSent(len(preparedMsg.payload))

    def sendMessageFrameData(self, payload: bytes, sync: bool = False) -> Any:
        rest = super().sendMessageFrameData(payload, sync)
        if not isInsideFrame(self):
            self._mount.sendingUnblocked()
        return rest

    def beginMessage(self, isBinary: bool = False, doNotCompress: bool = False) -> None:
        self._mountBegun = self.trafficStats.outgoingOctetsAppLevel
        super().beginMessage(isBinary, doNotCompress)

    def endMessage(self) -> None:
        if self.state != self.STATE_OPEN:
            return
        super().endMessage()
        self._mount.messageSent(self.trafficStats.outgoingOctetsAppLevel - self._mountBegun)
        self._mount.sendingUnblocked()

    def sendPing(self, payload: bytes | None = None) -> None:
        if isInsideFrame(self):
            self._mountLate["sendPing"] = (payload,)
        else:
            super().sendPing(payload)

    def sendPong(self, payload: bytes | None = None) -> None:
        if isInsideFrame(self):
            self._mountLate["sendPong"] = (payload,)
        elif self.state == self.STATE_OPEN and not self._mount.defersPong(payload or b""):
            super().sendPong(payload)

    def sendCloseFrame(
        self, code: int | None = None, reasonUtf8: bytes | None = None, isReply: bool = False
    ) -> None:
        if self.state != self.STATE_OPEN:
            return
        if isInsideFrame(self):
            self._mountLate["sendCloseFrame"] = (code, reasonUtf8, isReply)
        else:
            super().sendCloseFrame(code, reasonUtf8, isReply)
        self._mount.closing()

    def _trigger(self) -> None:
        """Send at once what Autobahn would send in parts, one at each tick of a timer."""
        while self.send_queue:
            data, _ = self.send_queue.popleft()
            self.__dict__["transport"].write(data)


def ask(protocol: MountedProtocol, request: ConnectionRequest) -> Any:
    """What the `onConnect` of a protocol says."""
    return super(MountedProtocol, protocol).onConnect(request)


def answer(protocol: MountedProtocol, decision: Any) -> None:
    """Let Autobahn write the 101, if it agrees with what the protocol has said."""
    with suppress(HandshakeDone):
        protocol.succeedHandshake(decision)


def begin(protocol: MountedProtocol) -> None:
    """Let a protocol begin, whose answer is sent."""
    super(MountedProtocol, protocol)._onOpen()
    protocol.is_open.callback(None)


def isInsideFrame(protocol: MountedProtocol) -> bool:
    """Whether half a frame is sent, in which no other may stand."""
    return bool(protocol.send_state == protocol.SEND_STATE_INSIDE_MESSAGE_FRAME)


def isInsideMessage(protocol: MountedProtocol) -> bool:
    """Whether half a message is sent, in which only control frames may stand."""
    return bool(protocol.send_state != protocol.SEND_STATE_GROUND)


def sendLate(protocol: MountedProtocol) -> None:
    """Send the control frames that had to wait until half a frame was whole."""
    late, protocol._mountLate = protocol._mountLate, {}
    for name in ("sendPing", "sendPong", "sendCloseFrame"):
        if name in late:
            getattr(protocol, name)(*late[name])


@cache
def mounted(kind: Any) -> type[Any]:
    """A user's class under `MountedProtocol`."""
    name = kind.__name__
    return type(
        name, (MountedProtocol, kind), {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    )


def mount(protocol: WebSocketServerProtocol, wire: MountEvents, connection: object) -> MountedProtocol:
    """Mount a protocol that its factory has just made."""
    made: Any = protocol
    made.__class__ = mounted(made.__class__)
    made._mount = wire
    made._mountLate = {}
    made.connection = connection
    for name, value in FIXED.items():
        setattr(made, name, value)
    result: MountedProtocol = made
    return result
