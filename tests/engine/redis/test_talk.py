"""Links, questions and groups between two nodes, while nothing is lost."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.engine.redis.mesh import FakeEdge, FakeRoom, Mesh, joinedOf, joinOf, messageOf
from txroom.core.codes import CloseCode, ErrorCode
from txroom.engine.redis.groups import FEW_LINKS, IDLE_BEATS
from txroom.engine.redis.incoming import MOST_TOLD
from txroom.engine.redis.outgoing import ATTACH_SECONDS, ElsewhereError
from txroom.engine.redis.packets import Deliver, Group, Submit, decode
from txroom.engine.redis.remote import RemoteLink, Unreached
from txroom.protocol.errors import RoomError
from txroom.rooms.contract.arrivals import Refused
from txroom.rooms.contract.asks import Command, Kick, Lock
from txroom.rooms.contract.commands import Send
from txroom.rooms.contract.items import Error
from txroom.rooms.contract.ports import ASK_SECONDS

SEND = Send("say", b"\xc0", 1)


class TalkCase(SynchronousTestCase):
    """Clients of A, and a room of B."""

    def setUp(self) -> None:
        self.mesh = Mesh()
        self.a, self.b = self.mesh.nodes
        self.room: FakeRoom = self.b.room()

    def assertNothingLeft(self) -> None:
        """No link, no question and no room are remembered."""
        for node in self.mesh.nodes:
            self.assertEqual(set(node.peers.links.values()) - {(0, 0)}, set())
            self.assertEqual(len(node.peers._shared.generations), 0)
            for peer in node.peers._peers.values():
                self.assertFalse(peer.talk.isBusy)

    def messages(self) -> list[Any]:
        """All messages of all packets that were published."""
        return [message for _, data in self.mesh.published for message in decode(data).messages]


class LinkTests(TalkCase):
    """Joining, sending, leaving."""

    def test_join(self) -> None:
        """The room gets the request, the client the items, `Joined` first, and the edge the link."""
        link = self.mesh.join("l")
        self.assertIsInstance(link, RemoteLink)
        self.assertEqual(link.id, "l")
        self.assertEqual(self.a.edge.itemsOf("l"), [joinedOf()])
        self.assertEqual(self.a.peers.links, {self.b.id: (1, 0)})
        self.assertEqual(self.b.peers.links, {self.a.id: (0, 1)})

    def test_refused(self) -> None:
        """A refusal of the room is the answer, and leaves nothing behind."""
        self.room.answer = Refused("full", "no seat", {"x": 1})
        self.assertEqual(self.mesh.join("l"), self.room.answer)
        self.assertNothingLeft()

    def test_elsewhere(self) -> None:
        """That the room isn't there is told apart from a refusal."""
        self.assertEqual(self.mesh.join("l", "unknown"), Unreached(False, isElsewhere=True))
        self.assertNothingLeft()

    def test_fails(self) -> None:
        """An error of the room is a refusal; the text of an unexpected one stays where it is."""
        self.room.answer = RoomError(ErrorCode.LOCKED, "no entry")
        self.assertEqual(self.mesh.join("l"), Refused(ErrorCode.LOCKED, "no entry"))
        self.room.answer = ValueError("secret")
        self.assertEqual(self.mesh.join("m"), Refused(ErrorCode.INTERNAL))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertNothingLeft()

    def test_raises(self) -> None:
        """A room that raises costs the request, not the links of others."""
        self.mesh.join("l")
        self.room.attach = lambda outlet, arrival: 1 // 0  # type: ignore[method-assign,assignment,return-value]
        self.assertEqual(self.mesh.join("m"), Refused(ErrorCode.INTERNAL))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((self.b.peers.resets, list(self.room.links)), (0, ["l"]))

    def test_frames(self) -> None:
        """Frames reach the room in order."""
        link = self.mesh.join("l")
        frames = [Send("say", b"\xc0", number) for number in range(5)]
        for frame in frames:
            link.submit(frame)
        self.mesh.settle()
        self.assertEqual(self.room.links["l"].frames, frames)

    def test_ends(self) -> None:
        """A client that leaves or disconnects ends its link; nothing is left, and nothing more is sent."""
        for how in ("leave", "drop"):
            link = self.mesh.join("l")
            link.submit(SEND)
            getattr(link, how)()
            self.mesh.settle()
            self.assertEqual((self.room.everyLink[-1].frames, self.room.everyLink[-1].ends), ([SEND], [how]))
            self.assertNothingLeft()
            count = len(self.mesh.published)
            link.submit(SEND)
            link.leave()
            link.drop()
            self.mesh.settle()
            self.assertEqual(len(self.mesh.published), count)

    def test_detached(self) -> None:
        """A room ends the links of its clients."""
        link = self.mesh.join("l")
        self.room.links["l"].outlet.detach(("l", "unknown"), CloseCode.KICKED, "why")
        self.mesh.settle()
        self.assertEqual(self.a.edge.detached, [(("l",), 4003, "why")])
        self.assertNothingLeft()
        link.submit(SEND)
        self.mesh.settle()
        self.assertEqual(self.room.everyLink[0].frames, [])

    def test_detachedWhileJoining(self) -> None:
        """A room that ends a link before it has answered leaves no link behind."""
        self.room.answer = Deferred()
        results: list[Any] = []
        self.a.peers.attach(self.b.id, self.a.edge, joinOf("l")).addCallback(results.append)
        self.mesh.settle()
        outlet = self.b.peers._peers[self.a.id].talk.outlet
        outlet.deliver(joinedOf(), ("l",))
        outlet.detach(("l",), CloseCode.ROOM_CLOSED)
        self.room.answer.callback(None)
        self.mesh.settle()
        self.assertIsInstance(results[0], RemoteLink)
        self.assertEqual(self.a.edge.detached, [(("l",), 4008, "")])
        self.assertNothingLeft()

    def test_tooLong(self) -> None:
        """After two minutes a client isn't attached any more, and a link that the room makes later ends."""
        self.room.answer = Deferred()
        results: list[Any] = []
        self.a.peers.attach(self.b.id, self.a.edge, joinOf("l")).addCallback(results.append)
        self.mesh.settle(ATTACH_SECONDS - 1)
        self.assertEqual(results, [])
        self.mesh.settle(1)
        self.assertEqual(results, [Unreached(True)])
        self.room.answer.callback(None)
        self.mesh.settle()
        self.assertEqual(self.room.everyLink[0].ends, ["drop"])
        self.assertEqual(self.a.edge.detached, [])
        self.assertNothingLeft()
        self.assertEqual(self.mesh.clock.getDelayedCalls(), [])

    def test_tooLongRefused(self) -> None:
        """A room that refuses the client later does no harm."""
        self.room.answer = Deferred()
        results: list[Any] = []
        self.a.peers.attach(self.b.id, self.a.edge, joinOf("l")).addCallback(results.append)
        self.mesh.settle(ATTACH_SECONDS)
        self.room.answer.errback(RoomError(ErrorCode.FULL))
        self.mesh.settle()
        self.assertEqual(results, [Unreached(True)])
        self.assertNothingLeft()

    def test_tooLongJoined(self) -> None:
        """A client that has got `Joined` keeps its link, although the answer hasn't come."""
        self.room.answer = Deferred()
        results: list[Any] = []
        self.a.peers.attach(self.b.id, self.a.edge, joinOf("l")).addCallback(results.append)
        self.mesh.settle()
        self.b.peers._peers[self.a.id].talk.outlet.deliver(joinedOf(), ("l",))
        self.mesh.settle()
        self.mesh.settle(ATTACH_SECONDS)
        self.assertIsInstance(results[0], RemoteLink)
        self.assertEqual(self.a.peers.links, {self.b.id: (1, 0)})

    def test_again(self) -> None:
        """A client that is in the room already gets its earlier link."""
        first = self.mesh.join("l")
        room = self.room

        def attach(outlet: Any, arrival: Any) -> Any:
            done: Deferred[Any] = Deferred()
            done.callback(room.links["l"])
            return done

        room.attach = attach  # type: ignore[method-assign]
        again = self.mesh.join("m")
        self.assertEqual(again.id, "l")
        self.assertEqual(self.a.peers.links, {self.b.id: (1, 0)})
        first.drop()
        self.mesh.settle()
        self.assertNothingLeft()

    def test_againEnded(self) -> None:
        """If the earlier link has ended meanwhile, the client is to ask again."""
        self.mesh.join("l").drop()
        self.mesh.settle()
        early = self.room.everyLink[0]
        early.ends = []
        self.room.attach = lambda outlet, arrival: _fired(early)  # type: ignore[method-assign]
        self.assertEqual(self.mesh.join("m"), Refused(ErrorCode.UNAVAILABLE))
        self.assertEqual(early.ends, ["drop"])
        self.assertNothingLeft()


