"""What a member may cost: bytes that are kept for it, that wait for it, and that it is sent for little."""

from __future__ import annotations

import tracemalloc
from typing import Any
from unittest import mock

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.rooms.case import MSGPACK, NotingRoom, Player, RoomTestCase, onBothEngines
from txroom import Client, History, RoomApplication, RoomError, message
from txroom.core.handshake import Handshake
from txroom.core.headers import FEW, Headers, MultiDict
from txroom.rooms.contract.commands import Send
from txroom.rooms.owner.budget import HARD, Budget
from txroom.rooms.owner.calls import MAX_CALLS
from txroom.rooms.owner.inbox import WAITING_SIZE
from txroom.rooms.owner.member import REPLIES_SIZE


class MeasuredCase(RoomTestCase):
    """Tests that look at the members and logs of a room."""

    def member(self, player: Player) -> Any:
        return self.room(player)._host.members[player.joined["member"]]

    def forgotten(self, *players: Player) -> None:
        """What the clients of the test were sent is no memory of the server's."""
        for player in players:
            player.client.received.clear()
            player._seen = 0


class MemberTests(MeasuredCase):
    """Bounds in bytes."""

    def test_replies(self) -> None:
        """The newest answers are kept, up to a number of bytes, and only their data; the others are lost."""
        size = 60_000

        class Chat(NotingRoom):
            @message("map")
            def map(self, client: Client, data: int) -> str:
                return "x" * data

        self.rooms(Chat)
        ada = self.joined()
        for n in range(1, 20):
            self.assertEqual(ada.call("map", size, n)[0], "reply")
        member = self.member(ada)
        self.assertLessEqual(sum(len(reply.data) for reply in member.replies.values()), REPLIES_SIZE)
        self.assertEqual(list(member.replies), [16, 17, 18, 19])
        self.assertEqual([hasattr(reply, "frames") for reply in member.replies.values()], [False] * 4)
        self.assertEqual(ada.call("map", size, 19)[0], "reply")
        self.assertEqual(ada.call("map", size, 15)[3], "replyLost")
        ada.call("map", 2 * REPLIES_SIZE, 20)
        self.assertEqual(list(member.replies), [20])
        self.assertEqual(ada.call("map", 2 * REPLIES_SIZE, 20)[0], "reply")
        ada.call("map", 1, 21)
        self.assertEqual((list(member.replies), member.repliesSize), ([21], 2))

    def test_waiting(self) -> None:
        """The messages behind a handler that hangs are bounded; more are refused, in their turn."""
        gate = self.waitingRooms("slow")
        ada = self.joined()
        ada.send("slow", None, 1)
        data = "y" * (WAITING_SIZE // 4)
        for n in range(2, 8):
            ada.send("say", data, n)
        ada.send("say", data)  # without a number: at once
        self.assertEqual([frame[3] for frame in ada.take("error")], ["rateLimited"])
        member = self.member(ada)
        held = [arg.data for _, args in member.mailbox._jobs for arg in args if isinstance(arg, Send)]
        self.assertLessEqual(sum(map(len, held)), WAITING_SIZE)
        self.assertEqual((len(member.mailbox), member.waitingSize), (6, sum(map(len, held))))
        gate.callback(None)
        self.settle()
        self.assertEqual([frame[3] for frame in ada.take("error")], ["rateLimited"] * 3)
        self.assertEqual((member.handled, member.waitingSize), (7, 0))
        self.assertEqual(ada.call("say", "more", 8)[0], "reply")

    def test_oneWaits(self) -> None:
        """One frame may wait, however large."""
        gate = self.waitingRooms("slow")
        ada = self.joined()
        member = self.member(ada)
        ada.send("slow")
        self.room()._host._parts.inbox.take(member, Send("say", b'"' + b"x" * WAITING_SIZE + b'"'))
        gate.callback(None)
        self.settle()
        self.assertEqual(len(ada.said()[0]), WAITING_SIZE)

    def test_calls(self) -> None:
        """A client that answers nothing isn't asked for ever."""
        self.rooms()
        ada = self.joined()
        client = self.room().clients[0]
        calls = [client.call("question") for _ in range(MAX_CALLS)]
        self.assertEqual(self.failureResultOf(client.call("question"), RoomError).value.code, "rateLimited")
        ada.write("reply", ada.room, 1, "yes")
        self.assertEqual(self.successResultOf(calls[0]), "yes")
        client.call("question").addErrback(lambda _: None)
        for call in calls[1:]:
            call.addErrback(lambda _: None)

    def test_options(self) -> None:
        """Options are kept as their bytes, and are what they were."""
        self.rooms()
        options: Any = {"a": [{"b": 1}] * 300, "auth": "secret"}
        ada = self.joined(**options)
        member = self.member(ada)
        self.assertEqual(dict(member.client.options), {"a": options["a"]})
        self.assertIsInstance(member._options, bytes)
        self.assertLess(len(member._options), 2000)
        ada.client.drop()
        self.settle()
        self.assertEqual(member.record().options, {"a": options["a"]})


class LogTests(MeasuredCase):
    """What the logs are said to weigh is what they hold."""

    def held(self, protocols: list[str | None], data: Any, count: int, **settings: Any) -> tuple[int, int]:
        """Bytes that a room holds for its messages, and what the budget says of it."""
        self.rooms(app=RoomApplication(totalRecoverySize=1 << 30), recoverySize=0, **settings)
        players = [self.joined(protocol=protocol) for protocol in protocols]
        room = self.room()
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(count):
                room.broadcast("said", data)
                self.settle()
                self.forgotten(*players)
            used = tracemalloc.get_traced_memory()[0] - before
        finally:
            tracemalloc.stop()
        assert self.app._budget is not None
        return used, self.app._budget.used

    def test_weight(self) -> None:
        """Payload and frames, in each dialect that is spoken, however long JSON makes it; history too."""
        for data, count in (("x" * 50_000, 20), ("\x00" * 20_000, 20), ("small", 400)):
            spoken: list[list[str | None]] = [[None], [MSGPACK], [None, MSGPACK]]
            for protocols in spoken:
                used, told = self.held(protocols, data, count)
                self.assertLess(used, 1.2 * told, (data[:1], protocols))
        used, told = self.held([None], "x" * 50_000, 20, history=History(size=0), recoveryLimit=1)
        self.assertGreater(told, 19 * 150_000)
        self.assertLess(used, 1.2 * told)

    def test_budget(self) -> None:
        """So the budget holds, with control characters and with history."""
        limit = 4 << 20
        self.rooms(app=RoomApplication(totalRecoverySize=limit), history=History(size=0, limit=1000))
        ada, bob = self.joined(), self.joined(protocol=MSGPACK)
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            for _ in range(60):
                self.room().broadcast("said", "\x00" * 20_000)
                self.settle()
                self.forgotten(ada, bob)
            self.assertLess(tracemalloc.get_traced_memory()[0] - before, 1.2 * limit)
        finally:
            tracemalloc.stop()
        self.assertLess(len(self.room().messages), 60)

    def test_seating(self) -> None:
        """While somebody is being seated the log stays bounded; who can't be told all is to try again."""
        gate: Deferred[None] = Deferred()

        class Chat(NotingRoom):
            recoverySize = 1000

            def onJoin(self, client: Client, options: Any) -> Any:
                super().onJoin(client, options)
                return gate if options.get("slow") else None

        self.rooms(Chat)
        ada, bob = self.joined(), self.player()
        bob.write("join", 1, "chat", {"slow": True})
        room = self.room(ada)
        for _ in range(100):
            room.broadcast("said", "x" * 100)
        recent = room._host.log._recent
        self.assertLessEqual(sum(len(kept.entry.data) for kept in recent), HARD * 1000)
        gate.callback(None)
        self.settle()
        ((_, ref, _, code, *_),) = bob.take("error")
        self.assertEqual((ref, code), (1, "unavailable"))
        self.assertEqual(self.kinds().count("leave"), 1)
        self.assertEqual(len(room.clients), 1)

    def test_asking(self) -> None:
        """While `onAuth` takes its time nothing is kept for it: what is said then is before its time."""
        gate: Deferred[bool] = Deferred()

        class Chat(NotingRoom):
            recoverySize = 1000

            def onAuth(self, client: Client, options: Any, handshake: Any) -> Any:
                return gate if options.get("slow") else True

        self.rooms(Chat)
        ada, bob = self.joined(), self.player()
        bob.write("join", 1, "chat", {"slow": True})
        room = self.room(ada)
        for _ in range(100):
            room.broadcast("said", "x" * 100)
        self.assertLessEqual(len(room._host.log._recent), 10)
        gate.callback(True)
        self.settle()
        self.assertEqual([frame[0] for frame in bob.take()], ["joined"])

    def test_hard(self) -> None:
        """All logs together are bounded too, whoever is about to read them."""
        budget = Budget(50_000)
        app = RoomApplication()
        app._budget = budget
        gate: Deferred[None] = Deferred()

        class Chat(NotingRoom):
            def onJoin(self, client: Client, options: Any) -> Any:
                return gate if options.get("slow") else None

        self.rooms(Chat, app=app)
        self.joined()
        self.player().write("join", 1, "chat", {"slow": True})
        for _ in range(500):
            self.room().broadcast("said", "x" * 1000)
        self.assertLessEqual(budget.used, HARD * budget.size)
        gate.callback(None)
        self.settle()


@onBothEngines
class ReplayTests(MeasuredCase):
    """What is sent again."""

    def test_write(self) -> None:
        """What a member has missed leaves in one write, in order."""
        self.rooms()
        ada = self.joined()
        ada.client.drop()
        self.settle()
        for n in range(500):
            self.room().broadcast("said", n)
        again = self.player()
        wire: Any = next(iter(self.app.sessions.values())).connection._wire
        kind, writes = type(wire.out), []
        written = kind.write

        def write(out: Any, data: bytes) -> Any:
            writes.append(len(data))
            return written(out, data)

        with mock.patch.object(kind, "write", write):
            self.assertEqual(again.resume(ada, 0)[3]["recovered"], True)
        self.assertEqual(again.said(), list(range(500)))
        self.assertLess(len([size for size in writes if size > 30]), 3)

    def test_parts(self) -> None:
        """What is much leaves in parts, so that a slow client gets on each time."""
        self.rooms(recoverySize=0)
        ada = self.joined()
        ada.client.drop()
        self.settle()
        for _ in range(16):
            self.room().broadcast("said", "x" * 100_000)
        again = self.player()
        connection = next(iter(self.app.sessions.values())).connection
        with mock.patch.object(connection, "sendFrames", wraps=connection.sendFrames) as send:
            again.resume(ada, 0)
        self.assertEqual([len(call.args[0]) for call in send.call_args_list], [6, 6, 4])
        self.assertEqual(len(again.said()), 16)

    def test_limit(self) -> None:
        """A member is sent again twice what is kept, then it has to wait."""
        self.rooms(recoverySize=0)
        ada = self.joined()
        for _ in range(8):
            self.room().broadcast("said", "x" * 100_000)
        again = self.player()
        answers = [again.resume(ada, 0) for _ in range(10)]
        kinds = [answer[0] for answer in answers]
        self.assertEqual(kinds, ["joined"] * 3 + ["error"] * 7)
        self.assertEqual(answers[-1][3], "rateLimited")
        self.assertGreater(answers[-1][5]["retryAfter"], 0.0)
        self.advance(answers[-1][5]["retryAfter"] + 0.1)
        self.assertEqual(again.resume(ada, 0)[0], "joined")
        # A client that has missed little is not held up.
        self.advance(30)
        for _ in range(20):
            self.advance(1)
            self.assertEqual(again.resume(again, 8)[0], "joined")

    def test_history(self) -> None:
        """Newcomers are shown the newest, up to a number of bytes."""
        self.rooms(history=History(onJoin=20, onJoinSize=1000))
        ada = self.joined()
        for n in range(20):
            self.room(ada).broadcast("said", f"{n:0100}")
        bob = self.player()
        bob.join()
        self.assertEqual([int(each) for each in bob.said()], list(range(11, 20)))
        self.assertEqual(History().onJoinSize, 64 << 10)
        self.rooms(history=History(onJoin=20, onJoinSize=0))
        ada = self.joined()
        for n in range(20):
            self.room(ada).broadcast("said", f"{n:010000}")
        bob = self.player()
        bob.join()
        self.assertEqual(len(bob.said()), 20)


class PathTests(MeasuredCase):
    """Joining by the path."""

    def test_fields(self) -> None:
        """Options of a path are few, and aren't looked into if they are many."""
        self.rooms()
        good = self.player("/rooms/chat?" + "&".join(f"a{n}" for n in range(100)))
        self.assertEqual(good.take()[0][0], "joined")
        with mock.patch.object(Handshake, "query", property(lambda _: self.fail("it was parsed"))):
            bad = self.player("/rooms/chat?" + "&".join(f"a{n}" for n in range(101)))
        ((kind, ref, room, code, _, details),) = bad.take()
        self.assertEqual((kind, ref, room, code), ("error", None, None, "badRequest"))
        self.assertEqual((details, bad.client.closeCode), ({"field": "options"}, 4010))
        self.assertEqual(len(self.room().clients), 1)

    def test_rate(self) -> None:
        """The clients of one address come at a limited rate; they are to come again later."""
        self.rooms(app=RoomApplication(joinRate=1, joinBurst=3))
        first = [self.player("/rooms/chat") for _ in range(4)]
        self.assertEqual([each.take()[0][0] for each in first], ["joined"] * 3 + ["error"])
        self.assertEqual(first[-1].client.closeCode, 1013)
        self.assertEqual(
            first[-1].frames[0][3:],
            ["rateLimited", "too many clients joined from your address", {"retryAfter": 1.0}],
        )
        self.assertEqual(self.player("/rooms/chat", peer="192.0.2.7").take()[0][0], "joined")
        self.advance(1)
        self.assertEqual(self.player("/rooms/chat").take()[0][0], "joined")


class LookUpTests(SynchronousTestCase):
    """A search for each of many names does not look at all pairs each time."""

    def test_steps(self) -> None:
        """The pairs are gone through a few times, however many names are looked for."""
        count = 3000
        for kind in (MultiDict, Headers):
            many = kind((f"n{index}", str(index)) for index in range(count))
            many.pairs = Counted(many.pairs)
            self.assertEqual(dict(many), {f"n{index}": str(index) for index in range(count)})
            self.assertEqual([many.getAll(f"n{index}") for index in range(count)][-1], [str(count - 1)])
            self.assertLess(many.pairs.steps, 10 * count)

    def test_same(self) -> None:
        """Few and many are looked through with the same outcome."""
        for count in (3, FEW + 3):
            pairs = [("a", "1"), ("b", "2"), ("a", "3"), *((f"x{n}", "") for n in range(count))]
            many, fold = MultiDict(pairs), Headers([(name.upper(), value) for name, value in pairs])
            self.assertEqual((many.get("a"), many.getAll("a"), many["b"]), ("1", ["1", "3"], "2"))
            self.assertEqual((many.get("c"), many.get("c", "?"), "c" in many), (None, "?", False))
            self.assertEqual((many.getAll("c"), fold["A"], fold.getAll("a")), ([], "1", ["1", "3"]))
            self.assertRaises(KeyError, many.__getitem__, "c")
            many.getAll("a").append("no")
            self.assertEqual(many.getAll("a"), ["1", "3"])


class Counted(tuple[Any, ...]):
    """Counts how many of its elements were looked at."""

    steps = 0

    def __iter__(self) -> Any:
        for each in super().__iter__():
            self.steps += 1
            yield each
