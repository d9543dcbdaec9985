"""
Who opens a WebSocket when its upgrade has passed all checks of the server.

An `Upgrade` checks what holds for every application, up to `verifyClient`. Then the `UpgradeNegotiator` of
the application agrees with the client on sub-protocol, extensions and headers, and opens the connection. By
default that is `WireNegotiator`, by txroom's own wire; an application that is `HasNegotiator` brings its own.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from os import urandom
from typing import Any, Protocol, runtime_checkable

import attrs

from ..core.application import Application
from ..core.connection import Connection
from ..core.handshake import Accept, Handshake, UpgradeError
from ..core.headers import checkedHeaders
from ..core.options import ServerOptions
from ..wire.context import WireContext
from ..wire.deflate import DeflateParameters, negotiate
from ..wire.protocol import WireProtocol, protocolClass
from .response import switching

#: Calls a hook with arguments and waits for its result; raises `CancelledError` when the upgrade is over.
CallHook = Callable[..., Awaitable[Any]]
#: A hook of the server that gives headers for every 101 answer.
HeadersHook = Callable[[Handshake], Any]


class OpenedConnection(Protocol):
    """A WebSocket whose 101 answer is written, and whose first hook hasn't run."""

    @property
    def connection(self) -> Connection:
        """Its connection."""
        ...

    def hold(self) -> None:
        """Take no message until `start`."""
        ...

    def start(self, early: bytes) -> None:
        """Run the first hooks, then take what the client sent right behind its request."""
        ...


class NegotiatedConnection(Protocol):
    """A connection that is about to be opened: all that users decide is decided."""

    def open(self, transport: Any, address: str) -> OpenedConnection:
        """
        Take the transport over, and write the 101 answer; calls no code of users.

        Args:
            transport: The client's.
            address: What the connection is counted under; `ConnectionEvents.closed` is told it.
        """
        ...


class UpgradeNegotiator(Protocol):
    """Opens the WebSockets of one application."""

    @property
    def options(self) -> ServerOptions:
        """The options of the application, laid over the server's."""
        ...

    async def negotiate(
        self,
        application: Application,
        handshake: Handshake,
        accepted: Accept,
        callHook: CallHook,
        transport: Any,
    ) -> NegotiatedConnection:
        """
        Decide how a connection is opened that `verifyClient` has let in.

        The application is given each time because openers are kept for as long as their application lives,
        and mustn't keep it alive.

        Args:
            application: Whose connection it will be.
            handshake: The client's request.
            accepted: What `verifyClient` said.
            callHook: How hooks are called.
            transport: The client's, to be looked at only: it belongs to the upgrade.

        Raises:
            UpgradeError: To refuse the client after all. Any other error is logged, and refused with 500.
        """
        ...


@runtime_checkable
class HasNegotiator(Protocol):
    """An application with a negotiator of its own."""

    def makeNegotiator(
        self, context: WireContext, options: ServerOptions, headersHook: Callable[[], HeadersHook | None]
    ) -> UpgradeNegotiator:
        """
        Make the negotiator of this application's connections at one server.

        Args:
            context: What the connections of the server share; its events must be told of each connection.
            options: Those in force for this application.
            headersHook: Gives the hook for headers of the server, if it has one now.
        """
        ...


class WireNegotiator:
    """
    Opens connections of txroom's own wire.

    Args:
        context: What the connections of the server share.
        options: Those of the application.
        headersHook: Gives the hook for headers of the server, if it has one now.
    """

    def __init__(
        self, context: WireContext, options: ServerOptions, headersHook: Callable[[], HeadersHook | None]
    ) -> None:
        self.options = options
        #: The class of all connections with these options.
        self.wireClass = protocolClass(context, options)
        self._headersHook = headersHook

    async def negotiate(
        self,
        application: Application,
        handshake: Handshake,
        accepted: Accept,
        callHook: CallHook,
        transport: Any,
    ) -> NegotiatedWireConnection:
        """See `UpgradeNegotiator`; calls `chooseProtocol`, and both `responseHeaders` hooks."""
        offered = handshake.protocols
        chooses = application.hook("chooseProtocol")
        if chooses is None:
            subprotocol = offered[0] if offered else None
        else:
            subprotocol = _chosen(await callHook(chooses, offered, handshake), offered)
        parameters = negotiate(handshake.extensions, self.options)
        headers = accepted.headers
        for hook in (self._headersHook(), application.hook("responseHeaders")):
            if hook is not None:
                headers += checkedHeaders(await callHook(hook, handshake) or ())
        wire = self.wireClass()
        # A class of the user's, which may raise: before anything is written.
        wire.connection = application.connectionClass(
            urandom(16).hex(), handshake, application, wire, accepted.user
        )
        extensions = None if parameters is None else parameters.header
        answer = switching(handshake, subprotocol, extensions, headers)
        return NegotiatedWireConnection(wire, answer, subprotocol, parameters)


def _chosen(chosen: Any, offered: list[str]) -> str | None:
    """The sub-protocol that a `chooseProtocol` hook has chosen."""
    if chosen is False:
        raise UpgradeError(400, "protocol")
    if chosen is not None and chosen not in offered:
        raise ValueError(f"chooseProtocol returned {chosen!r}; one of {offered}, None or False")
    return str(chosen) if chosen is not None else None


@attrs.frozen
class NegotiatedWireConnection:
    """A connection of txroom's own wire that is about to be opened."""

    wire: WireProtocol
    answer: bytes
    subprotocol: str | None
    parameters: DeflateParameters | None

    def open(self, transport: Any, address: str) -> OpenedConnection:
        """See `NegotiatedConnection`."""
        wire = self.wire
        wire.address = address
        wire.open(transport, self.answer, self.subprotocol, self.parameters)
        return wire
