"""The kit for users' own tests of rooms."""

from __future__ import annotations

import gc
import json
from functools import partial
from typing import Any
from unittest import SkipTest

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.case import HarnessTestCase, echo
from txroom import (
    Accept,
    Application,
    CallError,
    Client,
    Deny,
    LeaveReason,
    Room,
    RoomApplication,
    RoomError,
    Server,
    message,
)
from txroom.client import MSGPACK_PROTOCOL
from txroom.testing import JoinedRoom, MemoryReactor, RoomClient, RoomHarness


class Chat(Room):
    """A room for these tests."""

    presence = True

    def onCreate(self, options: Any) -> None:
        self.heard: list[Any] = []
        #: What async handlers and hooks wait for.
        self.gates: list[Deferred[Any]] = []

    def gate(self) -> Deferred[Any]:
        self.gates.append(Deferred())
        return self.gates[-1]

    def onAuth(self, client: Client, options: Any, handshake: Any) -> Any:
        client.data["auth"] = options.get("auth")
        return self.gate() if options.get("wait") else options.get("user", True)

    def onJoin(self, client: Client, options: Any) -> None:
        client.meta = {"name": options.get("name")}

    def snapshot(self, client: Client) -> Any:
        return len(self.heard)

    @message("say")
    def say(self, client: Client, text: str) -> int:
        self.heard.append(text)
        self.broadcast("said", text)
        return len(self.heard)

    @message("wait")
    def wait(self, client: Client) -> Deferred[Any]:
        return self.gate()

    @message("ask")
    async def ask(self, client: Client, question: str) -> Any:
        return await client.call("question", question)


class RoomsTestCase(HarnessTestCase):
    """Tests with a harness that serves `Chat`."""

    def setUp(self) -> None:
        self.harness = self.serve({"chat": Chat})

    def join(self, name: str | None = None, **options: Any) -> JoinedRoom:
        """A client that has joined the chat."""
        return self.harness.client(**options).join("chat", name=name)

    def chat(self) -> Any:
        """The only room, on the server's side."""
        (room,) = self.harness.rooms
        return room

    def pair(self) -> tuple[RoomClient, JoinedRoom]:
        """A client, and its room."""
        room = self.join()
        return room.client, room

    def refusal(self, function: Any, *args: Any) -> str:
        """What an `AssertionError` says."""
        return str(self.assertRaises(AssertionError, function, *args))