def _fired(value: Any) -> Deferred[Any]:
    done: Deferred[Any] = Deferred()
    done.callback(value)
    return done


class DeliveryTests(TalkCase):
    """Items for clients on another node."""

    def join(self, count: int, edge: FakeEdge | None = None) -> tuple[str, ...]:
        """Let so many clients join. Returns their links as one tuple."""
        links = tuple(f"l{index}" for index in range(count))
        for link in links:
            self.a.peers.attach(self.b.id, edge or self.a.edge, joinOf(link))
        self.mesh.settle()
        self.outlet = self.room.links["l0"].outlet
        self.mesh.published.clear()
        return links

    def linkOf(self, id: str) -> RemoteLink:
        """A link of A."""
        talk = self.a.peers._peers[self.b.id].talk
        return RemoteLink(talk.outgoing, talk, id)

    def test_order(self) -> None:
        """Items arrive in order, and one packet carries those of a turn."""
        links = self.join(2)
        for offset in range(10):
            self.outlet.deliver(messageOf(offset), links)
        self.mesh.settle()
        self.assertEqual(self.a.edge.itemsOf("l1")[1:], [messageOf(offset) for offset in range(10)])
        self.assertEqual(len(self.mesh.published), 1)

    def test_groups(self) -> None:
        """The ids of many links travel once."""
        links = self.join(500)
        for offset in range(3):
            self.outlet.deliver(messageOf(offset), links)
            self.mesh.settle()
        self.assertEqual([type(message) for message in self.messages()], [Group, Deliver, Deliver, Deliver])
        self.assertLess(len(self.mesh.published[-1][1]), 100)
        for link in links:
            self.assertEqual(len(self.a.edge.itemsOf(link)), 4)
        delivered = [to for item, to in self.a.edge.delivered if item == messageOf(2)]
        self.assertEqual(delivered, [links])

    def test_few(self) -> None:
        """Few links are no group, nor are links in a list, which may change."""
        links = self.join(FEW_LINKS + 1)
        self.outlet.deliver(messageOf(1), links[1:])
        self.outlet.deliver(messageOf(2), list(links))
        self.mesh.settle()
        self.assertEqual([type(message) for message in self.messages()], [Deliver, Deliver])
        self.assertEqual(len(self.a.edge.itemsOf("l1")), 3)

    def test_groupEnds(self) -> None:
        """A group that isn't used any more is forgotten on both sides."""
        links = self.join(20)
        self.outlet.deliver(messageOf(1), links)
        self.mesh.settle()
        talks = [self.a.peers._peers[self.b.id].talk, self.b.peers._peers[self.a.id].talk]
        self.assertEqual((len(talks[0].outgoing.groups), len(talks[1].sentGroups)), (1, 1))
        for _ in range(IDLE_BEATS + 2):
            self.mesh.beat()
        self.assertEqual((len(talks[0].outgoing.groups), len(talks[1].sentGroups)), (0, 0))
        self.outlet.deliver(messageOf(2), links)
        self.mesh.settle()
        self.assertEqual(len(self.a.edge.itemsOf("l19")), 3)

    def test_edges(self) -> None:
        """Each link has the outlet with which it was attached: a node has one for each application."""
        links = self.join(1)
        other = FakeEdge()
        self.a.peers.attach(self.b.id, other, joinOf("other"))
        self.mesh.settle()
        self.outlet.deliver(messageOf(1), (*links, "other"))
        self.outlet.detach((*links, "other"), 4008)
        self.mesh.settle()
        self.assertEqual(self.a.edge.delivered[-1], (messageOf(1), links))
        self.assertEqual(other.delivered[-1], (messageOf(1), ("other",)))
        self.assertEqual((self.a.edge.detached[-1][0], other.detached[-1][0]), (links, ("other",)))
        self.assertNothingLeft()

    def test_ended(self) -> None:
        """Items for a link that has ended are dropped."""
        self.join(2)
        link = self.linkOf("l1")
        link.drop()
        self.outlet.deliver(messageOf(1), ("l1",))
        self.outlet.deliver(messageOf(2), ("l0", "l1"))
        self.mesh.settle()
        self.assertEqual(self.a.edge.itemsOf("l1"), [joinedOf()])

    def test_stale(self) -> None:
        """While the lease of the owner isn't fresh, nothing leaves, and volatile messages are dropped."""
        links = self.join(1)
        self.b.lease.freshUntil = 0.0
        self.outlet.deliver(messageOf(None), links)
        self.outlet.deliver(messageOf(1), links)
        self.mesh.settle()
        self.assertEqual(self.mesh.published, [])
        self.b.lease.freshUntil = float("inf")
        self.b.guard.release()
        self.mesh.settle()
        self.assertEqual(self.a.edge.itemsOf("l0")[1:], [messageOf(1)])

    def test_generations(self) -> None:
        """Volatile messages of an earlier owner are dropped, others aren't."""
        links = self.join(1)
        for generation in (2, 3, 2):
            self.room.generation = generation
            self.outlet.deliver(messageOf(None, data=bytes([generation])), links)
            self.outlet.deliver(messageOf(generation), links)
        self.mesh.settle()
        items = self.a.edge.itemsOf("l0")[1:]
        wanted = [
            messageOf(None, data=b"\2"),
            messageOf(2),
            messageOf(None, data=b"\3"),
            messageOf(3),
            messageOf(2),
        ]
        self.assertEqual(items, wanted)


