"""
The users of a server: where they are connected, and notifications for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..core.connection import Connection
from ..core.validation import isAmount, isInteger
from ..protocol import payload
from ..protocol.excerpts import shortened
from ..protocol.limits import MAX_NAME, MAX_NOTICE
from ..rooms.contract.notices import MAX_USER, NewNotice
from .nodecalls import NodeAnswers, NodeFunctions

#: The largest number of notifications in a queue that may be asked for.
MAX_LIMIT = 10_000
#: The most connections of a user that a node names, and the most bytes of each text of one, so that its
#: answer isn't longer than `nodecalls.MAX_ANSWER`.
MAX_FOUND, MAX_SHOWN = 1000, 256
#: The name of the question where a user is connected.
_FIND = "txroom.user"


class UserConnection(NamedTuple):
    """A connection of a user."""

    #: The id of the connection (`Connection.id`), and of the node that it is at.
    id: str
    node: str
    #: The path of its URL, without the query; the first 256 bytes of it.
    path: str
    #: The address of the client.
    address: str
    #: For how many seconds it has been open.
    seconds: float


class FoundUser(NamedTuple):
    """Where a user is connected."""

    #: The connections; at most 1000 of a node.
    connections: list[UserConnection]
    #: The nodes that have not answered.
    unanswered: tuple[str, ...]


class Users:
    """
    The users of all servers that share rooms, as one of them sees them.

    Args:
        connections: Returns the open connections of this server.
        userId: Returns the id of a user; the server's hook.
        clock: The server's clock.
        functions: What the servers ask one another.
    """

    _log = Logger()

    def __init__(
        self,
        connections: Callable[[], Iterable[Connection]],
        userId: Callable[[Any], str | None],
        clock: IReactorTime,
        functions: NodeFunctions,
    ) -> None:
        self._connections = connections
        self._userId = userId
        self._clock = clock
        self._functions = functions
        functions.answerNode(_FIND, self._found)

    def find(self, userId: str) -> Deferred[FoundUser]:
        """
        Find out where a user is connected, also to paths without rooms.

        It asks every node, and each looks through all its connections, so don't call it often if there are
        many.

        Args:
            userId: The id of the user, as `Server.userId` returns it.

        Returns:
            A Deferred of the `FoundUser`.
        """

        def collected(found: NodeAnswers) -> FoundUser:
            connections = [
                UserConnection(id, node, path, address, seconds)
                for node, those in found.done.items()
                for id, path, address, seconds in those
            ]
            return FoundUser(connections, found.unanswered)

        return self._functions.askNodes(_FIND, checkUser(userId)).addCallback(collected)

    def _found(self, userId: str) -> list[Any]:
        """Return the connections of a user to this server, as plain data."""
        now = self._clock.seconds()
        found: list[Any] = []
        failure: Failure | None = None
        for each in self._connections():
            try:
                isUser = self._userId(each.user) == userId
            except Exception:
                failure = Failure()
                continue
            if isUser and len(found) < MAX_FOUND:
                handshake = each.handshake
                path, address = (shortened(text, MAX_SHOWN) for text in (handshake.path, str(handshake.peer)))
                found.append([each.id, path, address, now - each.connectedAt])
        if failure is not None:
            self._log.failure("the ids of users could not be found, such as of this one", failure)
        return found


def checkUser(userId: str) -> str:
    """
    Return the id of a user.

    Raises:
        TypeError: It is no string.
        ValueError: It is empty or too long, or has lone surrogates.
    """
    userId = payload.checkText("userId", userId)
    if not 1 <= len(userId) <= MAX_USER:
        raise ValueError(f"userId={userId[:MAX_USER]!r}: must have 1 to {MAX_USER} characters")
    return userId


def checkNotice(type: str, data: Any) -> tuple[str, bytes]:
    """
    Return the type of a notification, and its encoded data.

    Raises:
        TypeError: The type is no string, or the data can't be sent.
        ValueError: The type is empty or too long, or the data is.
    """
    type = payload.checkText("type", type)
    if not 1 <= len(type) <= MAX_NAME:
        raise ValueError(f"type={type[:MAX_NAME]!r}: must have 1 to {MAX_NAME} characters")
    encoded = payload.encode(data)
    if len(encoded) > MAX_NOTICE:
        raise ValueError(f"data: has {len(encoded)} bytes when it is encoded, and may have {MAX_NOTICE}")
    return type, encoded


def newNotice(type: str, data: Any, queue: bool, limit: int, seconds: float | None) -> NewNotice:
    """
    Return a notification; see `Server.notify`.

    Raises:
        TypeError: An argument has a wrong type.
        ValueError: An argument is out of range.
    """
    type, encoded = checkNotice(type, data)
    if not isInteger(limit):
        raise TypeError(f"limit={limit!r}: must be a whole number")
    if not 1 <= limit <= MAX_LIMIT:
        raise ValueError(f"limit={limit!r}: must be from 1 to {MAX_LIMIT}")
    if seconds is not None and (not isAmount(seconds) or not seconds):
        raise ValueError(f"seconds={seconds!r}: must be a number of seconds, more than 0, or None")
    return NewNotice(type, encoded, bool(queue), limit, seconds or 0.0)
