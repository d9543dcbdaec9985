"""Much that is sent to one node: packets of a limited size, no faster than they are read."""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from tests.engine.redis.mesh import Mesh, messageOf
from tests.engine.redis.test_talk import SEND, TalkCase
from txroom.core.codes import CloseCode
from txroom.engine.redis import sending
from txroom.engine.redis.packets import Read, decode
from txroom.engine.redis.sending import PACKET_SIZE, WINDOW
from txroom.protocol.errors import RoomError
from txroom.rooms.contract.asks import Lock, SendTo
from txroom.rooms.contract.commands import Send
from txroom.rooms.contract.items import Message, Replay

#: What Redis keeps for a subscriber, by default.
LIMIT = 32 << 20


class Subscription:
    """
    Redis, as it keeps packets for a node that reads one of them in each turn.

    It confirms a packet before the node reads it. If it has to keep too much, nothing of it arrives.
    """

    def __init__(self, mesh: Mesh, node: str, limit: int = LIMIT) -> None:
        self.mesh = mesh
        self.node = node
        self.limit = limit
        self.kept: deque[bytes] = deque()
        self.size = self.most = 0
        self.closed = 0
        mesh.fault = self.carry

    def carry(self, node: str, data: bytes, done: Any) -> None:
        """Keep a packet for the node; those for the other one arrive."""
        if node != self.node:
            self.mesh.deliver(node, data, done)
            return
        self.kept.append(data)
        self.size += len(data)
        self.most = max(self.most, self.size)
        if self.size > self.limit:
            self.closed += 1
            self.kept.clear()
            self.size = 0
        self.mesh.clock.callLater(0, done, 1)

    def read(self) -> None:
        """Let the node read all."""
        while self.kept:
            data = self.kept.popleft()
            self.size -= len(data)
            self.mesh.node(self.node).peers.received(data)
            self.mesh.settle()


