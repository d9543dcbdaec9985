"""
The rooms that one process owns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from ..api.ports import LeaveReason
from ..api.room import Room
from ..contract.ports import RoomHost
from .host import Host
from .running import Wait

#: What `RoomWait.what` is if messages wait to be committed.
COMMIT = "commit"


class Hosts:
    """The hosts of the rooms, by id and by name."""

    _log = Logger()

    def __init__(self) -> None:
        self._byId: dict[str, Host] = {}
        self._byName: dict[str, dict[str, Host]] = {}

    def __len__(self) -> int:
        return len(self._byId)

    def get(self, id: str) -> Host | None:
        """Return the host of a room; `None` if there is no such room."""
        return self._byId.get(id)

    def all(self) -> list[Host]:
        """Return all hosts, the oldest first."""
        return list(self._byId.values())

    def named(self, name: str) -> list[Host]:
        """Return the hosts of the rooms of a name, the oldest first."""
        return list(self._byName.get(name, {}).values())

    def add(self, host: Host) -> None:
        """Add the host of a new room."""
        self._byId[host.id] = host
        self._byName.setdefault(host.name, {})[host.id] = host

    def remove(self, host: RoomHost) -> None:
        """Remove the host of a room that has ended."""
        known = self._byId.get(host.id)
        if known is not None and known is host:
            del self._byId[host.id]
            del self._byName[host.name][host.id]

    def dispose(self, code: int, reason: LeaveReason) -> Deferred[Any]:
        """End all rooms. Fires when they have ended; an error is logged, and doesn't hold up the others."""
        ending: list[Deferred[None]] = []
        for host in self.all():
            try:
                ending.append(host.dispose(code, reason))
            except Exception:
                self._log.failure("room {id} could not be ended", id=host.id)
        return DeferredList(ending, consumeErrors=True)


class RoomWait(NamedTuple):
    """A room in which something waits: the hook, handler or timer that has waited for longest."""

    room: str
    #: The name that it is registered under, and the state of its life.
    name: str
    stage: str
    #: For how many seconds, what, and for which member, if it is for one.
    seconds: float
    what: str
    member: str
    #: How many hooks, handlers and timers wait.
    waiting: int


class Rooms(Mapping[str, Room]):
    """The rooms that this process owns, by id. `named` returns those of a name."""

    def __init__(self, hosts: Hosts) -> None:
        self._hosts = hosts

    def __getitem__(self, id: str) -> Room:
        host = self._hosts.get(id)
        if host is None:
            raise KeyError(id)
        return host.room

    def __iter__(self) -> Iterator[str]:
        return (host.id for host in self._hosts.all())

    def __len__(self) -> int:
        return len(self._hosts)

    def named(self, name: str) -> list[Room]:
        """Return the rooms of a name, the oldest first."""
        return [host.room for host in self._hosts.named(name)]

    def memberCount(self, name: str) -> int:
        """Return the number of members of the rooms of a name, connected or not."""
        return sum(len(host.members) for host in self._hosts.named(name))

    def waits(self, seconds: float) -> list[RoomWait]:
        """Return the rooms in which something has waited for so many seconds, in any order."""
        return [wait for host in self._hosts.all() if (wait := _waitOf(host)) and wait.seconds >= seconds]


def _waitOf(host: Host) -> RoomWait | None:
    """Return what has waited for longest in a room; `None` if nothing waits."""
    if host.life.isOver:
        return None
    waits = host.runner.running.waits(host.roomTimers)
    count, since = len(waits), host.outbox.waitsSince
    if since is not None:
        waits.append(Wait(host.application.clock.seconds() - since, COMMIT, ""))
    if not waits:
        return None
    first = max(waits, key=lambda wait: wait.seconds)
    stage = host.life.stage.name.lower()
    return RoomWait(host.id, host.name, stage, first.seconds, first.name, first.member, count)