class RoomTests(RoomsTestCase):
    """What a client that has joined can do and see."""

    def test_conversation(self) -> None:
        """A message comes to all, when the call returns."""
        alice, bob = self.join("alice"), self.join("bob")
        alice.send("say", "hello")
        self.assertEqual([alice.messages, bob.messages], [[("said", "hello")]] * 2)
        self.assertEqual((bob.name, bob.id, bob.offset, bob.state), ("chat", alice.id, 1, "joined"))
        self.assertEqual(repr(bob), f"<JoinedRoom 'chat' {bob.id} joined>")
        self.assertEqual(repr(bob.client), "<RoomClient open>")

    def test_expect(self) -> None:
        """The next of a type is taken, the others stay."""
        room = self.join()
        for text in "ab":
            room.send("say", text)
        self.chat().broadcast("news", 1)
        self.harness.flush()
        self.assertEqual([room.expect("said"), room.expect("news"), room.expect("said")], ["a", 1, "b"])
        room.expectNone()
        self.assertEqual(room.messages, [])

    def test_expectFails(self) -> None:
        """Who expects in vain is told what came."""
        room = self.join()
        self.assertEqual(
            self.refusal(room.expect, "said"), "no message 'said' has arrived; there is: nothing; the room is joined"
        )
        room.send("say", "a")
        room.send("say", 5)
        told = self.refusal(room.expect, "news")
        self.assertEqual(
            told,
            "no message 'news' has arrived; there is: 'said' 'a'; error: invalidData: Expected `str`, got `int`; "
            "the room is joined",
        )
        self.chat().disconnect("over")
        self.harness.flush()
        self.assertTrue(self.refusal(room.expect, "news").endswith("; the room is left (4008 over)"))

    def test_expectNone(self) -> None:
        """Of one type, or of any."""
        room = self.join()
        room.expectNone()
        room.send("say", "a")
        room.expectNone("news")
        self.assertIn("no message 'said' must have arrived", self.refusal(room.expectNone, "said"))
        self.assertIn("no message must have arrived; there is: 'said' 'a'", self.refusal(room.expectNone))

    def test_call(self) -> None:
        """The answer, or the error."""
        room = self.join()
        self.assertEqual(room.call("say", "a"), 1)
        error = self.assertRaises(RoomError, room.call, "say", 5)
        self.assertEqual((error.code, room.errors), ("invalidData", []))

    def test_callTakesTime(self) -> None:
        """An answer that isn't there yet is a failed test, unless one can wait."""
        room = self.join()
        self.assertIn("call('wait') of <JoinedRoom 'chat'", self.refusal(room.call, "wait"))
        answer = room.calling("wait")
        chat = self.chat()
        for text in ("no longer wanted", "now"):
            self.assertNoResult(answer)
            chat.gates[-1].callback(text)
            self.harness.flush()
        self.assertEqual(self.successResultOf(answer), "now")

    def test_callOfRoom(self) -> None:
        """The room's calls are answered by a handler, which may speak itself."""
        room = self.join()

        def think(question: str) -> str:
            room.send("say", "hm")
            return question + "!"

        room.handle("question", think)
        self.assertEqual(room.call("ask", "why"), "why!")
        room.expect("said")

    def test_handlerRaises(self) -> None:
        """A handler of the test that fails is seen."""
        room = self.join()
        room.handle("question", lambda question: 1 / 0)
        self.assertEqual(self.assertRaises(RoomError, room.call, "ask", "why").code, "internal")
        self.assertEqual([type(error) for error in room.errors], [ZeroDivisionError])
        self.assertEqual(len(self.flushLoggedErrors(CallError)), 1)

    def test_presence(self) -> None:
        """Who is here, who came, who left."""
        alice, bob = self.join("alice"), self.join("bob")
        self.assertEqual([member.metas[0]["name"] for member in bob.members], ["alice", "bob"])
        bob.leave()

        def names(members: Any) -> list[str]:
            return [member.metas[0]["name"] for member in members]

        changes = [(names(joined), names(left)) for joined, left in alice.presence]
        self.assertEqual(changes, [(["alice"], []), (["bob"], []), ([], ["bob"])])

    def test_leave(self) -> None:
        """Who leaves has left, after what was said before."""
        room = self.join()
        room.send("say", "bye")
        room.leave()
        self.assertEqual((room.events, room.closeCode, room.state), (["left"], 1000, "left"))
        self.assertEqual(self.chat().clients, [])
        self.assertRaises(RoomError, room.send, "say", "more")

    def test_kicked(self) -> None:
        """How it ended is known."""
        room = self.join()
        self.assertIsNone(room.closeCode)
        chat = self.harness.roomOf(room)
        client = chat.client(room.member)
        assert client is not None
        chat.kick(client, "spam")
        self.harness.flush()
        assert room.closeInfo is not None
        self.assertEqual((room.closeInfo.code, room.closeInfo.reason), (4003, "spam"))

    def test_volatile(self) -> None:
        """What is volatile isn't kept while away."""
        client, room = self.pair()
        client.drop()
        room.send("say", "lost", volatile=True)
        room.send("say", "kept")
        self.harness.advance(1)
        self.assertEqual(self.chat().heard, ["kept"])

    def test_roomOf(self) -> None:
        """The server's side, as long as it is alive."""
        room = self.join()
        self.assertIs(self.harness.roomOf(room), self.chat())
        room.leave()
        self.harness.advance(2)
        self.assertRaises(LookupError, self.harness.roomOf, room)


