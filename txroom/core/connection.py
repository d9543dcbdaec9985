"""
One open WebSocket as an application sees it.

A `Connection` knows nothing of frames: it hands what it sends to a `Wire`, and the wire calls it with what
has arrived. It sees to the order of the hooks: they run one after another, never two at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost
from twisted.logger import Logger
from twisted.python.failure import Failure

from .awaitables import cancelHook, clearFailure, isAsync, toDeferred
from .codes import CloseCode, ReadyState, SendStatus, isSendable
from .handshake import Handshake
from .hooks import CONNECTION_HOOKS, Hook, Hooks, chainHooks
from .message import Data, Prepared, encoded
from .validation import checkAssigned

#: RFC 6455 §5.5: a control frame carries at most this many bytes; two of a Close frame are its code.
MAX_CONTROL_PAYLOAD = 125
MAX_CLOSE_REASON = MAX_CONTROL_PAYLOAD - 2


class ApplicationPort(Protocol):
    """What those who hold a `Connection` ask of its `Application`, which is a module above."""

    isPlain: bool
    shutdownCode: int
    heartbeatCode: int
    abuseCode: int

    @property
    def connections(self) -> list[Connection]: ...
    def broadcast(self, data: Data | Prepared, exclude: Connection | Iterable[Connection] = ()) -> None: ...
    def hooksOf(self, connectionClass: type[Connection]) -> Hooks: ...
    def shutDown(self, connection: Connection) -> None: ...
    def _opened(self, connection: Connection, isTracking: bool) -> None: ...
    def _closed(self, connection: Connection) -> None: ...


class Wire(Protocol):
    """What a `Connection` needs of the upgraded transport below it, which `txroom.wire` implements."""

    #: Whether a message handler that raises costs the connection (`ServerOptions.closeOnError`).
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


class Connection:
    """
    One open WebSocket (like ws's `WebSocket` and Cocos Creator's `WebSocketServerConnection`).

    Any hook in `CONNECTION_HOOKS` may be assigned, `connection.onMessage = f`, and then replaces the
    application's for this connection; it is called with the same arguments, the connection first.
    A subclass, given as `Application(connectionClass=...)`, may define them as methods.
    """

    _log = Logger()

    #: Unguessable (128 bits), and unique among all connections of all servers.
    id: str
    #: What the client asked when it connected.
    handshake: Handshake
    #: What `verifyClient` accepted the client as: the `user` of `Accept`.
    user: Any
    #: Free for the application; never read by txroom.
    data: dict[str, Any]

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
        self._running: Deferred[None] | None = None
        self._farewell: tuple[int, str] | None = None
        self._begun = False

    def __setattr__(self, name: str, value: Any) -> None:
        if name[:2] == "on":
            checkAssigned(self, name, value, CONNECTION_HOOKS, lambda hook: getattr(self._hooks, hook))
            if name in CONNECTION_HOOKS:
                self._hooks = self._hooks.replaced(name, value)
        super().__setattr__(name, value)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.id} {self.handshake.path} {self.readyState.name}>"

    # -- what is known of it

    @property
    def protocol(self) -> str | None:
        """The sub-protocol that was agreed on, or `None`."""
        return self._wire.subprotocol

    @property
    def extensions(self) -> str:
        """The extensions that were agreed on, as in the answer's header; "" for none."""
        return self._wire.extensions

    @property
    def readyState(self) -> ReadyState:
        """OPEN, CLOSING or CLOSED; numbered as in the W3C API."""
        return self._wire.readyState

    @property
    def rtt(self) -> float | None:
        """Seconds between the server's last ping and its pong; `None` before the first."""
        return self._wire.rtt

    @property
    def bufferedAmount(self) -> int:
        """
        Bytes that the operating system hasn't taken yet.

        What was sent in this turn of the reactor counts, though it is written at the end of the turn.
        """
        return self._wire.bufferedAmount

    @property
    def refusedAmount(self) -> int:
        """Of those the bytes that the operating system refused, since the peer reads too slowly."""
        return self._wire.refusedAmount

    @property
    def connectedAt(self) -> float:
        """When the upgrade was answered, in seconds of the server's clock."""
        return self._wire.connectedAt

    @property
    def lastActivity(self) -> float:
        """When the last message came (at first: `connectedAt`), in seconds of the server's clock."""
        return self._wire.lastActivity

    # -- what can be done with it

    def send(self, data: Data) -> SendStatus:
        """
        Send one message: text for `str`, binary for bytes-like objects.

        Never raises because of the peer; the result tells what became of the message (`SendStatus`).
        Raises `TypeError` for other types, and `UnicodeEncodeError` for a `str` that isn't Unicode text
        (a lone surrogate).
        """
        return self._wire.send(data)

    def sendFrame(self, prepared: Prepared) -> SendStatus:
        """As `send`, for a message that is framed once and sent to many."""
        return self._wire.sendPrepared(prepared)

    def sendFrames(self, messages: Sequence[Prepared]) -> SendStatus:
        """Several of them, in one write: all are sent, or queued, or dropped."""
        return self._wire.sendAllPrepared(messages)

    def whenSent(self) -> Deferred[None]:
        """
        Fires when all that was sent so far was taken by the operating system.

        Fails with `ConnectionLost` if the connection is lost before, like the callback of Cocos Creator's
        `send`.
        """
        return self._wire.whenSent()

    def ping(self, payload: bytes | str = b"") -> None:
        """
        Send a ping; the answer comes to `onPong`. Ignored unless OPEN.

        Raises `ValueError` for a payload over 125 bytes.
        """
        self._wire.ping(_controlPayload(payload))

    def pong(self, payload: bytes | str = b"") -> None:
        """Send a pong that nobody asked for, or the answer to a ping when `autoPong` is off; see `ping`."""
        self._wire.pong(_controlPayload(payload))

    def close(self, code: int | None = CloseCode.NORMAL, reason: str = "") -> None:
        """
        Send a Close frame and drop the connection once it is answered, at latest after `closeTimeout`.

        No message is delivered any more. `code` is one an endpoint may send: 1000-1003, 1007-1014,
        3000-4999, or `None` for a Close frame without a code. Raises `ValueError` for others, and for
        a `reason` longer than 123 bytes; `TypeError` for what is no code or no text. A second call does
        nothing.
        """
        if code is None:
            if reason:
                raise ValueError("a close reason needs a code")
        elif not isinstance(code, int):
            raise TypeError(
                f"close code {code!r}: must be a number; the reason is second: close(1000, 'bye')"
            )
        elif not isSendable(code):
            raise ValueError(f"close code {code}: must be 1000-1003, 1007-1014 or 3000-4999")
        if not isinstance(reason, str):
            raise TypeError(f"close reason {reason!r}: must be a str")
        if len(reason.encode()) > MAX_CLOSE_REASON:
            raise ValueError(f"close reason longer than {MAX_CLOSE_REASON} bytes")
        self._wire.close(code, reason)

    def terminate(self) -> None:
        """Drop the TCP connection at once, without a Close frame; `onDisconnect` tells 1006."""
        self._wire.terminate()

    def pause(self) -> None:
        """
        Deliver no messages and stop reading until `resume`.

        The heartbeat goes on: for it up to 64 KiB are read ahead, and delivered after `resume`. A peer that
        has sent more can't be judged, unless it takes nothing of what it was sent either.
        """
        self._wire.pause()

    def resume(self) -> None:
        """Go on after `pause`."""
        self._wire.resume()

    # -- what the wire tells it

    def opened(self, onConnection: Hook | None) -> None:
        """The 101 answer is out: run the server's hook, then the application's."""
        if self.readyState is not ReadyState.OPEN:  # whoever upgraded it has closed it already
            return
        self._run(chainHooks(onConnection, Connection._connect), mayStay=False)

    def received(self, message: str | bytes) -> None:
        """A message is complete. The wire calls this only while no hook is running."""
        hooks = self._hooks
        hook = hooks.forText if type(message) is str else hooks.forBinary
        if hook is None:
            return
        # As `_run`, without its price: this is a hot path.
        try:
            result = hook(self, message)
            if result is not None and isAsync(result):
                self._await(result, mayStay=True)
        except Exception:
            self._failed(Failure(), mayStay=True)

    def notified(self, name: str, *args: Any) -> None:
        """A ping, a pong or a drain: its hook runs beside the messages and holds up nothing."""
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
        The TCP connection is gone: run `onDisconnect`, after the hook that may still be running.

        The wire cuts that short with `cancelHook` if it takes longer than `closeTimeout`.
        """
        if self._running is not None:
            self._farewell = (code, reason)
        else:
            self._disconnect(code, reason)

    @property
    def isBusy(self) -> bool:
        """Whether a hook is still running; the wire delivers nothing meanwhile."""
        return self._running is not None

    def cancelHook(self) -> None:
        """Cancel the hook that is still running."""
        if self._running is not None:
            cancelHook(self._running)

    # -- the order of the hooks

    def _run(self, hook: Hook | None, *args: Any, mayStay: bool) -> None:
        """Call a hook; one that is asynchronous holds up what follows."""
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
        if running.called and not running.paused:  # it had nothing to wait for
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
        """A hook raised: log it, tell `onError`, and close with 1011 unless the options let it stay."""
        if failure.check(CancelledError, ConnectionLost) and self.readyState is not ReadyState.OPEN:
            clearFailure(failure)
            return
        self._log.failure("a hook of connection {id} raised", failure, id=self.id)
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

    def _logFailure(self, failure: Failure) -> None:
        self._log.failure("onError of connection {id} raised", failure, id=self.id)


def _controlPayload(payload: bytes | str) -> bytes:
    data, _ = encoded(payload)
    if len(data) > MAX_CONTROL_PAYLOAD:
        raise ValueError(f"the payload of a ping or pong is at most {MAX_CONTROL_PAYLOAD} bytes")
    return data
