"""Tests for the way into rooms, wherever they are."""

from __future__ import annotations

from functools import partial
from typing import Any, cast

from twisted.internet.defer import Deferred, fail, succeed
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from tests.case import fired
from txroom import RoomError
from txroom.core.codes import ErrorCode
from txroom.engine.redis.entrance import FIND_SECONDS, LONGEST, PATIENCE, Entrance
from txroom.engine.redis.here import Here, Owned
from txroom.engine.redis.locating import AtNode, Orphan, Place, Where
from txroom.engine.redis.outgoing import ElsewhereError
from txroom.engine.redis.remote import Unreached
from txroom.engine.redis.waiting import Waits
from txroom.rooms.contract.arrivals import Join, Refused, Resume
from txroom.rooms.contract.asks import CheckResume, Lock, unanswered
from txroom.rooms.contract.ports import ASK_SECONDS, NO_SUCH_ID

ORPHAN = Orphan("r", "/rooms", "chat", 1, "token", True, None)
NOWHERE = Refused(ErrorCode.NO_SUCH_ROOM, NO_SUCH_ID)
UNAVAILABLE = Refused(ErrorCode.UNAVAILABLE)
ELSEWHERE = Unreached(False, isElsewhere=True)


class StubHost:
    """An owner at this node, which answers at once."""

    id = "r"

    def __init__(self) -> None:
        self.arrivals: list[tuple[Any, Any]] = []
        self.commands: list[Any] = []
        #: How much time each command has had left.
        self.seconds: list[float] = []
        self.answer: Deferred[Any] | None = None

    def attach(self, outlet: Any, arrival: Any) -> Deferred[Any]:
        self.arrivals.append((outlet, arrival.link))
        return self.answer or succeed("link")

    def ask(self, command: Any, seconds: float) -> Deferred[Any]:
        self.commands.append(command)
        self.seconds.append(seconds)
        return self.answer or succeed("done")


class StubLocator:
    """Says that the room is at one place after the other; the last one counts from then on."""

    def __init__(self) -> None:
        self.guessed: Place | None = None
        self.places: list[Any] = [Where.UNKNOWN]
        #: The nodes that were said not to have the room.
        self.asked: list[str] = []

    def guess(self, room: str) -> Place | None:
        return self.guessed

    async def ask(self, room: str, notAt: str = "") -> Any:
        self.asked.append(notAt)
        place = self.places.pop(0) if len(self.places) > 1 else self.places[0]
        return await place if isinstance(place, Deferred) else place


class StubOwning:
    """Takes rooms over as the test wants."""

    def __init__(self, case: EntranceTests) -> None:
        self._case = case
        self.taking = False
        self.quarantined = False
        self.taken: list[Place] = []
        #: Whether the room is here after the next takeovers.
        self.outcomes = [True]
        #: How long a takeover takes.
        self.takes = 0.0

    def isTaking(self, room: str) -> bool:
        return self.taking

    def isQuarantined(self, room: str) -> bool:
        return self.quarantined

    def take(self, room: str, place: Place) -> Deferred[bool]:
        self.taken.append(place)
        isHere = self.outcomes.pop(0)

        def over(_: object = None) -> bool:
            if isHere:
                self._case.open()
            return isHere

        return deferLater(self._case.clock, self.takes).addCallback(over) if self.takes else succeed(over())


class StubPeers:
    """The other nodes, which answer as the test wants."""

    def __init__(self) -> None:
        self.arrivals: list[tuple[str, Any, str]] = []
        self.asks: list[tuple[str, float]] = []
        self.answers: list[Any] = []

    def attach(self, node: str, outlet: Any, arrival: Any) -> Deferred[Any]:
        self.arrivals.append((node, outlet, arrival.link))
        return self._answer()

    def ask(self, node: str, room: str, command: Any, seconds: float) -> Deferred[Any]:
        self.asks.append((node, seconds))
        return self._answer()

    def _answer(self) -> Deferred[Any]:
        answer = self.answers.pop(0)
        if isinstance(answer, Deferred):
            return answer
        return fail(answer) if isinstance(answer, Exception) else succeed(answer)