class SendingTests(TalkCase):
    """Clients of A in a room of B."""

    def setUp(self) -> None:
        super().setUp()
        self.links = [f"l{index}" for index in range(40)]
        for link in self.links:
            self.mesh.join(link)
        self.outlet = self.room.links["l0"].outlet
        self.mesh.published.clear()

    def received(self, link: str) -> list[Message]:
        """The messages that a client has got, with those that were sent again."""
        messages: list[Message] = []
        for item in self.a.edge.itemsOf(link)[1:]:
            messages += item.messages if isinstance(item, Replay) else [item]  # type: ignore[list-item]
        return messages

    def assertNoReset(self) -> None:
        self.assertEqual((self.a.peers.resets, self.b.peers.resets, self.a.edge.detached), (0, 0, []))

    def test_herd(self) -> None:
        """
        40 clients have missed 900 KB each, and resume at once: all of it arrives, in order. Redis never keeps
        more of it than it may.
        """
        channel = Subscription(self.mesh, self.a.id)
        missed = tuple(messageOf(offset, data=bytes(9000)) for offset in range(1, 101))
        for link in self.links:
            self.outlet.deliver(Replay(missed), (link,))
        self.outlet.deliver(messageOf(101), tuple(self.links))
        self.mesh.settle()
        channel.read()
        self.assertNoReset()
        for link in self.links:
            self.assertEqual(self.received(link), [*missed, messageOf(101)])
        self.assertEqual(channel.closed, 0)
        self.assertLessEqual(channel.most, WINDOW + PACKET_SIZE + 100)
        self.assertLessEqual(max(len(data) for _, data in self.mesh.published), PACKET_SIZE + 100)
        self.assertTrue(self.b.peers._peers[self.a.id]._sending.isIdle)

    def test_notRead(self) -> None:
        """What is not read yet is not sent: replays wait without limit, since they take no memory."""
        channel = Subscription(self.mesh, self.a.id)
        missed = (messageOf(1, data=bytes(900_000)),)
        for link in self.links * 3:
            self.outlet.deliver(Replay(missed), (link,))
        self.mesh.settle(100)
        self.assertLess(channel.size, WINDOW + (1 << 20))
        self.assertNoReset()

    def test_manyMessages(self) -> None:
        """Messages of one turn that are too large for one packet leave in several, in order."""
        for offset in range(1, 7):
            self.outlet.deliver(messageOf(offset, data=bytes(100_000)), ("l0",))
        self.mesh.settle()
        self.assertEqual(len([node for node, _ in self.mesh.published if node == self.a.id]), 3)
        self.assertEqual([item.offset for item in self.received("l0")], [1, 2, 3, 4, 5, 6])
        self.assertNoReset()

    def test_oneMessage(self) -> None:
        """A message that is larger than a packet should be has one of its own."""
        for size in (10, 900_000, 10):
            self.outlet.deliver(messageOf(size, data=bytes(size)), ("l0",))
        self.mesh.settle()
        self.assertEqual([item.offset for item in self.received("l0")], [10, 900_000, 10])
        self.assertEqual([len(decode(data).messages) for _, data in self.mesh.published[:3]], [1, 1, 1])

    def test_tooMuch(self) -> None:
        """A node that reads nothing costs the pair when too much waits for it."""
        Subscription(self.mesh, self.a.id, 1 << 40)
        for _ in range(20):
            self.outlet.deliver(messageOf(1, data=bytes(1_000_000)), ("l0",))
        self.mesh.settle()
        self.assertEqual(self.b.peers.resets, 1)

    def test_answers(self) -> None:
        """
        However much is asked at once, the links stay: what would be too much is refused. Small answers come,
        so that changes that were made are told.
        """
        channel = Subscription(self.mesh, self.a.id, 1 << 40)
        self.b.answer = bytes(500_000)
        large = [self.a.peers.ask(self.b.id, "room", Lock(), 60.0) for _ in range(100)]
        self.mesh.settle()
        self.b.answer = 7
        small = self.a.peers.ask(self.b.id, "room", Lock(), 60.0)
        self.outlet.deliver(messageOf(1), ("l0",))
        self.mesh.settle()
        for _ in range(20):
            channel.read()
            self.mesh.settle()
        self.assertEqual(self.successResultOf(small), 7)
        answers: list[Any] = []
        for each in large:
            each.addBoth(answers.append)
        refused: list[Any] = [each.value for each in answers if isinstance(each, Failure)]
        codes = {(each.code, each.details["mayHaveHappened"]) for each in refused}
        self.assertEqual(codes, {("unavailable", True)})
        self.assertEqual((len(answers), len(refused)), (100, 100 - (sending.ANSWERS_SIZE // 500_000 + 1)))
        self.assertEqual(self.received("l0"), [messageOf(1)])
        self.assertNoReset()

    def test_frames(self) -> None:
        """The frames of clients are paced too, also before the other node has sent anything."""
        mesh = Mesh()
        mesh.b.room()
        channel = Subscription(mesh, mesh.b.id)
        asked: list[Deferred[Any]] = []
        for _ in range(10):
            asked.append(mesh.a.peers.ask(mesh.b.id, "room", SendTo("x", bytes(1_000_000), None, None)))
        mesh.settle()
        self.assertLess(channel.size, WINDOW + (1 << 20) + 1000)
        channel.read()
        self.assertEqual([self.successResultOf(each) for each in asked], [None] * 10)

    def test_bothWays(self) -> None:
        """Two nodes that have much to send each other don't wait for each other."""
        link = self.mesh.join("new")
        for number in range(5):
            self.outlet.deliver(messageOf(number, data=bytes(900_000)), ("l0",))
            link.submit(Send("say", bytes(900_000), number))
        self.mesh.settle()
        self.mesh.settle()
        self.assertEqual([item.offset for item in self.received("l0")], list(range(5)))
        self.assertEqual([frame.n for frame in self.room.links["new"].frames], list(range(5)))

    def test_failed(self) -> None:
        """While the channel is not connected, all waits, and goes in order afterwards."""
        link = self.mesh.join("new")
        self.mesh.fault = self.mesh.fail
        link.submit(Send("say", b"\xc0", 0))
        self.mesh.settle()
        for number in range(1, 100):
            link.submit(Send("say", bytes(9000), number))
            self.mesh.settle()
        self.mesh.fault = None
        self.a.peers.resend()
        self.mesh.settle()
        self.assertEqual([frame.n for frame in self.room.links["new"].frames], list(range(100)))
        self.assertNoReset()

    def test_unencodable(self) -> None:
        """What can't be encoded fails, and the other messages are sent."""
        link, other = self.mesh.join("new"), self.mesh.join("other")
        self.mesh.fault = self.mesh.fail
        link.submit(SEND)
        self.mesh.settle()
        other.submit(Send("\ud800", b"\xc0", 1))
        asked = self.a.peers.ask(self.b.id, "room", SendTo("\ud800", b"", None, None))
        link.submit(SEND)
        self.mesh.fault = None
        self.mesh.settle()
        self.a.peers.resend()
        self.mesh.settle()
        self.assertEqual(len(self.flushLoggedErrors(UnicodeEncodeError)), 2)
        self.failureResultOf(asked, RoomError)
        self.assertEqual(self.room.links["new"].frames, [SEND, SEND])
        self.assertEqual(self.a.edge.detached, [(("other",), CloseCode.STATE_LOST, "")])

    def test_unencodableReplay(self) -> None:
        """A replay that can't be encoded costs its client the link, and nobody else."""
        self.outlet.deliver(Replay((Message("room", 1, "\ud800", b""),)), ("l0",))
        self.outlet.deliver(messageOf(2), ("l1",))
        self.mesh.settle()
        self.flushLoggedErrors(UnicodeEncodeError)
        self.assertEqual(self.a.edge.detached, [(("l0",), CloseCode.STATE_LOST, "")])
        self.assertEqual(self.received("l1"), [messageOf(2)])

    def test_read(self) -> None:
        """A node tells how far it has read, seldom."""
        for offset in range(100):
            self.outlet.deliver(messageOf(offset, data=bytes(9000)), ("l0",))
            self.mesh.settle()
        told = [each for each in self.messages() if type(each) is Read]
        self.assertEqual(len(told), 1)

    def test_smallWindow(self) -> None:
        """Whatever the sizes, all that is sent arrives."""
        self.patch(sending, "PACKET_SIZE", 100)
        sizes = [0, 1, 99, 100, 101, 5000, 700_000, 3, 1_500_000, 800_000, 5]
        for turn in (1, 2):
            for size in sizes:
                self.outlet.deliver(messageOf(size, data=bytes(size)), ("l0",))
                self.outlet.deliver(Replay((messageOf(turn), messageOf(size, data=bytes(size)))), ("l1",))
            self.mesh.settle()
        for _ in range(10):
            self.mesh.settle()
        self.assertEqual([item.offset for item in self.received("l0")], sizes * 2)
        self.assertEqual(
            [item.offset for item in self.received("l1")],
            [offset for turn in (1, 2) for size in sizes for offset in (turn, size)],
        )
        self.assertNoReset()
