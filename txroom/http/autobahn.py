"""
Autobahn's protocol factories behind txroom's checks.

An `AutobahnApplication` serves the protocols of a `WebSocketServerFactory`, with methods and options as they
are. Its `AutobahnNegotiator` agrees with a client in four steps, of which each may refuse it:

1. The factory builds a protocol, and that is given a request head written anew from the `Handshake`.
2. Autobahn checks the head: its own options on origins, versions, connections.
3. The protocol's `onConnect` is asked, and may take its time.
4. Autobahn writes its 101 answer, which is checked and kept until the connection is opened.

A protocol whose client is refused, or has left, is told by its `onClose`, as by Autobahn itself.
"""

from __future__ import annotations

from collections.abc import Callable
from os import urandom
from typing import Any

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny
from twisted.internet.defer import succeed
from twisted.logger import Logger

from ..core.application import Application
from ..core.handshake import Accept, Handshake, UpgradeError
from ..core.headers import checkedHeaders
from ..core.options import ServerOptions
from ..wire.context import WireContext
from . import autobahnprotocol
from .autobahnreceiver import AutobahnReceiver
from .autobahnwire import AutobahnWire, refusalStatus
from .negotiation import CallHook, HeadersHook
from .protocolfactories import FactoryApplication
from .response import fieldLines
from .rewriting import headersWithoutProxy, requestHead

_COMPRESSION = "factory.setProtocolOptions(perMessageCompressionAccept=...)"
_MESSAGES = "its messages come to the protocol's onMessage"
#: What the factory or its protocol decides, and how.
DECIDED_BY_AUTOBAHN = {
    "chooseProtocol": "the protocol's onConnect returns the sub-protocol",
    "responseHeaders": "the protocol's onConnect returns (sub-protocol, headers)",
    "onMessage": _MESSAGES,
    "onText": _MESSAGES,
    "onBinary": _MESSAGES,
    "maxPayload": "factory.setProtocolOptions(maxMessagePayloadSize=...)",
    "maxCompressedSize": "factory.setProtocolOptions(maxFramePayloadSize=...)",
    "maxFragments": "factory.setProtocolOptions(maxMessagePayloadSize=...) is the bound of a message",
    "skipUTF8Validation": "factory.setProtocolOptions(utf8validateIncoming=False)",
    "autoPong": "the protocol's onPing answers",
    "allowSynchronousEvents": "messages come as Autobahn delivers them",
    "closeOnError": "a method of the protocol that raises costs the connection",
    **dict.fromkeys(
        [
            "compression",
            "threshold",
            "serverMaxWindowBits",
            "clientMaxWindowBits",
            "serverNoContextTakeover",
            "clientNoContextTakeover",
            "memoryLevel",
        ],
        _COMPRESSION,
    ),
}

_END = b"\r\n\r\n"


class AutobahnApplication(FactoryApplication):
    """
    Serves the protocols of an Autobahn factory.

    The hooks `acceptsOrigin` and `verifyClient` come before Autobahn's own handshake; `onConnect`, `onPing`,
    `onPong`, `onDrain` and `onDisconnect` are told beside the protocol. Keywords that are no hooks are
    options of the server, as for any `Application`.

    Args:
        factory: A `WebSocketServerFactory` of `autobahn.twisted`, or of a subclass.
        hooksAndOptions: The hooks and the options.

    Raises:
        TypeError: For another factory, and for a hook or an option that is the factory's to decide.
    """

    _log = Logger()
    served = "An Autobahn protocol is served at this path"

    def __init__(self, factory: Any, **hooksAndOptions: Any) -> None:
        if not isinstance(factory, WebSocketServerFactory):
            raise TypeError(f"factory={factory!r}: must be a WebSocketServerFactory of autobahn.twisted")
        for name in hooksAndOptions:
            if name in DECIDED_BY_AUTOBAHN:
                raise TypeError(f"{name} is decided by Autobahn: {DECIDED_BY_AUTOBAHN[name]}")
        super().__init__(factory, **hooksAndOptions)

    def start(self) -> None:
        if not self._isStarted and not self.factory.maxMessagePayloadSize:
            self._log.warn(
                "{factory} takes messages of any size: factory.setProtocolOptions(maxMessagePayloadSize=...)",
                factory=type(self.factory).__name__,
            )
        super().start()

    def makeNegotiator(
        self, context: WireContext, options: ServerOptions, headersHook: Callable[[], HeadersHook | None]
    ) -> AutobahnNegotiator:
        """See `HasNegotiator`."""
        return AutobahnNegotiator(context, options, headersHook)


