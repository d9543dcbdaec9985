"""Talks that end, and the ones that begin after them."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.engine.redis.mesh import joinedOf, joinOf, messageOf
from tests.engine.redis.test_talk import SEND, TalkCase
from txroom.core.codes import CloseCode
from txroom.engine.redis import sending
from txroom.engine.redis.packets import Deliver, Packet, Reset, decode, encode
from txroom.engine.redis.remote import RemoteLink, Unreached
from txroom.protocol.errors import RoomError
from txroom.rooms.contract.asks import Lock
from txroom.rooms.contract.commands import Send


class PeerCase(TalkCase):
    """A client of A is in a room of B."""

    def setUp(self) -> None:
        super().setUp()
        self.link = self.mesh.join("l")
        self.outlet = self.room.links["l"].outlet
        self.mesh.published.clear()

    def detailsOf(self, asked: Deferred[Any]) -> Any:
        """The details of the error with which a command has failed."""
        error = self.failureResultOf(asked, RoomError).value
        return error.details

    def assertReset(self) -> None:
        """The link has ended on both sides, with 4101 for the client, and a new one can begin."""
        self.assertEqual(self.a.edge.detached, [(("l",), CloseCode.ROOM_MOVED, "")])
        self.assertEqual(self.room.everyLink[0].ends, ["drop"])
        self.assertNothingLeft()
        self.assertIsInstance(self.mesh.join("again"), RemoteLink)
        self.assertEqual(len(self.a.edge.detached), 1)


class LossTests(PeerCase):
    """Whatever is lost, is noticed, and costs the pair."""

    def deliver(self, offset: int) -> None:
        self.outlet.deliver(messageOf(offset), ("l",))
        self.mesh.settle()

    def test_gap(self) -> None:
        """A lost packet is noticed with the next one. Nothing after the gap arrives."""
        self.deliver(1)
        self.mesh.fault = self.mesh.lose
        self.deliver(2)
        self.mesh.fault = None
        self.deliver(3)
        self.assertEqual(self.a.edge.itemsOf("l"), [joinedOf(), messageOf(1)])
        self.assertReset()

    def test_gapOfFrames(self) -> None:
        """A lost packet to the owner too."""
        self.mesh.fault = self.mesh.lose
        self.link.submit(SEND)
        self.mesh.settle()
        self.mesh.fault = None
        self.link.submit(Send("say", b"\xc0", 2))
        self.mesh.settle()
        self.assertEqual(self.room.everyLink[0].frames, [])
        self.assertReset()

    def test_last(self) -> None:
        """If the last packet is lost, a beat tells it."""
        self.mesh.fault = self.mesh.lose
        self.deliver(1)
        self.mesh.fault = None
        self.mesh.beat()
        self.assertReset()

    def test_resetLost(self) -> None:
        """If the other node doesn't learn that the pair has ended, it is told again at its next beat."""
        self.mesh.fault = self.mesh.lose
        self.a.peers.gone(self.b.id)
        self.mesh.settle()
        self.mesh.fault = None
        self.assertEqual(self.room.everyLink[0].ends, [])
        self.b.peers.beat()
        self.mesh.settle()
        self.assertReset()

    def test_doubled(self) -> None:
        """A packet that comes twice counts once."""

        def twice(*packet: Any) -> None:
            self.mesh.deliver(*packet)
            self.mesh.deliver(*packet)

        self.mesh.fault = twice
        for number in range(3):
            self.link.submit(Send("say", b"\xc0", number))
            self.deliver(number)
        self.assertEqual([frame.n for frame in self.room.links["l"].frames], [0, 1, 2])
        self.assertEqual(self.a.edge.itemsOf("l")[1:], [messageOf(offset) for offset in range(3)])
        self.assertEqual((self.a.peers.resets, self.b.peers.resets), (0, 0))

    def test_overtaken(self) -> None:
        """Packets in the wrong order are a gap. The late one doesn't count, not even in the new talk."""
        late: list[Any] = []
        self.mesh.fault = lambda *packet: late.append(packet)
        self.deliver(1)
        self.mesh.fault = None
        self.deliver(2)
        for packet in late:
            self.mesh.deliver(*packet)
        self.mesh.settle()
        self.assertEqual(self.a.edge.itemsOf("l"), [joinedOf()])
        self.assertReset()

    def test_oldFirst(self) -> None:
        """The first packet of a talk that has ended doesn't begin it again."""
        kept: list[Any] = []

        def keep(*packet: Any) -> None:
            kept.append(packet)
            self.mesh.deliver(*packet)

        self.mesh.fault = keep
        self.b.peers.gone(self.a.id)
        self.mesh.settle()
        self.b.peers.gone(self.a.id)
        self.mesh.settle()
        self.mesh.fault = None
        self.assertReset()
        for packet in kept:
            self.mesh.deliver(*packet)
        self.mesh.settle()
        self.assertEqual(self.a.peers.links, {self.b.id: (1, 0)})

    def test_unheard(self) -> None:
        """If nobody has received a packet, the pair ends at once. What was in it has not happened."""
        self.mesh.fault = self.mesh.unheard
        answers: list[Any] = []
        self.a.peers.attach(self.b.id, self.a.edge, joinOf("m")).addCallback(answers.append)
        asked = self.a.peers.ask(self.b.id, "room", Lock())
        self.mesh.settle()
        self.assertEqual(answers, [Unreached(False)])
        self.assertEqual(self.detailsOf(asked), {"mayHaveHappened": False})
        self.mesh.fault = None
        self.mesh.beat()
        self.assertReset()

    def test_unheardBeat(self) -> None:
        """A beat that nobody receives ends the pair too."""
        self.mesh.fault = self.mesh.unheard
        self.a.peers.beat()
        self.mesh.settle()
        self.mesh.fault = None
        self.mesh.beat()
        self.assertReset()

    def test_unheardIdle(self) -> None:
        """If nothing depends on the pair, that nobody listens costs nothing, and isn't tried for ever."""
        self.link.drop()
        self.mesh.settle()
        self.mesh.fault = self.mesh.unheard
        self.a.peers.gone(self.b.id)
        self.mesh.settle()
        count = len(self.mesh.published)
        self.mesh.beat()
        self.assertEqual((len(self.mesh.published), self.a.peers.resets), (count, 0))


