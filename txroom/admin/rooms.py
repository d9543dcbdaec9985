"""
The part of the HTTP API that is about rooms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from ..core.codes import ErrorCode
from ..protocol.errors import RoomError
from ..rooms.application import RoomApplication
from ..rooms.contract.asks import (
    Command,
    Dispose,
    Inspect,
    Lock,
    Reserve,
    SendTo,
    SetMetadata,
    SetPrivate,
)
from ..rooms.contract.listing import Listing
from ..rooms.plain import plainUser
from . import types
from .commands import encoded, kick
from .ports import AdminServer
from .problems import problemOfField
from .roomlist import listRooms
from .routes import Call, Route
from .secrets import Role

_PATH = "/api/v1/rooms"


class Rooms:
    """
    Carries out requests about rooms.

    Args:
        server: The server.
    """

    def __init__(self, server: AdminServer) -> None:
        self._server = server

    # -- many rooms

    async def listAll(self, call: Call) -> types.RoomList:
        """List all rooms, private ones too, page by page."""
        query: types.ListRooms = call.query
        return await listRooms(
            self._server.cluster,
            name=query.name,
            filter=_filterOf(query.filter),
            order=query.order,
            limit=query.limit,
            cursor=query.cursor,
        )

    async def query(self, call: Call) -> types.FoundRooms:
        """Find rooms as matchmaking does: in its order, and no private ones."""
        body: types.QueryRooms = call.body
        found: list[Listing] = []
        isKnown = body.name is None
        for application in self._applications():
            if body.name is None or body.name in application.registrations:
                isKnown = True
                found += await application.query(body.name, body.filter)
        if not isKnown:
            raise RoomError(ErrorCode.NO_SUCH_ROOM, "no rooms are registered under this name")
        return types.FoundRooms([_foundOf(each) for each in found[: body.limit]])

    async def create(self, call: Call) -> types.Created:
        """Create a room."""
        body: types.CreateRoom = call.body
        encoded(body.options, "options")
        created = self._server.cluster.create(body.name, body.options, call.once)
        return types.Created(await created)

    def _applications(self) -> list[RoomApplication]:
        return [each for each in self._server.applications if isinstance(each, RoomApplication)]

    # -- one room

    async def inspect(self, call: Call) -> types.RoomDetails:
        """Tell what a room is, and who is in it."""
        query: types.InspectRoom = call.query
        found = await self._ask(call, Inspect(query.members, after=query.cursor))
        return msgspec.convert({"next": None, **found["listing"], **found}, types.RoomDetails)

    async def publish(self, call: Call) -> types.Published:
        """Send a message to members."""
        body: types.Publish = call.body
        data = encoded(body.data, "data")
        command = SendTo(
            body.type,
            data,
            _tuple(body.members),
            _tuple(body.userIds),
            body.isVolatile,
            _tuple(body.groups),
        )
        return types.Published(await self._ask(call, command))

    async def lock(self, call: Call) -> None:
        """Lock or unlock a room."""
        await self._ask(call, Lock(call.body.isLocked))

    async def hide(self, call: Call) -> None:
        """Hide or show a room."""
        await self._ask(call, SetPrivate(call.body.isPrivate))

    async def setMetadata(self, call: Call) -> None:
        """Replace the metadata of a room."""
        encoded(call.body.metadata, "metadata")
        await self._ask(call, SetMetadata(call.body.metadata))

    async def kick(self, call: Call) -> types.Kicked:
        """Make members leave a room."""
        body: types.KickMember = call.body
        return types.Kicked(await self._ask(call, kick(body.member, body.userId, body.reason)))

    async def dispose(self, call: Call) -> None:
        """End a room."""
        await self._ask(call, Dispose(call.query.code, call.query.reason))

    async def reserve(self, call: Call) -> types.Reserved:
        """Reserve a seat in a room."""
        encoded(call.body.user, "user")
        user = plainUser(call.body.user)
        return types.Reserved(await self._ask(call, Reserve(user, call.body.seconds)))

    async def _ask(self, call: Call, command: Command) -> Any:
        return await self._server.cluster.ask(call.params[0], command, call.once)

    # -- the table

    def routes(self) -> list[Route]:
        """Return the routes."""
        one = f"{_PATH}/{{room}}"
        read, manage = Role.READ, Role.MANAGE

        def change(name: str, path: str, call: Callable[[Call], Any], summary: str, **more: Any) -> Route:
            more = {"status": 204 if more.get("answer") is None else 200, "method": "POST", **more}
            more |= {"takesKey": True, "problems": (404, 409, 410, 422, 503, 504)}
            return Route(path=path, call=call, role=manage, name=name, summary=summary, **more)

        return [
            Route(
                method="GET",
                path=_PATH,
                call=self.listAll,
                role=read,
                name="listRooms",
                summary="List all rooms, private ones too",
                query=types.ListRooms,
                answer=types.RoomList,
                problems=(503, 504),
            ),
            Route(
                method="POST",
                path=f"{_PATH}/query",
                call=self.query,
                role=read,
                name="queryRooms",
                summary="Find rooms as matchmaking does, in its order, and no private ones",
                body=types.QueryRooms,
                answer=types.FoundRooms,
                problems=(404, 503, 504),
            ),
            change(
                "createRoom",
                _PATH,
                self.create,
                "Create a room",
                body=types.CreateRoom,
                answer=types.Created,
                status=201,
            ),
            Route(
                method="GET",
                path=one,
                call=self.inspect,
                role=read,
                name="inspectRoom",
                summary="Tell what a room is, and who is in it",
                query=types.InspectRoom,
                answer=types.RoomDetails,
                problems=(404, 410, 503, 504),
            ),
            change("disposeRoom", one, self.dispose, "End a room", query=types.DisposeRoom, method="DELETE"),
            change(
                "publish",
                f"{one}/publish",
                self.publish,
                "Send a message to all members, or to some",
                body=types.Publish,
                answer=types.Published,
            ),
            change(
                "lockRoom",
                f"{one}/lock",
                self.lock,
                "Lock a room, so that no client can join, or unlock it",
                body=types.LockRoom,
            ),
            change(
                "hideRoom",
                f"{one}/private",
                self.hide,
                "Hide a room, so that clients find it only by its id, or show it",
                body=types.HideRoom,
            ),
            change(
                "setMetadata",
                f"{one}/metadata",
                self.setMetadata,
                "Replace the metadata of a room",
                body=types.ReplaceMetadata,
                method="PUT",
            ),
            change(
                "kickMember",
                f"{one}/kick",
                self.kick,
                "Make members leave a room",
                body=types.KickMember,
                answer=types.Kicked,
            ),
            change(
                "reserveSeat",
                f"{one}/reserve",
                self.reserve,
                "Reserve a seat in a room",
                body=types.ReserveSeat,
                answer=types.Reserved,
            ),
        ]


def _tuple(ids: list[str] | None) -> tuple[str, ...] | None:
    return None if ids is None else tuple(ids)


def _foundOf(each: Listing) -> types.FoundRoom:
    return types.FoundRoom(each.room, each.name, each.clients, each.maxClients, each.isLocked, each.metadata)


def _filterOf(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        return msgspec.json.decode(text, type=dict[str, Any])
    except (msgspec.DecodeError, RecursionError) as error:
        raise problemOfField(error, "filter") from None
