"""Tests for a node that leaves: it gives its rooms to other nodes, and its clients go on."""

from __future__ import annotations

from typing import Any

from msgspec.json import decode
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import deferLater
from twisted.logger import capturedLogs, formatEvent

from tests.case import fired
from tests.engine.redis.nodes import Chat, NodesTestCase, TestNode
from txroom import Application, HandoverFailed, LeaveReason, RoomError, Server, message
from txroom import Client as Member
from txroom.core.pace import LEAST
from txroom.engine.redis import handingover
from txroom.engine.redis.handingover import AT_ONCE, OPENED, RETURN, TAKEN_BACK
from txroom.engine.redis.journals import Journals
from txroom.engine.redis.lease import RENEW
from txroom.engine.redis.locating import Locator, Where
from txroom.engine.redis.takers import KNOWN
from txroom.rooms.contract.asks import Inspect, TellSeat, unanswered
from txroom.rooms.hooks import HookTimeout
from txroom.rooms.owner.moving import PATIENCE
from txroom.testing import RoomHarness


class Slow(Chat):
    """A room whose hooks and handlers wait for the test, and that notes what they do."""

    gates: dict[str, Deferred[Any]] = {}
    events: list[tuple[str, Any]] = []

    async def wait(self, name: str) -> Any:
        self.events.append(("begin", name))
        try:
            return await self.gates.pop(name, Deferred().addCallback(lambda _: None))
        except CancelledError:  # not when the coroutine of an earlier test is collected
            self.events.append(("CancelledError", name))
            raise

    async def onJoin(self, client: Member, options: Any) -> None:
        if "wait" in options:
            await self.wait("join")
        self.events.append(("join", client.options.get("who")))

    @message("work")
    async def work(self, client: Member, number: int) -> int:
        if self.gates:
            await self.wait("work")
        self.broadcast("done", number)
        return number


class SlowRoomsTestCase(NodesTestCase):
    """Nodes with rooms whose hooks wait for the test."""

    roomClass = Slow

    def setUp(self) -> None:
        super().setUp()
        Slow.gates, Slow.events = {}, []

    def leave(self, node: TestNode, *to: TestNode) -> list[Any]:
        """A node leaves; what that fires with, later."""
        return fired(node.engine.leave([each.node.id for each in to]))


