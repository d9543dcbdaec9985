"""
The objects that all parts of an owner share, the events that they report to the host, and the port through
which the host uses the application.

Each part gets a `RoomContext` and the other parts that it uses. No part gets the host or the application.
"""

from __future__ import annotations

from typing import Any, Protocol

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime

from ..api.clock import RoomClock, RoomTimers
from ..api.ports import LeaveReason, RoomPort, RoomServices
from ..api.room import Room
from ..contract.ports import Engine
from ..meters import RoomMeters
from .life import RoomLife
from .lifecyclelog import LifecycleLog
from .messagelog import MessageLog
from .outbox import Outbox
from .roster import Roster
from .runner import Runner


@attrs.frozen(kw_only=True)
class RoomContext:
    """The objects that all parts of one owner use. They stay the same for the life of the room."""

    id: str
    #: The name under which it was registered.
    name: str
    room: Room
    #: The owner, as `Room` and `Client` use it.
    port: RoomPort
    #: The server's clock, and the room's timers, which end with the room.
    clock: IReactorTime
    timers: RoomClock
    #: All timers that run, for operators.
    roomTimers: RoomTimers
    life: RoomLife
    roster: Roster
    log: MessageLog
    outbox: Outbox
    runner: Runner
    lifecycleLog: LifecycleLog
    meters: RoomMeters


class Lifecycle(Protocol):
    """The events that parts report to the host, which decides when the room ends."""

    def keepOpen(self) -> None:
        """Keep the room open, because a client has taken a seat."""
        ...

    def seatFreed(self) -> None:
        """
        Check whether the room is empty and may end, because a member has left and its hooks are over, or
        because a reservation has ended.
        """
        ...

    def stopTimers(self) -> None:
        """Stop all timers of the room, and cancel those that are running."""
        ...

    def creatorRefused(self) -> None:
        """
        End the room if it is empty: the client that it was created for was refused, and no client has ever
        joined.
        """
        ...

    def dispose(
        self, code: int = ..., reason: LeaveReason = LeaveReason.CLOSED, text: str = ""
    ) -> Deferred[None]:
        """End the room. The Deferred fires when that is over."""
        ...


class HostApplication(RoomServices, Protocol):
    """The part of the application that a host uses."""

    @property
    def clock(self) -> IReactorTime: ...
    @property
    def engine(self) -> Engine: ...
    @property
    def lifecycleLog(self) -> LifecycleLog: ...
    @property
    def meters(self) -> RoomMeters: ...

    def hostEnded(self, host: Any) -> None:
        """Forget a room that has ended before the engine had claimed it."""
        ...
