"""The Python client and a real server, connected in memory."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.interfaces import IStreamClientEndpoint
from zope.interface import implementer

from tests.case import HarnessTestCase, fired
from tests.client.case import DEFAULTS
from txroom import Client as Player
from txroom import Deny, Room, RoomApplication, RoomError, message
from txroom.client import JSON_PROTOCOL, MSGPACK_PROTOCOL, Client, Loss
from txroom.testing import RoomHarness


@implementer(IStreamClientEndpoint)
class HarnessEndpoint:
    """Leads to the server of a harness."""

    def __init__(self, harness: RoomHarness) -> None:
        self.harness = harness
        self.protocol: Any = None
        self._port = 40000

    def connect(self, factory: Any) -> Deferred[Any]:
        clock = self.harness.clock
        if not clock.ports:
            return fail(ConnectionRefusedError("nobody listens"))
        self._port += 1
        made: list[Any] = []

        class Noting:
            """Keeps the protocol that it makes."""

            def buildProtocol(self, address: Any) -> Any:
                made.append(factory.buildProtocol(address))
                return made[-1]

        here = IPv4Address("TCP", "203.0.113.9", self._port)
        clock.connect(clock.ports[0].factory, Noting(), clock.ports[0].getHost(), here)  # type: ignore[arg-type]
        self.protocol = made[0]
        return succeed(self.protocol)

    def cut(self) -> None:
        """Lose the connection."""
        self.protocol.transport.abortConnection()
        self.harness.flush()


class Chat(Room):
    """A room for these tests."""

    presence = True
    resumeSeconds = 30

    def onCreate(self, options: Any) -> None:
        self.heard: list[Any] = []

    def snapshot(self, client: Player) -> Any:
        return len(self.heard)

    @message("say")
    def say(self, client: Player, data: Any) -> Any:
        self.heard.append(data)
        self.broadcast("said", data)
        return len(self.heard)


class ServerTests(HarnessTestCase):
    """The whole client, without sockets and without waiting."""

    def begin(self, **options: Any) -> None:
        self.app = RoomApplication()
        self.app.register("chat", Chat)
        self.harness = self.serve(self.app, **options)

    def makeClient(self, url: str = "ws://localhost:8080", **options: Any) -> tuple[Client, HarnessEndpoint]:
        endpoint = HarnessEndpoint(self.harness)
        client = Client(url, endpoint=endpoint, reactor=self.harness.clock, **options)
        self.addCleanup(self.finish, client, self.harness)
        return client, endpoint

    def finish(self, client: Client, harness: RoomHarness) -> None:
        """Close a client, and check that nothing of it remains."""
        closing = client.close()
        harness.advance(0.1)
        self.successResultOf(closing)

    def result(self, deferred: Deferred[Any]) -> Any:
        """What a Deferred fires with when nothing is left to do."""
        results = fired(deferred)
        self.harness.flush()
        self.assertTrue(results, "still pending")
        return results[0]

    def test_both(self) -> None:
        """The client exchanges messages and calls in either sub-protocol."""
        self.begin()
        for protocol in (JSON_PROTOCOL, MSGPACK_PROTOCOL):
            client, endpoint = self.makeClient(protocol=protocol)
            room = self.result(client.create("chat", {"name": "ada"}))
            self.assertEqual(repr(client), "<Client ws://localhost:8080/rooms open>")
            self.assertEqual(repr(room), f"<Room 'chat' {room.id} joined>")
            heard: list[Any] = []
            room.on("said", lambda data, offset, heard=heard: heard.append((data, offset)))
            self.assertEqual(self.result(room.call("say", {"a": [1]})), 1)
            endpoint.cut()
            self.assertEqual(room.status, "away")
            sent = room.send("say", "x")
            self.harness.advance(2)
            self.assertTrue(sent.isHandled)
            self.assertEqual(heard, [({"a": [1]}, 1), ("x", 2)])
            self.assertIsNone(self.result(room.leave()))

    def test_resume(self) -> None:
        """Another client continues the membership while the server still handles frames of the former one."""
        gates: list[Deferred[Any]] = []

        class Slow(Chat):
            @message("wait")
            def wait(self, client: Player) -> Any:
                gates.append(Deferred())
                return gates[-1]

        self.begin()
        self.app.register("slow", Slow)
        for protocol in (JSON_PROTOCOL, MSGPACK_PROTOCOL):
            former, _ = self.makeClient(protocol=protocol)
            room = self.result(former.create("slow", {"name": "ada"}))
            waiting = room.call("wait")
            room.send("say", "from the former")
            self.harness.flush()
            token = room.reconnectionToken
            former.reconnect(1000)  # it does not reconnect
            client, _ = self.makeClient(protocol=protocol)
            again = self.result(client.resume(token))
            self.assertEqual((again.id, again.member, again.snapshot), (room.id, room.member, 0))
            heard: list[Any] = []
            again.on("said", lambda data, offset, heard=heard: heard.append(data))
            count = again.call("say", "from this one")
            self.harness.flush()
            gates.pop().callback("an answer to the former")
            self.assertEqual(self.result(count), 2)
            self.assertEqual(heard, ["from the former", "from this one"])
            self.assertNoResult(waiting)
            [player] = self.app.rooms[room.id].clients
            self.assertEqual(dict(player.options), {"name": "ada"})
            error = self.result(client.resume(token)).value
            self.assertEqual(error.code, "unauthorized")
            self.result(again.leave())
            self.result(former.close())
            waiting.addErrback(lambda failure: failure.trap(RoomError))

    def test_kickedWhileAway(self) -> None:
        """A member that was kicked while it was away does not join again."""
        self.begin()
        self.result(self.makeClient()[0].joinOrCreate("chat"))
        client, endpoint = self.makeClient()
        room = self.result(client.joinOrCreate("chat"))
        ends: list[Any] = []
        room.on("left", lambda *ending: ends.append(ending))
        [chat] = self.app.rooms.values()
        player = chat.client(room.member)
        assert player is not None
        endpoint.cut()
        player.kick("out")
        self.harness.advance(3)
        self.assertEqual([code for code, _ in ends], [4003])
        self.assertEqual((room.status, len(chat.clients)), ("left", 1))

    def test_closed(self) -> None:
        """A client that closes leaves its rooms, and its connection ends."""
        self.begin()
        client, _ = self.makeClient()
        self.result(client.joinOrCreate("chat"))
        self.assertIsNone(self.result(client.close()))
        self.assertEqual(self.harness.server.connections, [])
        self.harness.advance(1)
        self.assertEqual(list(self.app.rooms), [])

    def test_serverAway(self) -> None:
        """When the server restarts, the client waits as long as it was asked to, and joins again."""
        self.begin()
        client, _ = self.makeClient()
        room = self.result(client.joinOrCreate("chat"))
        member = room.member
        losses: list[Loss] = []
        room.on("lost", losses.append)
        self.harness.server.stopService()
        self.harness.advance(0.5)
        self.assertEqual(room.status, "away")
        self.harness.start()
        self.harness.advance(3)
        self.assertEqual((room.status, len(losses)), ("joined", 1))
        self.assertNotEqual(room.member, member)

    def test_refusals(self) -> None:
        """A refused upgrade is final or temporary, depending on the status."""
        self.begin(refusals="http")
        answer: list[Any] = [Deny(403)]
        self.app.verifyClient = lambda handshake: answer[0]
        client, _ = self.makeClient(requestTimeout=5)
        error = self.result(client.join("chat")).value
        self.assertEqual((error.code, client.state), ("unauthorized", "idle"))
        told: list[Any] = []
        client.on("reconnecting", lambda code, reason, attempt, delay: told.append((code, reason, delay)))
        answer[0] = Deny(503, headers={"Retry-After": "2"})
        joining = client.joinOrCreate("chat")
        self.harness.flush()
        self.assertEqual(told[0][:2], (1006, "ws://localhost:8080/rooms: HTTP 503 Service Unavailable"))
        self.assertGreaterEqual(told[0][2], 2)
        answer[0] = True
        self.harness.advance(4)
        self.assertEqual(self.successResultOf(joining).status, "joined")
        elsewhere, _ = self.makeClient("ws://localhost:8080/nowhere")
        self.assertEqual(self.result(elsewhere.join("chat")).value.code, "noSuchRoom")

    def test_serverDead(self) -> None:
        """A server that does not answer any more is given up, also when the client closes."""
        self.begin()
        client, endpoint = self.makeClient()
        room = self.result(client.joinOrCreate("chat"))
        endpoint.protocol.transport.pauseProducing()
        self.harness.advance(DEFAULTS.pingInterval + DEFAULTS.pingTimeout)
        self.assertNotEqual(room.status, "joined")
        self.harness.advance(1)
        self.assertEqual(room.status, "joined")
        endpoint.protocol.transport.pauseProducing()
        closing = client.close()
        self.harness.advance(DEFAULTS.closeTimeout - 0.1)
        self.assertNoResult(closing)
        self.harness.advance(0.1)
        self.successResultOf(closing)

    def test_closeCodes(self) -> None:
        """The client reports every close code of the server unchanged."""
        for code in (1000, 1001, 1011, 1012, 1013, 1014, 3000, 4003, 4106):
            self.begin()
            client, _ = self.makeClient()
            self.result(client.joinOrCreate("chat"))
            told: list[Any] = []
            client.on("reconnecting", lambda *args, told=told: told.append(args[:2]))
            client.on("disconnected", lambda *args, told=told: told.append(args[:2]))
            for connection in self.harness.server.connections:
                connection.close(code, "why")
            self.harness.flush()
            self.assertEqual(told, [(code, "why")])

    def test_cuts(self) -> None:
        """If connections are cut at any byte, no message is lost or doubled in either direction."""
        for seed in range(40):
            self.runCuts(Random(seed))

    def runCuts(self, random: Random) -> None:
        self.begin()
        clients = []
        for number in range(3):
            protocol = random.choice((JSON_PROTOCOL, MSGPACK_PROTOCOL))
            client, endpoint = self.makeClient(
                protocol=protocol, random=random.random, window=random.choice((1, 3, 64))
            )
            room = self.result(client.joinOrCreate("chat"))
            heard: list[Any] = []
            room.on("said", lambda data, offset, heard=heard: heard.append((offset, *data)))
            room.on("lost", lambda loss: self.fail("lost"))
            clients.append((number, client, endpoint, room, heard))
        (chat,) = self.app.rooms.values()
        sent, answers = [0] * 3, 0
        calls: list[Deferred[Any]] = []
        for _ in range(60):
            number, client, endpoint, room, _ = random.choice(clients)
            action = random.random()
            if action < 0.6:
                sent[number] += 1
                if random.random() < 0.3:
                    calls.append(room.call("say", [number, sent[number]], timeout=300))
                    answers += 1
                else:
                    room.send("say", [number, sent[number]])
            elif action < 0.75 and client.state == "open":
                # Only a part of the bytes on their way arrives.
                for _ in range(random.randrange(4)):
                    self.harness.clock.turn()
                if endpoint.protocol.transport is not None:
                    endpoint.protocol.transport.abortConnection()
            elif action < 0.9:
                for _ in range(random.randrange(6)):
                    self.harness.clock.turn()
            else:
                self.harness.advance(random.random() * 2)
        self.harness.advance(30)
        heardByRoom = chat.heard  # type: ignore[attr-defined]
        for number in range(3):
            self.assertEqual([i for by, i in heardByRoom if by == number], list(range(1, sent[number] + 1)))
        for *_, heard in clients:
            self.assertEqual(heard, [(offset, *data) for offset, data in enumerate(heardByRoom, 1)])
        for call in calls:
            self.successResultOf(call)
