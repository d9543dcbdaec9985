"""
Matchmaking by HTTP: a client asks for a seat, and is told where to connect.

::

    POST <path>/matchmake/<method>/<name>       joinOrCreate, create, join: the name of rooms
    POST <path>/matchmake/<method>/<room>       joinById, reconnect: the id of a room

The body has the options, as JSON. The answer names the room, and the seat that is reserved there for the
room's `seatSeconds`. The room keeps the seat and the options, so the client may connect to any node. The
option `auth` isn't read from the body, but from the header Authorization, as when the client connects.

A client gets errors by the HTTP status: 520 to 526 are Colyseus's own. They are used nowhere else.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from math import ceil
from typing import Any, Protocol
from urllib.parse import unquote

import msgspec
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from ...core.awaitables import clearFailure, clearTraceback
from ...core.codes import ErrorCode
from ...core.handshake import Handshake, UpgradeError
from ...core.validation import isAmount
from ...protocol import received
from ...protocol.errors import InvalidData, RoomError
from ...protocol.joinoptions import AUTH, SEAT, without
from ...protocol.limits import MAX_NAME, MAX_OPTIONS, MAX_TOKEN
from ...rooms.contract.arrivals import Refused
from ...rooms.contract.asks import CheckResume, TellSeat
from ...rooms.edge.matchmaker import JoinMethod
from ...rooms.edge.services import EdgeServices
from ...rooms.meters import RESUME
from ...rooms.plain import plainUser
from .codes import EXPIRED, Failing, errorCode
from .openseats import OPEN_SECONDS, OpenSeats
from .session import TOKEN_EXPIRED

#: The first segment of the paths of seats, which Colyseus calls the id of a process.
PROCESS = "txroom"
#: The seconds for which a browser may keep the answer to a preflight request.
MAX_AGE = "600"

_HEADERS = "Accept, Authorization, Content-Type, X-Requested-With"
_METHODS = {method.value: method for method in JoinMethod}
_LEFT = "the client has left"
#: How `EdgeServices.joinRefused` names a request to come back.
_HOW = {"reconnect": RESUME}
_HTTP: dict[str, int] = {
    ErrorCode.RATE_LIMITED: 429,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.TIMEOUT: 503,
}
#: Why no room of a name takes the client, if the options of another one might match.
_NO_MATCH = frozenset({ErrorCode.NO_SUCH_ROOM, ErrorCode.ROOM_GONE, ErrorCode.FULL, ErrorCode.LOCKED})


class Doorkeeper(Protocol):
    """The checks of the server that a request for a seat has to pass, like the upgrade of a connection."""

    async def admit(self, request: Request) -> Handshake:
        """
        Check a request's host and origin.

        Returns:
            The request, with the address under which limits count its client.

        Raises:
            UpgradeError: The request is refused.
        """

    async def verify(self, handshake: Handshake) -> Any:
        """Return the user of a request for whom `verifyClient` says so. Raises `UpgradeError`."""


class SeatError(Exception):
    """A client gets no seat; the arguments are the code, which is the HTTP status too, and the text."""

    def __init__(self, code: int, text: str) -> None:
        super().__init__(code, text)
        self.code = code
        self.text = text


class _Visit:
    """One request, whose client may leave before it gets the answer."""

    __slots__ = ("isOver", "isVerified")

    def __init__(self) -> None:
        #: Whether the client has left, so that it can't be answered any more.
        self.isOver = False
        #: Whether the hook `verifyClient` is over.
        self.isVerified = False

    def verified(self) -> None:
        """Note that `verifyClient` is over. Raises `CancelledError` if the client has left meanwhile."""
        if self.isOver:
            raise CancelledError
        self.isVerified = True


class Matchmaking(Resource):
    """
    The page at which clients ask for seats.

    Args:
        path: Its path.
        doorkeeper: Checks the requests.
        services: Returns the objects that sessions use.
        seats: Counts the seats that clients have been told of.
    """

    _log = Logger()

    def __init__(
        self, path: str, doorkeeper: Doorkeeper, services: Callable[[], EdgeServices], seats: OpenSeats
    ) -> None:
        super().__init__()
        self._path = path
        self._doorkeeper = doorkeeper
        self._services = services
        self._seats = seats

    def getChild(self, path: bytes, request: Request) -> Resource:
        """Return the page itself, which serves all paths below it."""
        return self

    # -- HTTP

    def render(self, request: Request) -> int:
        """Answer a request of any method."""
        visit = _Visit()
        answering = Deferred.fromCoroutine(self._answer(request, visit))

        def left(_: Failure) -> None:
            visit.isOver = True
            if not visit.isVerified:  # the hooks of a room go on: they aren't only about this request
                answering.cancel()

        def failed(failure: Failure) -> tuple[int, bytes]:
            if visit.isOver and not visit.isVerified:
                clearFailure(failure)
            else:
                self._log.failure("a request for a seat failed", failure)
            return _problem(Failing.UNHANDLED, "the server could not decide")

        def answered(answer: tuple[int, bytes]) -> None:
            if not visit.isOver:
                self._write(request, *answer)

        request.notifyFinish().addErrback(left)
        answering.addErrback(failed).addCallback(answered)
        return NOT_DONE_YET

    async def _answer(self, request: Request, visit: _Visit) -> tuple[int, bytes]:
        """Return the status and the body of the answer, whose headers are set."""
        try:
            handshake = await self._doorkeeper.admit(request)
        except UpgradeError as error:
            clearTraceback(error)
            return self._refusal(request, error)
        _allow(request, handshake.origin)
        if request.method == b"OPTIONS":
            return 204, b""
        try:
            if request.method != b"POST":
                request.setHeader("Allow", "OPTIONS, POST")
                raise SeatError(405, "must be POST")
            return 200, msgspec.json.encode(await self._place(request, handshake, visit))
        except UpgradeError as error:
            clearTraceback(error)
            return self._refusal(request, error)
        except SeatError as error:
            clearTraceback(error)
            return _problem(error.code, error.text)
        except RoomError as error:
            clearTraceback(error)
            wait = error.details.get("retryAfter") if isinstance(error.details, dict) else None
            if wait is not None and isAmount(wait):
                request.setHeader("Retry-After", str(ceil(wait)))
            code = _HTTP.get(error.code) or errorCode(error.code)
            return _problem(code, error.message or error.code)

    @staticmethod
    def _refusal(request: Request, error: UpgradeError) -> tuple[int, bytes]:
        for name, value in error.headers:
            request.setHeader(name, value)
        isStranger = error.reason == "denied" and (error.status < 400 or error.status in (401, 403))
        code = Failing.AUTH_FAILED if isStranger else error.status
        return _problem(code, error.body or HTTPStatus(error.status).phrase)

    @staticmethod
    def _write(request: Request, status: int, body: bytes) -> None:
        request.setResponseCode(status, _phraseOf(status))
        if body:
            request.setHeader("Content-Type", "application/json")
        request.setHeader("Cache-Control", "no-store")
        request.setHeader("X-Content-Type-Options", "nosniff")
        request.setHeader("Content-Length", str(len(body)))
        request.write(body)
        request.finish()

    # -- seats

    async def _place(self, request: Request, handshake: Handshake, visit: _Visit) -> dict[str, Any]:
        """Return the answer to a request for a seat. Raises `SeatError`, `RoomError` or `UpgradeError`."""
        method, what = self._asked(handshake)
        options = _optionsOf(request)
        services = self._services()
        try:
            services.arrivals.take(handshake.peerNetwork, services.clock.seconds())
            user = plainUser(await self._doorkeeper.verify(handshake))
            visit.verified()
            if method == "reconnect":
                return await _returning(services, what, options)
            address = handshake.peerNetwork
            self._seats.ask(address, services.clock.seconds())
            try:
                found = await _told(services, handshake, method, what, options, user, visit)
            except BaseException:
                self._seats.refused(address)
                raise
            seconds = found.get("seconds", OPEN_SECONDS)  # nodes of earlier versions don't tell them
            self._seats.told(address, found["member"], services.clock.seconds(), seconds)
            return _seat(found["name"], found["room"], found["member"])
        except RoomError as error:
            if not visit.isOver:
                services.joinRefused(error.code, (_HOW.get(method, method), what), handshake)
            raise

    def _asked(self, handshake: Handshake) -> tuple[str, str]:
        """Return the method of a request, and the name or the id that it is for. Raises `SeatError`."""
        segments = handshake.path.removeprefix(self._path).split("/")
        if len(segments) != 3 or segments[0]:
            raise SeatError(404, "no such page")
        method, what = (unquote(each) for each in segments[1:])
        if method not in _METHODS and method not in ("joinById", "reconnect"):
            raise SeatError(Failing.NO_HANDLER, f"no such method: {method[:MAX_NAME]!r}")
        if not 0 < len(what) <= MAX_NAME:
            raise SeatError(Failing.NO_HANDLER, "the name of the room is missing or too long")
        return method, what


async def _told(
    services: EdgeServices,
    handshake: Handshake,
    method: str,
    what: str,
    options: Mapping[str, Any],
    user: Any,
    visit: _Visit,
) -> dict[str, Any]:
    """
    Reserve a seat, and return the answer of its room with the id of this `room`; see `TellSeat`. For a client
    that has left, no more rooms are asked.
    """
    given = without(options, SEAT, AUTH)
    token = bearerOf(handshake)
    if token is not None:
        given[AUTH] = token

    def reserve(room: str, isCreator: bool) -> Deferred[dict[str, Any] | Refused]:
        if visit.isOver and not isCreator:
            return succeed(Refused(ErrorCode.UNAVAILABLE, _LEFT))
        asked = services.engine.ask(room, TellSeat(given, user, isCreator))
        return asked.addCallbacks(lambda seat: {**seat, "room": room}, _refused)

    def mayCreate() -> None:
        if visit.isOver:
            raise RoomError(ErrorCode.UNAVAILABLE, _LEFT)
        services.creations.take(handshake.peerNetwork, services.clock.seconds())

    if method not in _METHODS:
        found = await reserve(what, False)
    else:
        try:
            given = services.matchmaker.typed(what, given)
        except RoomError as error:
            if error.code == ErrorCode.NO_SUCH_ROOM:
                raise SeatError(Failing.NO_HANDLER, error.message) from None
            raise
        found = await services.matchmaker.place(_METHODS[method], what, given, reserve, mayCreate)
        if isinstance(found, Refused) and found.code in _NO_MATCH:
            raise SeatError(Failing.INVALID_CRITERIA, found.message or found.code)
    if isinstance(found, Refused):
        raise RoomError(found.code, found.message, found.details)
    return found


def _refused(failure: Failure) -> Refused:
    """Return the refusal of a room."""
    failure.trap(RoomError)
    error: Any = failure.value
    clearTraceback(error)
    return Refused.of(error)


async def _returning(services: EdgeServices, room: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return where a client comes back to that has a token."""
    token = options.get("reconnectionToken")
    if not isinstance(token, str) or len(token) > MAX_TOKEN:
        raise RoomError(EXPIRED, TOKEN_EXPIRED)
    try:
        found = await services.engine.ask(room, CheckResume(token))
    except RoomError as error:
        if error.code in (ErrorCode.UNAUTHORIZED, ErrorCode.FORBIDDEN):
            raise RoomError(EXPIRED, TOKEN_EXPIRED) from None
        raise
    return {**_seat(found["name"], room, found["member"]), "reconnectionToken": token}


