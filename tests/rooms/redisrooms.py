"""
Rooms on `RedisEngine` over a Redis in memory, for the tests that run on each engine.

Commands and replies take their time, as with `LaggingEngine`, and owners get lost.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.task import Clock

from tests.engine.redis.fakeredis import FakeRedis
from txroom.core.codes import CloseCode
from txroom.engine.redis.engine import RedisEngine
from txroom.engine.redis.here import Owned
from txroom.engine.redis.stored import RoomForm
from txroom.rooms.contract.records import Loaded
from txroom.rooms.owner.host import Host


class StoredRoom:
    """What Redis has of a room."""

    def __init__(self, fields: dict[bytes, bytes], keys: dict[bytes, Any]) -> None:
        self._loaded = RoomForm().load(fields, [], 0.0, 0.0)
        self.members = {each.member: each for each in self._loaded.members}
        self.handled = {each.member: each for each in self._loaded.handled}

    def loaded(self) -> Loaded:
        """All of it, without the log."""
        return self._loaded


class RedisOverFake:
    """The engine of one application. `factory` runs the rooms, as for `MemoryRooms`."""

    def __init__(self, factory: Any, clock: Clock, random: Random, slowest: float = 0.005) -> None:
        self.clock = clock
        self._factory = factory
        self.server = FakeRedis(clock, random, slowest)
        connect: Any = lambda clock: self.server.connect()  # noqa: E731
        self.service = RedisEngine("redis://fake", connect=connect)
        self._rooms = self.service.rooms("/rooms", factory)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rooms, name)

    @property
    def node(self) -> Any:
        """The only node."""
        return self.service.node

    @property
    def hosts(self) -> dict[str, Host]:
        """The owners of rooms, by their ids."""
        return {owned.host.id: owned.host for owned in self.node.here}

    @property
    def stored(self) -> dict[str, StoredRoom]:
        """What Redis has of the rooms, by their ids."""
        prefix, end = b"txr:{", b"}"
        return {
            key[len(prefix) : -len(end)].decode(): StoredRoom(fields, self.server.store.keys)
            for key, fields in self.server.store.keys.items()
            if key.startswith(prefix) and key.endswith(end)
        }

    # -- what goes wrong

    def loseOwner(self, room: str, isApplied: bool, isTold: bool = True) -> None:
        """
        The room's owner is cut off; it learns of it when it next commits, or soon if it `isTold`.

        `isApplied`: its last batch is committed, and only that it doesn't hear of it.
        """
        owned: Owned | None = self.node.here.get(room)
        journal = self.node.journals.journals.get(room)
        if owned is None or journal is None:
            return
        journal.flush()
        for client in self.server.clients:
            if isApplied:
                client.arrive()
            for job in (*client._outgoing, *client._answered):
                if room in str(job.args[3:4]):
                    job.callback = lambda reply: None
        fields = self.server.store.keys[f"txr:{{{room}}}".encode()]
        fields[b"tok"], fields[b"node"] = b"another's", b""
        self.node.here.remove(owned.host)
        del self.node.journals.journals[room]
        self._factory.hostEnded(owned.host)
        if isTold:
            self.clock.callLater(0.003, journal._over, CloseCode.ROOM_MOVED)
