"""
The connections of all nodes, for operators: each node tells and closes its own.
"""

from __future__ import annotations

import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Iterable
from typing import Any

import msgspec
from msgspec import Struct, to_builtins
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ...core.codes import ErrorCode
from ...core.connection import Connection
from ...protocol import payload
from ...protocol.errors import RoomError
from ...protocol.excerpts import shortened
from ...rooms.contract.asks import unanswered
from ...rooms.contract.notices import MAX_USER
from ..cluster import Cluster
from ..nodecalls import NodeAnswers

#: The code of the error for an id that no connection has.
NO_SUCH_CONNECTION = "noSuchConnection"
#: The most bytes of each text of a client, such as its path, and of the id of its user.
MOST_TEXT, MOST_USER_ID = 256, 4 * MAX_USER
#: The most connections of a page, so that an answer of a node has at most `nodecalls.MAX_ANSWER` bytes.
MOST_PAGE = 500
#: The most bytes of a user that are shown.
MOST_USER = 16 << 10

_LIST, _GET, _CLOSE = "txroom.connections", "txroom.connection", "txroom.close"

#: Where a connection is in the list: when it was opened, and its id.
Place = tuple[float, str]


class ShownConnection(Struct):
    """An open connection."""

    id: str
    node: str
    #: The path of its URL, without the query.
    path: str
    #: The address of the client.
    address: str
    #: The id of its user, as `Server.userId` returns it; empty: it has none.
    userId: str
    #: When it was opened, and when its last message came, in seconds since 1970.
    openedAt: float
    activeAt: float
    #: The sub-protocol; empty: none.
    protocol: str
    #: "open", or "closing" while the closing handshake lasts.
    state: str
    #: The milliseconds from the last ping to its answer; null: there was none yet.
    rtt: float | None
    #: The bytes that were sent and that the operating system has not accepted yet.
    bufferedAmount: int


class ConnectionDetails(ShownConnection):
    """A connection, with what is told only of one."""

    #: The headers Host, Origin and User-Agent; empty: there was none.
    host: str = ""
    origin: str = ""
    userAgent: str = ""
    #: The negotiated extensions, as in the header of the answer.
    extensions: str = ""
    #: What `verifyClient` has accepted as its user, as plain data.
    user: Any = None
    #: The ids of the rooms that it is in.
    rooms: list[str] = []


class ConnectionPage(Struct):
    """Some of the connections, those that were opened first."""

    connections: list[ShownConnection]
    #: The `cursor` for the following ones; null: these are the last.
    next: str | None
    #: The nodes that have not answered.
    unanswered: list[str]


