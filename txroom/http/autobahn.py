"""
Autobahn's protocol factories, behind txroom's own checks.

An `AutobahnApplication` serves the protocols of a `WebSocketServerFactory` unchanged, with their own methods
and options. Its `AutobahnNegotiator` negotiates with a client in four steps, and each may refuse the client:

1. The factory builds a protocol, which receives a request head that is written anew from the `Handshake`.
2. Autobahn checks the head, with its own options for origins, versions and the number of connections.
3. The protocol's `onConnect` runs, which may be asynchronous.
4. Autobahn writes its 101 answer, which is checked, and kept until the connection is opened.

If the client is refused or leaves, the protocol's `onClose` is called, as Autobahn itself does.
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
_MESSAGES = "the protocol's onMessage receives the messages"
#: The hooks and options that the factory or its protocol decides, and how.
DECIDED_BY_AUTOBAHN = {
    "chooseProtocol": "the protocol's onConnect returns the sub-protocol",
    "responseHeaders": "the protocol's onConnect returns (sub-protocol, headers)",
    "onMessage": _MESSAGES,
    "onText": _MESSAGES,
    "onBinary": _MESSAGES,
    "maxPayload": "factory.setProtocolOptions(maxMessagePayloadSize=...)",
    "maxCompressedSize": "factory.setProtocolOptions(maxFramePayloadSize=...)",
    "maxFragments": "factory.setProtocolOptions(maxMessagePayloadSize=...) limits a message",
    "skipUTF8Validation": "factory.setProtocolOptions(utf8validateIncoming=False)",
    "autoPong": "the protocol's onPing answers",
    "allowSynchronousEvents": "Autobahn decides when it delivers messages",
    "closeOnError": "a connection is always closed when a method of its protocol raises",
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

    The hooks `acceptsOrigin` and `verifyClient` run before Autobahn's own handshake. `onConnect`, `onPing`,
    `onPong`, `onDrain` and `onDisconnect` run in addition to the protocol's methods. Keywords that are not
    hooks are options of the server that are overridden for this application, as for any `Application`.

    Args:
        factory: A `WebSocketServerFactory` from `autobahn.twisted`, or an instance of a subclass.
        hooksAndOptions: Hooks and options.

    Raises:
        TypeError: `factory` is something else, or a hook or an option is given that the factory decides.
    """

    _log = Logger()
    served = "An Autobahn protocol is served at this path"

    def __init__(self, factory: Any, **hooksAndOptions: Any) -> None:
        if not isinstance(factory, WebSocketServerFactory):
            raise TypeError(f"factory={factory!r}: must be a WebSocketServerFactory from autobahn.twisted")
        for name in hooksAndOptions:
            if name in DECIDED_BY_AUTOBAHN:
                raise TypeError(f"{name} is decided by Autobahn: {DECIDED_BY_AUTOBAHN[name]}")
        super().__init__(factory, **hooksAndOptions)

    def start(self) -> None:
        if not self._isStarted and not self.factory.maxMessagePayloadSize:
            self._log.warn(
                "{factory} accepts messages of any size; limit them with "
                "factory.setProtocolOptions(maxMessagePayloadSize=...)",
                factory=type(self.factory).__name__,
            )
        super().start()

    def makeNegotiator(
        self, context: WireContext, options: ServerOptions, headersHook: Callable[[], HeadersHook | None]
    ) -> AutobahnNegotiator:
        """See `HasNegotiator`."""
        return AutobahnNegotiator(context, options, headersHook)


class AutobahnNegotiator:
    """Negotiates and opens the connections of an `AutobahnApplication`; see `UpgradeNegotiator`."""

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
            raise TypeError(f"{application.factory!r} built {protocol!r}: must be a WebSocketServerProtocol")
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
            raise ValueError(
                f"onConnect returned {subprotocol!r}: must be one of {handshake.protocols}, or None"
            )
        for given in (protocol.factory.headers, headers):
            checkedHeaders(_pairs(given))
        autobahnprotocol.answer(protocol, decision)
        # The code of the protocol may have ended the upgrade; `callHook` then raises.
        await callHook(succeed, None)
        _check(wire)
        if protocol.state != protocol.STATE_OPEN:
            raise UpgradeError(0, "denied")


class NegotiatedAutobahnConnection:
    """A `NegotiatedConnection` whose frames an Autobahn protocol reads and writes."""

    def __init__(self, wire: AutobahnWire) -> None:
        self._wire = wire

    def open(self, transport: Any, address: str) -> AutobahnWire:
        """See `NegotiatedConnection`."""
        self._wire.address = address
        return self._wire.takeTransport(transport)


def _check(wire: AutobahnWire) -> None:
    """Raise the `UpgradeError` with which the protocol has refused the client, if it has."""
    if wire.refusal is not None:
        raise wire.refusal


def _refusal(denial: ConnectionDeny) -> UpgradeError:
    """Return the refusal of a protocol. Protocols may give any number and any text, so both are checked."""
    reason = denial.reason
    body = reason if isinstance(reason, str) and reason.isprintable() and reason else None
    return UpgradeError(refusalStatus(denial.code), "denied", body)


def _pairs(headers: Any) -> list[tuple[str, str]]:
    """Return the pairs of Autobahn's headers, which map each name to one value or several."""
    return [
        (name, str(value))
        for name, values in headers.items()
        for value in ([values] if isinstance(values, str) or not hasattr(values, "__iter__") else values)
    ]


def withHeaders(answer: bytes, headers: tuple[tuple[str, str], ...]) -> bytes:
    """Add headers, which must have been checked, to Autobahn's answer."""
    head, end, rest = answer.partition(_END)
    return head + b"\r\n" + fieldLines(headers) + b"\r\n" + rest if headers else head + end + rest