class AutobahnNegotiator:
    """Opens the connections of an `AutobahnApplication`; see `UpgradeNegotiator`."""

    def __init__(
        self, context: WireContext, options: ServerOptions, headersHook: Callable[[], HeadersHook | None]
    ) -> None:
        self.options = options
        self._headersHook = headersHook
        self._wireClass: type[AutobahnWire] = type(
            "AutobahnWire",
            (AutobahnWire,),
            {"options": options, "closeOnError": options.closeOnError, "shared": context},
        )

    async def negotiate(
        self,
        application: Application,
        handshake: Handshake,
        accepted: Accept,
        callHook: CallHook,
        transport: Any,
    ) -> NegotiatedAutobahnConnection:
        """See `UpgradeNegotiator`."""
        assert isinstance(application, AutobahnApplication)
        head = requestHead(handshake)
        headers = accepted.headers
        headersHook = self._headersHook()
        if headersHook is not None:
            headers += checkedHeaders(await callHook(headersHook, handshake) or ())
        application.start()
        protocol = application.factory.buildProtocol(transport.getPeer())
        if protocol is None:
            raise UpgradeError(403, "denied")
        if not isinstance(protocol, WebSocketServerProtocol):
            raise TypeError(f"{application.factory!r} has built {protocol!r}, which is no Autobahn protocol")
        wire = self._wireClass(transport)
        wire.connection = application.connectionClass(
            urandom(16).hex(), handshake, application, wire, accepted.user
        )
        wire.receiver = AutobahnReceiver(wire, wire.connection)
        wire.protocol = autobahnprotocol.mount(protocol, wire, wire.connection)
        try:
            await self._shakeHands(wire, handshake, head, callHook)
            wire.answer = bytearray(withHeaders(bytes(wire.answer), headers))
        except BaseException:
            wire.abandon()
            raise
        return NegotiatedAutobahnConnection(wire)

    async def _shakeHands(
        self, wire: AutobahnWire, handshake: Handshake, head: bytes, callHook: CallHook
    ) -> None:
        protocol: Any = wire.protocol
        protocol.makeConnection(wire.protocolTransport)
        protocol.peer = protocol.transport_details.peer = handshake.peer
        protocol.dataReceived(head)
        _check(wire)
        assert wire.request is not None
        wire.request.headers.update(headersWithoutProxy(handshake))
        try:
            decision = await callHook(autobahnprotocol.ask, protocol, wire.request)
        except ConnectionDeny as denial:
            raise _refusal(denial) from None
        _check(wire)
        subprotocol, headers = (*decision, None, {})[:2] if isinstance(decision, tuple) else (decision, {})
        if subprotocol is not None and subprotocol not in handshake.protocols:
            raise ValueError(f"onConnect returned {subprotocol!r}; one of {handshake.protocols}, or None")
        for given in (protocol.factory.headers, headers):
            checkedHeaders(_pairs(given))
        autobahnprotocol.answer(protocol, decision)
        # What has just run may have ended the upgrade.
        await callHook(succeed, None)
        _check(wire)
        if protocol.state != protocol.STATE_OPEN:
            raise UpgradeError(0, "denied")


class NegotiatedAutobahnConnection:
    """See `NegotiatedConnection`."""

    def __init__(self, wire: AutobahnWire) -> None:
        self._wire = wire

    def open(self, transport: Any, address: str) -> AutobahnWire:
        """See `NegotiatedConnection`."""
        self._wire.address = address
        return self._wire.takeTransport(transport)


def _check(wire: AutobahnWire) -> None:
    """Raise why the client is refused, if it is."""
    if wire.refusal is not None:
        raise wire.refusal


def _refusal(denial: ConnectionDeny) -> UpgradeError:
    """The refusal of a protocol, which may have any number and any text."""
    reason = denial.reason
    body = reason if isinstance(reason, str) and reason.isprintable() and reason else None
    return UpgradeError(refusalStatus(denial.code), "denied", body)


def _pairs(headers: Any) -> list[tuple[str, str]]:
    """Headers as Autobahn takes them, a value or several by each name."""
    return [
        (name, str(value))
        for name, values in headers.items()
        for value in ([values] if isinstance(values, str) or not hasattr(values, "__iter__") else values)
    ]


def withHeaders(answer: bytes, headers: tuple[tuple[str, str], ...]) -> bytes:
    """Autobahn's answer with more headers, which were checked."""
    head, end, rest = answer.partition(_END)
    return head + b"\r\n" + fieldLines(headers) + b"\r\n" + rest if headers else head + end + rest
