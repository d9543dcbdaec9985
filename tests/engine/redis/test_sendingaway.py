"""Tests for a server that has left, and sends its clients to the other nodes."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory

from tests.case import fired
from tests.engine.redis.nodes import Chat, NodesTestCase, TestNode
from txroom import Application
from txroom import Client as Member
from txroom.core.pace import LEAST, MOST
from txroom.rooms.edge.departing import AWAY_SECONDS, JOINING_SECONDS
from txroom.rooms.hooks import HookTimeout
from txroom.testing.rooms import JoinedRoom


class Front(Factory):
    """What clients connect to: one node, and later another one."""

    noisy = False

    def __init__(self, node: TestNode) -> None:
        self.node = node

    def buildProtocol(self, addr: Any) -> Any:
        return self.node.harness.server.factory().buildProtocol(addr)


class Noting(Chat):
    """A room that notes what happens to its members."""

    events: list[tuple[str, Any]] = []
    gates: list[Deferred[None]] = []

    async def onJoin(self, client: Member, options: Any) -> None:
        if self.gates:
            await self.gates.pop()
        self.events.append(("join", options.get("who")))

    def onDrop(self, client: Member) -> None:
        self.events.append(("drop", client.options.get("who")))

    def onResume(self, client: Member, recovered: bool) -> None:
        self.events.append(("resume" if recovered else "lost", client.options.get("who")))

    def onLeave(self, client: Member, reason: Any) -> None:
        self.events.append(("leave", client.options.get("who")))


class SendingAwayTests(NodesTestCase):
    """`Server.sendAway`, and the sessions that it ends."""

    roomClass = Noting

    def setUp(self) -> None:
        super().setUp()
        Noting.events, Noting.gates = [], []
        self.first, self.second = self.start()
        self.server = self.first.harness.server
        self.front = Front(self.first)

    def client(self) -> Any:
        """A client that connects to the node of the front."""
        return self.first.harness.client(to=self.front)

    def join(self, who: str) -> JoinedRoom:
        """A new client joins."""
        (joined,) = self.joining(self.client().joining("chat", who=who))
        assert isinstance(joined, JoinedRoom), joined
        return joined

    def joining(self, deferred: Deferred[Any]) -> list[Any]:
        """What a request to join fires with, when all is settled, or later."""
        results = fired(deferred)
        self.settle()
        return results

    def leave(self) -> None:
        """The first node gives its rooms to the second one, to which clients connect from now on."""
        left = fired(self.server.leave([self.second.node.id]))
        self.advance(2)
        self.assertEqual(len(left), 1)
        self.front.node = self.second
        Noting.events.clear()

    def sendAway(self, seconds: float = 30.0) -> list[Any]:
        """Send the clients away; what that fires with, later."""
        return fired(self.server.sendAway(seconds))

    def test_resume(self) -> None:
        """Clients resume at the other node before their rooms have missed them, and get everything once."""
        players = [self.join(str(index)) for index in range(12)]
        self.leave()
        sent = self.sendAway()
        steps = 0
        while not sent:
            players[steps % 12].send("say", steps)
            self.advance(0.05)
            steps += 1
        self.advance(1)
        self.assertEqual(self.server.connections, [])
        self.assertEqual(len(self.second.harness.server.connections), 12)
        self.assertEqual(sorted({kind for kind, _ in Noting.events}), ["resume"])
        self.assertEqual(len(Noting.events), 12)
        self.assertEqual(sorted(data for _, data in players[0].messages), list(range(steps)))
        for player in players:
            self.assertEqual((player.messages, player.events.count("lost")), (players[0].messages, 0))
        self.assertLess(steps * 0.05, 3.0)

    def test_few(self) -> None:
        """Few clients are away at a time; the next ones go when these are back."""
        players = [self.join(str(index)) for index in range(30)]
        self.leave()
        sent = self.sendAway()
        most = []
        while not sent:
            self.advance(0.02)
            most.append(sum(player.status == "away" for player in players))
        self.assertLessEqual(max(most[:5]), LEAST)
        self.assertLess(max(most), MOST)
        self.assertEqual({player.status for player in players}, {"joined"})

    def test_absent(self) -> None:
        """Those that don't come back are dropped after a while, and hold nobody up for longer than that."""
        players = [self.join(str(index)) for index in range(6)]
        self.leave()
        for player in players[3:]:
            player.client._endpoint.isOnline = False
        sent = self.sendAway()
        self.advance(AWAY_SECONDS - 0.1)
        self.assertEqual(({kind for kind, _ in Noting.events}, sent), ({"resume"}, []))
        self.advance(2 * AWAY_SECONDS + 0.5)
        self.assertEqual(sorted(who for kind, who in Noting.events if kind == "drop"), ["3", "4", "5"])
        self.assertEqual(sent, [None])
        self.assertEqual(self.first.app.edge.attachments, {})

    def test_seconds(self) -> None:
        """If nobody comes back, all connections are closed in time."""
        players = [self.join(str(index)) for index in range(20)]
        self.leave()
        for player in players:
            player.client._endpoint.isOnline = False
        sent = self.sendAway(3.0)
        self.advance(1.5)
        self.assertTrue(8 <= len(self.server.connections) <= 12, len(self.server.connections))
        self.advance(1.6)
        self.assertEqual((len(self.server.connections), sent), (0, []))
        self.advance(AWAY_SECONDS)
        self.assertEqual(sent, [None])

    def test_joining(self) -> None:
        """A client that is joining keeps its connection until it has joined."""
        ada = self.join("ada")
        self.leave()
        self.front.node = self.first
        gate: Deferred[None] = Deferred()
        Noting.gates = [gate]
        joining = self.joining(self.client().client.joinById(ada.id, {"who": "bob"}))
        self.front.node = self.second
        sent = self.sendAway()
        self.advance(JOINING_SECONDS / 2)
        self.assertEqual((joining, sent, len(self.server.connections)), ([], [], 1))
        gate.callback(None)
        self.advance(3)
        self.assertEqual((joining[0].status, sent, self.server.connections), ("joined", [None], []))
        self.assertEqual(
            [event for event in Noting.events if event[1] == "bob"], [("join", "bob"), ("resume", "bob")]
        )

    def test_joiningTooLong(self) -> None:
        """It does so for some time, and after that the connection is closed, or when the server stops."""
        for isStopping in (False, True):
            self.setUp()
            ada = self.join("ada")
            self.leave()
            self.front.node = self.first
            Noting.gates = [Deferred()]
            self.joining(self.client().client.joinById(ada.id, {"who": "bob"}))
            self.front.node = self.second
            sent = self.sendAway()
            self.advance(1 if isStopping else JOINING_SECONDS - 0.5)
            self.assertEqual((sent, len(self.server.connections)), ([], 1))
            if isStopping:
                self.first.stop()
            else:
                self.advance(1)
            self.assertEqual(self.server.connections, [])
            self.flushLoggedErrors(HookTimeout)

    def test_leaves(self) -> None:
        """A client that closes its connection itself, with 1000, has left its rooms."""
        ada = self.join("ada")
        self.join("bob")
        self.leave()
        self.sendAway()
        ada.client.close()
        self.advance(1)
        self.assertEqual(Noting.events.count(("leave", "ada")), 1)
        self.assertNotIn(("drop", "ada"), Noting.events)

    def test_kicked(self) -> None:
        """A client that is kicked while it is away learns it when it resumes."""
        ada = self.join("ada")
        self.join("bob")
        self.leave()
        self.sendAway()
        (member,) = [each for each in self.second.app.rooms[ada.id].clients if each.options["who"] == "ada"]
        member.kick()
        self.advance(2)
        self.assertEqual(ada.status, "left")
        self.assertEqual(self.first.app.edge.attachments, {})

    def test_plain(self) -> None:
        """Clients of applications without rooms get 1012, a few at a time."""
        self.server.addApplication(Application(), path="/plain")
        clients = [self.first.harness.connect("/plain", to=self.server.factory()) for _ in range(20)]
        self.leave()
        sent = self.sendAway()
        self.settle()
        self.assertEqual(sum(client.isClosed for client in clients), LEAST)
        self.advance(5)
        self.assertEqual(({client.closeCode for client in clients}, sent), ({1012}, [None]))

    def test_refused(self) -> None:
        """It is refused before `leave`, and with a wrong time."""
        self.assertRaises(RuntimeError, self.server.sendAway)
        self.leave()
        for wrong in (-1, float("nan"), "1"):
            self.assertRaises(ValueError, self.server.sendAway, wrong)
