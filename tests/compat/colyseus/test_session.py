"""Clients of Colyseus in rooms."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.compat.colyseus.case import ColyseusTestCase, Player
from tests.rooms.case import NotingRoom, hostOf, onBothEngines
from txroom import CallError, RoomError, message
from txroom import Client as RoomClient
from txroom.compat.colyseus import session
from txroom.compat.colyseus.codes import Kind
from txroom.rooms.contract.arrivals import Refused
from txroom.rooms.owner.joining import Joining
from txroom.state import Map, State, private

encode = msgspec.msgpack.encode


class Card(State):
    face: str = ""


class Game(State):
    title: str = ""
    cards: Map[Card] = private()


class Pool(NotingRoom):
    """Has a state."""

    state: Game
    patchRate = 20.0


class Chat(NotingRoom):
    """Answers messages and requests."""

    @message("add")
    def add(self, client: RoomClient, data: list[int]) -> int:
        return sum(data)

    @message("refuse")
    def refuse(self, client: RoomClient) -> None:
        raise RoomError("notNow", "later")

    @message("deny")
    def deny(self, client: RoomClient) -> None:
        raise RoomError("tooMany", "ten cards at most", {"code": "tooMany", "most": 10})

    @message("kick")
    def kicked(self, client: RoomClient) -> None:
        client.kick("go")


@onBothEngines
class SessionTests(ColyseusTestCase):
    """A connection that has taken its seat."""

    def test_join(self) -> None:
        """`JOIN_ROOM` has a token; the client's id is the one that it was told."""
        self.rooms(Chat)
        player = Player(self, self.seat(topic="x"))
        (joined,) = player.take()
        self.assertEqual(
            joined, b"\x0a" + bytes((len(player.token),)) + player.token.encode() + b"\x04none\x00"
        )
        self.assertEqual(self.named("join"), [{"topic": "x"}])
        (client,) = self.room().clients
        self.assertEqual(client.id, player.seat["sessionId"])

    def test_patchFirst(self) -> None:
        """What is broadcast after `patch` comes after the patch, like `afterNextPatch` of Colyseus."""
        self.rooms(Pool)
        ada, bob = self.colyseus(), self.joined()
        bob.take()
        for title in "ab":
            self.room().state.title = title
            self.room().patch()
            self.room().broadcast("changed", title)
            self.settle()
            self.assertEqual([each[0] for each in ada.take()], [Kind.ROOM_STATE_PATCH, Kind.ROOM_DATA])

    def test_rejected(self) -> None:
        """The reason of a rejected request is the details, as it is what Colyseus's `ctx.reject` gets."""
        self.rooms(Chat)
        ada = self.colyseus()
        ada.request(1, "deny")
        self.assertEqual(ada.take(), [b"\x16\x01\x01" + encode({"code": "tooMany", "most": 10})])

    def test_wrongData(self) -> None:
        """The text of the error for a message with wrong data names the type and the field."""
        self.rooms(Chat)
        ada = self.colyseus()
        ada.send("add", [1, "x"])
        (error,) = ada.take(Kind.ERROR)
        self.assertEqual(error[:4], b"\xcd\x79\x10\xd9")
        self.assertEqual(error[5:].decode(), "add: [1]: Expected `int`, got `str`")

    def test_both(self) -> None:
        """Clients of both systems are in one room."""
        self.rooms(Chat)
        ada = self.colyseus()
        bob = self.joined()
        self.assertEqual(bob.room, ada.seat["roomId"])
        bob.send("say", {"x": 2**40})
        self.assertEqual(ada.take(Kind.ROOM_DATA), [b"\xa4said" + encode({"x": float(2**40)})])
        ada.write(b"\x0d\xa3say\xd4\x72\x40\x91\xa1x\x01")
        self.assertEqual(bob.said(), [{"x": 2**40}, {"x": 1}])
        self.assertEqual(ada.take(Kind.ROOM_DATA), [b"\xa4said\x81\xa1x\x01"])

    def test_held(self) -> None:
        """What the room sends before the client has confirmed `JOIN_ROOM` comes after that, in order."""
        self.rooms(Chat)
        bob = self.joined()
        ada = Player(self, self.seat())
        ada.take()
        bob.send("say", 1)
        self.room().broadcast("volatile", 5, volatile=True)
        ada.request(3, "add", [1, 2])
        bob.send("say", 2)
        self.assertEqual(ada.take(), [])
        ada.confirm()
        self.assertEqual(ada.take(), [b"\x0d\xa4said\x01", b"\x16\x03\x00\x03", b"\x0d\xa4said\x02"])
        ada.confirm()
        bob.send("say", 3)
        self.assertEqual(ada.take(), [b"\x0d\xa4said\x03"])

    def test_heldTooMuch(self) -> None:
        """A client that never confirms costs little memory, and may come back."""
        self.rooms(Chat)
        bob = self.joined()
        for name, most in (("MAX_HELD", 3), ("HELD_SIZE", 30)):
            self.patch(session, "MAX_HELD", 1000)
            self.patch(session, "HELD_SIZE", 1 << 20)
            self.patch(session, name, most)
            ada = Player(self, self.seat())
            for _ in range(4):
                bob.send("say", "x" * 9)
            self.assertEqual(ada.ending, 4010)

    def test_heldState(self) -> None:
        """A state of any size is held, and its patches up to the bound; above it, it comes later."""
        self.rooms(Pool)
        self.patch(session, "HELD_SIZE", 400)
        bob = self.joined()
        self.room().state.title = "t" * 500
        self.advance(0.1)
        ada, eve = Player(self, self.seat()), Player(self, self.seat())
        for player, text in ((eve, "first"), (ada, "second" * 100)):
            self.room().state.title = text
            self.advance(0.1)
            bob.send("say", text[:5])
            self.assertEqual(len(player.take()), 1)
            player.confirm()
            self.assertIsNone(player.ending)
        kinds = [(each[0], b"first" in each) for each in eve.take()]
        self.assertEqual(kinds[0][0], Kind.ROOM_STATE)
        self.assertEqual(kinds[1:3], [(Kind.ROOM_STATE_PATCH, True), (Kind.ROOM_DATA, True)])
        frames = ada.take()
        self.assertEqual([each[0] for each in frames].count(Kind.ROOM_STATE), 1)
        (state,) = (each for each in frames if each[0] == Kind.ROOM_STATE)
        self.assertIn(b"second" * 100, state)
        self.room().state.title = "third"
        self.advance(0.1)
        for player in (ada, eve):
            self.assertIn(b"third", player.take(Kind.ROOM_STATE_PATCH)[-1])

    def test_heldView(self) -> None:
        """What only one client sees is held for that client only."""
        self.rooms(Pool)
        self.patch(session, "HELD_SIZE", 400)
        players = [Player(self, self.seat()) for _ in range(3)]
        for index, client in enumerate(self.room().clients):
            self.room().state.cards[client.id] = card = Card(face=f"face{index}" + "x" * 200)
            client.view.add(card)
        self.advance(0.1)
        for player in players:
            player.confirm()
        for index, player in enumerate(players):
            frames = player.take()
            self.assertEqual(
                [each for each in range(3) if any(b"face%d" % each in f for f in frames)], [index]
            )
            kinds = [each[0] for each in frames]
            self.assertEqual(kinds[1], Kind.ROOM_STATE)
            self.assertIn(Kind.ROOM_STATE_PATCH, kinds)

    def test_requests(self) -> None:
        """Answers, deliberate refusals and faults."""
        self.rooms(Chat)
        ada = self.colyseus()
        ada.request(1, "add", [40, 2])
        ada.request(2, "refuse")
        ada.request(3, "add", "text")
        answers = ada.take(Kind.ROOM_RESPONSE)
        self.assertEqual(answers[:2], [b"\x01\x00\x2a", b"\x02\x01\xa5later"])
        self.assertEqual(
            (answers[2][:2], msgspec.msgpack.decode(answers[2][2:])["name"]), (b"\x03\x02", "invalidData")
        )

    def test_calls(self) -> None:
        """A room that calls the client is told that it can't answer."""
        self.rooms(Chat)
        self.colyseus()
        (client,) = self.room().clients
        results: list[Any] = []
        client.call("ask", 1, timeout=5).addBoth(results.append)
        self.settle()
        (failure,) = results
        self.assertEqual(failure.trap(CallError), CallError)

    def test_ping(self) -> None:
        """A ping is answered at once."""
        self.rooms(Chat)
        ada = self.colyseus()
        ada.write(b"\x12")
        self.assertEqual(ada.take(), [b"\x12"])

    def test_mistakes(self) -> None:
        """A wrong frame is answered; three in ten seconds end the membership."""
        self.rooms(Chat)
        ada = self.colyseus()
        for frame in (b"\x0d\xa3say\xd4\x72", b"\x63"):
            ada.write(frame)
            (error,) = ada.take(Kind.ERROR)
            self.assertEqual(error[:3], b"\xcd\x79\x10")
        ada.client.send("text")
        self.settle()
        self.assertEqual(ada.ending, 4002)
        self.assertEqual(self.named("drop"), [ada.seat["sessionId"]])

    def test_leave(self) -> None:
        """A client leaves by a frame, or by closing with 4000; it is kicked with 4000 too."""
        self.rooms(Chat)
        ada, bob, cy = (self.colyseus() for _ in range(3))
        ada.write(b"\x0c")
        self.assertEqual((ada.ending, ada.take()), (4000, []))
        bob.client.close(4000)
        self.settle()
        cy.send("kick")
        self.assertEqual(cy.ending, 4000)
        self.assertEqual(self.named("leave"), ["left", "left", "kicked"])
        self.assertEqual(self.named("drop"), [])

    def test_closed(self) -> None:
        """Any other close drops the client, which may come back."""
        self.rooms(Chat)
        for code in (None, 1000, 1001):
            self.colyseus().client.close(code)
            self.settle()
        self.assertEqual((len(self.named("drop")), self.named("leave")), (3, []))