class ClientTests(RoomsTestCase):
    """How clients come in, go, and come back."""

    def test_ways(self) -> None:
        """All the ways in, and the list of rooms."""
        client = self.harness.client()
        self.assertEqual(self.assertRaises(RoomError, client.joinOnly, "chat").code, "noSuchRoom")
        one, two = client.create("chat"), client.create("chat")
        self.assertNotEqual(one.id, two.id)
        other = self.harness.client()
        self.assertEqual(other.joinOnly("chat").id, one.id)
        self.assertEqual(other.joinById(two.id).id, two.id)
        self.assertEqual([each["clients"] for each in other.rooms("chat")], [2, 2])
        first, again = other.join("chat"), other.join("chat")
        self.assertIsNot(first, again)
        self.assertEqual(first.member, again.member)

    def test_refused(self) -> None:
        """The error is raised."""
        error = self.assertRaises(RoomError, self.harness.client().join, "chat", user=False)
        self.assertEqual(error.code, "unauthorized")
        self.assertEqual(self.assertRaises(RoomError, self.harness.client().join, "x").code, "noSuchRoom")
        elsewhere = self.harness.client("/elsewhere")
        error = self.assertRaises(RoomError, elsewhere.join, "chat")
        self.assertEqual(str(error), "noSuchRoom: no rooms are served at this path")

    def test_joinTakesTime(self) -> None:
        """A join that isn't through is a failed test, unless one can wait."""
        client = self.harness.client()
        told = self.refusal(lambda: client.join("chat", wait=True))
        self.assertEqual(told, "join('chat') of <RoomClient open>: there is no result yet; let time pass with harness.advance()")
        joining = self.harness.client().joining("chat", wait=True)
        self.assertNoResult(joining)
        for gate in self.chat().gates:
            gate.callback(True)
        self.harness.flush()
        self.assertEqual(self.successResultOf(joining).state, "joined")

    def test_request(self) -> None:
        """Path, query, headers, address, host and TLS are what the server sees; options are the client's."""
        seen: list[Any] = []

        def verifyClient(handshake: Any) -> Any:
            seen.append(handshake)
            return Accept(user="ann") if handshake.headers.get("x-token") else Deny(401)

        app = RoomApplication(path="/games", verifyClient=verifyClient)
        app.register("chat", Chat)
        harness = self.serve({"/games": app})
        self.assertEqual(
            self.assertRaises(RoomError, harness.client("/games").join, "chat").code, "unauthorized"
        )
        room = harness.client(
            "/games?lang=en",
            {"X-Token": "1"},
            peer="198.51.100.7",
            host="play.example:99",
            tls=True,
            protocol=MSGPACK_PROTOCOL,
            auth="secret",
        ).join("chat")
        handshake = seen[-1]
        self.assertEqual((handshake.target, handshake.host), ("/games?lang=en", "play.example:99"))
        self.assertEqual((handshake.peer, handshake.secure), ("198.51.100.7", True))
        client = harness.roomOf(room).client(room.member)
        assert client is not None
        self.assertEqual((client.user, client.data["auth"]), ("ann", "secret"))
        self.assertEqual(room.call("say", "hello"), 1)
        room.client.drop()
        harness.advance(1)
        self.assertEqual(room.events, ["reconnecting", "recovered"])

    def test_drop(self) -> None:
        """It comes back by itself, in a quarter of a second, and nothing was missed."""
        alice = self.join("alice")
        client, bob = self.pair()
        client.drop()
        self.assertEqual((bob.state, client.state), ("away", "waiting"))
        alice.send("say", "to you")
        bob.send("say", "to me")
        self.harness.advance(0.24)
        self.assertEqual(bob.state, "away")
        self.harness.advance(0.02)
        self.assertEqual((bob.state, bob.events), ("joined", ["reconnecting", "recovered"]))
        self.assertEqual(bob.messages, [("said", "to you"), ("said", "to me")])
        self.assertEqual(bob.messages, alice.messages)
        self.assertEqual(len(alice.presence), 2)

    def test_dropIdle(self) -> None:
        """Before there is a connection nothing can be lost."""
        client = self.harness.client()
        client.drop()
        client.stall()
        client.unstall()
        client.online()
        self.assertEqual(client.state, "idle")

    def test_offline(self) -> None:
        """It stays away as long as the test says, and then it is back at once."""
        client, room = self.pair()
        client.offline()
        self.harness.advance(29)
        self.assertEqual(room.state, "away")
        client.online()
        self.assertEqual(room.events, ["reconnecting", "recovered"])

    def test_tooLate(self) -> None:
        """Who was away for too long is somebody else, with a new picture."""
        client, room = self.pair()
        member = room.member
        self.join().send("say", "a")
        client.offline()
        self.harness.advance(31)
        client.online()
        self.assertEqual(room.events, ["reconnecting", "lost"])
        self.assertEqual((room.losses[0].snapshot, room.snapshot), (1, 1))
        self.assertNotEqual(room.member, member)

    def test_stall(self) -> None:
        """Who doesn't read is too slow in the end, comes back and gets it all."""
        harness = self.serve({"chat": Chat}, maxBackpressure=10_000, highWaterMark=1000)
        slow, quick = harness.client().join("chat"), harness.client().join("chat")
        slow.client.stall()
        texts = [str(number) * 3000 for number in range(6)]
        for text in texts:
            quick.send("say", text)
        self.assertEqual(slow.messages, [])
        slow.client.unstall()
        harness.advance(1)
        self.assertEqual(slow.events, ["reconnecting", "recovered"])
        self.assertEqual([data for _, data in slow.messages], texts)

    def test_silence(self) -> None:
        """Who hears nothing gives the connection up after its heartbeat."""
        client, room = self.pair()
        client.stall()
        self.harness.advance(36)
        self.assertEqual(room.events, ["reconnecting", "recovered"])

    def test_close(self) -> None:
        """Who closes has left."""
        client, room = self.pair()
        client.close()
        self.assertEqual((room.events, self.chat().clients), (["left"], []))
        self.assertEqual(self.assertRaises(RoomError, client.join, "chat").code, "unavailable")

    def test_raw(self) -> None:
        """Frames can be written by hand still."""
        client = self.harness.connect("/rooms/chat")
        client.send('["send",null,"say","hello"]')
        self.assertEqual(json.loads(str(client.received[-1]))[2:], [1, "said", "hello"])

    def test_serverRestarts(self) -> None:
        """Clients of a server that starts again come back."""
        client, room = self.pair()
        stopping = self.harness.server.stopService()
        self.harness.advance(2)
        self.successResultOf(stopping)
        self.assertEqual(client.state, "waiting")
        self.harness.start()
        self.harness.advance(10)
        self.assertEqual(room.events, ["reconnecting", "lost"])


