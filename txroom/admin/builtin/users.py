"""
The calls that are about users.
"""

from __future__ import annotations

from typing import Any

import msgspec

from ...rooms.contract.notices import QUEUE_LIMIT
from .. import types
from ..calls import RpcCall
from ..ports import AdminServer
from ..users import checkedSend, findUser
from . import types as answers
from .named import callsOf


class UserCalls:
    """
    The calls about users of all nodes.

    Args:
        server: The server.
    """

    def __init__(self, server: AdminServer) -> None:
        self._server = server

    async def get(self, userId: types.Id) -> answers.UserReport:
        """
        Tell where a user is, and how many notifications wait for it.

        Args:
            userId: The id of the user.
        """
        found = await findUser(self._server, userId)
        queue = await self._server.engine.notices.describe(userId)
        shown = None
        if queue is not None:
            devices = [answers.DeviceInfo(*each) for each in queue.devices]
            shown = answers.QueueReport(*queue[:5], devices)
        return answers.UserReport(**msgspec.structs.asdict(found), queue=shown)

    async def kick(self, userId: types.Id, reason: types.Reason = "") -> types.UserKicked:
        """
        Make a user leave all rooms.

        Args:
            userId: The id of the user.
            reason: The text for its clients.
        """
        done = await self._server.cluster.disconnect(userId, reason)
        return types.UserKicked(done.done, list(done.unanswered))

    async def notify(
        self, userId: types.Id, type: types.MessageType, data: Any = None, queue: bool = True
    ) -> types.Notified:
        """
        Send a notification to a user, wherever it is connected, or when it comes back.

        Args:
            userId: The id of the user.
            type: The type of the notification.
            data: Its data.
            queue: Whether it waits for the user.
        """

        def send() -> Any:
            return self._server.notify(
                userId, type, data, queue=queue, limit=QUEUE_LIMIT, seconds=None, once=None
            )

        return types.Notified(*await checkedSend(send))

    def calls(self) -> list[RpcCall]:
        """Return the calls."""
        return callsOf("users", {"get": self.get}, {"kick": self.kick, "notify": self.notify})
