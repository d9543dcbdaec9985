"""The edge: paths, sub-protocols, several rooms on one socket, and whatever clients may send."""

from __future__ import annotations

import os
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Site

from tests.case import HarnessTestCase
from tests.rooms.case import MSGPACK, NotingRoom, Player, RoomTestCase, hostOf, onBothEngines
from txroom import Application, Deny, Handshake, RoomApplication, RoomError, Server
from txroom.rooms.contract.items import Message
from txroom.rooms.edge.framesession import FrameSession
from txroom.testing import RoomHarness

EXAMPLES = int(os.environ.get("TXROOM_EXAMPLES", "100"))


@onBothEngines
class PathTests(RoomTestCase):
    """`/rooms/chat?name=ada` joins at once."""

    def test_options(self) -> None:
        """The query has the options; what is sent at once is held until `joined`."""
        self.rooms()
        client = self.harness.connect("/rooms/chat?name=ada%20b&x=1")
        client.send('["send",null,"say","hi"]')
        self.settle()
        player = Player(self, client)
        self.assertEqual([frame[0] for frame in player.frames], ["joined", "msg"])
        self.assertEqual(self.named("join"), [{"name": "ada b", "x": "1"}])

    def test_refused(self) -> None:
        """An error, then the socket is closed with a code that says whether to come back."""
        codes = {"unauthorized": 4001, "forbidden": 4001, "full": 1013, "internal": 1011, "mine": 4001}
        codes |= {"timeout": 1013, "rateLimited": 1013}

        class Chat(NotingRoom):
            def onAuth(self, client: Any, options: Any, handshake: Any) -> bool:
                raise RoomError(options["code"])

        self.rooms(Chat)
        for code, closed in codes.items():
            player = self.player(f"/rooms/chat?code={code}")
            self.assertEqual([frame[:4] for frame in player.take()], [["error", None, None, code]])
            self.assertEqual(player.client.closeCode, closed)

    def test_notRegistered(self) -> None:
        """404 before `verifyClient` is asked, and 404 outside of our path."""
        asked: list[str] = []

        def verify(handshake: Handshake) -> Deny:
            asked.append(handshake.path)
            return Deny(403)

        app = RoomApplication(verifyClient=verify)
        self.rooms(app=app)
        for path, status in (("/rooms/nix", 404), ("/other", 404), ("/rooms/chat", 403), ("/rooms/", 403)):
            response = self.harness.connect(path).response
            assert response is not None
            self.assertEqual(response.status, status, path)
        self.assertEqual(asked, ["/rooms/chat", "/rooms/"])
        self.assertEqual(self.events, [])

    def test_kicked(self) -> None:
        """The socket goes with the room it was for."""
        self.rooms()
        player = self.player("/rooms/chat")
        self.room().clients[0].kick("bye")
        self.settle()
        self.assertEqual(player.take()[-1][0], "left")
        self.assertEqual(player.client.closeCode, 4003)
        self.assertEqual(self.named("leave"), ["kicked"])

    def test_gone(self) -> None:
        """A client that goes while the room is made or joined leaves nothing behind."""
        gate: Deferred[None] = Deferred()

        class Chat(NotingRoom):
            def onCreate(self, options: Any) -> Any:
                return gate

        self.rooms(Chat)
        player = self.player("/rooms/chat")
        player.client.drop()
        self.settle()
        gate.callback(None)
        self.settle()
        self.advance(40)
        self.assertEqual(len(self.app.rooms), 0)