class FaultTests(RoomsTestCase):
    """What the network does to frames, and that nothing comes of it."""

    def test_loseSend(self) -> None:
        """A message that was under way when the network broke is sent again."""
        client, room = self.pair()
        client.outgoing.lose("send")
        sent = room.send("say", "a")
        self.assertEqual(self.chat().heard, [])
        client.drop()
        self.harness.advance(1)
        self.assertEqual((self.chat().heard, sent.isHandled), (["a"], True))

    def test_loseAck(self) -> None:
        """A message whose acknowledgement was lost is handled once."""
        client, room = self.pair()
        client.incoming.lose("ack")
        sent = room.send("say", "a")
        self.harness.advance(1)
        self.assertFalse(sent.isHandled)
        client.drop()
        self.harness.advance(1)
        self.assertEqual((self.chat().heard, sent.isHandled), (["a"], True))

    def test_loseReply(self) -> None:
        """A call whose answer was lost is answered, and handled once."""
        client, room = self.pair()
        client.incoming.lose("reply")
        answer = room.calling("say", "a")
        client.drop()
        self.assertNoResult(answer)
        self.harness.advance(1)
        self.assertEqual((self.successResultOf(answer), self.chat().heard), (1, ["a"]))

    def test_loseMessage(self) -> None:
        """A message of the room that was lost comes again."""
        client, room = self.pair()
        client.incoming.lose("msg", 2)
        for text in "ab":
            self.chat().broadcast("said", text)
        self.harness.flush()
        room.expectNone()
        client.drop()
        self.harness.advance(1)
        self.assertEqual(room.messages, [("said", "a"), ("said", "b")])

    def test_loseJoined(self) -> None:
        """Who resumes and hears nothing of it tries again, with the token it has, and isn't stranded."""
        client, room = self.pair()
        client.incoming.lose("joined", 2)
        client.drop()
        self.chat().broadcast("said", "a")
        self.harness.advance(20)
        self.assertEqual(room.state, "resuming")
        self.harness.advance(20)
        self.assertEqual(room.events, ["reconnecting", "recovered"])
        self.assertEqual(room.messages, [("said", "a")])

    def test_loseResume(self) -> None:
        """The same if the server has heard nothing of it."""
        client, room = self.pair()
        client.outgoing.lose("resume")
        client.drop()
        self.harness.advance(16)
        self.assertEqual(room.events, ["reconnecting", "recovered"])

    def test_loseFirstJoined(self) -> None:
        """A first join that is never answered fails in time, and its seat is free again."""
        client = self.harness.client()
        client.incoming.lose("joined")
        joining = client.joining("chat")
        self.harness.advance(15)
        self.assertEqual(self.failureResultOf(joining, RoomError).value.code, "timeout")
        self.assertEqual(client.state, "open")

    def test_loseSecondJoined(self) -> None:
        """Who is here already, asks again and hears nothing of it resumes with the token it has."""
        client, room = self.pair()
        client.incoming.lose("joined")
        again = client.joining("chat")
        client.drop()
        self.harness.advance(1)
        self.failureResultOf(again, RoomError)
        self.assertEqual(room.events, ["reconnecting", "recovered"])

    def test_loseWithoutDrop(self) -> None:
        """Without a broken connection it is a gap, which the server doesn't take."""
        client, room = self.pair()
        client.outgoing.lose("send")
        for text in "ab":
            room.send("say", text)
        self.assertEqual((room.closeCode, self.chat().heard), (4010, []))

    def test_duplicate(self) -> None:
        """What comes twice counts once, in either direction."""
        client, room = self.pair()
        client.outgoing.duplicate("send")
        client.outgoing.duplicate("call")
        client.incoming.duplicate("msg")
        client.incoming.duplicate("reply")
        room.send("say", "a")
        self.assertEqual(room.call("say", "b"), 2)
        self.assertEqual(self.chat().heard, ["a", "b"])
        self.assertEqual(room.messages, [("said", "a"), ("said", "b")])
        client.incoming.duplicate("ack")
        self.harness.advance(1)
        self.assertEqual(room.state, "joined")

    def test_duplicateJoin(self) -> None:
        """A join that comes twice is one, and doesn't cost the token."""
        client = self.harness.client()
        client.outgoing.duplicate("join")
        room = client.join("chat")
        self.assertEqual(len(self.chat().clients), 1)
        client.drop()
        self.harness.advance(1)
        self.assertEqual(room.events, ["reconnecting", "recovered"])

    def test_delay(self) -> None:
        """A late frame holds up those behind it; each is as late as it was made."""
        client, room = self.pair()
        client.outgoing.delay("send", 2.0)
        room.send("say", "a")
        self.harness.advance(1)
        room.send("say", "b")
        self.harness.advance(0.9)
        self.assertEqual(self.chat().heard, [])
        self.harness.advance(0.1)
        self.assertEqual(self.chat().heard, ["a", "b"])
        client.incoming.delay("msg", 1.0, 2)
        self.chat().broadcast("said", "c")
        self.harness.advance(0.5)
        self.chat().broadcast("said", "d")
        room.messages.clear()
        self.harness.advance(0.5)
        self.assertEqual(room.messages, [("said", "c")])
        self.harness.advance(0.5)
        self.assertEqual(room.messages, [("said", "c"), ("said", "d")])

    def test_delayedAndBroken(self) -> None:
        """What is late when the connection breaks is lost, and comes again."""
        client, room = self.pair()
        client.outgoing.delay("send", 60.0)
        sent = room.send("say", "a")
        client.drop()
        self.harness.advance(1)
        self.assertEqual((self.chat().heard, sent.isHandled), (["a"], True))

    def test_reorderSends(self) -> None:
        """Messages out of order are refused: it is no client of ours that sends them."""
        client, room = self.pair()
        client.outgoing.reorder("send")
        room.send("say", "a")
        self.assertIsNone(room.closeCode)
        room.send("say", "b")
        self.assertEqual((room.closeCode, self.chat().heard), (4010, []))

    def test_reorderMessages(self) -> None:
        """An older message after a newer one counts as heard; the next resume doesn't bring it either."""
        client, room = self.pair()
        client.incoming.reorder("msg")
        for text in "abc":
            self.chat().broadcast("said", text)
        self.harness.flush()
        self.assertEqual(room.messages, [("said", "b"), ("said", "c")])

    def test_reorderAcks(self) -> None:
        """An acknowledgement that comes late says nothing new."""
        client, room = self.pair()
        client.incoming.reorder("ack")
        sents = []
        for text in "ab":
            sents.append(room.send("say", text))
            self.harness.advance(0.1)
        self.assertEqual([sent.isHandled for sent in sents], [True, True])
        self.assertEqual(room.call("say", "c"), 3)

    def test_sequence(self) -> None:
        """Faults of one kind come one after another, others aren't touched."""
        client, room = self.pair()
        client.incoming.duplicate("msg")
        client.incoming.lose("msg")
        room.send("say", "a")
        room.send("say", "b")
        room.send("say", "c")
        self.assertEqual(room.messages, [("said", "a"), ("said", "c")])

    def test_binary(self) -> None:
        """Kinds are known in MessagePack too."""
        room = self.join(protocol=MSGPACK_PROTOCOL)
        room.client.outgoing.lose("send")
        room.send("say", "a")
        room.client.drop()
        self.harness.advance(1)
        self.assertEqual(self.chat().heard, ["a"])

    def test_wrong(self) -> None:
        """A kind that doesn't go that way, and a count that is none."""
        client = self.harness.client()
        error = self.assertRaises(ValueError, client.incoming.lose, "send")
        self.assertIn("kind='send': must be a kind of frame in this direction: ack, bye, call, ", str(error))
        self.assertRaises(ValueError, client.outgoing.lose, "ack")
        self.assertRaises(ValueError, client.outgoing.lose, "send", 0)

    def test_clear(self) -> None:
        """Faults can be taken back."""
        client, room = self.pair()
        client.outgoing.lose("send")
        client.outgoing.clear()
        room.send("say", "a")
        self.assertEqual(self.chat().heard, ["a"])


