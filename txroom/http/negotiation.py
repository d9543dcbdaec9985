"""
The last step of an upgrade: negotiate sub-protocol, extensions and headers, and open the connection.

An `Upgrade` makes the checks that hold for every application, up to `verifyClient`. Then the
`UpgradeNegotiator` of the application negotiates with the client and opens the connection. By default that is
`WireNegotiator`, which uses txroom's own WebSocket implementation. An application that implements
`HasNegotiator` provides its own.
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

#: Calls a hook with arguments and waits for its result. Raises `CancelledError` if the upgrade is over by
#: then.
CallHook = Callable[..., Awaitable[Any]]
#: A hook of the server that returns headers for every 101 answer.
HeadersHook = Callable[[Handshake], Any]


class OpenedConnection(Protocol):
    """A WebSocket whose 101 answer is written and whose first hook has not run."""

    @property
    def connection(self) -> Connection:
        """The `Connection`."""
        ...

    def hold(self) -> None:
        """Deliver no message before `start`."""
        ...

    def start(self, early: bytes) -> None:
        """
        Run the first hooks, then handle `early`: the bytes that the client sent directly behind its request.
        """
        ...


class NegotiatedConnection(Protocol):
    """A connection that is about to be opened. All hooks that decide about it have run."""

    def open(self, transport: Any, address: str) -> OpenedConnection:
        """
        Take over the transport and write the 101 answer. Calls no user code.

        Args:
            transport: The client's transport.
            address: The address under which the connection is counted. It is passed to
                `ConnectionEvents.closed`.
        """
        ...


class UpgradeNegotiator(Protocol):
    """Negotiates and opens the WebSockets of one application."""

    @property
    def options(self) -> ServerOptions:
        """The options that apply to the application: its own, and the server's where it has none."""
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
        Decide how to open a connection that `verifyClient` has accepted.

        The application is an argument of each call because a negotiator lives as long as its application, and
        must not keep the application alive.

        Args:
            application: The application that will serve the connection.
            handshake: The client's request.
            accepted: The answer of `verifyClient`.
            callHook: Calls hooks.
            transport: The client's transport. It belongs to the upgrade and must only be inspected.

        Raises:
            UpgradeError: The client is refused. Any other exception is logged, and the client is refused with
                500.
        """
        ...


@runtime_checkable
class HasNegotiator(Protocol):
    """An application with a negotiator of its own."""

    def makeNegotiator(
        self, context: WireContext, options: ServerOptions, headersHook: Callable[[], HeadersHook | None]
    ) -> UpgradeNegotiator:
        """
        Make the negotiator for this application's connections to one server.

        Args:
            context: The state that the server's connections share. The negotiator must report each connection
                to its events.
            options: The options that apply to this application.
            headersHook: Returns the server's current hook for headers, or `None`.
        """
        ...


class WireNegotiator:
    """
    Opens connections that use txroom's own WebSocket implementation.

    Args:
        context: The state that the server's connections share.
        options: The options that apply to the application.
        headersHook: Returns the server's current hook for headers, or `None`.
    """

    def __init__(
        self, context: WireContext, options: ServerOptions, headersHook: Callable[[], HeadersHook | None]
    ) -> None:
        self.options = options
        #: The class of all connections that have these options.
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
        """See `UpgradeNegotiator`. Calls `chooseProtocol` and both `responseHeaders` hooks."""
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
        # The user's class may raise, so it is instantiated before anything is written.
        wire.connection = application.connectionClass(
            urandom(16).hex(), handshake, application, wire, accepted.user
        )
        extensions = None if parameters is None else parameters.header
        answer = switching(handshake, subprotocol, extensions, headers)
        return NegotiatedWireConnection(wire, answer, subprotocol, parameters)


def _chosen(chosen: Any, offered: list[str]) -> str | None:
    """Return the sub-protocol that a `chooseProtocol` hook has chosen."""
    if chosen is False:
        raise UpgradeError(400, "protocol")
    if chosen is not None and chosen not in offered:
        raise ValueError(f"chooseProtocol returned {chosen!r}: must be one of {offered}, None or False")
    return str(chosen) if chosen is not None else None


@attrs.define
class NegotiatedWireConnection:
    """A `NegotiatedConnection` that uses txroom's own WebSocket implementation."""

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