class LeavingTests(SlowRoomsTestCase):
    """`RedisEngine.leave`."""

    def test_rooms(self) -> None:
        """All rooms are handed over, spread over the given nodes; clients keep their sockets and members."""
        first, second, third, fourth = self.start(4)
        players = [first.join(mode=str(index)) for index in range(12)]
        with capturedLogs() as events:
            left = self.leave(first, second, third)
            none = self.leave(fourth, second)
            self.advance(2)
        self.assertEqual((left, none), ([12], [0]))
        said = [str(formatEvent(event)) for event in events]
        handed = [text for text in said if text.startswith("rooms that this node has handed over")]
        self.assertEqual(handed, ["rooms that this node has handed over: 12"])
        self.assertEqual([len(node.node.here) for node in (first, second, third, fourth)], [0, 6, 6, 0])
        for index, player in enumerate(players):
            player.send("say", index)
        self.advance(1)
        for index, player in enumerate(players):
            self.assertEqual((player.messages, player.closeInfo), ([("said", index)], None))
            self.assertEqual((player.events.count("recovered"), player.events.count("lost")), (1, 0))

    def test_elsewhere(self) -> None:
        """Clients of the node that gets a room, and of others, go on in it; all is handled once."""
        first, second, third = self.start(3)
        players = [node.join() for node in (first, second, third)]
        left = self.leave(first, second)
        for index, player in enumerate(players):
            player.send("say", index)
        self.advance(1)
        for index, player in enumerate(players):
            player.send("say", 3 + index)
        self.advance(2)
        self.assertEqual((left, self.whereIs(players[0].id)), ([1], [second]))
        for player in players:
            self.assertEqual(sorted(data for _, data in player.messages), list(range(6)))

    def test_handlerEnds(self) -> None:
        """A handler that ends in time counts as handled, and so do those of the frames behind it."""
        first, second = self.start()
        ada, bob = first.join(), second.join()
        gate = Slow.gates["work"] = Deferred()
        answers = [fired(bob.calling("work", number)) for number in (1, 2)]
        self.settle()
        left = self.leave(first, second)
        self.advance(PATIENCE / 2)
        ada.send("say", "held")
        self.settle()
        self.assertEqual((left, ada.messages), ([], []))
        gate.callback(None)
        self.advance(1)
        self.assertEqual((left, answers), ([1], [[1], [2]]))
        self.assertEqual(sorted(map(str, ada.messages)), ["('done', 1)", "('done', 2)", "('said', 'held')"])
        self.assertEqual([event for event in Slow.events if event[1] == "work"], [("begin", "work")])

    def test_handlerCancelled(self) -> None:
        """A handler that takes longer is cancelled, not answered, and called again by the next owner."""
        first, second = self.start()
        bob = second.join()
        owner, other = (first, second) if self.whereIs(bob.id) == [first] else (second, first)
        Slow.gates["work"] = Deferred()
        answer = fired(bob.calling("work", 7))
        self.settle()
        left = self.leave(owner, other)
        self.advance(PATIENCE + 1)
        self.assertEqual((left, answer, self.whereIs(bob.id)), ([1], [7], [other]))
        self.assertIn(("CancelledError", "work"), Slow.events)
        self.assertEqual(bob.messages, [("done", 7)])

    def test_leaves(self) -> None:
        """Clients that leave while their handlers are running have left, once, when the next owner begins."""
        first, second = self.start()
        gone: list[tuple[Any, Any]] = []
        self.patch(Slow, "onLeave", lambda room, client, reason: gone.append((client.options["who"], reason)))
        ada, carol, bob = first.join(who="ada"), first.join(who="carol"), first.join(who="bob")
        Slow.gates = {"work": Deferred(), "": Deferred()}
        for player in (ada, carol):
            player.send("work", 1)
        self.settle()
        ada.leave()
        carol.client.close()
        self.settle()
        self.assertEqual(gone, [])
        left = self.leave(first, second)
        self.advance(PATIENCE + 1)
        self.assertEqual((left, ada.status), ([1], "left"))
        self.assertEqual(sorted(gone), [("ada", LeaveReason.LEFT), ("carol", LeaveReason.LEFT)])
        clients = second.app.rooms[bob.id].clients
        self.assertEqual([client.options["who"] for client in clients], ["bob"])
        self.advance(100)
        self.assertEqual(len(gone), 2)

    def test_cut(self) -> None:
        """
        Nobody leaves between the last step of the preparation and the handover, which might come late. A
        client that asks to leave then, or closes its connection, leaves at the next owner.
        """
        first, second = self.start()
        gone: list[Any] = []
        self.patch(Slow, "onLeave", lambda room, client, reason: gone.append(client.options["who"]))
        ada, bob, carol = [first.join(who=who) for who in ("ada", "bob", "carol")]
        gate: Deferred[None] = Deferred()
        handOver = first.node.journals.handOver
        self.patch(first.node.journals, "handOver", lambda *a: gate.addCallback(lambda _: handOver(*a)))
        left = self.leave(first, second)
        self.advance(1)
        ada.leave()
        carol.client.close()
        for client in first.app.rooms[bob.id].clients:
            client.kick()
        self.settle()
        self.assertEqual((left, gone, bob.status), ([], [], "joined"))
        gate.callback(None)
        self.advance(2)
        self.assertEqual((left, sorted(gone)), ([1], ["ada", "carol"]))
        self.assertEqual([client.options["who"] for client in second.app.rooms[bob.id].clients], ["bob"])

    def test_joining(self) -> None:
        """A client that is joining comes in at the next owner, on each edge; `onJoin` is called again."""
        first, second, third = self.start(3)
        ada = first.join()
        joins = []
        for node in (first, second, third):
            Slow.gates["join"] = Deferred()
            joins.append(fired(node.client().joining("chat", wait=True, who=node.node.id)))
            self.settle()
        left = self.leave(first, second)
        self.advance(PATIENCE / 2)
        self.assertEqual((left, joins), ([], [[], [], []]))
        Slow.gates = {"join": Deferred()}
        Slow.wait, before = (lambda room, name: self.go(name)), Slow.wait  # type: ignore[method-assign,assignment]
        self.addCleanup(setattr, Slow, "wait", before)
        self.advance(2)
        self.assertEqual(left, [1])
        self.assertEqual([join[0].id for join in joins], [ada.id] * 3)
        self.assertEqual(len(second.app.rooms[ada.id].clients), 4)

    async def go(self, name: str) -> None:
        """Wait for nothing."""

    def test_canJoin(self) -> None:
        """A client for which `canJoin` has no answer asks the next owner."""
        first, second = self.start()
        ada = first.join()
        gates = [Deferred[bool](), Deferred[bool]()]
        waiting = iter([*gates, True, True])
        self.patch(Slow, "canJoin", lambda room, options, user: next(waiting))
        joins = [fired(node.client().joining("chat")) for node in (first, second)]
        self.settle()
        left = self.leave(first, second)
        self.advance(1)
        self.assertEqual((left, [join[0].id for join in joins]), ([1], [ada.id] * 2))
        self.assertEqual(len(second.app.rooms[ada.id].clients), 3)

    def test_calls(self) -> None:
        """The room's own calls to clients fail."""
        first, second = self.start()
        bob = second.join()
        owner, other = (first, second) if self.whereIs(bob.id) == [first] else (second, first)
        bob.handle("ask", lambda data: Deferred())
        asked = fired(owner.app.rooms[bob.id].clients[0].call("ask"))
        self.settle()
        self.leave(owner, other)
        self.advance(1)
        self.assertIsInstance(asked[0].value, RoomError)
        self.assertEqual(asked[0].value.code, "roomGone")

    def test_takesNone(self) -> None:
        """A node that leaves takes no rooms of a node that is gone; the others don't wait for it."""
        first, second, third = self.start(3)
        rooms = [third.join(mode=str(number)).id for number in range(8)]
        self.leave(second, first)
        self.advance(2 * RENEW + 1)  # until the one has told it, and the other has read it
        third.kill()
        first.engine.nodeEnded(third.node.id)
        self.advance(1)
        self.assertEqual([self.whereIs(room) for room in rooms], [[first]] * 8)

    def test_pace(self) -> None:
        """Only the rooms of a few members move at a time; the next follow when these have come back."""
        first, second = self.start()
        players = [first.join(mode=str(index // 2)) for index in range(60)]
        left = self.leave(first, second)
        away = []
        while not left:
            self.advance(0.01)
            away.append(sum(player.status == "away" for player in players))
        self.assertEqual((left, len(second.node.here)), ([30], 30))
        self.assertLessEqual(max(away[:5]), LEAST)
        self.assertLess(max(away), 60)
        self.assertEqual({player.events.count("recovered") for player in players}, {1})
        self.assertLess(len(away) * 0.01, 4.0)

    def test_absent(self) -> None:
        """Members that don't come back, or were away before, don't hold up the other rooms for long."""
        first, second = self.start()
        players = [first.join(mode=str(index)) for index in range(40)]
        for player in players[:20]:
            player.client.offline()
        self.settle()
        for player in players[20:30]:
            player.client.stall()
        left = self.leave(first, second)
        self.advance(RETURN * 3 + 1)
        self.assertEqual((left, {player.status for player in players[30:]}), ([40], {"joined"}))

    def test_manyAbsent(self) -> None:
        """If no member comes back, it takes no longer than a schedule says."""
        self.patch(handingover, "LONGEST", 3.0)
        first, second = self.start()
        players = [first.join(mode=str(index)) for index in range(30)]
        left = self.leave(first, second)
        for player in players:
            player.client.stall()
        self.advance(1.5)
        self.assertTrue(12 <= len(second.node.here) <= 20, len(second.node.here))
        self.advance(1.5 + RETURN + 1)
        self.assertEqual(left, [30])

    def test_manyRooms(self) -> None:
        """
        However many rooms there are, neither their members that don't come back nor their handlers that don't
        end hold up the others for longer than the schedule says.
        """
        self.patch(handingover, "LONGEST", 3.0)
        count = round(1.5 * AT_ONCE * 3.0 / min(RETURN, PATIENCE))
        first, second = self.start()
        players = [first.join(mode=str(index)) for index in range(count)]
        self.patch(Slow, "wait", lambda room, name: Deferred())
        Slow.gates["work"] = Deferred()
        for player in players:
            player.send("work", 1)
        self.settle()
        left = self.leave(first, second)
        for player in players:
            player.client.stall()
        self.advance(1.5)
        self.assertLess(len(second.node.here), 0.6 * count)
        self.advance(1.5 + PATIENCE + RETURN + 0.5)
        self.assertEqual(left, [count])

    def test_openedSlowly(self) -> None:
        """Rooms that a node takes long to open wait where they are, and go on there meanwhile."""
        self.patch(handingover, "LONGEST", 0.0)
        first, second = self.start()
        players = [first.join(mode=str(index)) for index in range(2 * AT_ONCE)]
        gates: list[Deferred[None]] = [Deferred() for _ in players]
        waiting = iter(gates)
        self.patch(Slow, "onCreate", lambda room, options: next(waiting))
        left = self.leave(first, second)
        self.advance(1)
        moving = [owned for owned in first.node.here if owned.isMoving]
        self.assertEqual((len(first.node.here), moving), (len(players) - 1, []))  # one is tried first
        gates[0].callback(None)
        self.advance(1)
        self.assertEqual((len(first.node.here), left), (AT_ONCE - 1, []))
        players[-1].send("say", 1)
        self.settle()
        self.assertEqual([player.messages for player in players].count([("said", 1)]), 1)
        for gate in gates[1:]:
            gate.callback(None)
        self.advance(2)
        self.assertEqual((left, len(second.node.here)), ([len(players)], len(players)))

    def test_timers(self) -> None:
        """Timers run until the room is handed over, and then no more."""
        first, second = self.start()
        ada = first.join()
        ticks: list[float] = []
        room = first.app.rooms[ada.id]
        room.clock.every(0.01, lambda: ticks.append(self.clock.seconds()))
        Slow.gates["work"] = Deferred()
        ada.send("work", 1)
        self.settle()
        began = self.clock.seconds()
        self.leave(first, second)
        self.advance(PATIENCE - 0.02)
        self.assertGreater(ticks[-1], began)
        self.advance(2)
        self.assertLess(ticks[-1], began + PATIENCE + 0.15)

    def test_newRooms(self) -> None:
        """Nobody creates rooms here meanwhile: a client that asks waits, and gets one if the node stays."""
        first, second = self.start()
        left = self.leave(first, second)
        self.advance(1)
        self.assertEqual(left, [0])
        ada = fired(first.client().joining("chat"))
        room = fired(first.app.createRoom("chat"))
        self.advance(1)
        self.assertEqual((ada, room), ([], []))
        second.join(mode="other")
        first.engine.stay()
        self.advance(1)
        self.assertEqual(self.whereIs(ada[0].id), [first])
        self.assertEqual(len(first.node.here), 2)

    def test_stopped(self) -> None:
        """A client that waits for a new room connects to another node when this one stops."""
        first, second = self.start()
        self.leave(first, second)
        self.settle()
        room = fired(first.app.createRoom("chat"))
        self.settle()
        first.stop()
        self.assertEqual(room[0].value.code, "unavailable")

    def test_creating(self) -> None:
        """A room that is being created is handed over when it is open."""
        first, second = self.start()
        gate: Deferred[None] = Deferred()
        self.patch(Slow, "onCreate", lambda room, options: None if room.isRestored else gate)
        ada = fired(first.client().joining("chat"))
        self.settle()
        left = self.leave(first, second)
        self.advance(2)
        self.assertEqual((left, ada), ([], []))
        gate.callback(None)
        self.advance(1)
        self.assertEqual((left, self.whereIs(ada[0].id)), ([1], [second]))

    def test_ending(self) -> None:
        """A room that ends is not handed over."""
        first, second = self.start()
        ada = first.join()
        gate: Deferred[None] = Deferred()
        self.patch(Slow, "onDispose", lambda room: gate)
        first.app.rooms[ada.id].disconnect()
        self.settle()
        left = self.leave(first, second)
        self.advance(1)
        self.assertEqual(left, [0])
        gate.callback(None)
        self.advance(1)
        self.assertEqual((self.whereIs(ada.id), len(first.node.here)), ([], 0))

    def test_asks(self) -> None:
        """A command that comes while a room moves is carried out by the next owner."""
        first, second = self.start()
        ada = first.join()
        Slow.gates["work"] = Deferred()
        ada.send("work", 1)
        self.settle()
        self.leave(first, second)
        self.settle()
        asked = [fired(node.app.engine.ask(ada.id, Inspect())) for node in (first, second)]
        self.advance(2)
        self.assertEqual([result[0]["listing"]["clients"] for result in asked], [1, 1])

    def test_toldSeats(self) -> None:
        """
        A client that asks for a seat before it connects, while `canJoin` waits and the room moves, gets it
        from the next owner, from whichever node it asks.
        """
        first, second, third = self.start(3)
        ada = first.join()
        gates: list[Deferred[bool]] = [Deferred() for _ in range(3)]
        asked: list[str] = []

        def canJoin(room: Any, options: Any, user: Any) -> Any:
            asked.append(options["who"])
            return gates[len(asked) - 1] if len(asked) <= 3 else True

        self.patch(Slow, "canJoin", canJoin)
        told = [
            fired(node.app.engine.ask(ada.id, TellSeat({"who": name})))
            for name, node in (("bob", first), ("cid", second), ("dan", third))
        ]
        self.settle()
        left = self.leave(first, second)
        self.advance(2)
        self.assertEqual((left, asked, told), ([1], ["bob", "cid", "dan"], [[], [], []]))
        for gate in gates:
            gate.callback(True)
        self.advance(1)
        self.assertEqual(sorted(asked[3:]), ["bob", "cid", "dan"])
        for (seat,) in told:
            self.assertEqual((seat["name"], seat["seconds"]), ("chat", 15.0))
            joined = fired(third.client().client.joinById(ada.id, {"seat": seat["member"]}))
            self.settle()
            self.assertEqual([room.member for room in joined], [seat["member"]])
        self.assertEqual(len(second.app.rooms[ada.id].clients), 4)


class Counter(Chat):
    """A room that counts what it is told, and saves the number."""

    faulty: list[TestNode] = []
    log: list[str] = []

    def onCreate(self, options: Any) -> None:
        self.number = 0
        self.gates: list[Deferred[None]] = []

    def save(self) -> Any:
        return self.number

    def load(self, data: Any, version: int) -> None:
        if any(node.app.rooms.get(self.id) is self for node in self.faulty):
            raise ValueError("data of another version")
        self.number, self.gates = data, []

    @message("count")
    async def count(self, client: Member) -> int:
        if self.gates:
            try:
                await self.gates[0]
            except CancelledError:
                self.log.append("cancelled")
                raise
        self.number += 1
        return self.number


class SavedTests(NodesTestCase):
    """Rooms that save their data."""

    roomClass = Counter

    def setUp(self) -> None:
        super().setUp()
        Counter.faulty, Counter.log = [], []

    def test_saved(self) -> None:
        """A room is saved after the last handler, and each message counts once."""
        first, second = self.start()
        ada = first.join()
        self.assertEqual([self.result(ada.calling("count")) for _ in range(3)], [1, 2, 3])
        room = first.app.rooms[ada.id]
        room.gates.append(Deferred())  # type: ignore[attr-defined]
        answers = [fired(ada.calling("count")) for _ in range(2)]
        self.settle()
        left = fired(first.engine.leave([second.node.id]))
        self.advance(2)
        self.assertEqual((left, answers, Counter.log), ([1], [[4], [5]], ["cancelled"]))
        self.assertEqual(second.app.rooms[ada.id].number, 5)  # type: ignore[attr-defined]

    def test_cantLoad(self) -> None:
        """A room that can't be loaded goes back with its data."""
        first, second = self.start()
        ada = first.join()
        self.assertEqual([self.result(ada.calling("count")) for _ in range(3)], [1, 2, 3])
        Counter.faulty = [second]
        left = fired(first.engine.leave([second.node.id]))
        self.advance(2)
        self.assertIsInstance(left[0].value, HandoverFailed)
        self.assertEqual((self.whereIs(ada.id), self.result(ada.calling("count"))), ([first], 4))
        self.assertEqual((ada.events.count("lost"), ada.closeCode), (0, None))
        self.flushLoggedErrors(ValueError)

    def test_cantSave(self) -> None:
        """A room that can't be saved stays as it is, and the others stay too; only a stop goes on."""
        first, second = self.start()
        ada = first.join()
        self.assertEqual([self.result(ada.calling("count")) for _ in range(3)], [1, 2, 3])
        self.patch(Counter, "save", lambda room: 1 / 0)
        left = fired(first.engine.leave([second.node.id]))
        self.advance(2)
        self.assertIsInstance(left[0].value, HandoverFailed)
        self.assertIn("can't be saved", str(left[0].value))
        self.assertEqual((self.whereIs(ada.id), self.result(ada.calling("count"))), ([first], 4))
        self.assertEqual((ada.events, ada.closeCode), ([], None))
        first.stop()
        self.advance(2)
        self.assertEqual(self.whereIs(ada.id), [second])
        self.flushLoggedErrors(ZeroDivisionError)


class StoppingTests(SlowRoomsTestCase):
    """A planned stop without `leave`."""

    def test_handlers(self) -> None:
        """A handler that is running is cancelled, and called by the next owner."""
        first, second = self.start()
        first.join()
        bob = second.join()
        Slow.gates["work"] = Deferred()
        answer = fired(bob.calling("work", 1))
        self.settle()
        first.stop()
        self.advance(1)
        self.assertEqual((self.whereIs(bob.id), answer, bob.messages), ([second], [1], [("done", 1)]))
        self.assertIn(("CancelledError", "work"), Slow.events)

    def test_taking(self) -> None:
        """A room that the node is about to take over is left to others, whether it opens in time or not."""
        for seconds in (0.5, 30.0):
            first, second, third = self.start(3)
            ada = third.join(mode=seconds)
            gate: Deferred[None] = Deferred()
            opens = [gate]
            self.patch(Slow, "onCreate", lambda room, options, opens=opens: opens.pop() if opens else None)
            third.kill()
            self.advance(12)
            (owner,) = self.whereIs(ada.id)
            other = second if owner is first else first
            self.assertEqual(opens, [])
            call = self.clock.callLater(seconds, gate.callback, None)
            owner.stop()
            self.advance(15)
            self.assertEqual(self.whereIs(ada.id), [other])
            if call.active():
                call.cancel()
            other.kill()
            self.flushLoggedErrors(HookTimeout)


class ServerTests(NodesTestCase):
    """`Server.leave`, and the sockets after it."""

    def test_sockets(self) -> None:
        """When it stops then, clients of rooms connect again at once, and plain ones get 1012."""
        first, second = self.start()
        server = first.harness.server
        server.addApplication(Application(), path="/plain")
        factory = server.factory()
        rooms, plain = (first.harness.connect(path, to=factory) for path in ("/rooms/chat", "/plain"))
        self.settle()
        left = fired(server.leave([second.node.id]))
        self.advance(2)
        self.assertEqual((left, rooms.isOpen, plain.isOpen), ([1], True, True))
        first.stop()
        self.assertEqual((rooms.closeCode, plain.closeCode), (4100, 1012))
        reasons = [each.closeInfo and each.closeInfo.reason for each in (rooms, plain)]
        self.assertEqual(reasons, ["server restart"] * 2)
        self.assertEqual(decode(rooms.received[-1]), ["bye", 4100, 0.0])

    def test_failed(self) -> None:
        """If it can't leave, it serves as before, and a later stop is as usual."""
        first, _ = self.start()
        server = first.harness.server
        server.addApplication(Application(), path="/plain")
        plain = first.harness.connect("/plain", to=server.factory())
        left = fired(server.leave(["1.nobody"]))
        self.advance(KNOWN + 1)
        self.assertIsInstance(left[0].value, HandoverFailed)
        self.assertEqual(first.join().closeCode, None)
        first.stop()
        self.assertEqual(plain.closeCode, 1001)

    def test_stay(self) -> None:
        """A server that has left can serve again."""
        first, second = self.start()
        server = first.harness.server
        for _ in range(2):
            left = fired(server.leave([second.node.id]))
            self.advance(1)
            self.assertEqual(left, [0])
            self.assertRaises(RuntimeError, server.leave, [second.node.id])
            server.stay()
            server.stay()
        self.assertEqual(self.whereIs(first.join().id), [first])

    def test_wrong(self) -> None:
        """What it can't do is an error at once."""
        first, second = self.start()
        server = first.harness.server
        self.assertRaises(TypeError, server.leave, second.node.id)
        self.assertRaises(ValueError, server.leave, [])
        self.assertRaises(ValueError, server.leave, [second.node.id, first.node.id])
        first.stop()
        self.assertRaises(RuntimeError, server.leave, [second.node.id])

    def test_memory(self) -> None:
        """Rooms in memory can't be given away."""
        harness = RoomHarness(lambda clock: Server(clock=clock))
        self.assertIsInstance(self.failureResultOf(harness.server.leave(["x"])).value, HandoverFailed)
        harness.stop()


class FailureTests(SlowRoomsTestCase):
    """What goes wrong when a node leaves."""

    def test_cantOpen(self) -> None:
        """If a room can't be opened, it goes back, no more are handed over, and the node serves as before."""
        first, second = self.start()
        players = [first.join(mode=str(index)) for index in range(5)]
        ada = players[0]

        def fails(room: Any, options: Any) -> None:
            if second.app.rooms.get(room.id) is room:
                raise ValueError("a new version of the program")

        self.patch(Slow, "onCreate", fails)
        left = self.leave(first, second)
        self.advance(2)
        self.assertIsInstance(left[0].value, HandoverFailed)
        self.assertEqual((len(first.node.here), len(second.node.here)), (5, 0))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        for player in players:
            player.send("say", 1)
        self.advance(1)
        for player in players:
            self.assertEqual((player.messages, player.closeInfo), ([("said", 1)], None))
        self.assertEqual(sorted(player.events.count("recovered") for player in players), [0, 0, 0, 0, 1])
        self.assertEqual(first.join(mode="new").closeInfo, None)
        self.assertEqual(len(first.node.here), 6)
        self.assertEqual(ada.closeInfo, None)
        self.patch(Slow, "onCreate", lambda room, options: None)
        room = self.result(second.app.createRoom("chat"))
        second.kill()
        self.advance(30)
        self.assertEqual(self.whereIs(room), [first])  # it takes over rooms again

    def test_unknown(self) -> None:
        """If a node isn't there, nothing is handed over."""
        first, _ = self.start()
        ada = first.join()
        left = fired(first.engine.leave(["1.nobody"]))
        self.advance(KNOWN + 1)
        self.assertIsInstance(left[0].value, HandoverFailed)
        self.assertEqual(self.whereIs(ada.id), [first])

    def test_dies(self) -> None:
        """If the node that gets the rooms dies, other nodes or this one have them then."""
        first, second, _ = self.start(3)
        players = [first.join(mode=str(index)) for index in range(5)]
        second.kill()
        left = self.leave(first, second)
        self.advance(OPENED + TAKEN_BACK)
        self.assertIsInstance(left[0].value, HandoverFailed)
        for player in players:
            player.send("say", 1)
        self.advance(2)
        self.assertEqual([player.messages for player in players], [[("said", 1)]] * 5)

    def test_notTold(self) -> None:
        """If the node isn't told of the room, it takes it when a client asks there, and keeps it."""
        first, second = self.start()
        ada = second.join()
        self.assertEqual(self.whereIs(ada.id), [second])
        first, second = second, first

        def unheard(node: str, room: str, command: Any, seconds: float) -> Deferred[Any]:
            return deferLater(self.clock, seconds, self.fails)

        self.patch(first.node.peers, "ask", unheard)
        left = self.leave(first, second)
        self.advance(2)
        self.assertEqual((left, self.whereIs(ada.id)), ([], [second]))
        ada.send("say", 1)
        self.advance(OPENED + TAKEN_BACK)
        self.assertIsInstance(left[0].value, HandoverFailed)
        self.assertEqual((ada.messages, self.whereIs(ada.id)), ([("said", 1)], [second]))

    def test_unreached(self) -> None:
        """If the node that gets a room can't reach Redis for a moment, it is asked again."""
        first, second = self.start()
        ada = first.join()
        ask, claim, failures = Locator.ask, Journals.claim, ["ask", "claim"]

        async def unknown(locator: Locator, *args: Any, **more: Any) -> Any:
            if locator is second.node.handingOver._locator and "ask" in failures:
                failures.remove("ask")
                return Where.UNKNOWN
            return await ask(locator, *args, **more)

        def refused(journals: Journals, *args: Any) -> Any:
            if journals is second.node.journals and "claim" in failures:
                failures.remove("claim")
                return fail(RoomError("unavailable"))
            return claim(journals, *args)

        self.patch(Locator, "ask", unknown)
        self.patch(Journals, "claim", refused)
        left = self.leave(first, second)
        self.advance(2)
        self.assertEqual((left, failures, self.whereIs(ada.id)), ([1], [], [second]))

    def test_notThere(self) -> None:
        """That there is nothing to take is believed if Redis says it too."""
        first, second = self.start()
        room = self.result(first.app.createRoom("chat"))
        take, answers = second.node.handingOver.take, [None, None]

        async def nothing(name: str, clients: int) -> bool | None:
            return answers.pop() if answers else await take(name, clients)

        self.patch(second.node.handingOver, "take", nothing)
        left = self.leave(first, second)
        self.advance(2)
        self.assertEqual((left, answers, self.whereIs(room)), ([1], [], [second]))

    def fails(self) -> None:
        """The answer to a question."""
        raise unanswered(True)

    def test_stopped(self) -> None:
        """An engine that isn't running can't leave."""
        (first,) = self.start(1)
        first.stop()
        self.assertIsInstance(self.result(first.engine.leave(["x"])).value, HandoverFailed)
        self.assertIsNone(first.engine.nodeId)
        first.engine.stay()