class TraceTests(RoomsTestCase):
    """What was called."""

    def test_lifecycle(self) -> None:
        """From the first to the last hook, with whom they were about."""
        trace = self.harness.trace("chat")
        client, room = self.pair()
        chat = self.chat()
        room.send("say", "hello")
        client.drop()
        self.harness.advance(1)
        room.leave()
        self.harness.advance(2)
        alone = ["onAuth", "onJoin", "say", "onDrop", "onResume", "onLeave"]
        self.assertEqual(trace.names, ["onCreate", *alone, "onDispose"])
        self.assertEqual(trace.of(room.member), alone)
        self.assertEqual({step.room for step in trace.steps}, {chat})
        self.assertIsNone(trace.steps[0].client)
        args = {step.name: step.args for step in trace.steps}
        self.assertEqual([args["say"], args["onResume"]], [("hello",), (True,)])
        self.assertEqual(args["onLeave"], (LeaveReason.LEFT,))
        trace.clear()
        self.assertEqual(trace.names, [])

    def test_members(self) -> None:
        """Whose each call was."""
        trace = self.harness.trace("chat")
        alice, bob = self.join(), self.join()
        bob.send("say", "hello")
        self.assertEqual([trace.of(each.member) for each in (alice, bob)][1], ["onAuth", "onJoin", "say"])
        self.assertEqual(trace.of(alice.member), ["onAuth", "onJoin"])

    def test_refused(self) -> None:
        """Who is refused by `onAuth` comes no further; data that isn't right comes to no handler."""
        trace = self.harness.trace("chat")
        self.assertRaises(RoomError, self.harness.client().join, "chat", user=False)
        self.assertEqual(trace.names, ["onCreate", "onAuth", "onDispose"])
        room = self.join()
        trace.clear()
        room.send("say", 5)
        self.assertEqual(trace.names, [])

    def test_transparent(self) -> None:
        """A room that is traced is what it was: its handlers, its fallback, its errors, its name."""

        class Any_(Chat):
            def onMessage(self, client: Client, type: str, data: Any) -> Any:
                return [type, data]

            @message("fail")
            def failing(self, client: Client) -> None:
                raise ZeroDivisionError

        harness = self.serve({"chat": Chat, "any": Any_})
        traces = [harness.trace("chat"), harness.trace("any")]
        plain, wild = harness.client().join("chat"), harness.client().join("any")
        self.assertEqual(self.assertRaises(RoomError, plain.call, "dance").code, "unknownType")
        self.assertEqual(wild.call("dance", 1), ["dance", 1])
        self.assertRaises(RoomError, wild.call, "fail")
        self.assertRaised(ZeroDivisionError)
        self.assertEqual(traces[0].names, ["onCreate", "onAuth", "onJoin"])
        self.assertEqual(traces[1].names[3:], ["onMessage", "fail", "onRoomError"])
        room = harness.roomOf(wild)
        self.assertIsInstance(room, Any_)
        self.assertEqual(repr(room), f"<Any_ any {room.id}>")

    def test_unknown(self) -> None:
        """A name that isn't registered."""
        error = self.assertRaises(LookupError, self.harness.trace, "chatt")
        self.assertEqual(str(error), "no rooms are registered as 'chatt'; the registered names are ['chat']")


