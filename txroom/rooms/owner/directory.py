"""
The rooms that one process owns.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.logger import Logger

from ..api.ports import LeaveReason
from ..api.room import Room
from ..contract.ports import RoomHost
from .host import Host


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
