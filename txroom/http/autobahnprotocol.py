"""
The class that is put in front of an Autobahn protocol's own class while txroom serves it.

`MountedProtocol` overrides the methods with which Autobahn's server protocol handles the handshake, delivers
messages, sends and closes. It reports what happens to a `MountEvents`, the wire of the connection. `mount`
turns an instance of the user's class into a `MountedProtocol`.
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

#: Options that txroom sets on every mounted protocol: none of its own timers run, and it answers nothing but
#: WebSockets.
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
    """The object to which a mounted protocol reports, and which it asks."""

    @property
    def isStopped(self) -> bool:
        """Whether the protocol must stop parsing, for now or for good."""
        ...

    def requestReceived(self, request: ConnectionRequest) -> None:
        """Autobahn accepts the client's request head."""
        ...

    def handshakeRefused(self, why: str, status: int) -> None:
        """Called when the protocol refuses the client."""
        ...

    def messageComplete(self, size: int) -> None:
        """Called when a message of `size` bytes is complete and about to be delivered."""
        ...

    def messageDelivered(self, size: int) -> None:
        """Called when a message of `size` bytes was delivered."""
        ...

    def messageSent(self, size: int) -> None:
        """Called when the protocol has sent a message of `size` bytes."""
        ...

    def pingReceived(self, payload: bytes) -> bool:
        """Called when a ping was received. Returns whether the protocol's `onPing` is called."""
        ...

    def pongReceived(self, payload: bytes) -> bool:
        """Called when a pong was received. Returns whether the protocol's `onPong` is called."""
        ...

    def defersPong(self, payload: bytes) -> bool:
        """Return whether the wire sends this pong later, because the client is not reading now."""
        ...

    def methodRaised(self, where: str) -> None:
        """Called when the method `where` of the protocol has raised."""
        ...

    def closing(self) -> None:
        """Called when the Close frame is written, or will be written as soon as possible."""
        ...

    def sendingUnblocked(self) -> None:
        """Called when the protocol has completed a frame or a message that it sent in parts."""
        ...


class HandshakeDone(Exception):
    """Ends Autobahn's handshake when the answer is written, before the protocol's `onOpen` runs."""


class MountedProtocol(WebSocketServerProtocol):
    """Autobahn's protocol, which reports to a `MountEvents`. `connection` is its `Connection`."""

    _mount: MountEvents
    #: The payload bytes of the received messages that were reported so far; and the payload bytes that were
    #: sent before the message that is now being sent in parts.
    _mountCounted = _mountBegun = 0
    #: Control frames to send when the current frame is complete, the newest of each kind.
    _mountLate: dict[str, tuple[Any, ...]]
    connection: Any

    # -- the handshake

    def onConnect(self, request: ConnectionRequest) -> Any:
        """Called by Autobahn. The Deferred never fires: `ask` calls the protocol's own `onConnect`."""
        self._mount.requestReceived(request)
        return Deferred()

    def failHandshake(self, reason: str, code: int = 400, responseHeaders: Any = None) -> None:
        self._mount.handshakeRefused(reason, code)

    def _onOpen(self) -> None:
        raise HandshakeDone

    # -- receiving

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
            # The protocol answers a message that arrived during the close; that is not an error.
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
            self._mount.methodRaised("onClose")  # Autobahn must still count the connection as closed

    # -- sending

    def sendMessage(self, payload: bytes, *args: Any, **more: Any) -> None:
        super().sendMessage(payload, *args, **more)
        self._mount.messageSent(len(payload))

    def sendPreparedMessage(self, preparedMsg: PreparedMessage) -> None:
        if self.state != self.STATE_OPEN:
            return  # Autobahn would write it after its Close frame
        before = self.trafficStats.outgoingWebSocketMessages
        super().sendPreparedMessage(preparedMsg)
        if self.trafficStats.outgoingWebSocketMessages == before:  # not counted by `sendMessage`
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
        """Send at once what Autobahn would send in parts, one for each tick of a timer."""
        while self.send_queue:
            data, _ = self.send_queue.popleft()
            self.__dict__["transport"].write(data)


def ask(protocol: MountedProtocol, request: ConnectionRequest) -> Any:
    """Call the protocol's own `onConnect`, and return its result."""
    return super(MountedProtocol, protocol).onConnect(request)


def answer(protocol: MountedProtocol, decision: Any) -> None:
    """Let Autobahn write the 101 answer, if it accepts the decision of the protocol's `onConnect`."""
    with suppress(HandshakeDone):
        protocol.succeedHandshake(decision)


def begin(protocol: MountedProtocol) -> None:
    """Call the protocol's `onOpen`, after its 101 answer was sent."""
    super(MountedProtocol, protocol)._onOpen()
    protocol.is_open.callback(None)


def isInsideFrame(protocol: MountedProtocol) -> bool:
    """Return whether a frame is only partly sent. No other frame may be sent before its end."""
    return bool(protocol.send_state == protocol.SEND_STATE_INSIDE_MESSAGE_FRAME)


def isInsideMessage(protocol: MountedProtocol) -> bool:
    """Return whether a message is only partly sent. Only control frames may be sent before its end."""
    return bool(protocol.send_state != protocol.SEND_STATE_GROUND)


def sendLate(protocol: MountedProtocol) -> None:
    """Send the control frames that had to wait for the end of a frame."""
    late, protocol._mountLate = protocol._mountLate, {}
    for name in ("sendPing", "sendPong", "sendCloseFrame"):
        if name in late:
            getattr(protocol, name)(*late[name])


@cache
def mounted(kind: Any) -> type[Any]:
    """Return a class that derives from `MountedProtocol` and the user's class."""
    name = kind.__name__
    return type(
        name, (MountedProtocol, kind), {"__module__": kind.__module__, "__qualname__": kind.__qualname__}
    )


def mount(protocol: WebSocketServerProtocol, wire: MountEvents, connection: object) -> MountedProtocol:
    """Mount a protocol that its factory has just built."""
    made: Any = protocol
    made.__class__ = mounted(made.__class__)
    made._mount = wire
    made._mountLate = {}
    made.connection = connection
    for name, value in FIXED.items():
        setattr(made, name, value)
    result: MountedProtocol = made
    return result
