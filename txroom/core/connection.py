"""
One open WebSocket as an application sees it.

A `Connection` passes messages to a `Wire`, which sends them as frames, and the wire calls it with the
messages that arrive. The connection runs its hooks one after another, never two at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.logger import Logger
from twisted.python.failure import Failure

from .awaitables import cancelHook, clearFailure, isAsync, toDeferred
from .codes import CloseCode, ReadyState, SendStatus, isSendable
from .handshake import Handshake
from .hooks import CONNECTION_HOOKS, Hook, Hooks, chainHooks
from .link import Link
from .message import Data, Prepared, encoded
from .validation import checkAssigned

#: The largest payload of a control frame (RFC 6455 §5.5). In a Close frame, two of the bytes are the code.
MAX_CONTROL_PAYLOAD = 125
MAX_CLOSE_REASON = MAX_CONTROL_PAYLOAD - 2


class ApplicationPort(Protocol):
    """The part of `Application` that `Connection` and its users need; its module imports this one."""

    isPlain: bool
    shutdownCode: int
    heartbeatCode: int
    abuseCode: int

    @property
    def connections(self) -> list[Connection]: ...
    def broadcast(self, data: Data | Prepared, exclude: Connection | Iterable[Connection] = ()) -> None: ...
    def hooksOf(self, connectionClass: type[Connection]) -> Hooks: ...
    def shutDown(self, connection: Connection, hasLeft: bool = ...) -> Deferred[None] | None: ...
    def _opened(self, connection: Connection, isTracking: bool) -> None: ...
    def _closed(self, connection: Connection) -> None: ...


class Wire(Protocol):
    """The upgraded transport of a `Connection`, which `txroom.wire` implements."""

    #: Whether the connection is closed if a message handler raises (`ServerOptions.closeOnError`).
    closeOnError: bool

    @property
    def rtt(self) -> float | None: ...
    @property
    def connectedAt(self) -> float: ...
    @property
    def lastActivity(self) -> float: ...
    @property
    def subprotocol(self) -> str | None: ...
    @property
    def extensions(self) -> str: ...
    @property
    def readyState(self) -> ReadyState: ...
    @property
    def bufferedAmount(self) -> int: ...
    @property
    def refusedAmount(self) -> int: ...
    def send(self, data: Data) -> SendStatus: ...
    def sendPrepared(self, prepared: Prepared) -> SendStatus: ...
    def sendUnlimited(self, prepared: Prepared, mostRefused: int) -> SendStatus | None: ...
    def sendAllPrepared(self, messages: Sequence[Prepared]) -> SendStatus: ...
    def whenSent(self) -> Deferred[None]: ...
    def ping(self, payload: bytes) -> None: ...
    def pong(self, payload: bytes) -> None: ...
    def close(self, code: int | None, reason: str) -> None: ...
    def terminate(self) -> None: ...
    def pause(self) -> None: ...
    def resume(self) -> None: ...
    def hold(self) -> None: ...
    def release(self) -> None: ...
    def simulate(self, link: Link | None, onEnd: Callable[[], object] = ...) -> bool: ...


class Connection:
    """
    One open WebSocket (like ws's `WebSocket` and Cocos Creator's `WebSocketServerConnection`).

    A hook in `CONNECTION_HOOKS` can be assigned, as in ``connection.onMessage = f``. It replaces the hook of
    the application for this connection, and is called with the same arguments, the connection first. A
    subclass, passed as ``Application(connectionClass=...)``, can define hooks as methods.
    """

    _log = Logger()

    #: A random id of 128 bits, unique among all connections of all servers.
    id: str
    #: The client's request.
    handshake: Handshake
    #: The `user` of the `Accept` that `verifyClient` returned.
    user: Any
    #: A dictionary for the application; txroom does not use it.
    data: dict[str, Any]

    _running: Deferred[None] | None = None
    _farewell: tuple[int, str] | None = None
    _begun = False

    def __init__(
        self, id: str, handshake: Handshake, application: ApplicationPort, wire: Wire, user: Any = None
    ) -> None:
        self.id = id
        self.handshake = handshake
        self.application = application
        self.user = user
        self.data = {}
        self._wire = wire
        self._hooks = application.hooksOf(type(self))

    def __setattr__(self, name: str, value: Any) -> None:
        if name[:2] == "on":
            checkAssigned(self, name, value, CONNECTION_HOOKS, lambda hook: getattr(self._hooks, hook))
            if name in CONNECTION_HOOKS:
                self._hooks = self._hooks.replaced(name, value)
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.handshake.path} {self.readyState.name}>"

    # -- properties

    @property
    def protocol(self) -> str | None:
        """The negotiated sub-protocol, or `None`."""
        return self._wire.subprotocol

    @property
    def extensions(self) -> str:
        """The negotiated extensions, as in the header of the 101 response; empty if there are none."""
        return self._wire.extensions

    @property
    def readyState(self) -> ReadyState:
        """OPEN, CLOSING or CLOSED, with the numbers of the W3C API."""
        return self._wire.readyState

    @property
    def rtt(self) -> float | None:
        """The number of seconds between the server's last ping and its pong; `None` before the first pong."""
        return self._wire.rtt

    @property
    def bufferedAmount(self) -> int:
        """
        The number of sent bytes that the operating system has not accepted yet.

        Messages that were sent in the current turn of the reactor count immediately, although they are
        written at the end of the turn.
        """
        return self._wire.bufferedAmount

    @property
    def refusedAmount(self) -> int:
        """The number of bytes that the operating system has refused, because the peer reads too slowly."""
        return self._wire.refusedAmount

    @property
    def connectedAt(self) -> float:
        """When the 101 response was sent, in seconds of the server's clock."""
        return self._wire.connectedAt

    @property
    def lastActivity(self) -> float:
        """When the last message arrived, or else `connectedAt`, in seconds of the server's clock."""
        return self._wire.lastActivity

    # -- sending and closing

    def send(self, data: Data) -> SendStatus:
        """
        Send one message: as text if it is a `str`, as binary if it is a bytes-like object.

        Small messages are collected, and written at the end of the turn of the reactor or earlier, for
        example when a connection has 64 KiB of them; `whenSent` writes them immediately. A collected message
        counts in `bufferedAmount`. It changes the result of `send` only when the system has refused it.

        Args:
            data: The message.

        Returns:
            What happened to the message; `send` never raises because of the peer.

        Raises:
            TypeError: `data` has another type.
            UnicodeEncodeError: The `str` contains a lone surrogate, which is not Unicode text.
        """
        return self._wire.send(data)

    def sendFrame(self, prepared: Prepared) -> SendStatus:
        """Like `send`, for a message that is framed once for several connections."""
        return self._wire.sendPrepared(prepared)

    def sendUnlimited(self, prepared: Prepared, mostRefused: int) -> SendStatus | None:
        """
        Like `sendFrame`, for a message to which `maxBackpressure` doesn't apply. While it is in the send
        buffer, its bytes don't count for other messages either.

        Args:
            prepared: The message.
            mostRefused: If `refusedAmount` is more bytes, the message is not sent, and the result is `None`.
        """
        return self._wire.sendUnlimited(prepared, mostRefused)

    def sendFrames(self, messages: Sequence[Prepared]) -> SendStatus:
        """
        Like `sendFrame`, for several messages at once: all are sent, or queued, or dropped.

        With permessage-deflate each message is checked by itself: after `DROPPED`, the first ones may have
        been sent.
        """
        return self._wire.sendAllPrepared(messages)

    def whenSent(self) -> Deferred[None]:
        """
        Wait until the operating system has accepted all messages sent so far.

        Messages that were sent in the current turn of the reactor are written immediately.

        Returns:
            A Deferred that fires with `None`, or fails with `ConnectionLost` if the connection is lost
            before, like the callback of Cocos Creator's `send`.
        """
        return self._wire.whenSent()

    def ping(self, payload: bytes | str = b"") -> None:
        """
        Send a ping, whose answer is passed to `onPong`. Does nothing unless the connection is OPEN.

        Args:
            payload: At most 125 bytes.

        Raises:
            ValueError: The payload is too long.
        """
        self._wire.ping(_controlPayload(payload))

    def pong(self, payload: bytes | str = b"") -> None:
        """
        Send a pong: an unsolicited one, or the answer to a ping if the option `autoPong` is off.

        Args:
            payload: At most 125 bytes.

        Raises:
            ValueError: The payload is too long.
        """
        self._wire.pong(_controlPayload(payload))

    def close(self, code: int | None = CloseCode.NORMAL, reason: str = "") -> None:
        """
        Start the closing handshake: send a Close frame, and drop the connection when the peer has answered
        it, or after `closeTimeout`.

        No more messages are delivered. A second call does nothing.

        Args:
            code: A code that endpoints may send, which is 1000-1003, 1007-1014 or 3000-4999, or `None` for a
                Close frame without a code.
            reason: At most 123 bytes in UTF-8.

        Raises:
            ValueError: The code must not be sent, or the reason is too long, or has no code.
            TypeError: The code is not a number, or the reason is not a string.
        """
        if code is None:
            if reason:
                raise ValueError("a close reason requires a code")
        elif not isinstance(code, int):
            raise TypeError(
                f"close code {code!r}: must be a number; the reason is second: close(1000, 'bye')"
            )
        elif not isSendable(code):
            raise ValueError(f"close code {code}: must be 1000-1003, 1007-1014 or 3000-4999")
        if not isinstance(reason, str):
            raise TypeError(f"close reason {reason!r}: must be a string")
        if len(reason.encode()) > MAX_CLOSE_REASON:
            raise ValueError(f"close reason longer than {MAX_CLOSE_REASON} bytes")
        self._wire.close(code, reason)

    def terminate(self) -> None:
        """
        Drop the TCP connection immediately, without a Close frame.

        Messages that were sent in the current turn of the reactor are lost. `onDisconnect` gets the code
        1006.
        """
        self._wire.terminate()

    def pause(self) -> None:
        """
        Stop reading and delivering messages until `resume`.

        The heartbeat continues: it reads up to 64 KiB ahead, which are delivered after `resume`. A peer that
        has sent more is only dropped if it does not receive anything either.
        """
        self._wire.pause()

    def resume(self) -> None:
        """Continue after `pause`."""
        self._wire.resume()

    def simulate(self, link: Link | None, onEnd: Callable[[], object] = lambda: None) -> bool:
        """
        Let everything that is sent and received pass a simulated slow link; for the server's operators.

        Args:
            link: What it is like; `None`: end the simulation. What is on its way arrives at once then.
            onEnd: Called when the simulation has ended, or the connection is lost.

        Returns:
            Whether the connection was open, so that this could be done.
        """
        return self._wire.simulate(link, onEnd)

    # -- called by the wire

    def opened(self, onConnection: Hook | None) -> None:
        """Run the server's hook and then the application's: the 101 response is sent."""
        if self.readyState is not ReadyState.OPEN:  # the code that upgraded it has already closed it
            return
        self._run(chainHooks(onConnection, Connection._connect), mayStay=False)

    def received(self, message: str | bytes) -> None:
        """Run the hook for a message; only called while no hook is running."""
        hooks = self._hooks
        hook = hooks.forText if type(message) is str else hooks.forBinary
        if hook is None:
            return
        # The same as `_run`, written out because this is a hot path.
        try:
            result = hook(self, message)
            if result is not None and isAsync(result):
                self._await(result, mayStay=True)
        except Exception:
            self._failed(Failure(), mayStay=True)

    def notified(self, name: str, *args: Any) -> None:
        """Run a hook for a ping, a pong or a drain, which does not delay messages."""
        hook = getattr(self._hooks, name)
        if hook is None:
            return
        try:
            result = hook(self, *args)
        except Exception:
            self._failed(Failure(), mayStay=True)
        else:
            if isAsync(result):
                toDeferred(result).addErrback(self._failed, mayStay=True)

    def disconnected(self, code: int, reason: str) -> None:
        """
        Run `onDisconnect`, after the hook that may still be running: the TCP connection is closed.

        If that hook takes longer than `closeTimeout`, the wire calls `cancelHook`.
        """
        if self._running is not None:
            self._farewell = (code, reason)
        else:
            self._disconnect(code, reason)

    @property
    def isBusy(self) -> bool:
        """Whether a hook is running; the wire delivers nothing until it ends."""
        return self._running is not None

    def cancelHook(self) -> None:
        """Cancel the hook that is running."""
        if self._running is not None:
            cancelHook(self._running)

    # -- the order of the hooks

    def _run(self, hook: Hook | None, *args: Any, mayStay: bool) -> None:
        """Call a hook; an asynchronous one delays the next hooks."""
        if hook is None:
            return
        try:
            result = hook(self, *args)
            if isAsync(result):
                self._await(result, mayStay)
        except Exception:
            self._failed(Failure(), mayStay)

    def _await(self, result: Any, mayStay: bool) -> None:
        def ended(_: object) -> None:
            self._running = None
            farewell, self._farewell = self._farewell, None
            if farewell is not None:
                self._disconnect(*farewell)
            if not self.isBusy:
                self._wire.release()

        running = toDeferred(result)
        if running.called and not running.paused:  # the hook has already ended
            running.addErrback(self._failed, mayStay)
            return
        self._wire.hold()
        self._running = running
        running.addErrback(self._failed, mayStay).addCallback(ended)

    def _connect(self) -> Any:
        self._begun = True
        hook = self._hooks.onConnect
        return hook(self) if hook is not None else None

    def _disconnect(self, code: int, reason: str) -> None:
        hook = self._hooks.onDisconnect
        if self._begun and hook is not None:
            self._run(hook, code, reason, mayStay=True)

    def _failed(self, failure: Failure, mayStay: bool) -> None:
        """Log the error of a hook, call `onError`, and close with 1011 unless the options prevent that."""
        if failure.check(CancelledError, ConnectionLost) and self.readyState is not ReadyState.OPEN:
            clearFailure(failure)
            return
        self._logFailure(failure, "a hook of connection {id} raised")
        hook = self._hooks.onError
        if hook is not None:
            try:
                result = hook(self, failure)
                if isAsync(result):
                    toDeferred(result).addErrback(self._logFailure)
            except Exception:
                self._logFailure(Failure())
        if not mayStay or self._wire.closeOnError:
            self._wire.close(CloseCode.INTERNAL_ERROR, "")

    def _logFailure(self, failure: Failure, text: str = "onError of connection {id} raised") -> None:
        trace = self.handshake.traceparent
        self._log.failure(text, failure, id=self.id, connection=self.id, trace=trace)


def _controlPayload(payload: bytes | str) -> bytes:
    data, _ = encoded(payload)
    if len(data) > MAX_CONTROL_PAYLOAD:
        raise ValueError(f"the payload of a ping or pong must have at most {MAX_CONTROL_PAYLOAD} bytes")
    return data
