"""
The upgrade: from a request head to an open WebSocket, or to a refusal.

`Upgrade._decide` performs these steps in this order. Each passes, or refuses the client with a status:

1. The request keeps the rules of RFC 6455 §4.2.1 (400, 405, 426).
2. Its host is allowed (421), and an application is registered for its host and path (404).
3. The server is not stopping (503).
4. There is room for one more connection, which is counted from here on (503, 429).
5. Pages from its origin may connect (403).
6. `verifyClient` accepts the client (401, or the status of `Deny`).
7. The application's `UpgradeNegotiator` agrees with the client on sub-protocol, extensions and headers (400).

A step may wait for a hook. During that time the `Upgrade` is DECIDING. It ends in one of three states:

- OPENED: all steps have passed. The 101 answer is written, and the transport belongs to the WebSocket.
- REFUSED: a step raised; exceptions other than `UpgradeError` give 500. Or `handshakeTimeout` has passed, the
  handshake was evicted or the server stops (all 503). Or the client sent more than `MAX_HELD` bytes, and is
  dropped without an answer.
- LOST: the client left before it was answered.

A hook that still runs at the end is cancelled, and its result is ignored.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import suppress
from enum import Enum, auto
from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.protocol import Protocol
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..core.application import Application
from ..core.awaitables import cancelHook, clearFailure, clearTraceback, isAsync, runUntilWaiting, toDeferred
from ..core.connection import Connection
from ..core.handshake import ACCEPTED, Accept, Handshake, UpgradeError, accepted
from ..wire.transports import takeOver
from .admission import RETRY_AFTER, PendingHandshake
from .forwarded import makeHandshake, peerNetwork
from .gateway import Gateway
from .negotiation import NegotiatedConnection, UpgradeNegotiator
from .request import checkUpgrade
from .response import switching

#: The most bytes that are held while hooks run.
MAX_HELD = 16 * 1024


class State(Enum):
    """The states of an `Upgrade`; see the module's docstring."""

    DECIDING = auto()
    OPENED = auto()
    REFUSED = auto()
    LOST = auto()


DECIDING, OPENED, REFUSED, LOST = State