class AskTests(TalkCase):
    """Commands for rooms of other nodes."""

    def ask(self, room: str = "room") -> list[Any]:
        results: list[Any] = []
        self.a.peers.ask(self.b.id, room, Lock()).addBoth(results.append)
        self.mesh.settle()
        return results

    def errorOf(self, results: list[Any]) -> Any:
        self.assertIsInstance(results[0], Failure)
        return results[0].value

    def test_answer(self) -> None:
        """The answer of the room comes back."""
        self.b.answer = {"clients": [1, 2]}
        self.assertEqual(self.ask(), [{"clients": [1, 2]}])
        self.assertEqual(self.b.commands, [Lock()])
        self.assertNothingLeft()
        self.assertEqual(self.mesh.clock.getDelayedCalls(), [])

    def test_error(self) -> None:
        """Its error too."""
        self.b.answer = RoomError(ErrorCode.FORBIDDEN, "no", {"x": 1})
        error = self.errorOf(self.ask())
        self.assertEqual((error.code, error.message, error.details), (ErrorCode.FORBIDDEN, "no", {"x": 1}))

    def test_large(self) -> None:
        """An answer of more than 4 MiB is an error of the command; the links stay."""
        self.mesh.join("l")
        self.b.answer = "x" * (MOST_TOLD - 5)
        self.assertEqual(self.ask(), [self.b.answer])
        for size in (MOST_TOLD - 4, 20 << 20):
            self.b.answer = "x" * size
            self.assertEqual(self.errorOf(self.ask()).code, "tooLarge")
        self.assertEqual((self.a.peers.resets, self.b.peers.resets, self.a.edge.detached), (0, 0, []))

    def test_elsewhere(self) -> None:
        """A room that isn't there is told apart."""
        self.assertIsInstance(self.errorOf(self.ask("unknown")), ElsewhereError)
        self.b.answer = fail(ElsewhereError())  # it leaves while the command waits
        self.assertIsInstance(self.errorOf(self.ask()), ElsewhereError)
        self.assertNothingLeft()

    def test_timeout(self) -> None:
        """After 5 s it isn't known whether the room has done it. A later answer is ignored."""
        self.b.answer = Deferred()
        results = self.ask()
        self.mesh.settle(5)
        error = self.errorOf(results)
        self.assertEqual((error.code, error.details), (ErrorCode.UNAVAILABLE, {"mayHaveHappened": True}))
        self.b.answer.callback(None)
        self.mesh.settle()
        self.assertNothingLeft()

    def test_noTime(self) -> None:
        """A command for which no time is left isn't sent: nothing happens, and nothing is remembered."""
        for seconds in (0.0, -1.0):
            results: list[Any] = []
            self.a.peers.ask(self.b.id, "room", Lock(), seconds).addBoth(results.append)
            self.mesh.settle()
            self.assertEqual(self.errorOf(results).details, {"mayHaveHappened": False})
        self.assertEqual(self.mesh.published, [])
        self.assertNothingLeft()

    def test_late(self) -> None:
        """A command that arrives after its deadline isn't carried out: its node was suspended."""
        late: list[Any] = []
        self.mesh.fault = lambda *packet: late.append(packet)
        results = self.ask()
        self.mesh.clock.advance(6)
        self.mesh.fault = None
        for packet in late:
            self.mesh.deliver(*packet)
        self.mesh.settle()
        self.assertEqual(self.b.commands, [])
        self.assertEqual(self.errorOf(results).details, {"mayHaveHappened": True})
        self.assertNothingLeft()

    def test_timeLeft(self) -> None:
        """The room is told how much time is left, if that is known."""

        def later(*packet: Any) -> None:
            self.mesh.clock.callLater(1, self.mesh.deliver, *packet)

        self.mesh.fault = later
        self.a.peers.ask(self.b.id, "room", Lock(), 3.0)
        self.mesh.settle()
        self.mesh.settle(1)
        self.assertEqual(self.b.seconds, [2.0])
        self.b.seconds.clear()
        self.mesh.settle(1)
        self.mesh.fault = None
        self.patch(self.b.peers._shared, "now", lambda: None)
        self.b.peers.gone(self.a.id)
        self.mesh.settle()
        self.a.peers.ask(self.b.id, "room", Lock(), 3.0)
        self.mesh.settle()
        self.assertEqual(self.b.seconds, [ASK_SECONDS])

    def test_raises(self) -> None:
        """A room that raises is an error of the command."""
        self.b.ask = lambda room, command, seconds: 1 // 0  # type: ignore[method-assign,assignment,return-value]
        self.assertEqual(self.errorOf(self.ask()).code, ErrorCode.INTERNAL)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_unknown(self) -> None:
        """A command that the other node doesn't know fails alone, and has not happened."""
        self.mesh.join("l")
        unknown: Any = ("rename", {"to": "x"})
        results: list[Any] = []
        self.a.peers.ask(self.b.id, "room", unknown).addBoth(results.append)
        known = self.ask()
        error = self.errorOf(results)
        self.assertEqual((error.code, error.details), (ErrorCode.UNAVAILABLE, {"mayHaveHappened": False}))
        self.assertEqual((known, self.b.commands), ([None], [Lock()]))
        self.assertEqual(self.a.peers.links, {self.b.id: (1, 0)})
        self.assertEqual((self.a.peers.resets, self.b.peers.resets), (0, 0))

    def test_unsent(self) -> None:
        """What never left has not happened."""
        self.a.isStuck = True
        results = self.ask()
        self.mesh.settle(5)
        self.assertEqual(self.errorOf(results).details, {"mayHaveHappened": False})


