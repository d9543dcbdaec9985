"""All peers of a node."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

import msgspec
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher

from tests.engine.redis.mesh import joinOf, messageOf
from tests.engine.redis.test_talk import TalkCase
from txroom.engine.redis.packets import Packet, Reset, decode, encode
from txroom.engine.redis.peer import BEAT_SECONDS
from txroom.engine.redis.peers import MEMORY_SECONDS
from txroom.protocol.errors import RoomError
from txroom.rooms.contract.asks import Lock


class PeersTests(TalkCase):
    """`Peers`."""

    def setUp(self) -> None:
        super().setUp()
        self.logged: list[LogEvent] = []
        observer = cast(ILogObserver, self.observe)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def observe(self, event: LogEvent) -> None:
        self.logged.append(event)

    def logs(self, level: LogLevel) -> int:
        return sum(event["log_level"] is level for event in self.logged)

    def test_onePacket(self) -> None:
        """All that one turn has for a node is one packet."""
        links = [f"l{index}" for index in range(20)]
        for link in links:
            self.a.peers.attach(self.b.id, self.a.edge, joinOf(link))
        self.mesh.settle()
        self.assertEqual([node for node, _ in self.mesh.published], [self.b.id, self.a.id])
        outlet = self.room.links["l0"].outlet
        for turn in range(5):
            for link in links:
                outlet.deliver(messageOf(turn), (link,))
            self.mesh.settle()
        self.assertEqual(len(self.mesh.published), 2 + 5)
        self.assertEqual((self.a.peers.packets, self.b.peers.packets), (1, 6))

    def test_beats(self) -> None:
        """Beats are sent every 2 s to the nodes on which anything depends, and to no others."""
        self.a.peers.start()
        self.mesh.settle(BEAT_SECONDS)
        self.assertEqual(self.mesh.published, [])
        link = self.mesh.join("l")
        self.mesh.published.clear()
        for _ in range(3):
            self.mesh.settle(BEAT_SECONDS)
        self.assertEqual([decode(data).messages for _, data in self.mesh.published], [(), (), ()])
        link.drop()
        self.mesh.settle()
        self.mesh.published.clear()
        self.mesh.settle(BEAT_SECONDS)
        self.a.peers.stop()
        self.a.peers.stop()
        self.mesh.settle(BEAT_SECONDS)
        self.assertEqual(self.mesh.published, [])
        self.assertEqual(self.mesh.clock.getDelayedCalls(), [])

    def test_lostEnd(self) -> None:
        """
        The end of the last link is lost on the way. The node that has sent it does not need the talk any
        more, so it sends no beats, but it answers those of the other one, which learns of the loss.
        """
        self.mesh.join("l")
        outlet = self.room.links["l"].outlet
        self.mesh.fault = self.mesh.lose
        outlet.detach(("l",), 4101)
        self.mesh.settle()
        self.mesh.fault = None
        self.b.peers.beat()
        self.mesh.settle()
        self.assertEqual(self.a.edge.detached, [])
        self.mesh.published.clear()
        self.a.peers.beat()
        self.mesh.settle()
        self.assertEqual([links for links, *_ in self.a.edge.detached], [("l",)])

    def test_oneAnswer(self) -> None:
        """Two nodes that don't need each other don't answer each other's beats for ever."""
        link = self.mesh.join("l")
        self.mesh.fault = self.mesh.lose
        link.drop()
        self.mesh.settle()
        self.mesh.fault = None
        self.mesh.published.clear()
        self.mesh.beat()
        self.mesh.beat()
        self.assertLess(len(self.mesh.published), 12)
        self.mesh.published.clear()
        self.mesh.beat()
        self.assertEqual(self.mesh.published, [])

    def test_gone(self) -> None:
        """A node that is gone is forgotten; what it says later is answered."""
        self.mesh.join("l")
        self.mesh.fault = self.mesh.unheard
        self.a.peers.gone(self.b.id)
        self.a.peers.gone("1.unknown")
        self.mesh.settle()
        self.a.peers.beat()
        self.assertEqual(self.a.peers.links, {self.b.id: (0, 0)})
        self.mesh.settle(MEMORY_SECONDS)
        self.a.peers.beat()
        self.assertEqual((self.a.peers.links, self.a.peers._gone), ({}, {}))
        self.assertEqual(self.a.peers.resets, 1)
        packets = self.a.peers.packets
        self.assertGreater(packets, 0)
        self.mesh.fault = None
        self.mesh.beat()  # the other one was only suspended
        self.assertEqual(self.room.everyLink[0].ends, ["drop"])
        self.assertNothingLeft()
        self.assertGreater(self.a.peers.packets, packets)

    def test_remembered(self) -> None:
        """
        A node that was declared gone, and sends again what it thinks was not received, isn't heard twice.
        """
        kept: list[bytes] = []

        def unconfirmed(node: str, data: bytes, done: Callable[[object], None]) -> None:
            kept.append(data)
            self.mesh.clock.callLater(0, self.mesh.node(node).peers.received, data)
            self.mesh.clock.callLater(0, done, ConnectionError())

        self.mesh.fault = unconfirmed
        self.mesh.join("l")
        self.mesh.fault = self.mesh.unheard
        self.b.peers.gone(self.a.id)
        self.mesh.settle(BEAT_SECONDS)
        self.b.peers.beat()
        self.mesh.settle()
        self.mesh.fault = None
        self.b.peers.received(kept[0])
        self.mesh.settle()
        self.assertEqual(len(self.room.everyLink), 1)
        self.assertNothingLeft()

    def test_stop(self) -> None:
        """After `stop` nothing is left, no timer either, and nothing is received any more."""
        self.mesh.join("l")
        self.b.answer = Deferred()
        asked = self.a.peers.ask(self.b.id, "room", Lock())
        self.mesh.settle()
        self.a.peers.start()
        self.a.peers.stop()
        self.failureResultOf(asked, RoomError)
        self.assertEqual(self.a.edge.detached, [(("l",), 4101, "")])
        self.mesh.published.clear()
        self.b.peers.beat()
        self.mesh.settle()
        self.assertEqual([node for node, _ in self.mesh.published], [self.a.id])
        self.assertEqual(self.mesh.clock.getDelayedCalls(), [])

    def test_unreachable(self) -> None:
        """That a node can't be reached is logged once."""
        self.mesh.fault = self.mesh.unheard
        for _ in range(5):
            self.mesh.join("l")
        found = [event for event in self.logged if "can't be reached" in (event.get("log_format") or "")]
        self.assertEqual(len(found), 1)

    def test_own(self) -> None:
        """What this node has sent itself is nothing."""
        self.a.peers.received(encode(Packet(1, self.a.id, 5, 0, 1, (Reset(1),))))
        self.assertEqual(self.a.peers.links, {})

    def test_garbage(self) -> None:
        """What is no packet at all is logged, and costs nothing."""
        self.mesh.join("l")
        self.a.peers.received(b"garbage")
        self.mesh.beat()
        self.assertEqual(self.a.peers.links, {self.b.id: (1, 0)})
        self.assertEqual(self.logs(LogLevel.warn), 1)

    def test_versions(self) -> None:
        """Packets of a version that this node doesn't understand are refused, and that is logged once."""
        self.mesh.join("l")
        data = msgspec.msgpack.encode([9, "9.new", 5, 0, 1, [[50]]])
        for _ in range(3):
            self.a.peers.received(data)
        self.mesh.settle()
        self.assertEqual(self.logs(LogLevel.error), 1)
        self.assertEqual(self.a.peers.links, {self.b.id: (1, 0)})
        self.a.peers.gone("9.new")
        self.a.peers.received(data)
        self.assertEqual(self.logs(LogLevel.error), 2)
