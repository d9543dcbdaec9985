"""Requests of Colyseus's clients for seats."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import CancelledError, Deferred
from twisted.web.static import Data

from tests.compat.colyseus.case import ColyseusTestCase, Player
from tests.rooms.case import NotingRoom, hostOf, onBothEngines
from txroom import Accept, Application, Deny, OptionError, RoomApplication, RoomError, Server
from txroom.compat.colyseus import openseats
from txroom.compat.colyseus.codes import Kind
from txroom.protocol.limits import MAX_OPTIONS
from txroom.rooms.owner import seats
from txroom.testing import MemoryReactor

ORIGIN = "https://game.example"


@onBothEngines
class SeatTests(ColyseusTestCase):
    """Which seat a client gets."""

    def test_answer(self) -> None:
        """It is told as each generation of clients reads it."""
        self.rooms()
        response = self.post("/matchmake/joinOrCreate/chat", {})
        seat = msgspec.json.decode(response.body)
        place = {"name": "chat", "roomId": seat["roomId"], "processId": "txroom"}
        self.assertEqual(seat, {**place, "sessionId": seat["sessionId"], "room": place})
        self.assertEqual(response.headers.get("content-type"), "application/json")
        self.assertEqual(response.headers.get("cache-control"), "no-store")

    def test_methods(self) -> None:
        """joinOrCreate, create, join and joinById."""
        self.rooms()
        self.app._registrations["chat"].filterBy("mode")
        first = self.seat(mode="x")
        self.assertEqual(self.seat("join", mode="x")["roomId"], first["roomId"])
        self.assertNotEqual(self.seat("create", mode="x")["roomId"], first["roomId"])
        other = self.seat(mode="y")
        self.assertNotEqual(other["roomId"], first["roomId"])
        self.assertEqual(self.seat("joinById", other["roomId"])["name"], "chat")

    def test_refusals(self) -> None:
        """Names, options and ids that no room has; locked and full rooms; methods that there aren't."""
        self.rooms(maxClients=1, maxRooms=1)
        self.assertEqual(self.refusal("joinOrCreate/none")[:2], (520, 520))
        self.assertEqual(self.refusal("join/chat")[:2], (521, 521))
        self.assertEqual(self.refusal("joinById/none")[:2], (522, 522))
        room = self.seat()["roomId"]
        self.assertEqual(self.refusal(f"joinById/{room}")[:2], (522, 522))
        self.assertEqual(self.refusal("joinOrCreate/chat")[:2], (521, 521))
        self.assertEqual(self.refusal("create/chat")[:2], (521, 521))
        self.room().lock()
        self.assertEqual(self.refusal(f"joinById/{room}")[:2], (522, 522))
        self.assertEqual(self.refusal("delete/chat")[:2], (520, 520))
        self.assertEqual(self.refusal("join/" + "x" * 129)[:2], (520, 520))
        self.assertEqual(self.refusal("join/")[:2], (520, 520))
        for path in ("join", "join/chat/more", "/join/chat"):
            self.assertEqual(self.refusal(path)[:2], (404, 404), path)

    def test_canJoin(self) -> None:
        """The room is asked before a seat is reserved, and the next one is tried."""

        class Chat(NotingRoom):
            def canJoin(self, options: Any, user: Any) -> bool:
                return bool(options.get("name") not in self.metadata.values())

        self.rooms(Chat)
        first = self.result(self.app.createRoom("chat"))
        self.app.rooms[first].setMetadata({"bars": "eve"})
        self.settle()
        self.assertEqual(self.seat(name="ada")["roomId"], first)
        self.assertNotEqual(self.seat(name="eve")["roomId"], first)
        self.assertEqual(self.refusal(f"joinById/{first}", {"name": "eve"})[:2], (525, 525))

    def test_ownErrors(self) -> None:
        """The errors of a room are those of the application, whatever their details are."""

        class Chat(NotingRoom):
            def canJoin(self, options: Any, user: Any) -> bool:
                raise RoomError("rateLimited", "slowly", {"retryAfter": options.get("wait")})

        self.rooms(Chat)
        for wait, told in ((2.5, "3"), ("x", None), (None, None), (-1, None)):
            response = self.post("/matchmake/joinOrCreate/chat", {"wait": wait})
            self.assertEqual((response.status, response.headers.get("retry-after")), (429, told))

    def test_noCreation(self) -> None:
        """Clients that may not create rooms, and rooms that can't be created."""

        class Broken(NotingRoom):
            def onCreate(self, options: Any) -> None:
                raise ValueError

        self.rooms(NotingRoom, Broken, clientsMayCreate=False)
        self.assertEqual(self.refusal("create/chat")[:2], (525, 525))
        self.assertEqual(self.refusal("joinOrCreate/chat")[:2], (521, 521))
        self.app._registrations["Broken"].clientsMayCreate = True
        self.assertEqual(self.refusal("create/Broken")[:2], (523, 523))
        self.assertRaised(ValueError)

    def test_seatOption(self) -> None:
        """A client can't choose its id, nor take a seat that is reserved for another one."""
        self.rooms()
        told = self.seat(seat="mine")
        self.assertNotEqual(told["sessionId"], "mine")
        Player(self, told)
        self.assertEqual(self.named("join"), [{}])

    def test_kept(self) -> None:
        """The room keeps the seat, so that it is taken from any node; its secret isn't kept."""
        self.rooms()
        self.post("/matchmake/joinOrCreate/chat", {"name": "ada"}, {"Authorization": "Bearer secret"})
        (reservation,) = hostOf(self.room()).roster.reservations.values()
        self.assertEqual(reservation.options, {"name": "ada"})

    def test_creations(self) -> None:
        """Rooms that clients create are limited by address."""
        self.rooms()
        self.app._creations._rate, self.app._creations._burst = 1.0, 1.0
        self.seat("create")
        response = self.post("/matchmake/create/chat", {})
        self.assertEqual((response.status, response.headers.get("retry-after")), (429, "1"))

    def test_openSeats(self) -> None:
        """So are the seats that nobody has taken yet; refusals and taken seats don't count."""
        self.patch(openseats, "MAX_OPEN", 2)
        self.rooms(colyseus={"trustedProxies": "203.0.113.9"})

        def ask(address: str = "192.0.2.1", name: str = "chat") -> Any:
            return self.post(f"/matchmake/joinOrCreate/{name}", {}, {"X-Forwarded-For": address})

        for _ in range(3):
            self.assertEqual(ask(name="none").status, 520)
        told = [msgspec.json.decode(ask().body) for _ in range(2)]
        response = ask()
        self.assertEqual((response.status, response.headers.get("retry-after")), (429, "15"))
        self.assertEqual(ask("192.0.2.2").status, 200)
        Player(self, told[0])
        self.assertEqual([ask().status for _ in range(2)], [200, 429])
        self.advance(16)
        self.assertEqual([ask().status for _ in range(3)], [200, 200, 429])

    def test_seatSeconds(self) -> None:
        """Such a seat counts for as long as its room reserves it."""
        self.patch(openseats, "MAX_OPEN", 2)

        class Patient(NotingRoom):
            seatSeconds = 300.0

        class Hasty(NotingRoom):
            seatSeconds = 2.0

        self.rooms(Patient, Hasty, colyseus={"trustedProxies": "203.0.113.9"})
        for name, address, seconds in (("chat", "192.0.2.1", 300), ("Hasty", "192.0.2.2", 2)):

            def ask(name: str = name, address: str = address) -> Any:
                return self.post(f"/matchmake/joinOrCreate/{name}", {}, {"X-Forwarded-For": address})

            self.assertEqual([ask().status for _ in range(2)], [200, 200])
            self.advance(seconds - 1)
            response = ask()
            self.assertEqual((response.status, response.headers.get("retry-after")), (429, "1"))
            self.advance(1)
            self.assertEqual([ask().status for _ in range(3)], [200, 200, 429])

    def test_earlierNodes(self) -> None:
        """The room may be at a node of an earlier version, which doesn't tell the seconds."""
        self.patch(openseats, "MAX_OPEN", 1)
        self.rooms(colyseus={"trustedProxies": "203.0.113.9"})
        ask = self.engine.ask

        def asked(room: str, command: Any) -> Any:
            return ask(room, command).addCallback(lambda seat: {key: seat[key] for key in ("name", "member")})

        self.patch(self.engine, "ask", asked)
        headers = {"X-Forwarded-For": "192.0.2.1"}
        statuses = [self.post("/matchmake/joinOrCreate/chat", {}, headers).status for _ in range(2)]
        self.advance(15)
        statuses.append(self.post("/matchmake/joinOrCreate/chat", {}, headers).status)
        self.assertEqual(statuses, [200, 429, 200])

    def test_auth(self) -> None:
        """Credentials are those of the header, for all hooks."""

        class Chat(NotingRoom):
            def canJoin(self, options: Any, user: Any) -> bool:
                self.events.append(("can", dict(options)))
                return True

            def onAuth(self, client: Any, options: Any, handshake: Any) -> bool:
                self.events.append(("auth", dict(options)))
                return True

        self.rooms(Chat)
        Player(self, self.seat(auth="mine", x=1))
        self.assertEqual((self.named("can"), self.named("auth")), ([{"x": 1}], [{"x": 1}]))

    def test_openSeatsSize(self) -> None:
        """A room keeps so many bytes of options for clients that have not come yet."""
        self.patch(seats, "TOLD_SIZE", 1000)
        self.rooms()
        room = self.seat(name="x" * 900)["roomId"]
        self.seat("joinById", room, name="x" * 900)
        self.assertEqual(self.refusal(f"joinById/{room}")[0], 429)
        self.advance(16)
        self.seat(name="x")

    def test_arrivals(self) -> None:
        """So are requests; the address may be one that a trusted proxy reports."""
        self.rooms(colyseus={"trustedProxies": "203.0.113.9"})
        self.app._arrivals._rate, self.app._arrivals._burst = 1.0, 1.0
        for address, status in (("192.0.2.1", 200), ("192.0.2.2", 200), ("192.0.2.2", 429)):
            response = self.post("/matchmake/joinOrCreate/chat", {}, {"X-Forwarded-For": address})
            self.assertEqual(response.status, status)