class MalformedTests(PeerCase):
    """What can't be understood costs the pair, and no other."""

    def test_malformed(self) -> None:
        """A packet that can't be decoded ends the pair with its sender."""
        good = encode(Packet(1, self.b.id, 5, 6, 7, (Reset(1),)))
        self.a.peers.received(good[:-2] + b"\xa1a\xc0")
        self.mesh.settle()
        self.assertReset()

    def test_nonsense(self) -> None:
        """Neither does one that makes no sense do anything else: the rest of it is dropped."""
        talk = self.b.peers._peers[self.a.id].talk
        talk.tell(Deliver(messageOf(1), 99))
        talk.tell(Deliver(messageOf(2), ("l",)))
        self.mesh.settle()
        self.assertEqual(len(self.flushLoggedErrors(KeyError)), 1)
        self.assertEqual(self.a.edge.itemsOf("l"), [joinedOf()])
        self.assertReset()


class ConfirmationTests(PeerCase):
    """Packets that the channel has not confirmed."""

    def test_again(self) -> None:
        """They are sent again in order when the channel is connected again. No link notices."""
        self.mesh.fault = self.mesh.fail
        for number in range(3):
            self.link.submit(Send("say", b"\xc0", number))
            self.mesh.settle()
        self.mesh.fault = None
        self.a.peers.resend()
        self.mesh.settle()
        self.assertEqual([frame.n for frame in self.room.links["l"].frames], [0, 1, 2])
        self.assertEqual((self.a.peers.resets, self.b.peers.resets), (0, 0))
        count = len(self.mesh.published)
        self.a.peers.resend()
        self.assertEqual(len(self.mesh.published), count)

    def test_order(self) -> None:
        """Packets of later turns wait until the unconfirmed ones before them have been sent again."""
        self.mesh.fault = self.mesh.fail
        self.link.submit(Send("say", b"\xc0", 0))
        self.mesh.settle()
        self.mesh.fault = None
        self.mesh.published.clear()
        for number in (1, 2):
            self.link.submit(Send("say", b"\xc0", number))
            self.mesh.settle()
        self.assertEqual(self.mesh.published, [])
        self.a.peers.resend()
        self.mesh.settle()
        self.assertEqual([frame.n for frame in self.room.links["l"].frames], [0, 1, 2])
        self.assertEqual(len(self.mesh.published), 2)
        self.assertEqual((self.a.peers.resets, self.b.peers.resets), (0, 0))

    def test_arrived(self) -> None:
        """Those that had arrived are dropped by the other node."""

        def unconfirmed(node: str, data: bytes, done: Any) -> None:
            self.mesh.clock.callLater(0, self.b.peers.received, data)
            self.mesh.clock.callLater(0, done, ConnectionError())

        self.mesh.fault = unconfirmed
        self.link.submit(SEND)
        self.mesh.settle()
        self.mesh.fault = None
        self.a.peers.resend()
        self.mesh.settle()
        self.assertEqual(self.room.links["l"].frames, [SEND])

    def test_beat(self) -> None:
        """If nobody says that the channel is connected, the next beat sends them again."""
        self.mesh.fault = self.mesh.fail
        self.link.submit(SEND)
        self.mesh.settle()
        self.mesh.fault = None
        self.mesh.beat()
        self.assertEqual(self.room.links["l"].frames, [SEND])
        self.assertEqual((self.a.peers.resets, self.b.peers.resets), (0, 0))

    def test_tooMany(self) -> None:
        """If too many messages wait, the pair ends, and nothing is kept."""
        self.patch(sending, "KEPT_SIZE", 10 * sending.MESSAGE_COST)
        self.mesh.fault = self.mesh.fail
        for _ in range(11):
            self.link.submit(SEND)
            self.mesh.settle()
        self.assertEqual(self.a.edge.detached, [(("l",), CloseCode.ROOM_MOVED, "")])
        self.mesh.fault = None
        self.mesh.beat()
        self.mesh.beat()
        self.assertReset()

    def test_tooLarge(self) -> None:
        """If they are too large too."""
        self.patch(sending, "KEPT_SIZE", 1000)
        self.mesh.fault = self.mesh.fail
        self.link.submit(Send("say", b"x" * 2000))
        self.mesh.settle()
        self.assertEqual(self.a.edge.detached, [(("l",), CloseCode.ROOM_MOVED, "")])

    def test_size(self) -> None:
        """Confirmed packets don't count."""
        self.patch(sending, "KEPT_SIZE", 1000)
        for _ in range(10):
            self.link.submit(Send("say", b"x" * 500))
            self.mesh.settle()
        self.assertEqual(self.a.peers.resets, 0)


