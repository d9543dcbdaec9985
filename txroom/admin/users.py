"""
The part of the HTTP API that is about users: where they are, and notifications for them.
"""

from __future__ import annotations

import re
from typing import Any

from twisted.internet.defer import Deferred

from ..core.codes import ErrorCode
from ..protocol.excerpts import fitting
from . import types
from .ports import AdminServer
from .problems import Problem
from .routes import Call, Route
from .secrets import Role

_USER = "/api/v1/users/{userId}"
_NOTIFY = "/api/v1/notify"
#: The same, where verb has it.
_SHORT = "/api/notify/{userId}"
#: The most bytes of the connections of a user, and of its rooms.
_SIZE = 256 << 10
#: What the error for a wrong argument of a notification begins with, if it isn't the data.
_FIELD = re.compile(r"(userId|type|limit|seconds)\b")


async def findUser(server: AdminServer, userId: str) -> types.UserInfo:
    """Tell where a user is: its connections, and its members in rooms."""
    found = await server.users.find(userId)
    members = await server.cluster.members(userId)
    connections = (types.ConnectionInfo(*each) for each in found.connections)
    rooms = (types.PlaceInfo(each.room, each.member, each.node, each.isConnected) for each in members.members)
    return types.UserInfo(
        userId,
        fitting(connections, _SIZE),
        fitting(rooms, _SIZE),
        sorted({*found.unanswered, *members.unanswered}),
        len(found.connections),
        len(members.members),
    )


class UserRequests:
    """
    Carries out requests about users.

    Args:
        server: The server.
    """

    def __init__(self, server: AdminServer) -> None:
        self._server = server

    async def find(self, call: Call) -> types.UserInfo:
        """Tell where a user is."""
        return await findUser(self._server, call.params[0])

    async def kick(self, call: Call) -> types.UserKicked:
        """
        Make a user leave all rooms.

        It is carried out again for the same idempotency key, which does nothing if the user has left.
        """
        answers = await self._server.cluster.disconnect(call.params[0], call.body.reason)
        return types.UserKicked(answers.done, list(answers.unanswered))

    async def notify(self, call: Call) -> types.Notified:
        """Send a notification to a user."""
        body: types.Notify = call.body
        (userId,) = call.params

        def send() -> Deferred[Any]:
            return self._server.notify(
                userId,
                body.type,
                body.data,
                queue=body.queue,
                limit=body.limit,
                seconds=body.seconds,
                once=call.once,
            )

        return types.Notified(*await checkedSend(send))

    async def notifyAll(self, call: Call) -> None:
        """Send a notification to all users who are connected."""
        body: types.NotifyAll = call.body
        await checkedSend(lambda: self._server.notifyAll(body.type, body.data))

    def routes(self) -> list[Route]:
        """Return the routes."""
        return [
            Route(
                method="GET",
                path=_USER,
                call=self.find,
                role=Role.READ,
                name="findUser",
                summary="Tell where a user is: its connections, and its members in rooms",
                answer=types.UserInfo,
                problems=(404, 503, 504),
            ),
            Route(
                method="POST",
                path=f"{_USER}/kick",
                call=self.kick,
                role=Role.MANAGE,
                name="kickUser",
                summary="Make a user leave all rooms; a request that is sent again does so again",
                body=types.KickUser,
                answer=types.UserKicked,
                takesKey=True,
                problems=(404, 503, 504),
            ),
            *(
                Route(
                    method="POST",
                    path=path,
                    call=self.notify,
                    role=Role.MANAGE,
                    name=name,
                    shortFor=shortFor,
                    summary="Send a notification to a user, wherever it is connected, or when it comes back",
                    body=types.Notify,
                    answer=types.Notified,
                    takesKey=True,
                    problems=(404, 409, 422, 503, 504),
                )
                for name, path, shortFor in (
                    ("notify", f"{_NOTIFY}/{{userId}}", ""),
                    ("notifyShort", _SHORT, "notify"),
                )
            ),
            Route(
                method="POST",
                path=_NOTIFY,
                call=self.notifyAll,
                role=Role.MANAGE,
                name="notifyAll",
                summary="Send a notification to all users who are connected; it isn't queued",
                body=types.NotifyAll,
                status=204,
                problems=(503, 504),
            ),
        ]


def checkedSend(send: Any) -> Deferred[Any]:
    """Send a notification. Raises `Problem` for what can't be sent."""
    try:
        sent: Deferred[Any] = send()
    except (TypeError, ValueError, OverflowError) as error:
        named = _FIELD.match(str(error))
        field = named[1] if named else "data"
        raise Problem(400, str(error), field=field, code=ErrorCode.INVALID_DATA) from None
    return sent
