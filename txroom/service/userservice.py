"""
A server's users: a base class of `Server`.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from ..core.options import ServerOptions
from ..http.gateway import Gateway
from ..rooms.contract.asks import Once
from ..rooms.contract.notices import QUEUE_LIMIT, NotifyResult
from ..rooms.contract.ports import EngineService
from ..rooms.edge.users import EdgeUsers
from ..rooms.plain import idOfUser
from .connectionservice import ConnectionService
from .nodecalls import NodeFunctions
from .users import Users, checkNotice, checkUser, newNotice


class UserService(ConnectionService):
    """A service whose users get notifications; see `ConnectionService` for the arguments."""

    def __init__(self, options: ServerOptions, reactor: Any, gateway: Gateway, engine: EngineService) -> None:
        super().__init__(options, reactor, gateway, engine)
        userId = lambda user: self.userId(user)  # noqa: E731  # the hook may be assigned later
        #: What the servers that share rooms may ask one another.
        self._nodeFunctions = NodeFunctions(self.clock)
        self._nodeFunctions.use(engine)
        self._users = Users(lambda: self._connections.all, userId, self.clock, self._nodeFunctions)
        self._edgeUsers = EdgeUsers(userId, lambda: self.engine.notices)

    def userId(self, user: Any) -> str | None:
        """
        Return the id of a user, under which it gets notifications, and `users` finds it. A hook.

        By default the id is the user itself if that is a string or a whole number, or its "id" if it is a
        mapping. This hook cannot be asynchronous. Rooms have a hook of the same name (`Room.userId`).

        Args:
            user: The user that `verifyClient` has accepted (`Connection.user`).

        Returns:
            The id, of 1 to 256 characters; `None` if it has none, so that it gets no notifications.
        """
        return idOfUser(user)

    @property
    def users(self) -> Users:
        """The users of all servers that share the rooms of this one."""
        return self._users

    def notify(
        self,
        userId: str,
        type: str,
        data: Any = None,
        *,
        queue: bool = True,
        limit: int = QUEUE_LIMIT,
        seconds: float | None = None,
        once: Once | None = None,
    ) -> Deferred[NotifyResult]:
        """
        Send a notification to a user, wherever the user is connected, or else when the user comes back.

        It waits in the queue of the user. Each device of the user gets it once, after those that were sent
        before it. A queue that is not used for 7 days is forgotten. With the `MemoryEngine`, queues live in
        memory: all of them end with the process, and of more than 256 MiB, those that were not used for
        the longest time are dropped.

        Args:
            userId: The id of the user, as the hook `userId` returns it.
            type: The type of the notification.
            data: Its data, up to 64 KiB when it is encoded.
            queue: Whether it waits for the user. If not, only those clients get it that are connected now
                and ask for notifications.
            limit: The most notifications in the queue, from 1 to 10,000; the oldest are dropped. The queue
                has at most 1 MiB in any case.
            seconds: After how many seconds it expires; `None`: it doesn't.
            once: An idempotency key: a notification with a key that was used for this user within a day is
                not sent again.

        Returns:
            A Deferred of the `NotifyResult`, which fires when the notification is in the queue. It fails with
            `RoomError`: `unavailable` if Redis can't be reached, and then `mayHaveHappened` in its details
            says whether it may be in the queue; `badRequest` if the key was used with another digest.

        Raises:
            TypeError: An argument has a wrong type, or the data can't be encoded.
            ValueError: An argument is out of range, or the data is too long.
        """
        notice = newNotice(type, data, queue, limit, seconds)
        return self.engine.notices.notify(checkUser(userId), notice, once)

    def notifyAll(self, type: str, data: Any = None) -> Deferred[None]:
        """
        Send a notification to all users who are connected to any server and ask for notifications.

        It is not queued.

        Args:
            type: The type of the notification.
            data: Its data, up to 64 KiB when it is encoded.

        Returns:
            A Deferred that fires when it is on its way. It fails with `RoomError` (`unavailable`) if Redis
            can't be reached.

        Raises:
            TypeError: An argument has a wrong type, or the data can't be encoded.
            ValueError: An argument is out of range, or the data is too long.
        """
        return self.engine.notices.notifyAll(*checkNotice(type, data))

    def useEngine(self, engine: EngineService) -> None:
        """Replace the engine before the server starts; for programs that launch a server of somebody else."""
        super().useEngine(engine)
        self._nodeFunctions.use(engine)
