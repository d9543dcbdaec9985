"""
The RPC interface for txroom's own clients: rooms that answer calls.

Each client has a room of its own, so that what one of them watches, and how fast it reads, is no matter of
the others. The calls of one client are answered one after another, as those of a member of any room are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import LogLevel

from ..core.codes import ErrorCode
from ..core.handshake import Accept, Handshake
from ..protocol.errors import RoomError
from ..rooms.api.client import Client
from ..rooms.api.ports import LeaveReason
from ..rooms.api.room import Room
from ..rooms.application import RoomApplication
from ..rooms.contract.ports import Engine
from .calls import TIMEOUT
from .guard import Caller
from .reserve import mostFor
from .rpc import CALLER, CHANGE, Rpc, RpcClient
from .secrets import Role

#: The name of the rooms.
NAME = "rpc"
#: The most rooms at a time, those included whose clients have lost their connections; see `mostFor`.
MOST_ROOMS = 256


class RpcRoom(Room):
    """A room that answers the calls of one client."""

    maxClients = 1
    linger = 0.0
    handlerTimeout = TIMEOUT + 5.0  # calls have a limit of their own, with an answer

    application: RpcApplication

    def onJoin(self, client: Client, options: Mapping[str, Any]) -> None:
        """Begin to serve the client."""
        user = client.user
        caller = Caller(Role(user["role"]), user["address"])
        self.application.admit(self, caller)
        client.data[NAME] = self.application.rpc.client(caller, lambda change: client.send(CHANGE, change))

    def onMessage(self, client: Client, type: str, data: Any) -> Deferred[Any]:
        """Carry out a call."""
        return _of(client).call(type, data)

    def onResume(self, client: Client, recovered: bool) -> None:
        """End what the client watches if it has missed changes: it is told so, and watches again."""
        if not recovered:
            _of(client).end()

    def onLeave(self, client: Client, reason: LeaveReason) -> None:
        """End what the client watches."""
        _of(client).end()

    def onDispose(self) -> None:
        """Make room for others."""
        self.application.ofReaders.discard(self)


def _of(client: Client) -> RpcClient:
    rpcClient: RpcClient = client.data[NAME]
    return rpcClient


class RpcApplication(RoomApplication):
    """
    Serves the rooms.

    Args:
        rpc: The interface.
        path: The path.
        options: Options of the server that are overridden.
    """

    def __init__(self, rpc: Rpc, path: str, **options: Any) -> None:
        super().__init__(path=path, totalRecoverySize=64 << 20, **options)
        self.rpc = rpc
        #: The rooms of callers who may only read.
        self.ofReaders: set[RpcRoom] = set()
        self.register(NAME, RpcRoom, maxRooms=MOST_ROOMS)

    def begin(self, engine: Engine, clock: IReactorTime, volatileLimit: int = 65536) -> None:
        """Start to serve. The lives of these rooms are no news: what their clients change is logged."""
        super().begin(engine, clock, volatileLimit)
        self.lifecycleLog.level = LogLevel.debug

    def admit(self, room: RpcRoom, caller: Caller) -> None:
        """Let a caller have a room. Raises `RoomError` (``rateLimited``) if there are too many."""
        if caller.role > Role.READ:
            return
        if len(self.ofReaders) >= mostFor(caller.role, MOST_ROOMS):
            raise RoomError(ErrorCode.RATE_LIMITED, "too many clients of the role read are connected")
        self.ofReaders.add(room)

    def verifyClient(self, handshake: Handshake) -> Accept:
        """Accept everybody: the guard has checked the request already."""
        caller: Caller = handshake.data[CALLER]
        # The user that resumes must have the same role.
        return Accept({"id": str(caller.role), "role": int(caller.role), "address": caller.address})
