"""
A model of two nodes whose packets are lost, late, doubled, unconfirmed, or received by nobody, at any time.

Each node has clients in the rooms of the other. What must hold:

- What arrives through a link is what was sent, in order, once, and without a gap: a prefix of it.
- Everything that was asked is answered.
- When the channel works again, each link is alive on both sides, and everything that was sent through it has
  arrived; or it has ended on both sides, and its client knows. So each loss is noticed, and no link leaks.
- Then nodes say nothing but beats, and when the clients have gone, nothing is left of them.
"""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.engine.redis.mesh import FakeLink, Mesh, Node, joinOf, messageOf
from tests.rooms.model import Step, schedules
from txroom.engine.redis import sending
from txroom.engine.redis.groups import FEW_LINKS
from txroom.engine.redis.remote import RemoteLink
from txroom.rooms.contract.asks import Lock
from txroom.rooms.contract.commands import Send
from txroom.rooms.contract.items import Joined, Message

#: The faults, each for one packet.
FAULTS = ("lose", "late", "double", "unheard", "fail", "unconfirmed")


class Channel:
    """Carries packets in order, each after a while, except for those that a fault hits."""

    def __init__(self, mesh: Mesh, random: Random) -> None:
        self.mesh = mesh
        self.random = random
        self.faults: list[str] = []
        self.last: dict[str, float] = {}
        mesh.fault = self.carry

    def carry(self, node: str, data: bytes, done: Any) -> None:
        """Carry one packet."""
        clock = self.mesh.clock
        received = self.mesh.node(node).peers.received
        fault = self.faults.pop(0) if self.faults else ""
        now = clock.seconds()
        due = self.last[node] = max(self.last.get(node, 0.0), now + self.random.uniform(0, 0.1))
        confirmed: object = 1
        if fault == "unheard":
            confirmed = 0
        elif fault in ("fail", "unconfirmed"):
            confirmed = ConnectionError()
        clock.callLater(due - now, done, confirmed)
        if fault in ("", "double", "unconfirmed"):
            clock.callLater(due - now, received, data)
        if fault in ("double", "late"):
            clock.callLater(due - now + self.random.uniform(0, 5), received, data)


class ModelClient:
    """A client of one node in a room of the other."""

    def __init__(self, world: World, home: Node, far: Node, id: str) -> None:
        self.world = world
        self.home = home
        self.far = far
        self.id = id
        self.link: Any = None
        self.hasEnded = False
        #: How many frames it has sent, and how many messages were sent to it.
        self.sent = 0
        self.told = 0
        home.peers.attach(far.id, home.edge, joinOf(id)).addCallback(self.answered)
        world.asked += 1

    @property
    def hosted(self) -> FakeLink | None:
        """The room's end of the link."""
        return next((link for link in self.far.rooms["room"].everyLink if link.id == self.id), None)

    @property
    def isDetached(self) -> bool:
        return any(self.id in links for links, _, _ in self.home.edge.detached)

    def answered(self, link: Any) -> None:
        self.world.asked -= 1
        if isinstance(link, RemoteLink):
            self.link = link
        else:
            self.hasEnded = True

    def submit(self) -> None:
        if self.link is not None and not self.hasEnded and not self.isDetached:
            self.sent += 1
            self.link.submit(Send("say", b"", self.sent))

    def end(self, hasLeft: bool) -> None:
        if self.link is not None and not self.hasEnded:
            self.hasEnded = True
            if hasLeft:
                self.link.leave()
            else:
                self.link.drop()


