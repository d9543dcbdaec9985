"""
Attaching: the requests to join or to resume, while they wait.

All requests wait until the room is open. A join also waits for `canJoin`. If the edge of a waiting request is
lost meanwhile, the client must not become a member, because no edge would ever report that its connection is
lost.
"""

from __future__ import annotations

from typing import Any

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.python.failure import Failure

from ...core.awaitables import clearFailure
from ...core.codes import ErrorCode
from ..contract.arrivals import Join, Refused, Resume
from ..contract.asks import TellSeat
from ..contract.ports import Link, Outlet
from .context import RoomContext
from .joining import Joining
from .life import Stage
from .resuming import Resuming


@attrs.define(eq=False)
class _Request:
    """A request that waits."""

    outlet: Outlet
    #: Whether its edge is lost, or it was refused because the room moves.
    isGone: bool = False
    #: Fires with the answer.
    answer: Deferred[Link | Refused] = attrs.field(factory=Deferred)


class Attaching:
    """Passes the requests of clients to `Joining` and `Resuming`."""

    __slots__ = ("_beginnings", "_context", "_joining", "_requests", "_resuming")

    def __init__(self, context: RoomContext, joining: Joining, resuming: Resuming) -> None:
        self._context = context
        self._joining = joining
        self._resuming = resuming
        self._requests: set[_Request] = set()
        #: The Deferreds that fire when the room is open, or can't be created.
        self._beginnings: list[Deferred[None]] = []

    def attach(self, outlet: Outlet, arrival: Join | Resume) -> Deferred[Link | Refused]:
        """Join or resume; see `Engine.attach`."""
        life = self._context.life
        if life.stage is not Stage.CREATING:
            if not life.isOpen:
                return succeed(Refused(life.closedCode))
            if isinstance(arrival, Resume):
                return succeed(self._resuming.resume(outlet, arrival))
        request = _Request(outlet)
        self._requests.add(request)
        Deferred.fromCoroutine(self._attach(request, arrival)).addBoth(self._over, request)
        return request.answer

    async def _attach(self, request: _Request, arrival: Join | Resume) -> Link | Refused:
        life = self._context.life
        if life.stage is Stage.CREATING:
            await self.begun()
        if request.isGone or not life.isOpen:
            return Refused(ErrorCode.UNAVAILABLE if request.isGone else life.closedCode)
        if isinstance(arrival, Join):
            return await self._joining.join(request.outlet, arrival, lambda: not request.isGone)
        return self._resuming.resume(request.outlet, arrival)

    def _over(self, result: Any, request: _Request) -> None:
        if request in self._requests:
            self._requests.remove(request)
            request.answer.callback(result)
        elif isinstance(result, Failure):
            clearFailure(result)

    async def tellSeat(self, command: TellSeat) -> str:
        """Reserve a seat for a client that joins in a moment; see `TellSeat`. Raises `RoomError`."""
        return await self._joining.tellSeat(command)

    def checkResume(self, token: str) -> str:
        """Return the id of the member that may resume with a token. Raises `RoomError`."""
        return self._resuming.check(token)

    def refuse(self) -> None:
        """Refuse the waiting requests, because the room moves. Their edges ask its next owner."""
        requests, self._requests = self._requests, set()
        for request in requests:
            request.isGone = True
            request.answer.callback(Refused(self._context.life.closedCode))

    def edgeGone(self, outlet: Outlet) -> None:
        """Drop the waiting requests of an edge that is lost."""
        for request in self._requests:
            if request.outlet is outlet:
                request.isGone = True

    # -- the beginning of the room

    def begun(self) -> Deferred[None]:
        """
        Return a Deferred that fires when the room is open or can't be created. It has fired if that has
        happened already.
        """
        if self._context.life.stage is not Stage.CREATING:
            return succeed(None)
        waiter: Deferred[None] = Deferred()
        self._beginnings.append(waiter)
        return waiter

    def begin(self) -> None:
        """
        Let the waiting requests continue in the next turn, because the room is open or can't be created.
        """
        if self._beginnings:
            self._context.runner.post(self._fire)

    def _fire(self) -> None:
        beginnings, self._beginnings = self._beginnings, []
        for waiter in beginnings:
            waiter.callback(None)
