"""
What the nodes say of themselves: on which host each one runs, and what it serves.

Each node keeps a key in Redis, which expires some time after the node has ended, and reads the key of each
other node once. It logs what another node does differently although all nodes must do it in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any

import msgspec
from msgspec import Struct
from twisted.logger import Logger

from .keys import Keys
from .resp import Commands, ignored

#: For how many milliseconds Redis remembers what a node has said.
REMEMBERED = 60_000


class About(Struct, frozen=True, array_like=True):
    """What a node says of itself. Later versions may add fields with defaults."""

    #: The name of its host, and the id of its process there.
    host: str = ""
    pid: int = 0
    #: Whether its engine has the option `durable`.
    isDurable: bool = False
    #: By applications, the names of the rooms that it has registered, with `maxRooms` of each.
    rooms: dict[str, dict[str, int]] = {}


_encode = msgspec.msgpack.Encoder().encode
_read = msgspec.msgpack.Decoder(About).decode


class Announcing:
    """
    Announces this node, and knows what the others say.

    Args:
        redis: The connection.
        keys: The names of keys.
        node: The id of this node.
        describe: Describes this node.
    """

    _log = Logger()

    def __init__(self, redis: Commands, keys: Keys, node: str, describe: Callable[[], About]) -> None:
        self._redis = redis
        self._keys = keys
        self._node = node
        self._describe = describe
        self._others: dict[str, About] = {}
        #: The differences that were logged.
        self._told: set[str] = set()

    def about(self, node: str) -> About:
        """Return what a node says; an empty `About` if that isn't known yet."""
        return self._describe() if node == self._node else self._others.get(node, About())

    def refresh(self, others: Collection[str]) -> None:
        """
        Announce this node again, and read what those of the others say that are new.

        Args:
            others: The other nodes that are alive.
        """
        key, data = self._keys.about(self._node), _encode(self._describe())
        self._redis.send(ignored, "SET", key, data, "PX", REMEMBERED)
        self._others = {node: self._others[node] for node in others if node in self._others}
        for node in others:
            if node not in self._others:
                self.read(node)

    def read(self, node: str) -> None:
        """Read what another node says."""
        self._redis.send(partial(self._heard, node), "GET", self._keys.about(node))

    def withdraw(self) -> None:
        """This node stops."""
        self._redis.send(ignored, "DEL", self._keys.about(self._node))

    def _heard(self, node: str, reply: Any) -> None:
        """Redis has answered; if that isn't what the node says, it is asked again."""
        if not isinstance(reply, bytes) or node in self._others:
            return
        try:
            about = self._others[node] = _read(reply)
        except msgspec.MsgspecError:
            self._others[node] = About()
            self._log.error("what node {node} says of itself can't be read", node=node)
            return
        where = {"node": node, "host": about.host, "pid": about.pid}
        self._log.info("node {node} is in the cluster: process {pid} on {host}", **where)
        for difference in differences(self._describe(), about):
            if difference not in self._told:
                self._told.add(difference)
                self._log.warn(_DIFFERENT, difference=difference, **where)


_DIFFERENT = (
    "node {node} (process {pid} on {host}) is not like this one: {difference}. All nodes with the same "
    "prefix must have the same rooms and options; give another program another prefix"
)


def differences(own: About, other: About) -> Iterator[str]:
    """Yield, in words, what another node does differently that all nodes must do in the same way."""
    for application in sorted(own.rooms.keys() | other.rooms.keys()):
        here, there = own.rooms.get(application, {}), other.rooms.get(application, {})
        for name in sorted(here.keys() | there.keys()):
            what = f"the rooms {name!r} of {application!r}"
            if name not in here:
                yield f"only the other node has {what}"
            elif name not in there:
                yield f"only this node has {what}"
            elif here[name] != there[name]:
                yield f"{what} have maxRooms={there[name]} there and maxRooms={here[name]} here"
    if own.isDurable is not other.isDurable:
        yield f"it has durable={other.isDurable}, and this one has durable={own.isDurable}"