def _seat(name: str, room: str, member: str) -> dict[str, Any]:
    """Return the answer for a client: as 0.17 and 0.18 read it, and with `room`, as 0.16 does."""
    place = {"name": name, "roomId": room, "processId": PROCESS}
    return {**place, "sessionId": member, "room": place}


def bearerOf(handshake: Handshake) -> str | None:
    """Return the token of the header Authorization (RFC 6750 §2.1), or `None`."""
    scheme, _, token = (handshake.headers.get("authorization") or "").partition(" ")
    return token.strip() or None if scheme.lower() == "bearer" else None


def _optionsOf(request: Request) -> dict[str, Any]:
    """Return the options in the body of a request. Raises `SeatError`."""
    content = request.content
    body = b"" if content is None else content.read(MAX_OPTIONS + 1)
    if len(body) > MAX_OPTIONS:
        raise SeatError(413, f"the options must have at most {MAX_OPTIONS} bytes")
    if not body:
        return {}
    if b"json" not in (request.getHeader(b"content-type") or b"").lower():
        raise SeatError(415, "must be JSON")
    try:
        return received.readOptions(body, True)
    except InvalidData as error:
        raise SeatError(400, f"options: {error.message}") from None


def _allow(request: Request, origin: str | None) -> None:
    """Let the pages of an origin that is allowed read the answer, with credentials (CORS)."""
    request.setHeader("Vary", "Origin")
    if origin is None:
        return
    request.setHeader("Access-Control-Allow-Origin", origin)
    request.setHeader("Access-Control-Allow-Credentials", "true")
    if request.method == b"OPTIONS":
        request.setHeader("Access-Control-Allow-Methods", "POST")
        request.setHeader("Access-Control-Allow-Headers", _HEADERS)
        request.setHeader("Access-Control-Max-Age", MAX_AGE)


def _problem(code: int, text: str) -> tuple[int, bytes]:
    """Return the status and the body for an error."""
    status = code if code < 600 else 400
    return status, msgspec.json.encode({"code": int(code), "error": text})


def _phraseOf(status: int) -> bytes:
    try:
        return HTTPStatus(status).phrase.encode()
    except ValueError:
        return b"Matchmaking Failed"
