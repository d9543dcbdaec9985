"""
What the nodes say of themselves: on which host each one runs, and what it serves.

Each node keeps a key in Redis, which expires some time after the node has ended, and reads the keys of the
other nodes from time to time. It logs what another node does differently although all nodes must do it in the
same way.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import partial
from typing import Any, Protocol

import msgspec
from msgspec import Struct
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from ...rooms.contract.ports import HostFactory
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
    #: Whether it gives its rooms to other nodes, and takes none.
    isLeaving: bool = False


class Serving(Protocol):
    """The engine of an application, as far as it is described."""

    application: str
    factory: HostFactory


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

    def takersOf(self, nodes: Iterable[str]) -> list[str]:
        """Return those of some nodes that take rooms, as far as is known."""
        return [node for node in nodes if not self.about(node).isLeaving]

    def leaves(self, node: str) -> None:
        """Another node has just told that it leaves. That counts until what it says is read again."""
        self._others[node] = msgspec.structs.replace(self.about(node), isLeaving=True)

    def refresh(self, others: Collection[str]) -> Deferred[None]:
        """
        Announce this node again, and read what the others say.

        Args:
            others: The other nodes that are alive.

        Returns:
            A Deferred that fires when that was read, or can't be read.
        """
        key, data = self._keys.about(self._node), _encode(self._describe())
        self._redis.send(ignored, "SET", key, data, "PX", REMEMBERED)
        self._others = {node: self._others[node] for node in others if node in self._others}
        return self.read(*others)

    def read(self, *nodes: str) -> Deferred[None]:
        """Read what other nodes say, by one command; see `refresh`."""
        if not nodes:
            return succeed(None)
        read = self._redis.ask("MGET", *map(self._keys.about, nodes))
        return read.addCallbacks(partial(self._heard, nodes), lambda _: None)

    def withdraw(self) -> None:
        """This node stops."""
        self._redis.send(ignored, "DEL", self._keys.about(self._node))

    def _heard(self, nodes: Sequence[str], reply: Any) -> None:
        """Redis has answered; it is asked again about nodes of which that doesn't tell what they say."""
        for node, said in zip(nodes, reply, strict=True):
            if isinstance(said, bytes):
                self._said(node, said)

    def _said(self, node: str, said: bytes) -> None:
        isNew = node not in self._others
        try:
            about = self._others[node] = _read(said)
        except msgspec.MsgspecError:
            self._others[node] = About()
            if isNew:
                self._log.error("what node {node} says of itself can't be read", node=node)
            return
        if isNew:
            self._cameIn(node, about)

    def _cameIn(self, node: str, about: About) -> None:
        """Log what is known of a node that wasn't known before."""
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


def aboutThis(applications: Iterable[Serving], isDurable: bool, isLeaving: bool) -> About:
    """Describe this process, which serves these applications."""
    rooms = {
        each.application: {name: each.factory.maxRooms(name) for name in each.factory.registrations}
        for each in applications
    }
    return About(socket.gethostname(), os.getpid(), isDurable, rooms, isLeaving)


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
