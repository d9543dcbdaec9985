"""
What the parts of an owner share: the objects of their room, and the events that they report to its host; and
what the host asks of the application.

A part is handed a `RoomContext`, and those of the other parts that it needs; never the host, and never the
application.
"""

from __future__ import annotations

from typing import Any, Protocol

import attrs
from twisted.internet.interfaces import IReactorTime

from ..api.clock import RoomClock
from ..api.ports import RoomPort, RoomServices
from ..api.room import Room
from ..contract.ports import Engine
from .life import RoomLife
from .lifecyclelog import LifecycleLog
from .messagelog import MessageLog
from .outbox import Outbox
from .roster import Roster
from .runner import Runner


@attrs.frozen(kw_only=True)
class RoomContext:
    """The objects that all parts of one owner use. They are the same from its beginning to its end."""

    id: str
    #: The name under which it was registered.
    name: str
    room: Room
    #: What the room and its clients know their owner by.
    port: RoomPort
    #: The server's clock, and the timers that end with the room.
    clock: IReactorTime
    timers: RoomClock
    life: RoomLife
    roster: Roster
    log: MessageLog
    outbox: Outbox
    runner: Runner
    lifecycleLog: LifecycleLog


class Lifecycle(Protocol):
    """What the parts of an owner report to the host, which decides when the room ends."""

    def keepOpen(self) -> None:
        """Somebody has taken a seat: the room doesn't end for being empty."""
        ...

    def seatFreed(self) -> None:
        """Somebody has left, hooks and all, or a reservation is over: perhaps the room is to end."""
        ...

    def makerRefused(self) -> None:
        """Whoever the room was made for has been refused, and nobody has ever joined it."""
        ...


class HostApplication(RoomServices, Protocol):
    """What a host asks of the application that made it."""

    @property
    def clock(self) -> IReactorTime: ...
    @property
    def engine(self) -> Engine: ...
    @property
    def lifecycleLog(self) -> LifecycleLog: ...

    def hostEnded(self, host: Any) -> None:
        """A room has ended that the engine has never known."""
        ...
