"""
The calls that are about rooms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import Meta

from ...core.codes import CloseCode
from ...protocol.excerpts import fitting
from ...rooms.contract.asks import (
    Command,
    Dispose,
    Examine,
    Lock,
    ReadLog,
    SendTo,
    SetPrivate,
    ShowMembers,
)
from ...service.operating.stuckrooms import StuckRooms
from .. import types
from ..calls import RpcCall
from ..commands import encoded, kick
from ..guard import Caller
from ..logs import pageOf, readLog
from ..ports import AdminServer
from ..roomlist import listRooms
from ..secrets import Role
from . import types as answers
from .named import Functions, callsOf

_Offset = Annotated[int, Meta(ge=0, le=2**53)]
_Epoch = Annotated[str, Meta(max_length=64)]
_Seconds = Annotated[float, Meta(ge=0, le=86400)]
#: The most bytes of the data of one message that `rooms.log` tells, as bytes may become a longer text; and of
#: a list of rooms.
_MOST_DATA = _MOST_ROOMS = 512 << 10


class RoomCalls:
    """
    The calls about rooms on all nodes.

    Args:
        server: The server.
    """

    def __init__(self, server: AdminServer) -> None:
        self._server = server

    def _ask(self, room: str, command: Command) -> Any:
        return self._server.cluster.ask(room, command)

    # -- many rooms

    async def listAll(
        self,
        name: types.Name | None = None,
        text: answers.Text = "",
        filter: dict[str, Any] | None = None,
        order: types.Order = "age",
        limit: answers.Limit = 100,
        cursor: answers.Cursor = "",
    ) -> types.RoomList:
        """
        List the rooms of all nodes, private ones too, page by page.

        Args:
            name: The name that they are registered under.
            text: What their id, their name or a text of their metadata must have in it.
            filter: Values that their filtered options or metadata must have.
            order: The order; "-" means the greatest first. "age" is the oldest first.
            limit: The most rooms.
            cursor: The `next` of the answer before.
        """
        return await listRooms(
            self._server.cluster,
            name=name,
            text=text,
            filter=filter or {},
            order=order,
            limit=limit,
            cursor=cursor,
        )

    async def stuck(self, seconds: _Seconds = 1.0, limit: answers.Limit = 100) -> StuckRooms:
        """
        Find the rooms of all nodes in which a hook, a handler or a timer waits, or whose messages wait to be
        committed, those first that have waited for longest.

        Args:
            seconds: For how long something must have waited.
            limit: The most rooms.
        """
        return await self._server.operations.waits.find(seconds, limit)

    async def stranded(self) -> answers.StrandedRooms:
        """List the rooms that no node has, because none could open them; at most 512 KiB of them."""
        found = await self._server.cluster.stranded()
        rooms = (answers.Stranded(*each) for each in found.rooms)
        return answers.StrandedRooms(fitting(rooms, _MOST_ROOMS), [*found.unanswered])

    async def create(self, name: types.Name, options: dict[str, Any] | None = None) -> types.Created:
        """
        Create a room, at the node that answers.

        Args:
            name: The name that it is registered under.
            options: Its options.
        """
        given: Mapping[str, Any] = options or {}
        encoded(given, "options")
        return types.Created(await self._server.cluster.create(name, given))

    # -- one room

    async def get(self, caller: Caller, room: types.Id, isFull: bool = True) -> answers.RoomReport:
        """
        Tell what a room is, how it is, and which handlers and hooks of it are running.

        Args:
            room: The id of the room.
            isFull: Whether to call `Room.inspect`, and to tell the state.
        """
        found = await self._ask(room, Examine(isFull, caller.role is Role.MANAGE))
        return msgspec.convert({**found.pop("listing"), **found}, answers.RoomReport)

    async def members(
        self, room: types.Id, limit: answers.Limit = 100, cursor: answers.Cursor = ""
    ) -> answers.MemberPage:
        """
        List the members of a room, in the order of their ids.

        Args:
            room: The id of the room.
            limit: The most members.
            cursor: The `next` of the answer before.
        """
        found = await self._ask(room, ShowMembers(cursor, limit))
        members = msgspec.convert(found["members"], list[answers.ShownMember])
        return answers.MemberPage(members, None if found["isLast"] else members[-1].member)

    async def log(
        self,
        caller: Caller,
        room: types.Id,
        after: _Offset = 0,
        epoch: _Epoch = "",
        limit: answers.Limit = 100,
        history: bool = False,
    ) -> types.LogPage:
        """
        Read the messages that a room keeps for clients that resume, or its history. Only the role manage sees
        those that are for some members only.

        Args:
            room: The id of the room.
            after: The offset after which to read.
            epoch: The epoch of that offset; empty: the current one.
            limit: The most messages.
            history: Whether to read the history, from which newcomers get messages.
        """
        cluster = self._server.cluster
        read = await readLog(cluster, room, ReadLog(after, limit, 0.0, epoch, history))
        if epoch not in ("", read["epoch"]):
            read = await readLog(cluster, room, ReadLog(0, limit, 0.0, read["epoch"], history))
            after = 0
        return pageOf(read, after, caller.role, _MOST_DATA)

    async def lock(self, room: types.Id, isLocked: bool = True) -> None:
        """
        Lock a room, so that no client can join, or unlock it.

        Args:
            room: The id of the room.
            isLocked: Whether it is locked.
        """
        await self._ask(room, Lock(isLocked))

    async def setPrivate(self, room: types.Id, isPrivate: bool = True) -> None:
        """
        Hide a room, so that clients find it only by its id, or show it.

        Args:
            room: The id of the room.
            isPrivate: Whether it is hidden.
        """
        await self._ask(room, SetPrivate(isPrivate))

    async def kick(
        self,
        room: types.Id,
        member: types.Id | None = None,
        userId: types.Id | None = None,
        reason: types.Reason = "",
    ) -> types.Kicked:
        """
        Make members leave a room.

        Args:
            room: The id of the room.
            member: The id of a member.
            userId: The id of a user, all of whose members leave.
            reason: The text for their clients.
        """
        return types.Kicked(await self._ask(room, kick(member, userId, reason)))

    async def dispose(self, room: types.Id, reason: types.Reason = "") -> None:
        """
        End a room: all members leave.

        Args:
            room: The id of the room.
            reason: The text for the clients.
        """
        await self._ask(room, Dispose(CloseCode.ROOM_CLOSED, reason))

    async def broadcast(self, room: types.Id, type: types.MessageType, data: Any = None) -> types.Published:
        """
        Send a message to all members of a room.

        Args:
            room: The id of the room.
            type: The type of the message.
            data: Its data.
        """
        return types.Published(await self._ask(room, SendTo(type, encoded(data, "data"))))

    def calls(self) -> list[RpcCall]:
        """Return the calls."""
        read: Functions = {
            "list": self.listAll,
            "stuck": self.stuck,
            "stranded": self.stranded,
            "get": self.get,
            "members": self.members,
        }
        manage: Functions = {
            "create": self.create,
            "lock": self.lock,
            "setPrivate": self.setPrivate,
            "kick": self.kick,
            "dispose": self.dispose,
            "broadcast": self.broadcast,
        }
        log = RpcCall(name="rooms.log", function=self.log, following=_following)
        return [*callsOf("rooms", read, manage), log]


def _following(args: Mapping[str, Any], answer: Any) -> Mapping[str, Any] | None:
    """Return the arguments that ask for the messages after those of an answer; `None` if it has none."""
    if not answer["entries"] and answer["next"] == args.get("after", 0):
        return None
    return {**args, "after": answer["next"], "epoch": answer["epoch"]}