class HarnessTests(HarnessTestCase):
    """What a harness takes, and what it looks through at the end."""

    def test_mapping(self) -> None:
        """Rooms by names beside applications by paths."""
        harness = self.serve({"/echo": Application(onMessage=echo), "chat": Chat, "other": Chat})
        harness.client().join("other").call("say", "a")
        client = harness.connect("/echo")
        client.send("b")
        self.assertEqual(client.received, ["b"])
        self.assertEqual([room.name for room in harness.rooms], ["other"])

    def test_mistakes(self) -> None:
        """What beginners give has a clear answer."""

        class App(Application):
            pass

        def noServer(clock: object) -> None:
            pass

        def otherClock(clock: object) -> Server:
            return Server(clock=MemoryReactor())

        for wrong, told in (
            (Chat, "RoomHarness({'chat': Chat})"),
            ({"chat": Chat()}, "RoomHarness({'chat': Chat})"),
            (App, "RoomHarness(App())"),
            ({"/": App}, "RoomHarness(App())"),
            (Server, "RoomHarness(lambda clock: Server(clock=clock))"),
            (Server(clock=MemoryReactor()), "RoomHarness(lambda clock: Server(clock=clock))"),
            (noServer, "noServer must return a Server, not None"),
            (otherClock, "otherClock must make its server with the clock it is given"),
        ):
            self.assertIn(told, str(self.assertRaises(TypeError, RoomHarness, wrong)))

    def test_serverClass(self) -> None:
        """A class of one's own that is given a clock is a function like others."""

        class Game(Server):
            def __init__(self, clock: Any) -> None:
                super().__init__(clock=clock)
                self.register("chat", Chat)

        self.assertEqual(self.serve(Game).client().join("chat").call("say", "a"), 1)

    def test_stop(self) -> None:
        """Clients leave, wherever they are, before the server stops."""
        harness = RoomHarness({"chat": Chat})
        trace = harness.trace("chat")
        rooms = [harness.client().join("chat") for _ in range(3)]
        rooms[0].client.drop()
        rooms[1].client.offline()
        harness.client()
        harness.stop()
        self.assertEqual([room.state for room in rooms], ["left"] * 3)
        self.assertEqual(trace.of(rooms[2].member)[-1], "onLeave")
        self.assertEqual(trace.names[-1], "onDispose")
        self.assertEqual(harness.rooms, [])

    def test_roomLeft(self) -> None:
        """A room that doesn't end is reported; when it ends after all nothing is left."""
        gate: Deferred[None] = Deferred()

        class Stays(Room):
            handlerTimeout = 100.0

            def onDispose(self) -> Any:
                return gate

        harness = RoomHarness({"stays": Stays})
        room = harness.client().join("stays")
        told = str(self.assertRaises(AssertionError, harness.stop))
        self.assertTrue(told.startswith(f"left over: room <Stays stays {room.id}> with 0 members; "), told)
        gate.callback(None)
        harness.check()
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_strayMember(self) -> None:
        """A member whose connection is gone, though nobody has told the room, is reported."""
        harness = RoomHarness({"chat": Chat})
        room = harness.client().join("chat")
        application = harness.server.applications[0]
        assert isinstance(application, RoomApplication)
        application.edge.attachments.clear()
        told = str(self.assertRaises(AssertionError, harness.stop))
        stray = f"member {room.member} of <Chat chat {room.id}> without a connection"
        self.assertEqual(told, f"left over: {stray}")

    def test_faultLeft(self) -> None:
        """A fault that didn't come about is reported: the test was of something else."""
        harness = RoomHarness({"chat": Chat})
        client = harness.client()
        client.join("chat")
        client.incoming.lose("ack", 3)
        client.outgoing.delay("send", 1)
        told = str(self.assertRaises(AssertionError, harness.stop))
        self.assertEqual(told, "left over: fault delay 'send' (1 left); fault lose 'ack' (3 left)")

    def test_faultOfLeaving(self) -> None:
        """What the clients send and hear as they leave at the end doesn't use faults up."""
        harness = RoomHarness({"chat": Chat})
        client = harness.client()
        client.join("chat")
        client.outgoing.lose("leave")
        client.incoming.lose("reply")
        client.incoming.lose("left")
        told = str(self.assertRaises(AssertionError, harness.stop))
        faults = ("lose 'leave'", "lose 'reply'", "lose 'left'")
        self.assertEqual(told, "left over: " + "; ".join(f"fault {fault} (1 left)" for fault in faults))
        harness.check()

    def test_delayed(self) -> None:
        """What is late at the end leaves nothing."""
        with RoomHarness({"chat": Chat}) as harness:
            client = harness.client()
            room = client.join("chat")
            client.incoming.delay("msg", 1000)
            client.outgoing.delay("send", 1000)
            room.send("say", "a")
            harness.rooms[0].broadcast("said", "b")
            harness.flush()

    def test_resultOf(self) -> None:
        """What a Deferred of the server's side has come to."""
        app = RoomApplication()
        app.register("chat", Chat)
        harness = self.serve({"/rooms": app})
        id = harness.resultOf(app.createRoom("chat"))
        self.assertEqual([room.id for room in harness.rooms], [id])
        self.assertRaises(RoomError, harness.resultOf, app.createRoom("other"))
        self.assertRaises(AssertionError, harness.resultOf, Deferred())


