"""
The names of keys and channels in Redis.

All begin with a prefix, so that several clusters can share a server, and a user of Redis can be limited to
one of them (`~txr:*` and `&txr:*` in its ACL). The keys of one room have its id as their hash tag, so that a
script may use them together.
"""

from __future__ import annotations

import re
from typing import NamedTuple
from urllib.parse import quote

#: What a prefix may have: nothing that is special in the patterns of ACLs, or in hash tags.
_PREFIX = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


class RoomKeys(NamedTuple):
    """The keys of one room."""

    #: HASH: the owner, the members, the reserved seats and so on; see `txroom.engine.redis.stored`.
    fields: bytes
    #: STREAM: the log.
    log: bytes
    #: STRING: for some time after the room has ended. The room can't be created again meanwhile.
    grave: bytes


class NoticeKeys(NamedTuple):
    """The keys of the notifications of one user; see ``queue.lua`` and ``notify.lua``."""

    queue: bytes
    log: bytes
    devices: bytes
    once: bytes
    expiries: bytes


class Keys:
    """
    The names of keys and channels.

    Args:
        prefix: What they begin with: letters, digits and ``_ . : -``, at most 64.
    """

    def __init__(self, prefix: str = "txr") -> None:
        if _PREFIX.fullmatch(prefix) is None:
            raise ValueError(f"prefix={prefix!r}: must have 1 to 64 letters, digits, or any of _ . : -")
        self._prefix = prefix
        #: ZSET: the nodes, and when their leases expire, in milliseconds of Redis's clock.
        self.nodes = self._named("nodes")
        #: HASH: the newest lease when the former Redis was stopped, and the `run_id` of the present one.
        self.run = self._named("run")
        #: STRING: the age of the newest room, a number that grows from room to room.
        self.ages = self._named("ages")
        #: The channel on which nodes are told that a node is gone, or that it stops.
        self.gone = self._named("gone")
        #: The channel of changed listings.
        self.changed = self._named("changed")
        #: The channel of notifications for all users.
        self.toAll = self._named("users")
        #: The pattern of the fields of rooms.
        self.rooms = self._named("{*}")

    def _named(self, name: str) -> bytes:
        return f"{self._prefix}:{name}".encode()

    def room(self, room: str) -> RoomKeys:
        """Return the keys of a room."""
        fields = self._named(f"{{{room}}}")
        return RoomKeys(fields, fields + b":log", fields + b":grave")

    def nameOf(self, room: str) -> bytes:
        """STRING: for a short time, the listings to which a request with a key is adding a room."""
        return self.room(room).fields + b":name"

    def roomOf(self, fields: bytes) -> str:
        """Return the id of the room with these fields, of a key that matches `rooms`."""
        return fields[len(self.rooms) - 2 : -1].decode("utf-8", "replace")

    def notices(self, user: str) -> NoticeKeys:
        """Return the keys of the notifications of a user. The channel of the user is named as the queue."""
        queue = self._named(f"user:{{{_part(user)}}}")
        return NoticeKeys(queue, queue + b":log", queue + b":devices", queue + b":once", queue + b":expiries")

    def listings(self, application: str, name: str) -> bytes:
        """HASH: the listings of the rooms of one name, by their ids."""
        return self._named(f"list:{_part(application)}:{_part(name)}")

    def making(self, application: str, name: str, key: str) -> bytes:
        """HASH: the room that is being created for all clients that look for a room with `key`."""
        return self._named(f"make:{_part(application)}:{_part(name)}:{_part(key)}")

    def about(self, node: str) -> bytes:
        """STRING: what a node says of itself; see `txroom.engine.redis.announcing`."""
        return self._named(f"about:{node}")

    def to(self, node: str) -> bytes:
        """Return the channel of the packets to a node."""
        return self._named(f"to:{node}")


def _part(text: str) -> str:
    """Quote a text, so that no two lists of texts give the same name."""
    return quote(text, safe="/")
