"""
An application: the hooks that serve the connections of one host and path.
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
    What `Application.tellRefusal` gives: how a client learns in its own protocol that it isn't let in.

    It is upgraded with the sub-protocol `protocol`, sent `message`, and closed with `code` and `reason`
    (123 bytes at most).
    """

    protocol: str
    message: Prepared
    code: int
    reason: str = ""


class Application:
    """
    What serves the connections of one host and path (like TeaJS's `addApplication`).

    Subclass it and define hooks as methods, or give functions, as
    `Application(onMessage=lambda connection, message: connection.send(message))`.
    Every hook is optional and may return a value, a `Deferred` or a coroutine:

    - `acceptsOrigin(origin)`: whether a page from there may connect; replaces the default check. `origin` is
      `None` for clients that send none, which no browser is.
    - `verifyClient(handshake)`: `True`, `False`, `Accept(...)` or `Deny(...)`.
    - `chooseProtocol(offered, handshake)`: one of the offered sub-protocols, `None` to go on without one,
      `False` to refuse.
    - `responseHeaders(handshake)`: more headers for the 101 answer.
    - `onConnect(connection)`; messages wait until it is done.
    - `onText(connection, text)`, `onBinary(connection, data)`, `onMessage(connection, message)`: one
      message after another, reading paused while an asynchronous one runs.
    - `onPing(connection, payload)`, `onPong(connection, payload)`, `onDrain(connection)`.
    - `onDisconnect(connection, code, reason)`: exactly once for each `onConnect`, when the TCP connection
      is gone.
    - `onError(connection, failure)`: a hook of this connection raised.

    `connectionClass` is the class of the connections; other keywords that are no hooks are options
    of the server that are overridden for this application, as `Application(maxPayload=4096)`.
    Raises `TypeError` for a hook that isn't callable, `OptionError` for a wrong option.
    """

    connectionClass: type[Connection] = Connection
    #: Whether `Server.broadcast` reaches its connections; those of rooms speak a protocol of their own.
    isPlain: bool = True
    #: What is here, for a person who comes to its path by browser and not by WebSocket.
    served: str = "A WebSocket is served at this path"
    #: Pages that come with it, by their paths below its own ("": its own): resources of twisted.web, for what
    #: its clients do by plain HTTP. The server serves them where it serves the application, at any host.
    pages: Mapping[str, Any] = {}
    #: What the server itself closes with: at its shutdown, without a heartbeat, over the rate limit.
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
                raise TypeError(f"{name} must be callable, not {value!r}")
        ServerOptions().override(changes)
        wrong = sorted(SERVER_ONLY & set(changes))
        if wrong:
            raise OptionError(f"{', '.join(wrong)}: can only be set for the whole server")
        #: The options that differ from the server's.
        self.overrides: Mapping[str, Any] = changes
        self._connections: dict[str, Connection] = {}
        self._isTracking = True

    def warnOfHooks(self) -> None:
        """Warn of methods that look like hooks, here and in `connectionClass`; the server asks for it."""
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
        """The open connections of this application; empty with `clientTracking` off."""
        return list(self._connections.values()) if self._isTracking else []

    def broadcast(self, data: Data | Prepared, exclude: Connection | Iterable[Connection] = ()) -> None:
        """
        Send one message to all open connections of this application, framed once, except `exclude`.

        That is one connection or several; raises `TypeError` for anything else.
        """
        broadcast(self._connections.values(), data, exclude)

    def setDebug(self, isOn: bool) -> None:
        """See `Server.setDebug`, which calls this."""

    def routesFor(self, path: str | None) -> tuple[str | None, ...]:
        """The paths at which the server serves it when it is added at `path`; it asks once for each."""
        return (path,)

    def hook(self, name: str) -> Hook | None:
        """The hook of that name; `None` if it is not set."""
        return getattr(self, name, None)

    def hooksOf(self, connectionClass: type[Connection]) -> Hooks:
        """The hooks for connections of that class: its own methods, else this application's."""
        hooks = self._hooks.get(connectionClass)
        if hooks is None:
            hooks = self._hooks[connectionClass] = Hooks(
                **{name: getattr(connectionClass, name, None) or self.hook(name) for name in CONNECTION_HOOKS}
            )
        return hooks

    def tellRefusal(self, handshake: Handshake, error: UpgradeError) -> Refusal | None:
        """
        How to tell a client that its upgrade is refused, in place of the HTTP answer; `None`: by HTTP.

        Browsers show pages nothing of an HTTP answer. `RoomApplication` says it in the room protocol.
        Called for a client whose origin may connect; not with the option `refusals="http"`.
        """
        return None

    def shutDown(self, connection: Connection) -> None:
        """The server stops: begin to close a connection that is open."""
        connection.close(self.shutdownCode, "server shutdown")

    def stop(self) -> Deferred[Any]:
        """The server has stopped, and its connections are gone; it waits for this, within its deadline."""
        return succeed(None)

    def _opened(self, connection: Connection, isTracking: bool) -> None:
        """The server opened a connection of this application."""
        self._isTracking = isTracking
        self._connections[connection.id] = connection

    def _closed(self, connection: Connection) -> None:
        """A connection of this application is gone."""
        self._connections.pop(connection.id, None)


def broadcast(
    connections: Iterable[Connection],
    data: Data | Prepared,
    exclude: Connection | Iterable[Connection] = (),
) -> None:
    """Send one message to `connections`, framed once, except `exclude`."""
    prepared = data if isinstance(data, Prepared) else Prepared(data)
    excluded = {connection.id for connection in _several(exclude)} if exclude else ()
    for connection in [each for each in connections if not excluded or each.id not in excluded]:
        connection.sendFrame(prepared)


def _several(exclude: Any) -> Iterable[Connection]:
    """The connections that are given as one or several; `TypeError` for anything else."""
    isOne = isinstance(exclude, str | bytes) or not isinstance(exclude, Iterable)
    connections = (exclude,) if isOne else tuple(exclude)
    for each in connections:
        if not isinstance(each, Connection):
            raise TypeError(f"exclude: {each!r} is no connection; the one of an id is server.connection(id)")
    return connections