class StubLease:
    """The lease of this node."""

    isFresh = True


class EntranceTests(SynchronousTestCase):
    """What the tests of both ways share."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.waits = Waits(self.clock)
        self.here = Here()
        self.locator = StubLocator()
        self.owning = StubOwning(self)
        self.peers = StubPeers()
        locator, owning, peers = cast(Any, (self.locator, self.owning, self.peers))
        guarded = cast(Any, lambda outlet: f"guarded {outlet}")
        self.lease = StubLease()
        lease = cast(Any, self.lease)
        self.entrance = Entrance(self.waits, self.here, locator, owning, peers, guarded, lease)

    def open(self) -> StubHost:
        """The room is here."""
        host = StubHost()
        self.here.add(Owned(cast(Any, host), "/rooms", 1))
        return host

    @property
    def host(self) -> Any:
        """The owner of the room here."""
        return self.here.host("r")

    def advance(self, seconds: float) -> None:
        """Let time pass, in steps that are shorter than each pause."""
        for _ in range(round(seconds / LONGEST)):
            self.clock.advance(LONGEST)


class AttachTests(EntranceTests):
    """Joining and resuming."""

    def attach(self, link: str = "l") -> list[Any]:
        outlet: Any = "outlet"
        return fired(self.entrance.attach(outlet, Join(link=link, session="s", room="r")))

    def test_here(self) -> None:
        """A room that is here is joined at once; what it sends is guarded."""
        host = self.open()
        self.assertEqual((self.attach(), host.arrivals), (["link"], [("guarded outlet", "l")]))
        self.assertEqual(self.locator.asked, [])

    def test_there(self) -> None:
        """A room at another node is joined there. Its own guard is that of its node."""
        self.locator.guessed = AtNode("a")
        self.peers.answers = ["link", NOWHERE]
        self.assertEqual((self.attach(), self.attach("m")), (["link"], [NOWHERE]))
        self.assertEqual(self.peers.arrivals, [("a", "outlet", "l"), ("a", "outlet", "m")])
        self.assertEqual(self.locator.asked, [])

    def test_nowhere(self) -> None:
        """There is no such room."""
        self.locator.places = [Where.NOWHERE]
        self.assertEqual(self.attach(), [NOWHERE])

    def test_orphan(self) -> None:
        """A room that no node has is taken over first."""
        self.locator.places = [ORPHAN]
        self.assertEqual((self.attach(), self.owning.taken), (["link"], [ORPHAN]))
        self.assertEqual(self.host.arrivals, [("guarded outlet", "l")])

    def test_handedOver(self) -> None:
        """So is a room that was handed over, although it is listed at its former node, which is alive."""
        self.locator.guessed = AtNode("a")
        self.locator.places = [ORPHAN]
        self.peers.answers = [ELSEWHERE]
        self.assertEqual((self.attach(), self.owning.taken), (["link"], [ORPHAN]))

    def test_slower(self) -> None:
        """If another node takes it over, the client goes there."""
        self.locator.places = [ORPHAN, AtNode("a")]
        self.owning.outcomes = [False]
        self.peers.answers = ["link"]
        joined = self.attach()
        self.assertEqual(joined, [])
        self.clock.advance(LONGEST)
        self.assertEqual(joined, ["link"])

    def test_quarantined(self) -> None:
        """A room that must not be taken over now is unavailable, and nobody waits for that."""
        self.locator.places = [ORPHAN]
        self.owning.outcomes = [False]
        self.owning.quarantined = True
        self.assertEqual(self.attach(), [UNAVAILABLE])

    def test_elsewhere(self) -> None:
        """If the node doesn't have the room, Redis is asked, which then knows which node it can't be."""
        self.locator.guessed = AtNode("a")
        self.locator.places = [AtNode("b")]
        self.peers.answers = [ELSEWHERE, "link"]
        joined = self.attach()
        self.clock.advance(LONGEST)
        self.assertEqual((joined, self.locator.asked), (["link"], ["a"]))
        self.assertEqual([node for node, _, _ in self.peers.arrivals], ["a", "b"])

    def test_lost(self) -> None:
        """If the node doesn't answer, it may have the room, and is asked again after a pause."""
        self.locator.guessed = AtNode("a")
        self.locator.places = [AtNode("a")]
        self.peers.answers = [Unreached(True), "link"]
        joined = self.attach()
        self.assertEqual((joined, self.locator.asked), ([], [""]))
        self.clock.advance(LONGEST)
        self.assertEqual(joined, ["link"])

    def test_moved(self) -> None:
        """If the room has come to this node meanwhile, the client joins it here."""
        self.locator.guessed = AtNode("a")
        answer: Deferred[Any] = Deferred()
        self.peers.answers = [answer]
        joined = self.attach()
        host = self.open()
        self.locator.guessed = self.locator.places[0] = Where.HERE
        answer.callback(ELSEWHERE)
        self.clock.advance(LONGEST)
        self.assertEqual((joined, host.arrivals), (["link"], [("guarded outlet", "l")]))

    def test_patience(self) -> None:
        """A client waits for so long that a lease can expire, and not longer; the pauses get longer."""
        joined = self.attach()
        self.advance(PATIENCE - 1)
        self.assertEqual(joined, [])
        self.advance(1.5)
        self.assertEqual(joined, [UNAVAILABLE])
        self.assertLess(len(self.locator.asked), 2 * PATIENCE + 10)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stopped(self) -> None:
        """With the node, waiting ends."""
        joined = self.attach()
        self.waits.stop()
        self.assertEqual(joined, [UNAVAILABLE])

    def test_order(self) -> None:
        """The requests for one room reach it in their order, also when the later ones need not wait."""
        place: Deferred[Place] = Deferred()
        self.locator.places = [place]
        first = self.attach("first")
        host = self.open()
        second = self.attach("second")
        self.assertEqual((first, second, host.arrivals), ([], [], []))
        self.locator.places = [Where.HERE]
        place.callback(Where.HERE)
        self.assertEqual((first, second), (["link"], ["link"]))
        self.assertEqual([link for _, link in host.arrivals], ["first", "second"])

    def test_taking(self) -> None:
        """While this node takes the room over, clients wait for that."""
        self.owning.taking = True
        host = self.open()
        self.owning.outcomes = [False]
        joined = self.attach()
        self.assertEqual((joined, host.arrivals), ([], []))
        self.owning.taking = False
        self.locator.guessed = self.locator.places[0] = Where.HERE
        self.clock.advance(LONGEST)
        self.assertEqual(joined, ["link"])

    def test_from(self) -> None:
        """A client of another node joins a room that is here, through the outlet of that node."""
        arrival = Join(link="l", session="s", room="r")
        outlet: Any = "outlet"
        self.assertIsNone(self.entrance.attachFrom(outlet, arrival))
        host = self.open()
        answer = self.entrance.attachFrom(outlet, arrival)
        assert answer is not None
        self.assertEqual((fired(answer), host.arrivals), (["link"], [("outlet", "l")]))
        self.owning.taking = True
        self.assertIsNone(self.entrance.attachFrom(outlet, arrival))

    def test_doubtful(self) -> None:
        """
        A room whose node was suspended may have another owner, which has given a client its newest token. So
        while the lease isn't fresh, a client that it does not know has to try again.
        """
        unauthorized = Refused(ErrorCode.UNAUTHORIZED)
        outlet: Any = "outlet"
        resume = Resume(link="l", session="s", room="r", token="t", epoch="e", offset=0)
        host = self.open()

        def results(answer: Any) -> list[Any]:
            host.answer = succeed(answer)
            here = fired(self.entrance.attach(outlet, resume))
            host.answer = succeed(answer)
            there = self.entrance.attachFrom(outlet, resume)
            assert there is not None
            return here + fired(there)

        self.assertEqual(results(unauthorized), [unauthorized] * 2)
        self.lease.isFresh = False
        self.assertEqual(results(unauthorized), [UNAVAILABLE] * 2)
        self.assertEqual(results("link"), ["link"] * 2)
        host.answer = succeed(unauthorized)
        self.assertEqual(self.attach(), [unauthorized])  # it joins, so that it has no token