class RequestTests(ColyseusTestCase):
    """The requests themselves."""

    def test_bodies(self) -> None:
        """Options are a JSON object that is not too large; without a body there are none."""
        self.rooms()
        self.assertEqual(self.post("/matchmake/joinOrCreate/chat").status, 200)
        for body in (
            b"[]",
            b"null",
            b"{",
            b'"x"',
            b'{"a":1e999}',
            b"\xff",
            b'{"a":' + b"[" * 99 + b"]" * 99 + b"}",
        ):
            self.assertEqual(self.refusal("joinOrCreate/chat", body)[:2], (400, 400), body)
        many = {f"k{i}": i for i in range(1001)}
        self.assertEqual(self.refusal("joinOrCreate/chat", many)[0], 400)
        response = self.post("/matchmake/joinOrCreate/chat", {"x": "x" * MAX_OPTIONS})
        self.assertEqual(response.status, 413)
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        self.assertEqual(self.refusal("joinOrCreate/chat", b"a=1", headers=form)[:2], (415, 415))
        self.assertEqual(len(self.app.rooms), 1)

    def test_otherMethods(self) -> None:
        """There are POST and OPTIONS."""
        self.rooms()
        for method in ("GET", "PUT", "DELETE"):
            response = self.post("/matchmake/joinOrCreate/chat", {}, method=method)
            self.assertEqual((response.status, response.headers.get("allow")), (405, "OPTIONS, POST"))
        response = self.post("/matchmake/joinOrCreate/chat", method="OPTIONS")
        self.assertEqual((response.status, response.body), (204, b""))
        self.assertIsNone(response.headers.get("access-control-allow-origin"))

    def test_origin(self) -> None:
        """Pages of another origin are refused, and can't read the answer."""
        self.rooms()
        for method in ("POST", "OPTIONS"):
            response = self.post("/matchmake/joinOrCreate/chat", {}, {"Origin": ORIGIN}, method=method)
            self.assertEqual(response.status, 403)
            self.assertIsNone(response.headers.get("access-control-allow-origin"))
        self.assertEqual(len(self.app.rooms), 0)
        response = self.post("/matchmake/joinOrCreate/chat", {}, {"Origin": "http://localhost"})
        self.assertEqual(response.status, 200)

    def test_allowedOrigin(self) -> None:
        """Those of an origin that is allowed send credentials and read all answers."""
        self.rooms(colyseus={"allowedOrigins": ORIGIN})
        for path, method, status in (
            ("joinOrCreate/chat", "POST", 200),
            ("joinOrCreate/none", "POST", 520),
            ("joinOrCreate/chat", "OPTIONS", 204),
            ("joinOrCreate/chat", "GET", 405),
        ):
            response = self.post(f"/matchmake/{path}", {}, {"Origin": ORIGIN}, method=method)
            self.assertEqual(response.status, status)
            self.assertEqual(response.headers.get("access-control-allow-origin"), ORIGIN)
            self.assertEqual(response.headers.get("access-control-allow-credentials"), "true")
            self.assertEqual(response.headers.get("vary"), "Origin")
        self.assertIn("Authorization", self.preflight().headers.get("access-control-allow-headers") or "")

    def preflight(self) -> Any:
        """The answer to a preflight request."""
        return self.post("/matchmake/joinOrCreate/chat", headers={"Origin": ORIGIN}, method="OPTIONS")

    def test_hooksOfRooms(self) -> None:
        """The rooms' own origins and hooks apply, unless others are given."""
        app = RoomApplication(allowedOrigins=ORIGIN)
        self.rooms(app=app)
        self.assertEqual(self.preflight().status, 204)

        async def accepts(origin: str | None) -> bool:
            return origin != ORIGIN

        app.acceptsOrigin = accepts
        self.assertEqual(self.preflight().status, 403)

    def test_requireOrigin(self) -> None:
        """A request without an origin may be refused."""
        self.rooms(colyseus={"requireOrigin": True})
        self.assertEqual(self.refusal("joinOrCreate/chat")[:2], (403, 403))

    def test_host(self) -> None:
        """A host that is not allowed is refused, also below a `Site` of the user's."""
        self.rooms(colyseus={"allowedHosts": "game.example"})
        self.assertEqual(self.post("/matchmake/joinOrCreate/chat", {}).status, 421)
        response = self.post("/matchmake/joinOrCreate/chat", {}, {"Host": "game.example"})
        self.assertEqual(response.status, 200)

    def test_draining(self) -> None:
        """While the server drains, it tells no more seats."""
        self.rooms()
        self.patch(type(self.server), "isDraining", property(lambda server: True))
        response = self.post("/matchmake/joinOrCreate/chat", {})
        self.assertEqual((response.status, response.headers.get("retry-after")), (503, "5"))


