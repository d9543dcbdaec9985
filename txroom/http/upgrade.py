"""
The upgrade: from a request head to an open WebSocket, or to one clean refusal.

`Upgrade` takes the transport over as soon as the head is complete, whatever read it, so that reading
goes on while hooks decide: a client that leaves is noticed, and what it sends meanwhile is held, up to
a bound, and never parsed as another request.
"""

from __future__ import annotations

import secrets
from binascii import b2a_base64
from collections.abc import Callable, Iterable
from contextlib import suppress
from hashlib import sha1
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..core.application import Application
from ..core.awaitables import cancelHook, clearFailure, clearTraceback, isAsync, toDeferred
from ..core.connection import Connection
from ..core.handshake import Accept, Deny, Handshake, UpgradeError
from ..core.headers import checkedHeaders
from ..core.options import ServerOptions
from ..core.origin import isAllowedOrigin
from ..wire.deflate import DeflateParameters, negotiate
from ..wire.protocol import WireProtocol
from ..wire.transports import takeOver
from .factory import RETRY_AFTER, WireFactory
from .forwarded import countedAs, describe
from .request import checkUpgrade
from .response import fieldLines, refusal

#: Bytes held while hooks decide.
MAX_HELD = 16 * 1024
#: RFC 6455 §1.3.
_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_SWITCHING = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: "
)
_BREAK = b"\r\n"

Pairs = tuple[tuple[str, str], ...]

ACCEPTED = Accept()


def switching(
    handshake: Handshake, subprotocol: str | None, extensions: str | None, headers: Iterable[tuple[str, str]]
) -> bytes:
    """The 101 answer."""
    key = handshake.headers["sec-websocket-key"].encode("ascii")
    fields: list[tuple[str, str]] = []
    if subprotocol is not None:
        fields.append(("Sec-WebSocket-Protocol", subprotocol))
    if extensions is not None:
        fields.append(("Sec-WebSocket-Extensions", extensions))
    accept = b2a_base64(sha1(key + _GUID).digest(), newline=False)
    return _SWITCHING + accept + _BREAK + fieldLines((*fields, *headers)) + _BREAK


def refuse(factory: WireFactory, transport: Any, error: UpgradeError, method: str = "GET") -> None:
    """Answer, and let the connection go."""
    factory.lingering.begin(transport, refusal(error, method), factory.options.maxPendingHandshakes)