@onBothEngines
class SocketTests(RoomTestCase):
    """What one socket can do."""

    def test_protocols(self) -> None:
        """The first offered that is known; none is JSON."""
        self.rooms()
        for offered, chosen in (
            ([MSGPACK, "txroom.v1.json"], MSGPACK),
            (["other", "txroom.v1.json"], "txroom.v1.json"),
            ([], None),
        ):
            client = self.harness.connect("/rooms", protocols=offered)
            self.assertEqual(client.protocolInUse, chosen)

    def test_largeOptions(self) -> None:
        """Options and filters have 16 KiB, counted in the bytes that came."""
        self.rooms()
        for protocol, most in ((None, (16 << 10) - 8), (MSGPACK, (16 << 10) - 6)):
            for letter in ("x", "é", "€", "𝄞"):
                # {"k":"…"}, or a map of one key with a string of 16 bits' length
                size = len(letter.encode())
                text = letter * (most // size) + "x" * (most % size)
                ada = self.player(protocol=protocol)
                for kind, name, field in (("rooms", "chat", "filter"), ("join", "nix", "options")):
                    self.assertNotIn("badRequest", ada.ask(kind, name, {"k": text}))
                    refused = ada.ask(kind, name, {"k": text + "z"})
                    self.assertEqual(refused[3::2], ["badRequest", {"field": field}], (letter, protocol))
        ada = self.joined()
        for kind, name in (("create", "chat"), ("joinOnly", "chat"), ("joinById", ada.room)):
            self.assertEqual(self.player().ask(kind, name, {"k": "x" * (17 << 10)})[3], "badRequest")
        self.assertEqual(ada.call("say", "x" * (17 << 10))[0], "reply")

    def test_kinds(self) -> None:
        """Text for JSON, binary for MessagePack."""
        self.rooms()
        json, binary = self.player(), self.player(protocol=MSGPACK)
        json.client.send(b'["ping",1]')
        binary.client.send('["ping",1]')
        self.assertEqual([json.take()[0][3], binary.take()[0][3]], ["badRequest"] * 2)

    def test_several(self) -> None:
        """Rooms on one socket don't know of each other; leaving one keeps the other."""

        class Other(NotingRoom):
            pass

        self.rooms(NotingRoom, Other)
        ada = self.player()
        first, second = ada.join("chat")[2], ada.join("Other")[2]
        self.assertNotEqual(first, second)
        ada.write("send", first, "say", 1)
        ada.write("send", second, "say", 2)
        self.assertEqual([frame[1:3] for frame in ada.take("msg")], [[first, 1], [second, 1]])
        self.app.rooms[first].clients[0].kick()
        self.settle()
        self.assertFalse(ada.client.isClosed)
        self.assertEqual(ada.ask("call", second, "say", 3)[2], 2)
        ada.client.drop()
        self.settle()
        self.assertEqual(len(self.app.rooms[second].clients), 1)

    def gated(self) -> Deferred[bool]:
        """Rooms "chat", and "Gated" whose canJoin waits for what is given."""
        gate: Deferred[bool] = Deferred()

        class Gated(NotingRoom):
            def canJoin(self, options: Any, user: Any) -> Any:
                return gate.addCallback(lambda _: True)  # whoever waited before

        self.rooms(NotingRoom, Gated)
        return gate

    def assertNothingLeft(self) -> None:
        """Some time after all are gone."""
        self.advance(60)
        self.assertEqual((len(self.app.rooms), self.app.edge.attachments), (0, {}))

    def test_joinedTwice(self) -> None:
        """Two joins of one room at the same time are one, though its canJoin takes its time."""
        gate = self.gated()
        room = self.result(self.app.createRoom("Gated"))
        ada = self.player()
        for ref in (7, 8):
            ada.write("joinById", ref, room, {})
        gate.callback(True)
        self.settle()
        first, second = ada.take("joined")
        self.assertEqual((first[1], second[1]), (7, 8))
        self.assertEqual(first[3]["member"], second[3]["member"])
        self.assertEqual(self.kinds(), ["create", "join"])
        ada.write("send", room, "say", 1)
        self.assertEqual(ada.said(), [1])
        ada.client.drop()
        self.assertNothingLeft()

    def test_anotherMember(self) -> None:
        """One socket is one member of a room; the other may resume on a socket of its own."""
        self.rooms()
        ada, bob = self.joined(), self.joined()
        both = self.player()
        self.assertEqual(both.resume(ada)[0], "joined")
        self.assertEqual(both.resume(bob)[3], "badRequest")
        self.assertEqual(bob.resume(both)[3], "badRequest")
        bob.client.drop()
        again = self.player()
        self.assertEqual(again.resume(bob)[0], "joined")
        both.client.drop()
        again.client.drop()
        self.assertNothingLeft()

    def late(self) -> Deferred[None]:
        """An engine whose answers come once what is given fires, long after what the room says."""
        self.rooms()
        gate: Deferred[None] = Deferred()
        attach = self.engine.attach

        def later(outlet: Any, arrival: Any) -> Deferred[Any]:
            answer: Deferred[Any] = Deferred()
            attach(outlet, arrival).addCallback(
                lambda result: gate.addCallback(lambda _: answer.callback(result))
            )
            return answer

        self.patch(self.engine, "attach", later)
        return gate

    def test_droppedBeforeAnswer(self) -> None:
        """A client lost between `joined` and the engine's answer has its time to resume, and no more."""
        gate = self.late()
        ada = self.joined()
        ada.client.drop()
        gate.callback(None)
        self.settle()
        self.assertEqual(self.kinds(), ["create", "join", "drop"])
        self.assertNothingLeft()

    def test_leftBeforeAnswer(self) -> None:
        """And who has closed the socket for good has left, after what it had said."""
        gate = self.late()
        ada = self.joined()
        ada.send("say", 1)
        ada.client.close()
        gate.callback(None)
        self.settle()
        self.assertEqual(self.named("leave"), ["left"])
        self.assertNothingLeft()

    def test_endedWhileJoining(self) -> None:
        """The end of its only room doesn't close the socket of a client on the way into another."""
        gate = self.gated()
        ada = self.joined()
        ada.write("join", 7, "Gated", {})
        self.app.rooms[ada.room].clients[0].kick()
        self.settle()
        self.assertEqual([frame[2] for frame in ada.take("left")], [4003])
        gate.callback(True)
        self.settle()
        self.assertEqual([frame[1] for frame in ada.take("joined")], [7])
        self.assertFalse(ada.client.isClosed)

    def test_goneAtOnce(self) -> None:
        """A client that is gone before it has a seat keeps none."""
        self.rooms()
        ada = self.player()
        ada.client.send('["join",1,"chat",{}]')
        ada.client.drop()
        self.advance(40)
        self.assertEqual(len(self.app.rooms), 0)

    def test_tooEarly(self) -> None:
        """A volatile message that has overtaken `joined` is dropped."""
        gate = self.gated()
        ada = self.player()
        ada.write("join", 7, "Gated", {})
        (link,) = self.app.edge.attachments
        self.app.edge.deliver(Message("room", None, "early", b"\x01"), [link])
        gate.callback(True)
        self.settle()
        self.app.edge.deliver(Message("room", None, "late", b"\x01"), [link])
        self.settle()
        self.assertEqual([frame[0] for frame in ada.take()], ["joined", "msg"])

    def test_dialects(self) -> None:
        """A member may come back in another dialect."""
        self.rooms()
        ada = self.joined()
        ada.client.drop()
        self.settle()
        self.room().broadcast("said", {"a": [1, None, "ü"]})
        again = self.player(protocol=MSGPACK)
        self.assertTrue(again.resume(ada)[3]["recovered"])
        self.assertEqual(again.said(), [{"a": [1, None, "ü"]}])

    def test_unsayable(self) -> None:
        """A client that can't be sent an item is let go, with 4104, and comes back; others don't notice."""
        self.rooms()
        ada, bob = self.joined(), self.joined(protocol=MSGPACK)
        host = self.room()._host
        member = host.members[ada.joined["member"]]
        host.broadcaster.say(member, Message(ada.room, None, "bad", b"\x81\xc0\x01"))
        host.outbox.emit(Message(ada.room, 99, "bad", b"\x81\xc0\x01"), host.roster.everyone)
        self.settle()
        self.advance(0.1)
        self.assertEqual(len(self.flushLoggedErrors(Exception)), 1)
        self.assertEqual((ada.take()[-1][:3], ada.endings), (["left", ada.room, 4104], [4104]))
        self.assertEqual(self.named("drop"), [ada.joined["member"]])
        self.assertTrue(self.player().resume(ada, 0)[3]["recovered"])
        self.assertTrue(bob.client.isOpen)

    def test_untold(self) -> None:
        """A client that can't be told of its end is closed; the next one is told."""
        self.rooms()
        ada, bob = self.joined(), self.joined()
        edge = self.app.edge
        edge.detach(list(edge.attachments), 4003, "\ud800")
        self.settle()
        self.advance(0.1)
        self.assertEqual((ada.client.closeCode, bob.client.closeCode), (1011, 1011))
        self.assertEqual(len(self.flushLoggedErrors(UnicodeEncodeError)), 2)
        self.advance(31)
        self.assertEqual(len(self.app.rooms), 0)

    def test_abuse(self) -> None:
        """Too fast for too long: 4029; no heartbeat: 4106."""
        self.rooms(app=RoomApplication(messageRate=1, messageBurst=1))
        ada, bob = self.player(), self.player()
        for _ in range(150):
            self.harness.advance(0.1)
            if ada.client.isOpen:
                ada.client.send('["ping",1]')
        self.settle()
        self.assertEqual((ada.client.closeCode, bob.client.isOpen), (4029, True))
        bob.client.freeze()
        for _ in range(80):
            self.harness.advance(1)
        bob.client.unfreeze()
        self.settle()
        self.assertEqual(bob.client.closeCode, 4106)


class LateLinkTests(RoomTestCase):
    """The room lets somebody in, and the answer that has the link to it takes long."""

    def late(self) -> tuple[Player, Deferred[Any]]:
        """The clients that have joined, and what fires with their links."""
        self.rooms()
        attach, held = self.engine.attach, Deferred[Any]()

        def later(outlet: Any, arrival: Any) -> Deferred[Any]:
            attached: Deferred[Any] = attach(outlet, arrival)
            return attached.addCallback(lambda link: held.addCallback(lambda _: link))

        self.patch(self.engine, "attach", later)
        player = self.player()
        player.write("create", 1, "chat")
        self.assertEqual([frame[0] for frame in player.take()], ["joined"])
        return player, held

    def test_waits(self) -> None:
        """What is said meanwhile is handled then."""
        player, held = self.late()
        for n in range(1, 65):
            player.send("say", n, n)
        self.assertEqual(player.take(), [])
        held.callback(None)
        self.settle()
        self.assertEqual(player.said(), list(range(1, 65)))

    def test_bounded(self) -> None:
        """But not any number of frames, nor of bytes: who says more is to resume, and has lost nothing."""
        for count, size in ((257, 1), (3, 1_000_000)):
            player, held = self.late()
            for n in range(1, count + 1):
                self.assertEqual(player.take(), [], n)
                player.send("say", "x" * size, n)
                if n == 150:  # as fast as it may
                    self.advance(1)
            self.assertEqual(player.take(), [["left", player.room, 4104, ""]])
            self.assertTrue(player.client.isOpen)
            held.callback(None)
            self.settle()
            again = self.player()
            answer = again.resume(player)
            self.assertEqual((answer[0], answer[3]["handled"], answer[3]["recovered"]), ("joined", 0, True))


@onBothEngines
class NextRoomTests(RoomTestCase):
    """A room that ends takes the connection with it only if that was made for it, by its path."""

    def test_joinAtOnce(self) -> None:
        """The client joins another room on the same connection, in the turn in which it has left."""

        class Lobby(NotingRoom):
            pass

        for how in ("disconnect", "kick"):
            self.rooms(NotingRoom, Lobby)
            ada = self.joined()
            room = self.room()
            room.disconnect("over") if how == "disconnect" else room.clients[0].kick("over")
            ada.client.send('["join",9,"Lobby",{}]')
            self.advance(1)
            kinds = [(frame[0], frame[1]) for frame in ada.take()]
            former = room.id
            self.assertEqual(sorted(kinds), [("joined", 9), ("left", former)])
            ada.send("say", "here")
            self.settle()
            self.assertEqual((ada.said(), ada.client.isOpen), (["here"], True))

    def test_onTheirWay(self) -> None:
        """Frames for a room that has let the client go are no errors; those for any other room are."""
        self.rooms()
        ada = self.joined()
        former = ada.room
        self.room().disconnect("over")
        ada.write("send", former, "say", 1)
        ada.write("call", 3, former, "say", 1)
        ada.write("leave", 4, former)
        ada.write("reply", former, 1, None)
        ada.write("send", "another", "say", 1)
        self.advance(1)
        self.assertEqual(
            [frame[:4] for frame in ada.take()],
            [["left", former, 4008, "over"], ["error", None, "another", "noSuchRoom"]],
        )
        self.assertTrue(ada.client.isOpen)

    def test_unreadable(self) -> None:
        """So is what it could not have read, in a room that has just ended."""
        self.rooms(NotingRoom, autoDispose=False)
        player = self.joined()
        self.room().kick(self.room().clients[0])
        for _ in range(5):
            player.client.send(f'["send","{player.room}","say","\\ud83d"]')
        self.settle()
        self.assertEqual(([frame[0] for frame in player.take()], player.client.isOpen), (["left"], True))

    def test_leftByItself(self) -> None:
        """A client that has left by itself is told so too."""
        self.rooms()
        ada = self.joined()
        ada.write("leave", 1, ada.room)
        ada.take()
        ada.write("send", ada.room, "say", 1)
        self.assertEqual([frame[3] for frame in ada.take("error")], ["noSuchRoom"])

    def test_bounded(self) -> None:
        """A connection remembers the last 16 rooms that have let it go."""
        self.rooms()
        ada = self.player()
        former = []
        for _ in range(17):
            self.assertEqual(ada.join()[0], "joined")
            former.append(ada.frames[-1][2])
            self.app.rooms[former[-1]].disconnect()
            self.advance(2)
        ada.take()
        for room in former:
            ada.write("send", room, "say", 1)
        self.assertEqual([frame[2] for frame in ada.take("error")], former[:1])

    def test_byPath(self) -> None:
        """A client that has joined by its path is closed with the room's code."""
        self.rooms()
        ada = self.player("/rooms/chat")
        self.room().disconnect("over")
        self.advance(1)
        self.assertEqual(ada.client.closeCode, 4008)

    def moved(self) -> Player:
        """A client that has joined by its path a room that has moved since."""
        self.rooms(presence=True, autoDispose=False)
        ada = self.player("/rooms/chat")
        ada.take()
        hostOf(self.room()).refounded("another")
        self.settle()
        self.assertEqual(ada.take(), [["left", ada.room, 4101, ""]])
        return ada

    def test_moved(self) -> None:
        """If the room of its path has moved, the client resumes on the same connection."""
        ada = self.moved()
        # Frames that were on their way.
        ada.write("send", None, "say", 1, 1)
        ada.write("call", 2, ada.room, "say", 1, 2)
        self.assertEqual(ada.take(), [])
        self.assertEqual(ada.resume(ada)[0], "joined")
        ada.take()
        ada.write("send", None, "say", 1, 1)
        self.assertEqual(ada.said(), [1])
        self.advance(20)
        self.assertTrue(ada.client.isOpen)
        self.room().disconnect("over")
        self.advance(1)
        self.assertEqual(ada.client.closeCode, 4008)

    def test_neverResumed(self) -> None:
        """A client that doesn't resume is closed after a while, so that it connects again."""
        ada = self.moved()
        self.advance(9)
        self.assertTrue(ada.client.isOpen)
        self.advance(1)
        self.assertEqual(ada.client.closeCode, 4101)

    def test_movedAndGone(self) -> None:
        """Nothing is left of a client that closes the connection instead."""
        ada = self.moved()
        ada.client.drop()
        self.advance(20)
        self.assertEqual(len(self.app.edge.attachments), 0)

    def test_members(self) -> None:
        """A request for members that was on its way is answered, since nobody sends it again."""
        ada = self.moved()
        ada.write("members", 5, ada.room, 0)
        self.assertEqual(ada.take(), [["error", 5, None, "unavailable", "", None]])

    def test_cantResume(self) -> None:
        """Clients with another protocol are closed, if they can't resume."""
        self.patch(FrameSession, "canResume", False)
        ada = self.moved()
        self.advance(1)
        self.assertEqual(ada.client.closeCode, 4101)

    def test_misuse(self) -> None:
        """Misuse costs the connection, however it has joined."""
        self.rooms()
        ada = self.joined()
        ada.send("say", 1, 5)
        self.advance(1)
        self.assertEqual(ada.client.closeCode, 4010)


class ServerTests(HarnessTestCase):
    """Rooms as part of a server."""

    def test_register(self) -> None:
        """The shortcut makes one application for all names, at /rooms."""
        NotingRoom.events = []

        def make(clock: Any) -> Server:
            server = Server(clock=clock)
            server.addApplication(Application(), path="/plain")
            server.register("chat", NotingRoom, topic="x")
            server.register("other", NotingRoom)
            return server

        harness = RoomHarness(make)
        self.addCleanup(harness.stop)
        chat, other, plain = (harness.connect(path) for path in ("/rooms/chat", "/rooms/other", "/plain"))
        self.assertEqual([len(chat.received), len(other.received)], [1, 1])
        harness.server.broadcast("to the plain ones")
        harness.flush()
        self.assertEqual([len(chat.received), plain.received], [1, ["to the plain ones"]])

    def test_neverBegun(self) -> None:
        """An application that nothing has served stops."""
        self.assertIsNone(self.successResultOf(RoomApplication().stop()))

    def test_stoppedByHand(self) -> None:
        """Rooms of an application that is only given to `handleUpgrade` end with the server, too."""
        events: list[Any] = []
        NotingRoom.events = events

        class Page(Resource):
            isLeaf = True

            def render_GET(self, request: Any) -> Any:
                harness.server.handleUpgrade(request, app)
                return NOT_DONE_YET

        app = RoomApplication()
        app.register("chat", NotingRoom, autoDispose=False)
        harness = RoomHarness(lambda clock: Server(clock=clock))
        self.addCleanup(harness.stop)
        site = Site(Page(), reactor=harness.clock)
        client = harness.connect("/rooms/chat", to=site)
        self.assertTrue(client.isOpen)
        harness.stop()
        kinds = [event[0] for event in events]
        self.assertEqual((kinds[-2:], len(app.rooms)), (["leave", "dispose"], 0))

    def test_restart(self) -> None:
        """A server that was stopped and started again makes rooms again."""
        app = RoomApplication()
        NotingRoom.events = []
        app.register("chat", NotingRoom)
        harness = self.serve(app)
        harness.connect("/rooms/chat")
        harness.stop()
        harness.start()
        self.assertEqual(len(harness.connect("/rooms/chat").received), 1)

    def test_stopWhileCreating(self) -> None:
        """A room that can't be made while the server stops holds nothing up, and the next start works."""
        making: list[Deferred[None]] = []

        class Chat(NotingRoom):
            def onCreate(self, options: Any) -> Any:
                making.append(Deferred())
                return making[-1]

        app = RoomApplication()
        app.register("chat", Chat)
        harness = self.serve(app)
        failed = app.createRoom("chat")
        harness.flush()
        stopped = app.stop()
        making[0].errback(RoomError("no"))
        harness.flush()
        self.failureResultOf(failed, RoomError)
        self.successResultOf(stopped)
        made = app.createRoom("chat")
        harness.flush()
        making[1].callback(None)
        harness.flush()
        self.successResultOf(made)


PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False)
    | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