class VerifyTests(ColyseusTestCase):
    """The hook `verifyClient`, for requests and connections."""

    def test_user(self) -> None:
        """The client's token is in the same header both times; the seat is for that user."""
        asked: list[Any] = []

        def verify(handshake: Any) -> Any:
            token = handshake.headers.get("authorization") or ""
            asked.append((handshake.path.split("/")[1], token))
            return Accept(user=token.removeprefix("Bearer ")) if token else False

        class Chat(NotingRoom):
            def onJoin(self, client: Any, options: Any) -> None:
                self.events.append(("user", client.user))

        self.rooms(Chat, app=RoomApplication(verifyClient=verify))
        self.assertEqual(self.refusal("joinOrCreate/chat")[:2], (525, 525))
        bearer = {"Authorization": "Bearer ada"}
        response = self.post("/matchmake/joinOrCreate/chat", {}, bearer)
        seat = msgspec.json.decode(response.body)
        self.assertEqual(Player(self, seat, "&_authToken=eve").take(Kind.ERROR)[0][:3], b"\xcd\x0c\x02")
        self.assertEqual(len(Player(self, seat, "&_authToken=ada").take(Kind.JOIN_ROOM)), 1)
        self.assertEqual(self.named("user"), ["ada"])
        self.assertEqual(asked[2:], [("txroom", "Bearer eve"), ("txroom", "Bearer ada")])
        stranger = self.harness.connect("/txroom/x?sessionId=x")
        self.assertEqual(self.statusOf(stranger), 401)
        wrong = self.harness.connect("/txroom/x?sessionId=x&_authToken=a%0d%0ab")
        self.assertEqual(self.statusOf(wrong), 401)

    def test_answers(self) -> None:
        """A refusal with a status and a text; a hook that raises, or takes too long."""
        answers: list[Any] = []
        self.rooms(colyseus={"verifyClient": lambda handshake: answers.pop()})
        answers[:] = [Deny(429, "slowly", {"Retry-After": "9"})]
        response = self.post("/matchmake/joinOrCreate/chat", {})
        self.assertEqual((response.status, response.headers.get("retry-after")), (429, "9"))
        self.assertEqual(msgspec.json.decode(response.body), {"code": 429, "error": "slowly"})
        answers[:] = [Deny(403, "not you")]
        self.assertEqual(self.refusal("joinOrCreate/chat"), (525, 525, "not you"))
        answers[:] = ["yes"]
        self.assertEqual(self.refusal("joinOrCreate/chat")[:2], (523, 523))
        self.assertRaised(TypeError)

        def cancelled(handshake: Any) -> Any:
            raise CancelledError

        self.server.applications[-1].verifyClient = cancelled
        self.assertEqual(self.refusal("joinOrCreate/chat")[:2], (523, 523))
        self.assertRaised(CancelledError)

    def test_slow(self) -> None:
        """A hook that takes longer than `handshakeTimeout`, and a client that leaves meanwhile."""
        waiting: list[Deferred[Any]] = []

        def verify(handshake: Any) -> Any:
            waiting.append(Deferred())
            return waiting[-1]

        self.rooms(colyseus={"verifyClient": verify})
        request = (
            b"POST /matchmake/joinOrCreate/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        )
        late, gone = self.harness.raw(request), self.harness.raw(request)
        gone.drop()
        self.assertEqual([each.called for each in waiting], [False, True])
        self.advance(6)
        assert late.response is not None
        self.assertEqual(late.response.status, 503)
        self.assertEqual(len(self.app.rooms), 0)

    def test_left(self) -> None:
        """A client that leaves while a room decides: the hook goes on, and no other room is asked."""
        asked: list[Deferred[bool]] = []

        class Chat(NotingRoom):
            def canJoin(self, options: Any, user: Any) -> Deferred[bool]:
                asked.append(Deferred())
                return asked[-1]

        for decision in (True, False):
            self.rooms(Chat)
            asked.clear()
            ids = [self.result(self.app.createRoom("chat")) for _ in range(2)]
            client = self.harness.raw(
                b"POST /matchmake/joinOrCreate/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
            )
            self.settle()
            client.drop()
            self.settle()
            self.assertEqual([each.called for each in asked], [False])
            asked[0].callback(decision)
            self.settle()
            self.assertEqual((len(asked), sorted(self.app.rooms)), (1, sorted(ids)))
            self.harness.stop()

    def test_leftAtCreation(self) -> None:
        """A room that was created for a client that has left ends, unless others come."""
        gate: Deferred[None] = Deferred()

        class Chat(NotingRoom):
            def onCreate(self, options: Any) -> Deferred[None]:
                return gate

        self.rooms(Chat)
        client = self.harness.raw(
            b"POST /matchmake/create/chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n"
        )
        self.settle()
        client.drop()
        self.settle()
        gate.callback(None)
        self.settle()
        self.assertEqual(len(self.app.rooms), 1)
        self.advance(16)
        self.assertEqual(len(self.app.rooms), 0)

    def test_notServing(self) -> None:
        """While the engine can't serve rooms, clients are disconnected and refused."""
        self.rooms()
        ada = self.colyseus()
        self.app.setServing(False)
        self.settle()
        self.assertEqual(ada.ending, 4010)
        self.assertEqual(self.refusal("joinOrCreate/chat")[:2], (503, 503))
        self.app.setServing(True)
        self.assertEqual(self.post("/matchmake/joinOrCreate/chat", {}).status, 200)


class PlaceTests(ColyseusTestCase):
    """Where clients are served."""

    def test_last(self) -> None:
        """All other applications come first, also those that are added later; pages are left alone."""
        self.rooms()
        ada = self.colyseus()
        self.server.addPage("/", Data(b"home", "text/plain"))
        self.assertEqual(self.post("/", method="GET").body, b"home")
        probe = self.harness.connect("/")
        probe.send(b"\x12")
        self.assertEqual(probe.received, [b"\x12"])
        echo = Application(onMessage=lambda connection, message: connection.send(message))
        self.server.addApplication(echo)
        for path in ("/", "/txroom/x?sessionId=x", "/any"):
            client = self.harness.connect(path)
            client.send("hi")
            self.assertEqual(client.received, ["hi"])
        ada.send("say", 1)
        self.assertEqual(len(ada.take()), 1)
        self.assertEqual(self.player().join()[0], "joined")

    def test_path(self) -> None:
        """Another endpoint than "/"."""
        self.rooms(colyseus={"path": "/game/"})
        response = self.post("/game/matchmake/joinOrCreate/chat", {})
        seat = msgspec.json.decode(response.body)
        path = f"/game/txroom/{seat['roomId']}?sessionId={seat['sessionId']}"
        client = self.harness.connect(path)
        self.settle()
        self.assertEqual(client.received[0][:1], b"\x0a")
        self.assertEqual(self.statusOf(self.harness.connect("/game/")), 101)
        self.assertEqual(self.statusOf(self.harness.connect(path.removeprefix("/game"))), 404)

    def test_wrong(self) -> None:
        """Paths that can't be, and options that there aren't."""
        server = Server(clock=MemoryReactor())
        self.assertRaises(ValueError, server.addColyseus, "game")
        self.assertRaises(ValueError, server.addColyseus, "/game/*")
        self.assertRaises(OptionError, server.addColyseus, "/", nothing=1)
        application = server.addColyseus()
        self.assertRaises(ValueError, server.addColyseus)
        self.assertRaises(TypeError, application.broadcast, "x")
        self.assertFalse(application.isPlain)