class Upgrade(Protocol):
    """
    One upgrade.

    It takes over the transport as soon as the head is complete, and goes on reading while hooks run.
    Therefore it notices when the client leaves. Bytes that arrive meanwhile are kept, at most `MAX_HELD`, and
    never parsed as another request.

    Args:
        gateway: The server's gateway.
        handshake: The request.
        since: The time from which `handshakeTimeout` counts: when the connection was made, or its head was
            complete.
        early: The bytes that were received behind the head.
        application: The application that serves the connection; by default the one that is registered for its
            host and path.
        isForeign: Whether the request came through a `Site` of the user's.
    """

    _log = Logger()
    slot: int | None = None

    def __init__(
        self,
        gateway: Gateway,
        handshake: Handshake,
        since: float,
        early: bytes = b"",
        application: Application | None = None,
        isForeign: bool = False,
    ) -> None:
        self._gateway = gateway
        self._handshake = handshake
        self._since = since
        self._held = bytearray(early)
        self._isForeign = isForeign
        self._application = application
        self._options = gateway.options
        self._negotiator: UpgradeNegotiator | None = None
        #: The application that may refuse the client in-band; `None` until the client's origin was checked.
        self._refuser: Application | None = None
        #: The addresses under which it is counted: as a pending handshake, and once it is admitted. Both are
        #: kept because hooks may change the handshake.
        self._address = ""
        self._admitted: str | None = None
        self._state = DECIDING
        self._isBegun = False
        self._deciding: Deferred[None] | None = None
        #: Fires with the Connection or fails with the `UpgradeError`, if the caller wants to know.
        self.outcome: Deferred[Connection] | None = None

    def begin(self, transport: Any, replaced: PendingHandshake | None = None) -> None:
        """
        Take over `transport`, and start.

        Args:
            transport: The client's transport.
            replaced: The protocol that has been counted as the pending handshake so far, if any.
        """
        admission = self._gateway.admission
        takeOver(transport, self)
        self._address = peerNetwork(self._handshake, self._options)
        if replaced is None:
            admission.begin(self, self._address)
        else:
            admission.replace(replaced, self, self._address)
        if self._state is not DECIDING:
            return
        try:
            self._deciding = runUntilWaiting(self._decide())
        except BaseException:
            self._failed(Failure())
        if self._deciding is not None:
            self._deciding.addErrback(self._failed)
        self._isBegun = True
        if self._state is not DECIDING:
            return
        timeout = self._options.handshakeTimeout
        if timeout:
            self._gateway.wheel.schedule(self, self._since + timeout)
        self._checkHeld()

    # -- the steps

    async def _decide(self) -> None:
        gateway = self._gateway
        checkUpgrade(self._handshake, self._isForeign)
        application = self._findApplication()
        if application is None:
            await self._findRefuser(gateway.server.refuserFor(self._handshake))
            raise UpgradeError(404, "path")
        if gateway.server.isDraining:
            raise UpgradeError(503, "draining", headers=[("Retry-After", RETRY_AFTER)])
        try:
            gateway.admission.admit(self._address, application, self._options)
        except UpgradeError:
            await self._findRefuser(application)
            raise
        self._admitted = self._address
        await self._checkOrigin(application)
        self._refuser = application
        verify = application.hook("verifyClient")
        accepted = ACCEPTED if verify is None else await self._verify(verify)
        assert self._negotiator is not None
        handshake, transport = self._handshake, self.transport
        negotiate = self._negotiator.negotiate
        negotiated = await negotiate(application, handshake, accepted, self._callHook, transport)
        if self._state is DECIDING:
            self._open(negotiated)

    def _findApplication(self) -> Application | None:
        """Find the application. From here on its options apply."""
        gateway, handshake = self._gateway, self._handshake
        application = self._application or gateway.server.applicationFor(handshake)
        if application is not None:
            self._application = application
            self._negotiator = gateway.negotiatorFor(application)
            self._options = self._negotiator.options
        options = self._options
        gateway.origins.checkHost(handshake, options, self._isForeign)
        if application is not None:
            if "trustedProxies" in application.overrides:
                self._handshake = makeHandshake(
                    handshake.method, handshake.target, handshake.headers, self.transport, options
                )
                self._address = peerNetwork(self._handshake, options)
            gateway.untrustedProxyWarning.check(self._handshake, options)
        return application

    async def _findRefuser(self, application: Application | None) -> None:
        """Let `application` refuse the client in-band, if the client's origin is allowed there."""
        if application is None or not self._handshake.protocols:
            return
        self._options = self._gateway.negotiatorFor(application).options
        if self._options.refusals == "http" or self._gateway.server.isDraining:
            return
        with suppress(UpgradeError):
            await self._checkOrigin(application)
            self._refuser = application

    def _checkOrigin(self, application: Application) -> Awaitable[None]:
        return self._gateway.origins.check(application, self._handshake, self._options, self._callHook)

    async def _verify(self, verify: Callable[..., Any]) -> Accept:
        return accepted(await self._callHook(verify, self._handshake))

    async def _callHook(self, hook: Callable[..., Any], *args: Any) -> Any:
        result = hook(*args)
        if isAsync(result):
            result = await toDeferred(result)
            if self._state is not DECIDING:
                raise CancelledError
        return result

    # -- end states

    def _open(self, negotiated: NegotiatedConnection) -> None:
        """Go to OPENED."""
        assert self._admitted is not None
        self._handshake.peerNetwork = self._admitted
        self._handshake.headers.compact()
        self._end(OPENED)
        transport: Any = self.transport
        self.transport = None
        opened = negotiated.open(transport, self._admitted)
        held, self._held = bytes(self._held), bytearray()
        if self.outcome is None:
            opened.start(held)
        else:  # the caller gets the connection before its first hook runs
            opened.hold()
            self._gateway.clock.callLater(0, opened.start, held)
            self.outcome.callback(opened.connection)

    def _failed(self, failure: Failure) -> None:
        """Handle an exception from a step, which may be its cancellation."""
        error = failure.value
        if self._state is not DECIDING:
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
        """Go to REFUSED."""
        transport: Any = self.transport
        self.transport = None
        self._fail(REFUSED)
        if not error.status:
            transport.abortConnection()
        elif not self._refuseInBand(transport, error):
            self._gateway.refuse(transport, error, self._handshake.method)
        self._report(error)

    def _refuseInBand(self, transport: Any, error: UpgradeError) -> bool:
        """Refuse the client in its sub-protocol. Returns whether that was possible."""
        gateway, handshake = self._gateway, self._handshake
        refusals = gateway.admission.inBandRefusals
        if self._refuser is None or self._options.refusals == "http" or gateway.server.isDraining:
            return False
        if not handshake.protocols or not refusals.hasRoom(self._address):
            return False
        try:
            refusal = self._refuser.tellRefusal(handshake, error)
            if refusal is None:
                return False
            cookies = [pair for pair in error.headers if pair[0].lower() == "set-cookie"]
            answer = switching(handshake, refusal.protocol, None, cookies)
        except Exception:
            self._log.failure("an application failed to refuse a client in-band")
            return False
        refusals.begin(transport, self._address, answer, refusal, gateway.seconds())
        return True

    def _end(self, state: State) -> None:
        """Go to an end state."""
        self._state = state
        self._gateway.admission.end(self)
        if self.slot is not None:
            self._gateway.wheel.cancel(self)

    def _fail(self, state: State) -> None:
        """Go to an end state other than OPENED: stop counting the connection, and cancel the running hook."""
        self._end(state)
        if self._admitted is not None:
            assert self._application is not None
            self._gateway.admission.leave(self._admitted, self._application)
        self._held.clear()
        if self._deciding is not None:
            cancelHook(self._deciding)

    def _report(self, error: UpgradeError) -> None:
        """Report the failure to the server, and to `outcome`."""
        self._gateway.server.refused(error, self._handshake)
        if self.outcome is not None:
            if self._isBegun:  # the client is answered, so the caller need not handle it
                self.outcome.addErrback(lambda _: None)
            self.outcome.errback(error)

    # -- events while hooks run

    def dataReceived(self, data: bytes) -> None:
        """Hold what the client sends behind its request. It is for the WebSocket, if one is opened."""
        self._held += data
        self._checkHeld()

    def _checkHeld(self) -> None:
        if len(self._held) > MAX_HELD and self._state is DECIDING:
            self._refuse(UpgradeError(0, "flood"))

    def connectionLost(self, reason: object = None) -> None:
        """Go to LOST, because the client left."""
        if self._state is DECIDING:
            self.transport = None
            self._fail(LOST)
            self._report(UpgradeError(0, "left"))

    def due(self, now: float) -> None:
        """Refuse the client, because `handshakeTimeout` has passed."""
        if self._state is not DECIDING:
            return
        wheel = self._gateway.wheel
        deadline = self._since + self._options.handshakeTimeout + wheel.lostSince(self._since)
        if now < deadline:  # the process was suspended or blocked; the hook gets that time on top
            wheel.schedule(self, deadline)
        else:
            self._refuse(UpgradeError(503, "timeout"))

    def evict(self, reason: str) -> None:
        """Refuse the client, because there are too many pending handshakes or the server is stopping."""
        if self._state is DECIDING:
            self._refuse(UpgradeError(503, reason))