#: What only MessagePack can say.
STRANGE = st.sampled_from([b"x", {None: 1}, [{True: 1}], {"a": msgspec.msgpack.Ext(5, b"x")}, {(1,): 2}])
KINDS = "join joinOnly create joinById resume leave send call reply error rooms ping joined nix"
PARTS: st.SearchStrategy[Any] = (
    st.sampled_from([0, 1, "chat", "$room", None, {}, "say", "tell"]) | PLAIN | STRANGE
)
SAYING = st.tuples(st.just("send"), st.tuples(st.just("$room"), st.just("say"), PARTS).map(list))
FRAMES = st.tuples(st.sampled_from(KINDS.split()), st.lists(PARTS, max_size=6)) | SAYING


class FuzzTests(RoomTestCase):
    """Whatever comes, it is answered or the socket is closed; nothing is raised."""

    @settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
    @given(frames=st.lists(FRAMES | st.binary(max_size=30), max_size=12), isJSON=st.booleans())
    def test_frames(self, frames: list[Any], isJSON: bool) -> None:
        """Frames that are nearly right, and anything else."""
        self.rooms()
        player = self.joined(protocol=None if isJSON else MSGPACK)
        others = [self.player(protocol=protocol) for protocol in (None, MSGPACK)]
        for other in others:
            self.assertEqual(other.ask("joinById", player.room, {})[0], "joined")
        for frame in frames:
            if not player.client.isOpen:
                break
            player.client.send(self.bytesOf(frame, player))
        self.settle()
        self.assertEqual(self.flushLoggedErrors(), [])
        if not player.client.isOpen:
            self.assertIn(player.client.closeCode, (4010, 1000))
        # The others have missed nothing, in any dialect, and another one is still served.
        heard = [[frame[2] for frame in other.take("msg")] for other in others]
        self.assertEqual(heard[0], heard[1])
        self.assertEqual(self.joined().call("say", 1)[0], "reply")
        self.harness.stop()

    def bytesOf(self, frame: Any, player: Player) -> str | bytes:
        if isinstance(frame, bytes):
            return frame.decode("latin-1") if player.isJSON else frame
        parts = [frame[0], *(player.room if part == "$room" else part for part in frame[1])]
        try:
            return msgspec.json.encode(parts).decode() if player.isJSON else msgspec.msgpack.encode(parts)
        except (OverflowError, TypeError):
            return "" if player.isJSON else b""