class EndTests(PeerCase):
    """What the end of a talk does to what was under way."""

    def test_unknownOutcome(self) -> None:
        """What the other node may have received may have happened."""
        self.room.answer = self.b.answer = Deferred()
        answers: list[Any] = []
        self.a.peers.attach(self.b.id, self.a.edge, joinOf("m")).addCallback(answers.append)
        asked = self.a.peers.ask(self.b.id, "room", Lock())
        self.mesh.settle()
        self.a.peers.gone(self.b.id)
        self.assertEqual(answers, [Unreached(True)])
        self.assertEqual(self.detailsOf(asked), {"mayHaveHappened": True})
        self.assertEqual(self.a.edge.detached, [(("l",), CloseCode.ROOM_MOVED, "")])
        self.mesh.settle()
        self.room.answer.callback(None)
        self.mesh.settle()
        self.assertEqual([link.ends for link in self.room.everyLink], [["drop"], ["drop"]])
        self.assertNothingLeft()
        self.assertEqual(self.mesh.clock.getDelayedCalls(), [])

    def test_joined(self) -> None:
        """A client that has got `Joined`, but whose link is not known, is detached, so that it resumes."""
        self.room.answer = Deferred()
        answers: list[Any] = []
        self.a.peers.attach(self.b.id, self.a.edge, joinOf("m")).addCallback(answers.append)
        self.mesh.settle()
        self.outlet.deliver(joinedOf(), ("m",))
        self.mesh.settle()
        self.a.peers.gone(self.b.id)
        self.assertIsInstance(answers[0], RemoteLink)
        self.assertEqual(sorted(links for links, _, _ in self.a.edge.detached), [("l",), ("m",)])

    def test_joining(self) -> None:
        """The rooms that clients of the other node were joining are told that their edge is lost."""
        self.room.answer = Deferred()
        self.a.peers.attach(self.b.id, self.a.edge, joinOf("m"))
        self.mesh.settle()
        self.b.peers.gone(self.a.id)
        self.assertEqual(self.b.edgesGone, [(self.outlet, {"room"})])

    def test_raises(self) -> None:
        """If the end of one link raises, the others end nevertheless."""
        self.mesh.join("m")
        self.room.links["l"].drop = lambda: 1 // 0  # type: ignore[method-assign,assignment]
        self.b.peers.gone(self.a.id)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.room.everyLink[1].ends, ["drop"])

    def test_dead(self) -> None:
        """Links and outlets of a talk that has ended do nothing."""
        self.a.peers.gone(self.b.id)
        self.mesh.settle()
        self.mesh.published.clear()
        self.link.submit(SEND)
        self.link.leave()
        self.outlet.deliver(messageOf(1), ("l",))
        self.outlet.detach(("l",), 4008)
        self.mesh.settle()
        self.assertEqual(self.mesh.published, [])
        self.assertReset()

    def test_asksAgain(self) -> None:
        """A request that has failed may be repeated at once, in the callback: it is in the new talk."""
        self.room.answer = Deferred()
        answers: list[Any] = []

        def again(answer: Any) -> None:
            self.room.answer = None
            self.a.peers.attach(self.b.id, self.a.edge, joinOf("n")).addCallback(answers.append)

        self.a.peers.attach(self.b.id, self.a.edge, joinOf("m")).addCallback(again)
        self.mesh.settle()
        self.a.peers.gone(self.b.id)
        self.mesh.settle()
        self.assertEqual(answers[0].id, "n")
        self.assertEqual(self.a.edge.itemsOf("n"), [joinedOf()])

    def test_reset(self) -> None:
        """The reset goes before everything else of the new talk."""
        self.a.peers.gone(self.b.id)
        self.a.peers.attach(self.b.id, self.a.edge, joinOf("m"))
        self.mesh.settle()
        packet = decode(self.mesh.published[0][1])
        self.assertEqual((packet.seq, packet.to, type(packet.messages[0])), (1, 0, Reset))
        self.assertIn("m", self.room.links)

    def test_failures(self) -> None:
        """A room that raises where it may not costs the pair, not the process."""
        self.room.links["l"].submit = lambda frame: 1 / 0  # type: ignore[method-assign,assignment]
        self.link.submit(SEND)
        self.mesh.settle()
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertReset()