class NodeConnections:
    """
    Tells and closes connections, of this node and of others.

    Args:
        cluster: The cluster.
        connections: Returns the open connections of this node, in the order in which they were opened.
        userId: Returns the id of a user; the server's hook.
        roomsOf: Returns the ids of the rooms that a connection is in.
        clock: The server's clock.
        wallClock: Returns the time of day, in seconds since 1970.
    """

    def __init__(
        self,
        cluster: Cluster,
        connections: Callable[[], Iterable[Connection]],
        userId: Callable[[Any], str | None],
        roomsOf: Callable[[Connection], list[str]],
        clock: IReactorTime,
        wallClock: Callable[[], float] = time.time,
    ) -> None:
        self._cluster = cluster
        self._connections = connections
        self._userId = userId
        self._roomsOf = roomsOf
        self._shift = wallClock() - clock.seconds()
        cluster.answerNode(_LIST, self._list)
        cluster.answerNode(_GET, self._get)
        cluster.answerNode(_CLOSE, self._close)

    # -- of all nodes

    async def page(self, node: str | None, text: str, limit: int, cursor: str) -> ConnectionPage:
        """
        List connections, the oldest first.

        Args:
            node: The node; `None`: all nodes.
            text: What the id, the path, the address or the id of the user must have in it, in upper or lower
                case.
            limit: The most connections; more than `MOST_PAGE` count as that.
            cursor: The `next` of the page before; empty: the first page.

        Raises:
            RoomError: ``badRequest``, the cursor is wrong; ``unavailable``, the node can't be reached.
        """
        limit = min(limit, MOST_PAGE)
        answers = await self._ask(node, _LIST, [text, limit + 1, _placeOf(cursor)])
        found = [
            msgspec.convert({**each, "node": name}, ShownConnection)
            for name, those in answers.done.items()
            for each in those
        ]
        found.sort(key=_placeIn)
        page = found[:limit]
        following = _cursorFor(_placeIn(page[-1])) if len(found) > limit else None
        return ConnectionPage(page, following, list(answers.unanswered))

    async def get(self, id: str) -> ConnectionDetails:
        """Tell of one connection. Raises `RoomError`: ``noSuchConnection`` or ``unavailable``."""
        node, found = await self._of(id, _GET, id)
        return msgspec.convert({**found, "node": node}, ConnectionDetails)

    async def close(self, id: str, code: int, reason: str) -> None:
        """Close a connection. Raises `RoomError`: ``noSuchConnection`` or ``unavailable``."""
        await self._of(id, _CLOSE, [id, code, reason])

    async def _of(self, id: str, question: str, args: Any) -> tuple[str, Any]:
        """Ask all nodes about a connection; return the answer of the one that has it, and its id."""
        answers = await self._cluster.askNodes(question, args)
        for node, answer in answers.done.items():
            if answer is not None:
                return node, answer
        raise noSuchConnection(answers)

    def _ask(self, node: str | None, question: str, args: Any) -> Deferred[NodeAnswers]:
        if node is None:
            return self._cluster.askNodes(question, args)
        asked = self._cluster.askNode(node, question, args)
        return asked.addCallback(lambda answer: NodeAnswers({node: answer}, ()))

    # -- of this node

    def _list(self, args: tuple[str, int, Place | None]) -> list[dict[str, Any]]:
        text, limit, after = args
        sought = text.casefold()
        found: list[ShownConnection] = []
        for each in self._connections():
            at = self._openedAt(each)
            # Those that were opened in the same moment are in any order.
            if len(found) >= limit and at > found[-1].openedAt:
                break
            if after is not None and (at, each.id) <= tuple(after):
                continue
            shown = self._shown(each)
            if not sought or _has(shown, sought):
                found.append(shown)
        found.sort(key=_placeIn)
        return [to_builtins(each) for each in found[:limit]]

    def _get(self, id: str) -> dict[str, Any] | None:
        connection = self._find(id)
        if connection is None:
            return None
        handshake = connection.handshake
        details = ConnectionDetails(
            **msgspec.structs.asdict(self._shown(connection)),
            host=_short(handshake.host),
            origin=_short(handshake.origin or ""),
            userAgent=_short(handshake.headers.get("user-agent", "")),
            extensions=connection.extensions,
            user=_plain(connection.user),
            rooms=self._roomsOf(connection),
        )
        found: dict[str, Any] = to_builtins(details)
        return found

    def _close(self, args: tuple[str, int, str]) -> bool | None:
        id, code, reason = args
        connection = self._find(id)
        if connection is None:
            return None
        connection.close(code, reason)
        return True

    def _find(self, id: str) -> Connection | None:
        return next((each for each in self._connections() if each.id == id), None)

    def _openedAt(self, connection: Connection) -> float:
        return round(connection.connectedAt + self._shift, 3)

    def _shown(self, each: Connection) -> ShownConnection:
        rtt, handshake = each.rtt, each.handshake
        try:
            userId = self._userId(each.user) or ""
        except Exception:  # the server has logged it when the client came
            userId = ""
        return ShownConnection(
            id=each.id,
            node="",
            path=_short(handshake.path),
            address=_short(str(handshake.peer)),
            userId=shortened(userId, MOST_USER_ID),
            openedAt=self._openedAt(each),
            activeAt=round(each.lastActivity + self._shift, 3),
            protocol=_short(each.protocol or ""),
            state=each.readyState.name.lower(),
            rtt=None if rtt is None else round(rtt * 1000, 1),
            bufferedAmount=each.bufferedAmount,
        )


def noSuchConnection(answers: NodeAnswers) -> RoomError:
    """Return the error for an id that no node has found, although some may not have answered."""
    if answers.unanswered:
        return unanswered(True)
    return RoomError(NO_SUCH_CONNECTION, "there is no open connection of this id")


def _has(shown: ShownConnection, text: str) -> bool:
    return any(text in each.casefold() for each in (shown.id, shown.path, shown.address, shown.userId))


def _placeIn(shown: ShownConnection) -> Place:
    return shown.openedAt, shown.id


def _short(text: str) -> str:
    return shortened(text, MOST_TEXT)


def _plain(user: Any) -> Any:
    """Return a user as plain data, or a text for it if it is something else or too long."""
    try:
        encoded = payload.encode(user, name="user")
    except (TypeError, ValueError, OverflowError):
        return f"(an object of type {type(user).__name__})"
    if len(encoded) > MOST_USER:
        return f"({len(encoded)} bytes)"
    return payload.decode(encoded)


def _cursorFor(place: Place) -> str:
    return urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def _placeOf(cursor: str) -> Place | None:
    """Return the place of the last connection of the page before. Raises `RoomError`."""
    if not cursor:
        return None
    try:
        decoded = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        place: Place = msgspec.json.decode(decoded, type=Place)
    except (ValueError, msgspec.DecodeError):
        text = "isn't the `next` of an answer"
        raise RoomError(ErrorCode.BAD_REQUEST, text, {"field": "cursor"}) from None
    return place