class World:
    """Two nodes with a room each, and their clients."""

    def __init__(self, case: SynchronousTestCase, seed: int) -> None:
        self.case = case
        self.mesh = Mesh()
        self.channel = Channel(self.mesh, Random(seed))
        self.clients: list[ModelClient] = []
        self.asked = 0
        for node in self.mesh.nodes:
            node.room()
            node.peers.start()

    def step(self, step: Step) -> None:
        """Do one thing."""
        home, far = self.mesh.nodes if step.which % 2 else self.mesh.nodes[::-1]
        some = [client for client in self.clients if client.home is home]
        client = some[step.amount % len(some)] if some else None
        if step.kind == "attach":
            for _ in range(1 + step.amount // 10):
                self.clients.append(ModelClient(self, home, far, f"{home.id}.{len(self.clients)}"))
        elif step.kind == "ask":
            self.asked += 1
            home.peers.ask(far.id, "room", Lock()).addBoth(self.told)
        elif step.kind == "wait":
            self.advance(step.amount / 20)
        elif step.kind == "say":
            self.say(home, step.amount)
        elif step.kind == "gone":
            home.peers.gone(far.id)
        elif step.kind == "resend":
            home.peers.resend()
        elif step.kind in FAULTS:
            self.channel.faults.append(step.kind)
        elif client is not None:
            if step.kind == "submit":
                client.submit()
            elif step.kind == "end":
                client.end(step.amount > 20)
            elif step.kind == "detach" and client.hosted is not None and not client.hosted.ends:
                client.hosted.ends.append("detach")
                client.hosted.outlet.detach((client.id,), 4008)

    def told(self, answer: Any) -> None:
        self.asked -= 1

    def say(self, node: Node, amount: int) -> None:
        """A room says something to one of its clients, or to all of them."""
        room = node.rooms["room"]
        links = [link for link in room.everyLink if not link.ends]
        chosen = links if amount > FEW_LINKS else links[:amount]
        outlets: dict[Any, list[FakeLink]] = {}
        for link in chosen:
            outlets.setdefault(link.outlet, []).append(link)
        for outlet, some in outlets.items():
            ids = tuple(link.id for link in some)
            for each in some:
                self.client(each.id).told += 1
            outlet.deliver(messageOf(1, data=repr(ids).encode()), ids)

    def client(self, id: str) -> ModelClient:
        return next(client for client in self.clients if client.id == id)

    def advance(self, seconds: float) -> None:
        """Let time pass, in small steps."""
        for _ in range(round(seconds / 0.05)):
            self.mesh.clock.advance(0.05)

    # -- what must hold

    def check(self) -> None:
        """At any time."""
        for client in self.clients:
            if client.hosted is not None:
                numbers = [frame.n for frame in client.hosted.frames]
                self.case.assertEqual(numbers, list(range(1, len(numbers) + 1)))
                self.case.assertLessEqual(len(numbers), client.sent)
            items = client.home.edge.itemsOf(client.id)
            self.case.assertEqual([type(item) for item in items[:1]], [Joined][: len(items)])
            self.case.assertTrue(all(isinstance(item, Message) for item in items[1:]))
            self.case.assertLessEqual(len(items), client.told + 1)

    def settle(self) -> None:
        """The channel works again, and time passes."""
        self.channel.faults.clear()
        self.advance(16)
        self.check()
        case, case_ = self.case, self.case.assertEqual
        case_(self.asked, 0)
        for client in self.clients:
            hosted = client.hosted
            isAlive = hosted is not None and not hosted.ends
            if isAlive:
                assert hosted is not None
                case.assertFalse(client.hasEnded or client.isDetached, client.id)
                case_(len(hosted.frames), client.sent)
                case_(len(client.home.edge.itemsOf(client.id)), client.told + 1)
            else:
                case.assertTrue(client.hasEnded or client.isDetached, client.id)
        self.checkLinks()

    def checkLinks(self) -> None:
        """Both nodes know the same links, and say nothing but beats."""
        a, b = self.mesh.nodes
        ofA = a.peers.links.get(b.id, (0, 0))
        ofB = b.peers.links.get(a.id, (0, 0))
        self.case.assertEqual(ofA, ofB[::-1])
        alive = [client for client in self.clients if client.hosted is not None and not client.hosted.ends]
        self.case.assertEqual(sum(ofA), len(alive))
        before = len(self.mesh.published)
        self.advance(4)
        self.case.assertLessEqual(len(self.mesh.published) - before, 4)

    def leave(self) -> None:
        """All clients go, and nothing is left."""
        for client in self.clients:
            client.end(True)
        self.advance(3)
        for node in self.mesh.nodes:
            node.peers.stop()
            self.case.assertEqual(set(node.peers.links.values()) - {(0, 0)}, set())
            self.case.assertEqual(len(node.peers._shared.generations), 0)
            for peer in node.peers._peers.values():
                self.case.assertTrue(peer.isIdle)
        self.case.assertEqual(self.mesh.clock.getDelayedCalls(), [])


KINDS = "attach attach submit submit submit say say say ask wait wait end detach gone resend " + " ".join(
    FAULTS
)


class PeersModelTests(SynchronousTestCase):
    """Random schedules, with sizes so small that much has to wait until the other node has read."""

    def setUp(self) -> None:
        self.patch(sending, "PACKET_SIZE", 200)
        self.patch(sending, "WINDOW", 600)
        self.patch(sending, "READ_SIZE", 150)

    @schedules(KINDS, 5, 60)
    def test_model(self, seed: int, steps: list[Step]) -> None:
        """See the module."""
        world = World(self, seed)
        for step in steps:
            world.step(step)
            world.check()
        world.settle()
        world.leave()

    @schedules("attach submit say wait", 5, 30)
    def test_noFaults(self, seed: int, steps: list[Step]) -> None:
        """Without faults no pair ends, and no link."""
        world = World(self, seed)
        for step in steps:
            world.step(step)
        world.settle()
        self.assertEqual([node.peers.resets for node in world.mesh.nodes], [0, 0])
        self.assertEqual([client.id for client in world.clients if client.isDetached], [])
        world.leave()