@onBothEngines
class SeatTests(ColyseusTestCase):
    """Seats that are not valid."""

    def test_expired(self) -> None:
        """A seat that was never told, has expired, or was taken is the error 524."""
        self.rooms(Chat, autoDispose=False)
        seat = self.seat()
        for wrong in ({**seat, "sessionId": "none"}, {**seat, "sessionId": ""}, {**seat, "roomId": "none"}):
            player = Player(self, wrong)
            (error,) = player.take()
            self.assertEqual((error[:4], player.ending), (b"\x0b\xcd\x0c\x02", 4002))
        taken = Player(self, seat)
        self.assertEqual(len(taken.take(Kind.JOIN_ROOM)), 1)
        self.assertEqual(Player(self, seat).ending, 4002)
        late = self.seat()
        self.advance(16)
        self.assertEqual(Player(self, late).ending, 4002)

    def test_options(self) -> None:
        """A client that takes its seat joins with the options that `canJoin` has seen, and with no others."""

        class Teams(Chat):
            def canJoin(self, options: Any, user: Any) -> bool:
                return options.get("team") != "staff" and not options.get("isAdmin")

            def onAuth(self, client: RoomClient, options: Any, handshake: Any) -> Any:
                self.events.append(("auth", dict(options)))
                return True

        self.rooms(Teams)
        seat = self.seat(team="blue")
        changed = {"seat": seat["sessionId"], "team": "staff", "isAdmin": True, "auth": "secret"}
        answer = self.player().ask("joinById", seat["roomId"], changed)
        self.assertEqual(answer[0], "joined", answer)
        self.assertEqual(self.named("auth"), [{"team": "blue", "auth": "secret"}])
        self.assertEqual(self.named("join"), [{"team": "blue"}])

    def test_refused(self) -> None:
        """`onAuth` and `onJoin` may refuse a client that has a seat."""

        class Closed(Chat):
            def onAuth(self, client: RoomClient, options: Any, handshake: Any) -> Any:
                return options.get("auth") == "secret"

            def onJoin(self, client: RoomClient, options: Any) -> None:
                super().onJoin(client, options)
                if options.get("fail"):
                    raise RoomError("notNow", "later")

        self.rooms(Closed, autoDispose=False)
        stranger = Player(self, self.seat())
        self.assertEqual((stranger.take(Kind.ERROR)[0][:3], stranger.ending), (b"\xcd\x0d\x02", 4002))
        failed = Player(self, self.seat(fail=True), "&_authToken=secret")
        self.assertEqual((failed.take(Kind.ERROR), failed.ending), ([b"\xcd\x0e\x02\xa5later"], 4002))
        ada = Player(self, self.seat(), "&_authToken=secret")
        self.assertEqual(len(ada.take(Kind.JOIN_ROOM)), 1)
        self.assertEqual(self.named("join"), [{"fail": True}, {}])

    def test_rate(self) -> None:
        """A client counts once for the joins by path of its address: when it asks for its seat."""
        self.rooms(Chat)
        self.app._arrivals._rate, self.app._arrivals._burst = 0.001, 2.0
        first, second = (Player(self, self.seat()) for _ in range(2))
        self.assertEqual((first.ending, second.ending), (None, None))
        self.assertEqual(self.refusal("joinOrCreate/chat")[0], 429)

    def test_paths(self) -> None:
        """Only paths of seats, and the endpoint itself, are taken."""
        self.rooms(Chat)
        for path in ("/elsewhere/room", "/txroom", "/chat"):
            client = self.harness.connect(path)
            self.settle()
            self.assertEqual(self.statusOf(client), 404, path)
        client = self.harness.connect("/txroom/no.room?sessionId=x")
        self.settle()
        self.assertEqual(client.closeCode, 4002)

    def test_probe(self) -> None:
        """At the endpoint a client measures the latency, and does nothing else."""
        self.rooms(Chat)
        client = self.harness.connect("/")
        client.send(b"\x12")
        client.send(b"\x12")
        self.settle()
        self.assertEqual(client.received, [b"\x12", b"\x12"])
        self.advance(6)
        self.assertEqual(client.closeCode, 4000)
        other = self.harness.connect("/")
        other.close()
        self.settle()