class Upgrade(Protocol):
    """One upgrade; ends in `_open`, `_refuse` or the loss of the connection, whichever is first."""

    _log = Logger()
    slot: int | None = None

    def __init__(
        self,
        factory: WireFactory,
        handshake: Handshake,
        since: float,
        early: bytes = b"",
        application: Application | None = None,
        isForeign: bool = False,
    ) -> None:
        self._factory = factory
        self._handshake = handshake
        self._since = since
        self._held = bytearray(early)
        #: Whether the request came by a `Site` that isn't ours.
        self._isForeign = isForeign
        self._application = application
        self._options = factory.options
        self._wireClass: type[WireProtocol] | None = None
        #: Who tells the client why it is refused, once it is known that its page may know.
        self._teller: Application | None = None
        #: What it is counted under, and is once more when it was admitted; hooks may change the handshake.
        self._address = ""
        self._admitted: str | None = None
        self._isBegun = False
        self._isOver = False
        self._deciding: Deferred[None] | None = None
        #: Told the outcome, if somebody waits for it: the Connection, or the `UpgradeError`.
        self.outcome: Deferred[Connection] | None = None

    def begin(self, transport: Any) -> None:
        """Take `transport` over and decide."""
        takeOver(transport, self)
        self._address = countedAs(self._handshake, self._options)
        self._factory.begun(self, self._address)
        self._deciding = Deferred.fromCoroutine(self._decide())
        self._deciding.addErrback(self._failed)
        self._isBegun = True
        if self._isOver:
            return
        timeout = self._options.handshakeTimeout
        if timeout:
            self._factory.wheel.schedule(self, self._since + timeout)
        self._checkHeld()

    # -- the order of DESIGN: each step passes or raises UpgradeError

    async def _decide(self) -> None:
        handshake = self._handshake
        checkUpgrade(handshake)
        application = self._application or self._factory.owner.applicationFor(handshake)
        if application is None:
            self._factory.checkHost(handshake, self._options, self._isForeign)
            await self._findTeller(self._factory.owner.tellerFor(handshake))
            raise UpgradeError(404, "path")
        self._application = application
        self._wireClass = self._factory.classFor(application)
        options = self._options = self._wireClass.options
        self._factory.checkHost(handshake, options, self._isForeign)
        if "trustedProxies" in application.overrides:
            handshake = self._handshake = describe(
                handshake.method, handshake.target, handshake.headers, self.transport, options
            )
            self._address = countedAs(handshake, options)
        if self._factory.owner.isDraining:
            raise UpgradeError(503, "draining", headers=[("Retry-After", RETRY_AFTER)])
        try:
            self._factory.admit(self._address, application, options)
        except UpgradeError:
            await self._findTeller(application)
            raise
        self._admitted = self._address
        await self._checkOrigin(application, options)
        self._teller = application
        accepted = await self._verify(application)
        subprotocol = await self._chooseProtocol(application)
        parameters = negotiate(handshake.extensions, options)
        headers = accepted.headers + await self._moreHeaders(application)
        if not self._isOver:
            self._open(accepted.user, subprotocol, parameters, headers)

    async def _call(self, hook: Callable[..., Any], *args: Any) -> Any:
        result = hook(*args)
        if isAsync(result):
            result = await toDeferred(result)
            if self._isOver:
                raise CancelledError
        return result

    async def _findTeller(self, application: Application | None) -> None:
        """Let `application` tell the client why it is refused, if its origin may connect there."""
        if application is None or not self._handshake.protocols:
            return
        options = self._options = self._factory.classFor(application).options
        if options.refusals == "http" or self._factory.owner.isDraining:
            return
        with suppress(UpgradeError):
            await self._checkOrigin(application, options)
            self._teller = application

    async def _checkOrigin(self, application: Application, options: ServerOptions) -> None:
        origin = self._handshake.origin
        hook = application.hook("acceptsOrigin")
        if origin is None and options.requireOrigin:
            raise UpgradeError(403, "origin")
        if hook is not None:
            allowed = await self._call(hook, origin)
        else:
            host = self._handshake.host
            allowed = origin is None or isAllowedOrigin(origin, host, options.allowedOrigins)
            if origin is not None and not allowed:
                self._factory.warnOfOrigin(origin, host)
        if not allowed:
            raise UpgradeError(403, "origin")

    async def _verify(self, application: Application) -> Accept:
        hook = application.hook("verifyClient")
        if hook is None:
            return ACCEPTED
        answer = await self._call(hook, self._handshake)
        if isinstance(answer, Deny):
            raise UpgradeError(answer.status, "denied", answer.body, answer.headers)
        if isinstance(answer, Accept):
            return answer
        if not isinstance(answer, bool):
            raise TypeError(f"verifyClient returned {answer!r}; True, False, Accept or Deny")
        if not answer:
            raise UpgradeError(401, "denied")
        return ACCEPTED

    async def _chooseProtocol(self, application: Application) -> str | None:
        offered = self._handshake.protocols
        hook = application.hook("chooseProtocol")
        if hook is None:
            return offered[0] if offered else None
        chosen = await self._call(hook, offered, self._handshake)
        if chosen is False:
            raise UpgradeError(400, "protocol")
        if chosen is not None and chosen not in offered:
            raise ValueError(f"chooseProtocol returned {chosen!r}; one of {offered}, None or False")
        return str(chosen) if chosen is not None else None

    async def _moreHeaders(self, application: Application) -> Pairs:
        headers: Pairs = ()
        for hook in (self._factory.owner.responseHeaders, application.hook("responseHeaders")):
            if hook is not None:
                headers += checkedHeaders(await self._call(hook, self._handshake) or ())
        return headers

    # -- how it ends

    def _open(
        self, user: Any, subprotocol: str | None, parameters: DeflateParameters | None, headers: Pairs
    ) -> None:
        application = self._application
        assert application is not None and self._wireClass is not None
        wire = self._wireClass()
        connection = application.connectionClass(
            secrets.token_hex(16), self._handshake, application, wire, user
        )
        wire.connection = connection
        assert self._admitted is not None
        wire.address = self._handshake.countedAs = self._admitted
        self._finish()
        transport: Any = self.transport
        self.transport = None
        takeOver(transport, wire)
        extensions = None if parameters is None else parameters.header
        answer = switching(self._handshake, subprotocol, extensions, headers)
        wire.open(transport, answer, subprotocol, parameters)
        held, self._held = bytes(self._held), bytearray()
        if self.outcome is None:
            wire.start(held)
        else:  # whoever waits shall have the connection before its first hook runs
            wire.hold()
            self._factory.clock.callLater(0, wire.start, held)
            self.outcome.callback(connection)

    def _failed(self, failure: Failure) -> None:
        error = failure.value
        if self._isOver:
            if not isinstance(error, CancelledError | UpgradeError):
                self._log.failure("a hook of an upgrade that is over raised", failure)
            clearFailure(failure)
            return
        if not isinstance(error, UpgradeError):
            self._log.failure("a hook of the upgrade raised", failure)
            error = UpgradeError(500, "error")
        self._refuse(error)
        clearTraceback(failure.value)

    def _refuse(self, error: UpgradeError) -> None:
        transport: Any = self.transport
        self.transport = None
        self._lost(error)
        if not error.status:
            transport.abortConnection()
        elif not self._tell(transport, error):
            refuse(self._factory, transport, error, self._handshake.method)

    def _tell(self, transport: Any, error: UpgradeError) -> bool:
        """Tell a refusal in the client's own protocol, if that can be done."""
        factory, handshake = self._factory, self._handshake
        if self._teller is None or self._options.refusals == "http" or factory.owner.isDraining:
            return False
        if not handshake.protocols or not factory.tellings.mayTell(self._address):
            return False
        try:
            refusal = self._teller.tellRefusal(handshake, error)
            if refusal is None:
                return False
            cookies = [pair for pair in error.headers if pair[0].lower() == "set-cookie"]
            answer = switching(handshake, refusal.protocol, None, cookies)
        except Exception:
            self._log.failure("an application could not tell a refusal")
            return False
        factory.tellings.tell(transport, self._address, answer, refusal, factory.clock.seconds())
        return True

    def _lost(self, error: UpgradeError) -> None:
        self._finish()
        if self._admitted is not None:
            assert self._application is not None
            self._factory.leave(self._admitted, self._application)
        self._held.clear()
        if self._deciding is not None:
            cancelHook(self._deciding)
        self._factory.owner.refused(error, self._handshake)
        if self.outcome is not None:
            if self._isBegun:  # who waits could have said so; the client has its answer either way
                self.outcome.addErrback(lambda _: None)
            self.outcome.errback(error)

    def _finish(self) -> None:
        self._isOver = True
        self._factory.ended(self)
        self._factory.wheel.cancel(self)

    # -- what may happen meanwhile

    def dataReceived(self, data: bytes) -> None:
        """Something behind the request; held for the WebSocket, if it comes to that."""
        self._held += data
        self._checkHeld()

    def _checkHeld(self) -> None:
        if len(self._held) > MAX_HELD and not self._isOver:
            self._refuse(UpgradeError(0, "flood"))

    def connectionLost(self, reason: object = None) -> None:
        """The client left before it had its answer."""
        if not self._isOver:
            self.transport = None
            self._lost(UpgradeError(0, "left"))

    def due(self, now: float) -> None:
        """A hook took too long."""
        if self._isOver:
            return
        wheel = self._factory.wheel
        deadline = self._since + self._options.handshakeTimeout + wheel.lostSince(self._since)
        if now < deadline:  # the process stood still meanwhile
            wheel.schedule(self, deadline)
        else:
            self._refuse(UpgradeError(503, "timeout"))

    def giveWay(self, reason: str) -> None:
        """There are too many handshakes at a time, and this is the oldest; or the server stops."""
        if not self._isOver:
            self._refuse(UpgradeError(503, reason))