class AskTests(EntranceTests):
    """Commands."""

    def ask(self) -> list[Any]:
        return fired(self.entrance.ask("r", Lock()))

    def assertUnanswered(self, result: list[Any], mayHaveHappened: bool) -> None:
        """The command has ended without an answer."""
        (failure,) = result
        details = {"mayHaveHappened": mayHaveHappened}
        self.assertEqual((failure.value.code, failure.value.details), ("unavailable", details))

    def test_here(self) -> None:
        """A room that is here is asked at once."""
        host = self.open()
        self.assertEqual((self.ask(), host.commands), (["done"], [Lock()]))

    def test_there(self) -> None:
        """A room at another node is asked there, in the time that is left."""
        self.locator.guessed = AtNode("a")
        self.peers.answers = ["done", RoomError("locked")]
        self.assertEqual((self.ask(), self.peers.asks), (["done"], [("a", FIND_SECONDS)]))
        self.assertEqual(self.ask()[0].value.code, "locked")

    def test_nowhere(self) -> None:
        """There is no such room."""
        self.locator.places = [Where.NOWHERE]
        self.assertEqual(self.ask()[0].value.code, "noSuchRoom")

    def test_orphan(self) -> None:
        """A room that no node has is taken over first."""
        self.locator.places = [ORPHAN]
        self.assertEqual((self.ask(), self.host.commands), (["done"], [Lock()]))

    def test_handedOver(self) -> None:
        """So is a room that was handed over, although it is listed at its former node, which is alive."""
        self.locator.guessed = AtNode("a")
        self.locator.places = [ORPHAN]
        self.peers.answers = [ElsewhereError()]
        done = self.ask()
        self.clock.advance(LONGEST)
        self.assertEqual((done, self.owning.taken), (["done"], [ORPHAN]))

    def test_orphanLate(self) -> None:
        """
        If a takeover takes longer than a command waits, nothing has happened, and nothing happens afterwards:
        the caller may have asked again.
        """
        self.locator.places = [ORPHAN]
        self.owning.takes = 7.0
        result = self.ask()
        self.advance(ASK_SECONDS)
        self.assertUnanswered(result, False)
        self.advance(5)
        self.assertEqual(self.host.commands, [])

    def test_orphanSlow(self) -> None:
        """After a takeover, the room has only the time that is left."""
        self.locator.places = [ORPHAN]
        self.owning.takes = 3.0
        result = self.ask()
        self.advance(3)
        self.assertEqual((result, self.host.seconds), (["done"], [FIND_SECONDS - 3]))

    def test_elsewhere(self) -> None:
        """If the node doesn't have the room, nothing has happened, and the command goes to the next place."""
        self.locator.guessed = AtNode("a")
        self.locator.places = [AtNode("b")]
        self.peers.answers = [ElsewhereError(), "done"]
        done = self.ask()
        self.assertEqual(done, [])
        self.clock.advance(LONGEST)
        self.assertEqual((done, self.locator.asked), (["done"], ["a"]))
        (_, first), (node, left) = self.peers.asks
        self.assertEqual(node, "b")
        self.assertLess(left, first)

    def test_unknown(self) -> None:
        """If the room can't be found in time, nothing has happened."""
        result = self.ask()
        self.advance(ASK_SECONDS)
        self.assertUnanswered(result, False)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_unanswered(self) -> None:
        """If the room doesn't answer in time, it may have happened, here and there."""
        self.open().answer = Deferred()
        here = self.ask()
        self.here.remove(self.host)
        self.locator.guessed = AtNode("a")
        self.peers.answers = [Deferred()]
        there = self.ask()
        self.advance(ASK_SECONDS)
        for result in (here, there):
            self.assertUnanswered(result, True)

    def test_leaving(self) -> None:
        """
        A room that leaves before it has carried out a command is asked at its next owner, if nothing has
        happened. Another node that has asked it is told that it isn't here.
        """
        asks = (self.ask, lambda: fired(cast(Any, self.entrance.askFrom("r", Lock(), 2.0))))
        results = []
        for ask in asks:
            for error in (unanswered(False), unanswered(True), RoomError(ErrorCode.LOCKED)):
                answer: Deferred[Any] = Deferred()
                self.open().answer = answer
                result = ask()
                self.here.remove(self.host)
                self.locator.guessed = self.locator.places[0] = AtNode("a")
                self.peers.answers = ["done"]
                answer.errback(error)
                self.clock.advance(LONGEST)
                results.append(result[0])
        done, mayHaveHappened, locked, elsewhere, *others = results
        self.assertEqual((done, len(self.peers.asks)), ("done", 1))
        self.assertUnanswered([mayHaveHappened], True)
        self.assertEqual(locked.value.code, "locked")
        elsewhere.trap(ElsewhereError)
        self.assertUnanswered(others[:1], True)
        self.assertEqual(others[1].value.code, "locked")
        for failure in others:
            failure.trap(RoomError)

    def test_staying(self) -> None:
        """The same error of a room that stays is the answer."""
        self.open().answer = fail(unanswered(False))
        self.assertUnanswered(self.ask(), False)

    def test_leavesAgain(self) -> None:
        """The next owner may be at this node again, and leave, too."""
        first: Deferred[Any] = Deferred()
        second: Deferred[Any] = Deferred()
        self.open().answer = first
        done = self.ask()
        self.here.remove(self.host)
        self.locator.guessed = None
        self.locator.places = [ORPHAN, AtNode("a")]
        self.patch(StubHost, "ask", lambda host, command, seconds: second)
        first.errback(unanswered(False))
        self.assertEqual((done, len(self.owning.taken)), ([], 1))
        self.here.remove(self.host)
        self.peers.answers = ["done"]
        second.errback(unanswered(False))
        self.clock.advance(LONGEST)
        self.assertEqual(done, ["done"])

    def test_from(self) -> None:
        """Another node asks a room that is here."""
        self.assertIsNone(self.entrance.askFrom("r", Lock(), 2.0))
        host = self.open()
        answer = self.entrance.askFrom("r", Lock(), 2.0)
        assert answer is not None
        self.assertEqual((fired(answer), host.commands), (["done"], [Lock()]))
        self.assertEqual(host.seconds, [2.0])
        self.owning.taking = True
        self.assertIsNone(self.entrance.askFrom("r", Lock(), 2.0))

    def test_doubtful(self) -> None:
        """While the lease isn't fresh, a room does not say that a client has lost its membership."""
        host = self.open()

        def results() -> list[Any]:
            failures = []
            for ask in (self.entrance.ask, partial(self.entrance.askFrom, seconds=2.0)):
                host.answer = fail(RoomError(ErrorCode.UNAUTHORIZED))
                asked: Deferred[Any] | None = ask("r", CheckResume("t"))
                assert asked is not None
                failures.append(self.failureResultOf(asked).value.code)
            return failures

        self.assertEqual(results(), ["unauthorized"] * 2)
        self.lease.isFresh = False
        self.assertEqual(results(), ["unavailable"] * 2)
