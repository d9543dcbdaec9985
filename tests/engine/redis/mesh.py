"""Nodes that talk with each other without Redis: what the tests of packets, talks and peers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from tests.sortedclock import SortedClock
from txroom.engine.redis.node import Guard
from txroom.engine.redis.peers import Peers
from txroom.protocol.errors import RoomError
from txroom.rooms.contract.arrivals import Join, Refused, Resume
from txroom.rooms.contract.items import Item, Joined, Message
from txroom.rooms.contract.ports import Link, Outlet


def joinOf(link: str, room: str = "room", **fields: Any) -> Join:
    """A request to join."""
    return Join(link=link, session=f"session of {link}", room=room, **fields)


def joinedOf(room: str = "room") -> Joined:
    """The item that tells a client that it has joined."""
    return Joined(1, room, "chat", "member", "token", "epoch", 0, False, 0)


def messageOf(offset: int | None, room: str = "room", data: bytes = b"\xc0") -> Message:
    """A message of a room."""
    return Message(room, offset, "said", data)


class FakeEdge:
    """An outlet that records."""

    def __init__(self) -> None:
        self.delivered: list[tuple[Item, tuple[str, ...]]] = []
        self.detached: list[tuple[tuple[str, ...], int, str]] = []

    def deliver(self, item: Item, links: Sequence[str]) -> None:
        self.delivered.append((item, tuple(links)))

    def detach(self, links: Sequence[str], code: int, reason: str = "") -> None:
        self.detached.append((tuple(links), code, reason))

    def itemsOf(self, link: str) -> list[Item]:
        """What the client of a link got."""
        return [item for item, links in self.delivered if link in links]


class FakeLink:
    """The link of a room that records."""

    def __init__(self, room: FakeRoom, id: str, outlet: Outlet) -> None:
        self.room = room
        self.id = id
        self.outlet = outlet
        self.frames: list[Any] = []
        #: How it ended.
        self.ends: list[str] = []

    def submit(self, frame: Any) -> None:
        self.frames.append(frame)

    def leave(self) -> None:
        self._end("leave")

    def drop(self) -> None:
        self._end("drop")

    def _end(self, how: str) -> None:
        self.ends.append(how)
        if self.room.links.get(self.id) is self:
            del self.room.links[self.id]


class FakeRoom:
    """A room that lets clients in, unless it is told otherwise."""

    def __init__(self) -> None:
        self.links: dict[str, FakeLink] = {}
        self.everyLink: list[FakeLink] = []
        self.generation = 1
        #: What happens instead of letting a client in: a refusal, a Deferred or an error.
        self.answer: Any = None

    def attach(self, outlet: Outlet, arrival: Join | Resume) -> Deferred[Link | Refused]:
        link = FakeLink(self, arrival.link, outlet)
        if isinstance(self.answer, Refused):
            return succeed(self.answer)
        if isinstance(self.answer, Exception):
            return fail(self.answer)
        if isinstance(self.answer, Deferred):
            return self.answer.addCallback(lambda _: self._enter(link, arrival))
        return succeed(self._enter(link, arrival))

    def _enter(self, link: FakeLink, arrival: Join | Resume) -> Link:
        self.links[link.id] = link
        self.everyLink.append(link)
        link.outlet.deliver(joinedOf(arrival.room), (link.id,))
        return link


class Always:
    """A lease that is fresh until it is told otherwise."""

    def __init__(self) -> None:
        self.freshUntil = float("inf")


class Node:
    """A node with rooms and an edge."""

    def __init__(self, mesh: Mesh, id: str) -> None:
        self.id = id
        self.edge = FakeEdge()
        self.rooms: dict[str, FakeRoom] = {}
        self.commands: list[Any] = []
        #: How much time each of them has had left.
        self.seconds: list[float] = []
        self.edgesGone: list[tuple[Outlet, set[str]]] = []
        self.answer: Any = None
        self.lease = Always()
        self.guard = Guard(mesh.clock, self.lease)
        #: Whether nothing leaves at the end of a turn.
        self.isStuck = False
        self.mesh = mesh
        self.peers = Peers(
            mesh.clock, id, self, self.publish, self.guard, self.turn, lambda: mesh.clock.seconds() + 1000
        )

    def room(self, id: str = "room") -> FakeRoom:
        """A new room of this node."""
        self.rooms[id] = room = FakeRoom()
        return room

    # what the peers want of the node

    def attach(self, outlet: Outlet, arrival: Join | Resume) -> Deferred[Link | Refused | None] | None:
        room = self.rooms.get(arrival.room)
        attached: Deferred[Any] | None = None if room is None else room.attach(outlet, arrival)
        return attached

    def ask(self, room: str, command: Any, seconds: float) -> Deferred[Any] | None:
        if room not in self.rooms:
            return None
        self.commands.append(command)
        self.seconds.append(seconds)
        if isinstance(self.answer, Deferred):
            return self.answer
        return fail(self.answer) if isinstance(self.answer, RoomError) else succeed(self.answer)

    def generationOf(self, room: str) -> int:
        return self.rooms[room].generation

    def edgeGone(self, outlet: Outlet, rooms: Iterable[str]) -> None:
        self.edgesGone.append((outlet, set(rooms)))

    def publish(self, node: str, data: bytes, done: Callable[[object], None]) -> None:
        self.mesh.publish(self.id, node, data, done)

    def turn(self) -> None:
        if not self.isStuck:
            self.mesh.clock.callLater(0, self.peers.flush)


class Mesh:
    """Two nodes, A and B, and the channel between them."""

    def __init__(self, clock: SortedClock | None = None) -> None:
        self.clock = clock or SortedClock()
        self.a = Node(self, "1.a")
        self.b = Node(self, "1.b")
        #: All packets that were published: to whom, and the bytes.
        self.published: list[tuple[str, bytes]] = []
        #: Called instead of delivering a packet, with those arguments; for the faults of tests.
        self.fault: Callable[[str, bytes, Callable[[object], None]], None] | None = None

    @property
    def nodes(self) -> tuple[Node, Node]:
        return self.a, self.b

    def node(self, id: str) -> Node:
        return self.a if id == self.a.id else self.b

    def publish(self, sender: str, node: str, data: bytes, done: Callable[[object], None]) -> None:
        self.published.append((node, data))
        if self.fault is not None:
            self.fault(node, data, done)
        else:
            self.deliver(node, data, done)

    def deliver(self, node: str, data: bytes, done: Callable[[object], None]) -> None:
        """Deliver and confirm a packet in the next turn."""
        self.clock.callLater(0, self.node(node).peers.received, data)
        self.clock.callLater(0, done, 1)

    def lose(self, node: str, data: bytes, done: Callable[[object], None]) -> None:
        """Confirm a packet without delivering it."""
        self.clock.callLater(0, done, 1)

    def unheard(self, node: str, data: bytes, done: Callable[[object], None]) -> None:
        """Nobody listens."""
        self.clock.callLater(0, done, 0)

    def fail(self, node: str, data: bytes, done: Callable[[object], None]) -> None:
        """Neither deliver nor confirm a packet."""
        self.clock.callLater(0, done, ConnectionError("lost"))

    def settle(self, seconds: float = 0.0) -> None:
        """Let everything happen that can happen now."""
        self.clock.advance(seconds)
        for _ in range(20):
            self.clock.advance(0)

    def beat(self) -> None:
        """Both nodes beat, and everything arrives."""
        for node in self.nodes:
            node.peers.beat()
        self.settle()

    def join(self, link: str, room: str = "room") -> Any:
        """A client of A joins a room of B. Returns what A's edge gets."""
        results: list[Any] = []
        self.a.peers.attach(self.b.id, self.a.edge, joinOf(link, room)).addBoth(results.append)
        self.settle()
        return results[0] if results else None
