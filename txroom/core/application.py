"""
`Application`: the hooks and options for the connections of one host and path.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed

from .codes import CloseCode
from .connection import Connection
from .handshake import Handshake, UpgradeError
from .hooks import CONNECTION_HOOKS, HOOKS, Hook, Hooks
from .message import Data, Prepared
from .options import OPTIONS, SERVER_ONLY, ServerOptions
from .validation import OptionError, checkAssigned, misspeltHooks, unknownNames, warnOfClass


@attrs.frozen
class Refusal:
    """
    What `Application.tellRefusal` returns: how to tell a client in its own sub-protocol that it is refused.

    The client is upgraded with the sub-protocol `protocol`, gets `message`, and is closed with `code` and
    `reason` (at most 123 bytes).
    """

    protocol: str
    message: Prepared
    code: int
    reason: str = ""


class Application:
    """
    Serves the connections of one host and path (like TeaJS's `addApplication`).

    Subclass it and define hooks as methods, or pass functions, as in `Application(onMessage=lambda
    connection, message: connection.send(message))`. Every hook is optional and may return a value, a
    `Deferred` or a coroutine:

    - `acceptsOrigin(origin)`: returns whether a page from that origin may connect. It replaces the default
      check. `origin` is `None` for a client that sends no Origin; browsers always send one.
    - `verifyClient(handshake)`: returns `True`, `False`, `Accept(...)` or `Deny(...)`.
    - `chooseProtocol(offered, handshake)`: returns one of the offered sub-protocols, `None` to go on without
      one, or `False` to refuse the client.
    - `responseHeaders(handshake)`: returns more headers for the 101 answer.
    - `onConnect(connection)`: the connection is open. Messages wait until this hook is done.
    - `onText(connection, text)`, `onBinary(connection, data)`, `onMessage(connection, message)`: a message
      was received. They are called for one message after another; if the hook is asynchronous,
      reading pauses until it is done.
    - `onPing(connection, payload)`, `onPong(connection, payload)`: a ping or pong was received.
    - `onDrain(connection)`: the send buffer has emptied after backpressure.
    - `onDisconnect(connection, code, reason)`: the TCP connection is closed. Called exactly once for each
      `onConnect`.
    - `onError(connection, failure)`: a hook of this connection raised.

    Args:
        connectionClass: The class of the connections, a subclass of `Connection`.
        hooksAndOptions: Hooks, and options of the server that are overridden for this application, such as
            `maxPayload=4096`.

    Raises:
        TypeError: A hook is not callable, or `connectionClass` is not a subclass of `Connection`.
        OptionError: An option is unknown, has a wrong value, or can only be set for the whole server.
    """

    connectionClass: type[Connection] = Connection
    #: Whether `Server.broadcast` reaches the connections of this application. `False` for `RoomApplication`,
    #: because its clients speak the room protocol.
    isPlain: bool = True
    #: The text for a person who opens the path in a browser, without a WebSocket.
    served: str = "A WebSocket is served at this path"
    #: Resources of twisted.web that the server serves too, for the plain HTTP requests of clients. The keys
    #: are paths below the application's path ("" is that path itself). They are served for every host, even
    #: if the application is for one host.
    pages: Mapping[str, Any] = {}
    #: The codes with which the server closes connections: when it shuts down, when a heartbeat is not
    #: answered, and when a client exceeds the rate limit. `RoomApplication` has 4100, 4106 and 4029.
    shutdownCode: int = CloseCode.GOING_AWAY
    heartbeatCode: int = CloseCode.INTERNAL_ERROR
    abuseCode: int = CloseCode.POLICY_VIOLATION

    def __init__(self, *, connectionClass: type[Connection] | None = None, **hooksAndOptions: Any) -> None:
        self._hooks: dict[type[Connection], Hooks] = {}
        if connectionClass is not None:
            self.connectionClass = connectionClass
        made: object = self.connectionClass
        if not (isinstance(made, type) and issubclass(made, Connection)):
            raise TypeError(f"connectionClass={made!r}: must be a subclass of Connection")
        changes = {}
        unknown = unknownNames(hooksAndOptions, [*HOOKS, *OPTIONS])
        if unknown:
            raise OptionError(f"no such hook or option: {unknown}")
        for name, value in hooksAndOptions.items():
            if name not in HOOKS:
                changes[name] = value
            elif callable(value):
                setattr(self, name, value)
            else:
                raise TypeError(f"{name}={value!r}: must be callable")
        ServerOptions().override(changes)
        wrong = sorted(SERVER_ONLY & set(changes))
        if wrong:
            raise OptionError(f"{', '.join(wrong)}: can only be set for the whole server")
        #: The options that this application overrides.
        self.overrides: Mapping[str, Any] = changes
        self._connections: dict[str, Connection] = {}
        self._isTracking = True

    def warnOfHooks(self) -> None:
        """Warn of methods that look like hooks but will never be called, here and in `connectionClass`."""
        own, made = type(self), self.connectionClass
        warnOfClass(own, misspeltHooks(own, Application, HOOKS, lambda name: self.hook(name) is not None))
        warnOfClass(made, misspeltHooks(made, Connection, CONNECTION_HOOKS, lambda name: hasattr(made, name)))

    def __setattr__(self, name: str, value: Any) -> None:
        checkAssigned(self, name, value, HOOKS, lambda hook: self.hook(hook) is not None)
        super().__setattr__(name, value)
        if name in CONNECTION_HOOKS:
            self._hooks.clear()

    @property
    def connections(self) -> list[Connection]:
        """The open connections of this application. Empty if the option `clientTracking` is off."""
        return list(self._connections.values()) if self._isTracking else []

    def broadcast(self, data: Data | Prepared, exclude: Connection | Iterable[Connection] = ()) -> None:
        """
        Send a message to all open connections of this application. It is framed once for all of them.

        Args:
            data: The message.
            exclude: One connection or several that do not get it.

        Raises:
            TypeError: `exclude` contains something other than connections.
        """
        broadcast(self._connections.values(), data, exclude)

    def tellErrors(self, isOn: bool) -> None:
        """Let errors tell clients more, or not; called by `Server.tellErrors`."""

    def routesFor(self, path: str | None) -> tuple[str | None, ...]:
        """
        Return the paths at which to serve the application when it is added at `path`. Called once for each
        addition.
        """
        return (path,)

    def hook(self, name: str) -> Hook | None:
        """Return the hook of that name, or `None` if it is not set."""
        return getattr(self, name, None)

    def hooksOf(self, connectionClass: type[Connection]) -> Hooks:
        """
        Return the hooks for connections of a class: its own methods, and otherwise this application's hooks.
        """
        hooks = self._hooks.get(connectionClass)
        if hooks is None:
            hooks = self._hooks[connectionClass] = Hooks(
                **{name: getattr(connectionClass, name, None) or self.hook(name) for name in CONNECTION_HOOKS}
            )
        return hooks

    def tellRefusal(self, handshake: Handshake, error: UpgradeError) -> Refusal | None:
        """
        Return how to tell a client in its sub-protocol that its upgrade is refused; `None` for the HTTP
        answer.

        In a browser, the script of a page cannot see the HTTP answer, so `RoomApplication` reports refusals
        in the room protocol. This is called only for clients whose origin is allowed, and not if the option
        `refusals` is "http".
        """
        return None

    def shutDown(self, connection: Connection, hasLeft: bool = False) -> Deferred[None] | None:
        """
        Start to close an open connection, because the server is stopping.

        Args:
            connection: The connection.
            hasLeft: Whether other processes go on for this one (`Server.leave`), so that the client can
                connect again at once.

        Returns:
            A Deferred that fires when the client is back at another process, if the application can know
            that; otherwise `None`.
        """
        if hasLeft:
            connection.close(CloseCode.SERVICE_RESTART, "server restart")
        else:
            connection.close(self.shutdownCode, "server shutdown")
        return None

    def stop(self) -> Deferred[Any]:
        """
        Called when the server has stopped and the connections are closed. The server waits for the Deferred,
        within its deadline.
        """
        return succeed(None)

    def _opened(self, connection: Connection, isTracking: bool) -> None:
        """Add a connection that the server has opened."""
        if isTracking is not self._isTracking:
            self._isTracking = isTracking
        self._connections[connection.id] = connection

    def _closed(self, connection: Connection) -> None:
        """Remove a connection that is closed."""
        self._connections.pop(connection.id, None)


def broadcast(
    connections: Iterable[Connection],
    data: Data | Prepared,
    exclude: Connection | Iterable[Connection] = (),
) -> None:
    """Send a message to `connections`, except `exclude`. It is framed once for all of them."""
    prepared = data if isinstance(data, Prepared) else Prepared(data)
    excluded = {connection.id for connection in _several(exclude)} if exclude else ()
    for connection in [each for each in connections if not excluded or each.id not in excluded]:
        connection.sendFrame(prepared)


def _several(exclude: Any) -> Iterable[Connection]:
    """Return the given connection or connections. Raises `TypeError` for anything else."""
    isOne = isinstance(exclude, str | bytes) or not isinstance(exclude, Iterable)
    connections = (exclude,) if isOne else tuple(exclude)
    for each in connections:
        if not isinstance(each, Connection):
            raise TypeError(f"exclude: {each!r} is not a Connection; for an id use server.connection(id)")
    return connections
