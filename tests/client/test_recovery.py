"""The Python client after a lost connection: it reconnects, resumes, joins again, or gives up."""

from __future__ import annotations

from typing import Any

from twisted.application.internet import backoffPolicy

from tests.client.case import DEFAULTS, ClientTestCase, FakeWire, membership
from txroom.client import ClientOptions, Loss, Member, Unconfirmed, mayReconnect
from txroom.client.baseclient import BaseClient
from txroom.client.connection import Attempt
from txroom.client.room import Room as ClientRoom


class RecoveryTests(ClientTestCase):
    """Lost connections."""

    def test_resume(self) -> None:
        """`resume` has the token, the epoch and the last offset; nothing else is sent before `joined`."""
        room = self.join(offset=3)
        self.wire.receive("msg", "r1", 5, "n", 5)
        self.wire.receive("msg", "r1", None, "volatile", 0)
        self.wire.end()
        self.assertEqual((room.status, self.client.state), ("away", "waiting"))
        room.send("say", "away")
        self.nextWire()
        room.send("say", "connecting")
        self.wire.open()
        room.send("say", "resuming")
        [resume] = self.wire.take()
        self.assertEqual(
            resume, ["resume", resume[1], "r1", "t1", "e1", 5, resume[6], {"state": 1, "stateVersion": None}]
        )
        self.assertEqual(room.status, "resuming")
        self.resumed(resume)
        self.assertEqual(
            [frame[3:] for frame in self.wire.take()], [["away", 1], ["connecting", 2], ["resuming", 3]]
        )
        self.assertEqual(room.log[2:], [("reconnecting", 1006, ""), ("recovered",)])

    def test_attempts(self) -> None:
        """Attempts to resume are numbered by the time in milliseconds, each greater than the last one."""
        self.join()
        self.clock.advance(1.7e9)
        attempts = []
        for _ in range(3):
            [resume] = self.reconnect()
            attempts.append(resume[6])
        now = int(self.clock.seconds() * 1000)
        self.assertGreater(attempts[0], 1.7e12)
        self.assertLessEqual(attempts[2], now)
        self.assertEqual(attempts, sorted(set(attempts)))
        # Another client has resumed whose clock is an hour ahead.
        ahead = now + 3_600_000
        self.wire.receive("error", resume[1], None, "unavailable", "late", {"attempt": ahead})
        self.clock.advance(30)
        [resume] = self.wire.take()
        self.assertEqual(resume[6], ahead + 1)
        for details in ({"attempt": "x"}, {"attempt": 2**60}, [1], None):
            self.wire.receive("error", resume[1], None, "unavailable", "late", details)
            self.clock.advance(30)
            before, [resume] = resume, self.wire.take()
            self.assertEqual(resume[6], before[6] + 1)

    def test_again(self) -> None:
        """Messages that are not acknowledged are sent again, in order and with their old numbers."""
        room = self.join()
        for i in (1, 2, 3):
            room.send("say", i)
        call = room.call("roll")
        ref = self.wire.take()[3][1]
        self.wire.receive("ack", "r1", 1)
        self.wire.end()
        room.send("say", 5)
        self.nextWire()
        self.wire.open()
        self.resumed(self.wire.take()[0], handled=2)
        self.assertEqual(self.wire.take(), [
            ["send", "r1", "say", 3, 3], ["call", ref, "r1", "roll", None, 4], ["send", "r1", "say", 5, 5],
        ])  # fmt: skip
        self.wire.receive("reply", ref, 6)
        self.assertEqual(self.successResultOf(call), 6)
        self.wire.receive("ack", "r1", 5)
        [resume] = self.reconnect()
        self.resumed(resume, handled=5)
        self.assertEqual(self.wire.take(), [])

    def test_answerAgain(self) -> None:
        """A call that was handled but not answered is sent again to get its answer."""
        room = self.join()
        call = room.call("roll")
        ref = self.wire.take()[0][1]
        self.resumed(self.reconnect()[0], handled=1)
        self.assertEqual(self.wire.take(), [["call", ref, "r1", "roll", None, 1]])
        self.refuse(ref, "replyLost")
        self.assertEqual(self.codeOf(call), "replyLost")

    def test_tokens(self) -> None:
        """Each `joined` has a new token; if a `joined` is lost, the former token is used."""
        self.join()
        self.assertEqual(self.reconnect()[0][3], "t1")
        [resume] = self.reconnect()
        self.assertEqual(resume[3], "t1")
        self.resumed(resume, token="t3")
        self.assertEqual(self.reconnect()[0][3], "t3")

    def test_lost(self) -> None:
        """ "lost" has the snapshot and the members; the numbers continue while the membership is the same."""
        room = self.join(offset=50)
        room.send("say", 1)
        room.send("say", 2)
        [resume] = self.reconnect()
        members = [{"user": "bob", "metas": [{"member": "m2"}]}]
        self.resumed(
            resume, recovered=False, epoch="e2", offset=7, handled=1, snapshot={"board": "x"}, members=members
        )
        self.assertEqual([frame[3:] for frame in self.wire.take()], [[2, 2]])
        loss = Loss({"board": "x"}, [Member("bob", [{"member": "m2"}])], 7, [])
        self.assertEqual(room.log[-1], ("lost", loss))
        self.assertEqual(self.reconnect()[0][3:6], ["t2", "e2", 7])

    def test_forgotten(self) -> None:
        """
        If the server has forgotten the member, the client joins the same room again and lists the
        unconfirmed messages.
        """
        tokens = iter(range(1, 9))
        self.begin(auth=lambda: next(tokens))
        room = self.join("r1", {"name": "ada", "seat": "once"})
        doubtful, call = room.send("say", 1), room.call("roll")
        self.wire.end()
        room.send("say", "never sent")
        self.nextWire()
        self.wire.open()
        self.refuse(self.wire.take()[0][1], "unauthorized")
        [[kind, ref, target, options, _]] = self.wire.take()
        self.assertEqual((kind, target, options), ("joinById", "r1", {"name": "ada", "auth": 2}))
        self.wire.receive("joined", ref, "r1", membership(member="m7", offset=9, snapshot="s"))
        self.assertEqual(self.wire.take(), [["send", "r1", "say", "never sent", 1]])
        self.assertEqual(doubtful.error.code, "replyLost")
        self.assertEqual(self.codeOf(call), "replyLost")
        unconfirmed = [Unconfirmed("say", 1), Unconfirmed("roll", None)]
        self.assertEqual(room.log[-1], ("lost", Loss("s", [], 9, unconfirmed)))

    def test_roomGone(self) -> None:
        """
        If the room does not exist any more, the client joins another one by the name it joined at first.
        """
        room = self.join("r1")
        self.refuse(self.reconnect()[0][1], "noSuchRoom")
        self.refuse(self.wire.take()[0][1], "noSuchRoom")
        [[kind, ref, target, *_]] = self.wire.take()
        self.assertEqual((kind, target), ("join", "chat"))
        self.wire.receive("joined", ref, "r2", membership(member="m2"))
        self.assertEqual((room.id, self.client.joined), ("r2", [room]))
        self.wire.receive("msg", "r2", 1, "n", 1)
        self.wire.receive("msg", "r1", 2, "n", 2)
        self.assertEqual(room.log[-1], ("n", 1, 1))

    def test_roomGoneForGood(self) -> None:
        """The room ends if it was created or joined by its id, or if `rejoin` is off."""
        for method, rejoin in (("create", True), ("joinById", True), ("joinOrCreate", False)):
            self.begin(rejoin=rejoin)
            joining = getattr(self.client, method)("r1")
            self.wire.open()
            self.wire.receive("joined", 1, "r1", membership())
            room = self.successResultOf(joining)
            ends: list[Any] = []
            room.on("left", lambda *args, ends=ends: ends.append(args))
            self.clock.advance(0)
            self.refuse(self.reconnect()[0][1], "noSuchRoom", "gone")
            for join in self.wire.take():
                self.refuse(join[1], "noSuchRoom", "gone")
            self.assertEqual(ends, [(4004, "gone")], method)

    def test_rejoinMeets(self) -> None:
        """If the client joins a room again that it is in already, one of the two memberships ends."""
        one, two = self.join("r1"), self.join("r2", member="m2")
        self.wire.receive("left", "r1", 4104, "")
        self.clock.advance(0.2)
        self.refuse(self.wire.take()[0][1], "noSuchRoom")
        self.refuse(self.wire.take()[0][1], "noSuchRoom")
        ref = self.wire.take()[0][1]
        self.wire.receive("joined", ref, "r2", membership(member="m2", token="u2"))
        self.assertEqual(one.log[-1][:2], ("left", 4008))
        self.assertEqual((two.log, self.client.joined), ([], [two]))

    def test_rejoinOvertaken(self) -> None:
        """If a room was left while the client was joining it again, it is left again after the answer."""
        room = self.join()
        self.refuse(self.reconnect()[0][1], "roomGone")
        ref = self.wire.take()[0][1]
        leaving = room.leave()
        self.clock.advance(DEFAULTS.leaveTimeout)
        self.successResultOf(leaving)
        self.wire.receive("joined", ref, "r1", membership(member="m2"))
        self.assertEqual([frame[0] for frame in self.wire.take()], ["leave"])

    def test_refusedForGood(self) -> None:
        """A resume that is refused with a permanent error ends the room."""
        room = self.join()
        self.refuse(self.reconnect()[0][1], "forbidden", "banned")
        self.assertEqual(room.log[-1], ("left", 4003, "banned"))

    def test_refusedForNow(self) -> None:
        """
        A resume that is refused with a temporary error is tried again on the same connection, with growing
        delays.
        """
        room = self.join()
        [resume] = self.reconnect()
        for delay in (0.125, 0.25, 0.5):
            self.refuse(resume[1], "unavailable")
            self.assertEqual(room.status, "away")
            self.clock.advance(delay - 0.01)
            self.assertEqual(self.wire.take(), [])
            self.clock.advance(0.01)
            [resume] = self.wire.take()
        self.resumed(resume)
        self.assertEqual((room.status, len(self.wires)), ("joined", 2))

    def test_mistakeOfServer(self) -> None:
        """After five errors "internal" in a row the client gives up and reports the error."""
        room = self.join()
        errors: list[Any] = []
        room.on("error", errors.append)
        self.wire.end()
        self.nextWire()
        self.wire.open()
        for code in ["internal"] * 4 + ["unavailable"] + ["internal"] * 4:
            self.rejoinRefused(code)
            self.assertEqual(room.status, "away")
            self.clock.advance(DEFAULTS.maxDelay)
        self.rejoinRefused("internal")
        self.assertEqual([error.code for error in errors], ["internal"])
        self.assertEqual((room.log[-1], self.client.joined), (("left", 4008, "internal"), []))

    def rejoinRefused(self, code: str) -> None:
        """The server has forgotten the member, and refuses to let it join again."""
        self.refuse(self.wire.take()[0][1], "roomGone")
        self.refuse(self.wire.take()[0][1], code)

    def test_notAnswered(self) -> None:
        """If a resume is not answered, the client drops the connection."""
        self.begin(pingInterval=0)
        self.join()
        self.reconnect()
        self.clock.advance(DEFAULTS.requestTimeout)
        self.assertEqual((self.client.state, self.wire.closed), ("waiting", (0, "")))

    def test_leftAndBack(self) -> None:
        """After `left` with a code from 4100 to 4199 the room resumes over the same connection."""
        for code in (4100, 4101, 4103, 4104, 4199):
            self.begin()
            room, other = self.join(), self.join("r2", member="m2")
            room.send("say", 1)
            self.wire.take()
            self.wire.receive("left", "r1", code, "moved")
            room.send("say", 2)
            self.clock.advance(0.125)
            [resume] = self.wire.take()
            # The end of the former connection has no effect.
            self.wire.receive("left", "r1", 4005, "replaced")
            self.wire.receive("msg", "r1", 9, "n", "of the former link")
            self.resumed(resume, handled=1)
            self.assertEqual([frame[3:] for frame in self.wire.take()], [[2, 2]])
            self.assertEqual(room.log, [("reconnecting", code, "moved"), ("recovered",)])
            self.assertEqual((other.status, len(self.wires)), ("joined", 1))

    def test_left(self) -> None:
        """After `left` with any other code the room ends, and the connection stays open."""
        for code in (1000, 4001, 4003, 4004, 4005, 4008, 4010, 4029, 4099):
            self.begin()
            room = self.join()
            call = room.call("roll")
            self.wire.receive("left", "r1", code, "why")
            self.assertEqual(room.log, [("left", code, "why")])
            self.assertEqual(self.codeOf(call), "roomGone")
            self.assertEqual(self.client.state, "open")
            self.wire.end(code)
            self.assertEqual(self.client.state, "idle")

    def test_codes(self) -> None:
        """The close code decides whether the client reconnects."""
        back = (1000, 1001, 1005, 1006, 1011, 1012, 1013, 1014, 3000, 4100, 4102, 4106, 4199, 4500)
        final = (1002, 1003, 1007, 1008, 1009, 1010, 4000, 4001, 4003, 4005, 4010, 4029, 4099)
        for code in (*back, *final):
            self.begin()
            room = self.join()
            ends: list[Any] = []
            self.client.on("disconnected", lambda *args, ends=ends: ends.append(args))
            self.wire.end(code, "because")
            self.clock.advance(5)
            isBack = code in back
            self.assertEqual(mayReconnect(code), isBack)
            self.assertEqual((len(self.wires), room.status), (2, "away") if isBack else (1, "left"), code)
            self.assertEqual(ends, [] if isBack else [(code, "because")])
            self.client.close()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_backoff(self) -> None:
        """The delay doubles up to its limit, half of it is random, and the event has it."""
        for random, expected in (
            (0.0, [0.125, 0.25, 0.5, 1, 2, 4, 5, 5]),
            (1.0, [0.25, 0.5, 1, 2, 4, 8, 10, 10]),
        ):
            self.begin(random=lambda random=random: random)
            self.join()
            told: list[Any] = []
            self.client.on("reconnecting", lambda code, reason, *rest, told=told: told.append(rest))
            delays = []
            for _ in expected:
                self.wire.end()
                delays.append(self.nextWire())
            self.assertEqual(delays, expected)
            self.assertEqual(told, [(index + 1, delay) for index, delay in enumerate(expected)])

    def test_policy(self) -> None:
        """Twisted's own retry policies can be used."""
        self.begin(retryPolicy=backoffPolicy(1, 60, 1.5, lambda: 0.5))
        self.join()
        delays = []
        for _ in range(3):
            self.wire.end()
            delays.append(self.nextWire())
        self.assertEqual(delays, [1.5, 2.0, 2.75])

    def test_stable(self) -> None:
        """The delay starts again from its minimum after a long connection, not after a short one."""
        self.join()
        delays = []
        for uptime in (0, 0, DEFAULTS.stableAfter - 0.1, DEFAULTS.stableAfter):
            self.clock.advance(uptime)
            self.wire.end()
            delays.append(self.nextWire())
            self.wire.open()
            self.resumed(self.wire.take()[0])
        self.assertEqual(delays, [0.125, 0.25, 0.5, 0.125])

    def test_maxAttempts(self) -> None:
        """The client gives up after `maxAttempts`."""
        self.begin(maxAttempts=2)
        room = self.join()
        for _ in range(2):
            self.wire.end()
            self.nextWire()
        self.wire.end(1006, "refused")
        self.assertEqual((self.client.state, room.log[-1]), ("idle", ("left", 1006, "refused")))

    def test_bye(self) -> None:
        """The client waits once as long as the server asks, with a random addition."""
        for random, expected in ((0.0, 7.125), (1.0, 7 * 1.2 + 0.25)):
            self.begin(random=lambda random=random: random)
            self.join()
            byes: list[Any] = []
            self.client.on("bye", lambda *args, byes=byes: byes.append(args))
            self.wire.receive("bye", 4100, 7)
            self.wire.end(4100)
            self.assertEqual(self.nextWire(), round(expected, 3))
            self.wire.end()
            self.assertLess(self.nextWire(), 1)
            self.wire.end(retryAfter=3)
            self.assertGreater(self.nextWire(), 3)
            self.assertEqual(byes, [(4100, 7)])

    def test_byeForGood(self) -> None:
        """The code of `bye` counts if the close code is 1006."""
        room = self.join()
        self.wire.receive("bye", 4001, 0)
        self.wire.end(1006)
        self.assertEqual((room.status, self.client.state), ("left", "idle"))

    def test_heartbeat(self) -> None:
        """A server that is silent after a heartbeat counts as lost; any frame shows that it is there."""
        room = self.join()
        for i in range(1, 20):
            self.clock.advance(DEFAULTS.pingTimeout - 0.1)
            self.wire.receive("msg", "r1", i, "n", i)
        self.assertEqual(len(self.wires), 1)
        first = self.wire
        self.clock.pump([1] * 36)
        self.assertEqual((room.status, first.closed), ("away", (0, "")))
        first.receive("msg", "r1", 99, "n", "from the dead")
        first.end(4005)
        self.assertEqual((room.offset, room.status), (19, "away"))

    def test_notOpen(self) -> None:
        """A connection that does not open in time, or opens with another sub-protocol, is given up."""
        joining = self.client.join("chat")
        self.clock.advance(DEFAULTS.connectTimeout)
        self.assertEqual(self.wires[0].closed, (0, ""))
        self.nextWire()
        self.wire.open("txroom.v2.json")
        self.assertEqual(self.wire.closed, (4010, "the server chose the sub-protocol txroom.v2.json"))
        self.nextWire()
        self.wire.open(None)
        self.wire.receive("joined", self.wire.take()[0][1], "r1", membership())
        self.successResultOf(joining)

    def test_reconnect(self) -> None:
        """`reconnect` closes the connection and opens another one after any delay."""
        room = self.join()
        self.client.reconnect(3)
        self.assertEqual(room.status, "away")
        self.assertEqual(self.nextWire(), 3)
        self.wire.end()
        self.client.reconnect()
        self.assertEqual(self.nextWire(), 0)

    def test_final(self) -> None:
        """After a final close code the next join connects again."""
        self.join()
        self.wire.end(4005)
        self.assertEqual(self.client.state, "idle")
        self.assertEqual(self.join("r2").status, "joined")

    def test_atOnce(self) -> None:
        """A connection may fail before the transport returns."""
        attempts: list[Attempt] = []

        def refuse(attempt: Attempt) -> FakeWire:
            attempts.append(attempt)
            attempt.lost(1006, "refused")
            return FakeWire(attempt)

        session = BaseClient(refuse, self.clock, ClientRoom, ClientOptions(maxAttempts=3, minDelay=0))
        joining = session.join("chat")
        self.clock.pump([0] * 5)
        self.assertEqual((self.codeOf(joining), len(attempts)), ("unavailable", 4))