class EncodingTests(TalkCase):
    """
    Data that can't be encoded costs the request that it belongs to, not the pair.

    MessagePack has no lone surrogates, and no integers over 64 bits.
    """

    BAD = "\ud800"

    def tearDown(self) -> None:
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        self.assertEqual((self.a.peers.resets, self.b.peers.resets), (0, 0))
        self.assertIn("other", self.room.links)

    def setUp(self) -> None:
        super().setUp()
        self.mesh.join("other")

    def test_attach(self) -> None:
        """A request is refused."""
        results: list[Any] = []
        self.a.peers.attach(self.b.id, self.a.edge, joinOf("l", user=self.BAD)).addCallback(results.append)
        self.mesh.settle()
        self.assertEqual(results, [Refused(ErrorCode.BAD_REQUEST)])
        self.assertEqual(self.a.peers.links, {self.b.id: (1, 0)})

    def test_ask(self) -> None:
        """A command fails."""
        self.assertBadRequest(self.BAD, Lock())

    def test_command(self) -> None:
        """A command whose own data can't be encoded fails too."""
        self.assertBadRequest("room", Kick(self.BAD))

    def assertBadRequest(self, room: str, command: Command) -> None:
        """A command fails, and none has arrived."""
        results: list[Any] = []
        self.a.peers.ask(self.b.id, room, command).addErrback(results.append)
        self.mesh.settle()
        self.assertEqual(results[0].value.code, ErrorCode.BAD_REQUEST)
        self.assertEqual(self.b.commands, [])

    def test_submit(self) -> None:
        """A frame costs its link; the client resumes."""
        link = self.mesh.join("l")
        link.submit(Send(self.BAD, b""))
        link.submit(SEND)
        self.mesh.settle()
        self.assertEqual(self.a.edge.detached, [(("l",), CloseCode.STATE_LOST, "")])
        self.assertEqual(self.room.everyLink[1].ends, ["drop"])
        self.assertEqual(self.a.peers.links, {self.b.id: (1, 0)})

    def test_deliver(self) -> None:
        """An item costs the links that it is for."""
        self.mesh.join("l")
        self.room.links["l"].outlet.deliver(Error(1, None, "x", "", self.BAD), ("l",))
        self.mesh.settle()
        self.assertEqual(self.a.edge.detached, [(("l",), CloseCode.STATE_LOST, "")])
        self.assertEqual(self.room.everyLink[1].ends, ["drop"])
        self.assertEqual(self.b.peers.links, {self.a.id: (0, 1)})

    def test_refusal(self) -> None:
        """A refusal with such details comes without them."""
        self.room.answer = Refused("full", "", 1 << 70)
        self.assertEqual(self.mesh.join("l"), Refused(ErrorCode.INTERNAL))

    def test_told(self) -> None:
        """An answer too."""
        self.b.answer = self.BAD
        results: list[Any] = []
        self.a.peers.ask(self.b.id, "room", Lock()).addErrback(results.append)
        self.mesh.settle()
        self.assertEqual(results[0].value.code, ErrorCode.INTERNAL)

    def test_order(self) -> None:
        """The other messages of the packet arrive in order."""
        self.mesh.join("l")
        outlet = self.room.links["l"].outlet
        outlet.deliver(messageOf(1), ("other",))
        outlet.deliver(Error(1, None, "x", "", self.BAD), ("l",))
        outlet.deliver(messageOf(2), ("other",))
        self.mesh.settle()
        self.assertEqual(self.a.edge.itemsOf("other")[1:], [messageOf(1), messageOf(2)])


class SubmitTypeTests(TalkCase):
    """What is sent to a link that the room never had is ignored."""

    def test_unknown(self) -> None:
        """A frame, an end, and an answer that nobody waits for."""
        self.mesh.join("l")
        talk = self.a.peers._peers[self.b.id].talk
        talk.tell(Submit("unknown", SEND))
        self.mesh.settle()
        self.assertEqual((self.room.links["l"].frames, self.b.peers.resets), ([], 0))