class FixtureTests(SynchronousTestCase):
    """In pytest."""

    def test_rooms(self) -> None:
        """The fixture takes rooms as well, and looks through them at the end."""
        try:
            from txroom import pytestplugin
        except ModuleNotFoundError as error:
            raise SkipTest("pytest isn't here") from error
        make: Any = pytestplugin.txroomHarness
        steps = make.__wrapped__()
        client = next(steps)({"chat": Chat}).client()
        room = client.join("chat")
        self.assertEqual(room.call("say", "a"), 1)
        client.incoming.lose("joined")
        self.assertRaises(AssertionError, next, steps)
        self.assertEqual(room.state, "left")


class MakerTests(SynchronousTestCase):
    """Functions that make the server of a harness."""

    def test_clock(self) -> None:
        """They take the clock of the harness, by position or by name."""

        def byName(*, clock: Any = None) -> Server:
            return Server(clock=clock)

        for makeServer in (lambda clock: Server(clock=clock), byName, partial(byName)):
            RoomHarness(makeServer).stop()

    def test_noClock(self) -> None:
        """One that has no place for it, or asks for more, is told so."""

        def makeServer() -> Server:
            return Server()

        def greedy(clock: Any, port: int) -> Server:
            return Server(clock=clock)

        must = "must take the clock of the harness, and no other argument: def"
        makes = "(clock): return Server(clock=clock)"
        for wrong, text in (
            (makeServer, f"makeServer() -> 'Server' {must} makeServer{makes}"),
            (greedy, f"greedy(clock: 'Any', port: 'int') -> 'Server' {must} greedy{makes}"),
        ):
            error = self.assertRaises(TypeError, RoomHarness, wrong)
            self.assertEqual(str(error), text)

    def test_roomOf(self) -> None:
        """The class that is given is the one of the room."""

        class Chat(Room):
            topic = "x"

        harness = RoomHarness({"chat": Chat, "other": Room})
        self.addCleanup(harness.stop)
        alice = harness.client().join("chat")
        self.assertEqual(harness.roomOf(alice, Chat).topic, "x")
        error = self.assertRaises(TypeError, harness.roomOf, harness.client().join("other"), Chat)
        self.assertTrue(str(error).endswith(" is a Room, not a Chat"), error)
        self.assertEqual([each["name"] for each in harness.client().query()], ["chat", "other"])