@onBothEngines
class ReturnTests(ColyseusTestCase):
    """Clients that come back."""

    def test_back(self) -> None:
        """With a token, by a request and then a connection; the room begins anew with it."""
        self.rooms(Chat)
        ada, bob = self.colyseus(), self.joined()
        ada.client.drop()
        self.settle()
        bob.send("say", "missed")
        room, token = ada.seat["roomId"], ada.token
        seat = self.seat("reconnect", room, reconnectionToken=token)
        self.assertEqual((seat["sessionId"], seat["reconnectionToken"]), (ada.seat["sessionId"], token))
        again = Player(self, seat, f"&reconnectionToken={token}")
        self.assertEqual(len(again.take(Kind.JOIN_ROOM)), 1)
        self.assertNotEqual(again.token, token)
        self.assertEqual(self.named("resume"), [False])
        again.confirm()
        again.send("say", "back")
        self.assertEqual(again.take(), [b"\x0d\xa4said\xa4back"])
        self.assertEqual(bob.said(), ["missed", "back"])

    def test_byItself(self) -> None:
        """Straight to the connection, without a description of the state, while the old one is open."""
        self.rooms(Chat)
        ada = self.colyseus()
        again = Player(self, ada.seat, f"&reconnectionToken={ada.token}&skipHandshake=true")
        (joined,) = again.take()
        self.assertTrue(joined.endswith(b"\x04none"))
        self.assertEqual(ada.ending, 4002)

    def test_token(self) -> None:
        """The old token is valid until the client has confirmed the new one."""
        self.rooms(Chat)
        ada = self.colyseus()
        token = ada.token
        first = Player(self, ada.seat, f"&reconnectionToken={token}")
        second = Player(self, ada.seat, f"&reconnectionToken={token}")
        second.confirm()
        self.assertEqual((first.ending, second.ending), (4002, None))
        late = Player(self, ada.seat, f"&reconnectionToken={token}")
        self.assertEqual((late.take()[0][:4], late.ending), (b"\x0b\xcd\x0c\x02", 4003))

    def test_gone(self) -> None:
        """A client that has left, or a room that has ended, can't be come back to."""
        self.rooms(Chat)
        ada = self.colyseus()
        token, room = ada.token, ada.seat["roomId"]
        ada.write(b"\x0c")
        self.settle()
        self.assertIn(
            self.refusal(f"reconnect/{room}", {"reconnectionToken": token})[:2], [(524, 524), (522, 522)]
        )
        self.assertEqual(Player(self, ada.seat, f"&reconnectionToken={token}").ending, 4003)
        bob = self.colyseus()
        for wrong in ("", "x", 7, None, "x" * 1000):
            body = {"reconnectionToken": wrong}
            self.assertEqual(self.refusal(f"reconnect/{bob.seat['roomId']}", body)[:2], (524, 524))
        self.assertEqual(self.refusal("reconnect/none", {"reconnectionToken": "x"})[:2], (522, 522))

    def test_later(self) -> None:
        """A client that could come back later is closed with 4010, and gets no error."""
        self.rooms(Chat)
        ada = self.colyseus()
        ada.client.drop()
        self.settle()
        self.app._arrivals._rate, self.app._arrivals._burst = 1.0, 0.0
        self.app._arrivals._buckets.clear()
        again = Player(self, ada.seat, f"&reconnectionToken={ada.token}")
        self.assertEqual((again.take(), again.ending), ([], 4010))

    def test_moved(self) -> None:
        """When the room gets another owner, the client reconnects."""
        if not self.isLagging:
            return
        self.rooms(Chat)
        ada = self.colyseus()
        self.engine.loseOwner(ada.seat["roomId"], False)
        self.settle()
        self.assertEqual(ada.ending, 4010)
        again = Player(self, ada.seat, f"&reconnectionToken={ada.token}")
        self.assertEqual(len(again.take(Kind.JOIN_ROOM)), 1)

    def askedAgain(self, isRefused: bool = False) -> dict[str, Any]:
        """The seat of a client whose room lost its owner when it had joined, and had not been told."""

        class Arena(Chat):
            def onJoin(self, client: RoomClient, options: Any) -> None:
                self.events.append(("in", client.id))

            def onLeave(self, client: RoomClient, reason: Any) -> None:
                self.events.append(("out", client.id))

        self.rooms(Arena, autoDispose=False)
        seat = self.seat()
        client = self.harness.connect(f"/txroom/{seat['roomId']}?sessionId={seat['sessionId']}")
        while not self.named("in"):
            self.harness.advance(0.0005)
        self.assertEqual(client.received, [])
        self.engine.loseOwner(seat["roomId"], True)
        if isRefused:
            self.patch(Joining, "_refusal", lambda *_: Refused("unavailable"))
        self.advance(2)
        return seat

    def test_askedAgain(self) -> None:
        """
        A client that its next owner knows already, but that wasn't told so, joins anew with the same id: when
        its former membership is over.
        """
        if not self.isLagging:
            return
        seat = self.askedAgain()
        id = seat["sessionId"]
        events = [each for each in self.events if each[0] in ("in", "out")]
        self.assertEqual(events, [("in", id), ("out", id), ("in", id)])
        self.assertEqual([each.id for each in self.room().clients], [id])

    def test_notAgain(self) -> None:
        """If it doesn't, nobody else can take its seat, whose token was its id."""
        if not self.isLagging:
            return
        self.askedAgain(isRefused=True)
        self.assertEqual([each for each in self.kinds() if each in ("in", "out")], ["in", "out"])
        self.assertEqual(hostOf(self.room()).roster.reservations, {})

    def test_shutdown(self) -> None:
        """When the server shuts down, clients may reconnect."""
        self.rooms(Chat)
        ada = self.colyseus()
        probe = self.harness.connect("/")
        self.harness.stop()
        self.assertEqual((ada.ending, probe.closeCode), (4010, 4010))
