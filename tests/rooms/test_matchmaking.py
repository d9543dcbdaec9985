"""Matchmaking: filters, order, listings, seats, events, and what a server can do."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from tests.rooms.case import NotingRoom, Player, RoomTestCase, hostOf, onBothEngines
from txroom import Accept, RoomApplication, RoomError
from txroom import Client as RoomClient
from txroom.rooms.contract.asks import TellSeat
from txroom.rooms.edge.addresslimit import AddressLimit
from txroom.rooms.owner import lifecyclelog, seats


def later(room: Any) -> Deferred[None]:
    """Fires in a second."""
    done: Deferred[None] = Deferred()
    room.clock.callLater(1, done.callback, None)
    return done


@onBothEngines
class MatchTests(RoomTestCase):
    """Which room a client gets."""

    def test_filter(self) -> None:
        """Only those come together who ask for the same."""
        self.rooms()
        self.app._registrations["chat"].filterBy("mode")
        first, second = self.joined(mode="x"), self.joined(mode="y")
        third, none = self.joined(mode="x"), self.joined()
        self.assertEqual(first.room, third.room)
        self.assertEqual(len({first.room, second.room, none.room}), 3)

    def test_filterByPath(self) -> None:
        """The options of a path are strings."""
        self.rooms()
        self.app._registrations["chat"].filterBy("level")
        ada = self.player("/rooms/chat?level=1")
        self.settle()
        room = ada.take("joined")[0][2]
        self.assertNotEqual(self.joined(level=1).room, room)
        self.assertEqual(self.joined(level="1").room, room)

    def test_sort(self) -> None:
        """The fullest first, if that is wanted."""
        self.rooms()
        self.app._registrations["chat"].sortBy(clients=-1)
        first = self.joined()
        second = self.player()
        second.ask("create", "chat", {})
        third = self.player()
        third.ask("joinById", second.room, {})
        self.assertEqual(self.joined().room, second.room)
        self.assertNotEqual(first.room, second.room)

    def test_listing(self) -> None:
        """What clients are told of rooms."""
        self.rooms(maxClients=1, secret="x")
        ada = self.joined()
        self.room().setMetadata({"title": "Ada's"})
        self.settle()
        listing = {
            "room": ada.room,
            "name": "chat",
            "clients": 1,
            "maxClients": 1,
            "locked": True,
            "metadata": {"title": "Ada's"},
        }
        self.assertEqual(ada.ask("rooms", "chat", {}), ["reply", 2, [listing]])
        self.assertEqual(ada.ask("rooms", None, {"title": "Ada's"})[2], [listing])
        self.assertEqual(ada.ask("rooms", "chat", {"title": "x"})[2], [])
        self.assertEqual(ada.ask("rooms", "nix", {})[3], "noSuchRoom")

    def test_manyListings(self) -> None:
        """A client is told of the first hundred; the server itself of all."""
        self.rooms(autoDispose=False)
        made = [self.result(self.app.createRoom("chat")) for _ in range(101)]
        self.settle()
        listed = self.player().ask("rooms", "chat", {})[2]
        self.assertEqual([one["room"] for one in listed], made[:100])
        self.assertEqual(len(self.result(self.app.query("chat"))), 101)

    def test_joinOnly(self) -> None:
        """A room that exists, or none."""
        self.rooms()
        self.assertEqual(self.player().ask("joinOnly", "chat", {})[3], "noSuchRoom")
        ada = self.joined()
        self.assertEqual(self.player().ask("joinOnly", "chat", {})[2], ada.room)

    def test_together(self) -> None:
        """Those who come while the room is made wait for it."""
        self.rooms()
        players = [self.player() for _ in range(5)]
        for player in players:
            player.client.send('["join",1,"chat",{}]')
        self.settle()
        self.assertEqual(len(self.app.rooms), 1)
        self.assertEqual([frame[0] for player in players for frame in player.frames], ["joined"] * 5)


@onBothEngines
class BurstTests(RoomTestCase):
    """Many who come at once, while rooms take their time to be made."""

    def burst(self, number: int, seconds: int, **options: Any) -> list[int]:
        """How many clients are in each room, so many seconds after they have come."""
        players = [self.player() for _ in range(number)]
        for player in players:
            player.write("join", 1, "chat", options)
        for _ in range(seconds):
            self.advance(1)
        kinds = {frame[0] for player in players for frame in player.take()}
        self.assertEqual(kinds, {"joined"})
        return [len(room.clients) for room in self.app.rooms.values()]

    def test_pairs(self) -> None:
        """As many wait for a room as it will have seats for; the next make another, at the same time."""

        class Chat(NotingRoom):
            maxClients = 2

            def onCreate(self, options: Any) -> Any:
                return later(self)

        self.rooms(Chat)
        self.assertEqual(self.burst(40, 2), [2] * 20)

    def test_surprise(self) -> None:
        """A room that takes fewer than was known: the others look again, and wait for the next."""

        class Chat(NotingRoom):
            def onCreate(self, options: Any) -> Any:
                self.maxClients = 4
                return later(self)

        self.rooms(Chat)
        self.assertEqual(self.burst(40, 11), [4] * 10)

    def test_failing(self) -> None:
        """A join that waits for a room that can't be made tries once itself; its options may be better."""

        class Chat(NotingRoom):
            made = 0

            def onCreate(self, options: Any) -> Any:
                Chat.made += 1
                return later(self).addCallback(lambda _: 1 / 0)

        self.rooms(Chat)
        players = [self.player() for _ in range(10)]
        for player in players:
            player.write("join", 1, "chat", {})
        for _ in range(3):
            self.advance(1)
        self.assertEqual([player.take()[0][3] for player in players], ["internal"] * 10)
        self.assertEqual(Chat.made, 10)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 10)


@onBothEngines
class RefusedTests(RoomTestCase):
    """Clients that a room doesn't want."""

    def test_next(self) -> None:
        """The next room is tried, up to five, and then a new one."""
        asked: list[int] = []

        class Chat(NotingRoom):
            def canJoin(self, options: Any, user: Any) -> bool:
                asked.append(self.options["level"])
                if options.get("banned"):
                    raise RoomError("banned")
                return bool(options["level"] == self.options["level"])

        self.rooms(Chat, autoDispose=False)
        made = [self.result(self.app.createRoom("chat", {"level": level})) for level in range(6)]
        self.settle()
        ada = self.joined(level=3)
        self.assertEqual((ada.room, asked), (made[3], [0, 1, 2, 3]))
        asked.clear()
        self.assertEqual(self.player().ask("joinOnly", "chat", {"level": 5})[3], "forbidden")
        self.assertEqual(asked, [0, 1, 2, 3, 4])
        asked.clear()
        self.assertNotIn(self.joined(level=5).room, made)
        self.assertEqual(asked, [0, 1, 2, 3, 4, 5])
        asked.clear()
        self.assertEqual(self.player().join(level=3, banned=True)[3], "banned")
        self.assertEqual(asked, [0])

    def test_serverOnly(self) -> None:
        """Where clients can't make rooms, the answer is that of the rooms there are."""

        class Chat(NotingRoom):
            def canJoin(self, options: Any, user: Any) -> bool:
                return False

        self.rooms(Chat, clientsMayCreate=False)
        self.assertEqual(self.player().join()[3], "noSuchRoom")
        self.assertEqual(self.player().ask("create", "chat", {})[3], "forbidden")
        self.result(self.app.createRoom("chat"))
        self.settle()
        self.assertEqual(self.player().join()[3], "forbidden")

    def test_maker(self) -> None:
        """The room that was made for one that is then refused ends at once."""

        class Chat(NotingRoom):
            autoDispose = False

            def canJoin(self, options: Any, user: Any) -> bool:
                return "stranger" not in options

            def onAuth(self, client: RoomClient, options: Any, handshake: Any) -> bool:
                return "liar" not in options

        self.rooms(Chat)
        for kind in ("create", "join"):
            for who, answer in (("stranger", "forbidden"), ("liar", "unauthorized")):
                self.assertEqual(self.player().ask(kind, "chat", {who: 1})[3], answer)
                self.settle()
                self.assertEqual(list(self.app.rooms), [])
        self.assertEqual(self.kinds(), ["create", "dispose"] * 4)

    def test_others(self) -> None:
        """Unless somebody else is in it, has been, or is expected."""
        gates: list[Deferred[bool]] = []

        class Chat(NotingRoom):
            autoDispose = False

            def onAuth(self, client: RoomClient, options: Any, handshake: Any) -> Any:
                if "slow" not in options:
                    return True
                gates.append(Deferred())
                return gates[-1]

            def canJoin(self, options: Any, user: Any) -> bool:
                return "stranger" not in options

        self.rooms(Chat)
        for isSeen, isKept in ((True, False), (False, True)):
            maker = self.player()
            maker.write("create", 1, "chat", {"slow": 1})
            room = list(self.app.rooms)[-1]
            if isKept:
                self.result(self.app.reserveSeat(room))
            if isSeen:
                bob = self.player()
                self.assertEqual(bob.ask("joinById", room, {})[0], "joined")
                bob.ask("leave", room)
            gates[-1].callback(False)
            self.settle()
            self.assertEqual(maker.take("error")[0][3], "unauthorized")
            self.assertIn(room, self.app.rooms)
        made = self.result(self.app.createRoom("chat"))
        self.assertEqual(self.player().ask("joinById", made, {"stranger": 1})[3], "forbidden")
        self.assertIn(made, self.app.rooms)


@onBothEngines
class CreationTests(RoomTestCase):
    """How many rooms clients may make."""

    def made(self, player: Player, number: int, kind: str = "create") -> list[Any]:
        """The answers to so many requests for a room of its own, which is left at once."""
        answers = []
        for _ in range(number):
            answer = player.ask(kind, "chat", {"mode": len(self.app.rooms)})
            answers.append(answer[3] if answer[0] == "error" else "joined")
            if answer[0] == "joined":
                player.ask("leave", answer[2])
        return answers

    def test_address(self) -> None:
        """All connections of an address together make a burst, then so many a second."""
        self.rooms(app=RoomApplication(createRate=0.01, createBurst=3), autoDispose=False)
        self.app.registrations["chat"].filterBy("mode")
        ada, bob = self.player(peer="192.0.2.1"), self.player(peer="192.0.2.1")
        self.assertEqual(self.made(ada, 2), ["joined"] * 2)
        self.assertEqual(self.made(bob, 2, "join"), ["joined", "rateLimited"])
        self.assertEqual(self.made(self.player(peer="192.0.2.2"), 2), ["joined"] * 2)
        answer = ada.ask("create", "chat", {})
        self.assertEqual(answer[3:5], ["rateLimited", "too many rooms were created from your address"])
        wait = answer[5]["retryAfter"]
        self.assertTrue(95.0 < wait <= 100.0, wait)
        self.advance(wait)
        self.assertEqual(self.made(ada, 2), ["joined", "rateLimited"])

    def test_network(self) -> None:
        """Addresses count as for the other limits: those of one /64 of IPv6 are one."""
        self.rooms(app=RoomApplication(createRate=0.01, createBurst=1))
        for peer, answer in (
            ("2001:db8:1:2::7", "joined"),
            ("2001:db8:1:2:9::1", "rateLimited"),
            ("2001:db8:1:3::7", "joined"),
            ("192.0.2.4", "joined"),
            ("::ffff:192.0.2.4", "rateLimited"),
        ):
            self.assertEqual(self.made(self.player(peer=peer), 1), [answer], peer)

    def test_others(self) -> None:
        """To join a room that is there counts for nothing, nor does what the server makes."""
        self.rooms(app=RoomApplication(createRate=0.01, createBurst=1), maxClients=2)
        self.assertEqual([self.player().join()[0] for _ in range(3)], ["joined", "joined", "error"])
        self.result(self.app.createRoom("chat"))
        self.result(self.app.createRoom("chat"))
        self.assertEqual([self.player().join()[0] for _ in range(5)], ["joined"] * 4 + ["error"])

    def test_byPath(self) -> None:
        """A client that came by a path is told, and comes again later."""
        self.rooms(app=RoomApplication(createRate=0.1, createBurst=1))
        self.app.registrations["chat"].filterBy("mode")
        self.player("/rooms/chat?mode=a")
        bob = self.player("/rooms/chat?mode=b")
        self.advance(1)
        self.assertEqual((bob.take("error")[0][3], bob.client.closeCode), ("rateLimited", 1013))

    def test_off(self) -> None:
        """No limit; nor for those whose address isn't known."""
        for rate, isKnown in ((0.0, True), (1.0, False)):
            self.rooms(app=RoomApplication(createRate=rate, createBurst=1), autoDispose=False)
            player = self.player()
            connection = self.harness.connectionOf(player.client)
            self.assertEqual(connection.handshake.peerNetwork, "203.0.113.9")
            if not isKnown:
                connection.handshake.peerNetwork = ""
            self.assertEqual(self.made(player, 10), ["joined"] * 10)

    def test_forgotten(self) -> None:
        """Addresses are kept until they may make a whole burst again."""
        creations = AddressLimit(1.0, 10, "too many")
        for index in range(1000):
            creations.take(f"address {index}", index * 1.0)
            self.assertLessEqual(len(creations), 3)
        for _ in range(10):
            creations.take("x", 1000.0)
        for now in range(1001, 1009):
            creations.take(f"address {now}", now)
            creations.take("x", now)
            self.assertRaises(RoomError, creations.take, "x", now)

    def test_maxRooms(self) -> None:
        """Of one name ten thousand, unless it is said; 0 is any number."""
        self.rooms(maxRooms=2, autoDispose=False)
        self.app.register("any", NotingRoom, maxRooms=0, autoDispose=False)
        self.assertEqual(self.app.register("other", NotingRoom).maxRooms, 10_000)
        self.assertEqual(self.made(self.player(), 3), ["joined", "joined", "full"])
        for _ in range(20):
            self.result(self.app.createRoom("any"))
        self.assertEqual(self.result(self.app.createRoom("chat")).value.code, "full")

    def test_mistakes(self) -> None:
        """What is no limit."""
        self.rooms()
        wrong: Any
        for wrong in (-1, "4", True, 1.5, None):
            error = self.assertRaises(ValueError, self.app.register, "x", NotingRoom, maxRooms=wrong)
            self.assertIn(f"maxRooms={wrong!r}: must be a whole number, 0 or more", str(error))
            error = self.assertRaises(ValueError, RoomApplication, createBurst=wrong)
            self.assertIn(f"createBurst={wrong!r}: must be ", str(error))
        for wrong in (-1, "4", True, float("inf")):
            error = self.assertRaises(ValueError, RoomApplication, createRate=wrong)
            self.assertIn(f"createRate={wrong!r}: must be ", str(error))
        wrong = "no"
        self.assertRaises(ValueError, self.app.register, "x", NotingRoom, clientsMayCreate=wrong)


class CostTests(RoomTestCase):
    """What a request costs among many rooms."""

    def calls(self, request: Callable[[], Any]) -> int:
        """How many functions are called, of Python and of C, until it is answered."""
        number = 0

        def count(frame: Any, event: str, argument: Any) -> None:
            nonlocal number
            number += event in ("call", "c_call")

        sys.setprofile(count)
        try:
            request()
        finally:
            sys.setprofile(None)
        return number

    def costs(self, rooms: int) -> dict[str, int]:
        """Of one request of each kind, among so many rooms, two thirds of them open."""
        self.patch(lifecyclelog, "BURST", 1e9)  # else the log of the many would be cut short
        self.rooms(autoDispose=False)
        self.app.registrations["chat"].filterBy("mode").sortBy(clients=-1)
        for index in range(rooms):
            self.app.createRoom("chat", {"mode": index % 3})
            if index % 3 == 2:
                list(self.app.rooms.values())[-1].lock()
        # Two are in the room: before, a client had the cost of a new frame's first use.
        for _ in range(2):
            self.joined(mode=1)
        players = [self.player() for _ in range(5)]
        for player in players:
            player.ask("ping")
        return {
            "join": self.calls(lambda: players[0].write("join", 1, "chat", {"mode": 1})),
            "joinOnly": self.calls(lambda: players[1].write("joinOnly", 1, "chat", {"mode": 1})),
            "refused": self.calls(lambda: players[2].write("joinOnly", 1, "chat", {"mode": 2})),
            "create": self.calls(lambda: players[3].write("create", 1, "chat", {"mode": 1})),
            "rooms": self.calls(lambda: players[4].write("rooms", 1, "chat", {})),
        }

    def test_rooms(self) -> None:
        """As much among a thousand rooms as among the hundred and fifty of which a list has only a part."""
        few, many = self.costs(150), self.costs(1000)
        for kind, number in few.items():
            self.assertLess(abs(many[kind] - number), 0.05 * number, kind)


@onBothEngines
class SeatTests(RoomTestCase):
    """Seats that are reserved."""

    def reserved(self, user: Any = None) -> tuple[str, str]:
        app = RoomApplication(verifyClient=lambda handshake: Accept(user=handshake.headers.get("x-user")))
        self.rooms(app=app, maxClients=1)
        room = self.result(self.app.createRoom("chat"))
        return room, self.result(self.app.reserveSeat(room, user, 5.0))

    def test_row72_used(self) -> None:
        """A seat is taken with its token, once; nobody else gets it."""
        room, token = self.reserved()
        self.settle()
        self.assertEqual(self.player().ask("joinById", room, {})[3], "full")
        self.assertEqual(self.player().ask("joinById", room, {"seat": "x"})[3], "forbidden")
        ada = self.player()
        self.assertEqual(ada.ask("joinById", room, {"seat": token, "a": 1})[0], "joined")
        self.assertEqual(self.named("join"), [{"a": 1}])
        self.assertEqual(self.player().ask("joinById", room, {"seat": token})[3], "forbidden")

    def test_row71_expired(self) -> None:
        """It is free again."""
        room, token = self.reserved()
        self.assertEqual(self.result(self.app.reserveSeat(room)).value.code, "full")
        self.advance(6)
        self.assertEqual(self.player().ask("joinById", room, {"seat": token})[3], "forbidden")
        self.assertEqual(self.player().ask("joinById", room, {})[0], "joined")
        self.assertEqual(self.result(self.app.reserveSeat("nix")).value.code, "noSuchRoom")

    def test_row72_user(self) -> None:
        """For one user only."""
        room, token = self.reserved("ada")
        eve = self.player(headers={"X-User": "eve"})
        self.assertEqual(eve.ask("joinById", room, {"seat": token})[3], "forbidden")
        ada = self.player(headers={"X-User": "ada"})
        self.assertEqual(ada.ask("joinById", room, {"seat": token})[0], "joined")

    def test_nobody(self) -> None:
        """For a user that has no id it would be for anybody: it isn't kept at all."""
        room, _ = self.reserved()
        for user in ({"name": "ada"}, True, ""):
            error = self.result(self.app.reserveSeat(room, user)).value
            self.assertEqual((error.code, error.details), ("invalidData", {"field": "user"}))
        self.assertEqual(len(hostOf(self.app.rooms[room]).roster.reservations), 1)

    def test_told(self) -> None:
        """A client that is told of its seat joins with the options for which it asked, and has that id."""

        class Chat(NotingRoom):
            def canJoin(self, options: Any, user: Any) -> bool:
                self.events.append(("asks", dict(options)))
                return bool(options.get("name") != "eve")

        self.rooms(Chat, maxClients=2)
        room = self.result(self.app.createRoom("chat"))

        def tell(**options: Any) -> Any:
            told = self.result(self.engine.ask(room, TellSeat(options)))
            return told["member"] if isinstance(told, dict) else told.value.code

        self.assertEqual(tell(name="eve"), "forbidden")
        first, second = tell(name="ada", auth="secret"), tell(name="bob")
        self.assertEqual(tell(name="cy"), "full")
        ada = self.player()
        ada.ask("joinById", room, {"seat": first, "name": "eve", "auth": "t"})
        self.assertEqual(ada.joined["member"], first)
        self.assertEqual(self.named("join"), [{"name": "ada"}])
        self.assertEqual(
            self.named("asks"),
            [{"name": "eve"}, {"name": "ada", "auth": "secret"}, {"name": "bob"}],
        )
        self.assertEqual(self.player().ask("joinById", room, {"seat": first})[3], "forbidden")
        self.advance(16)
        self.assertEqual(self.player().ask("joinById", room, {"seat": second})[3], "forbidden")
        self.assertNotIn(tell(name="cy"), ("full", "forbidden"))

    def test_toldOthers(self) -> None:
        """The seat is only for clients of the user who was told, and not so many are told at once."""
        app = RoomApplication(verifyClient=lambda handshake: Accept(user=handshake.headers.get("x-user")))
        self.rooms(app=app)
        room = self.result(self.app.createRoom("chat"))
        seat = self.result(self.engine.ask(room, TellSeat({}, "ada")))["member"]
        eve, ada = (self.player(headers={"X-User": name}) for name in ("eve", "ada"))
        self.assertEqual(eve.ask("joinById", room, {"seat": seat})[3], "forbidden")
        self.assertEqual(ada.ask("joinById", room, {"seat": seat})[3]["member"], seat)
        self.patch(seats, "MAX_TOLD", 1)
        self.result(self.engine.ask(room, TellSeat()))
        error = self.result(self.engine.ask(room, TellSeat())).value
        self.assertEqual((error.code, error.details), ("rateLimited", {"retryAfter": 15.0}))

    def test_toldCreator(self) -> None:
        """A room that was created for a client that is refused, or never comes, ends."""
        self.rooms()
        room = self.result(self.app.createRoom("chat"))
        self.room().lock()
        self.assertEqual(self.result(self.engine.ask(room, TellSeat({}, None, True))).value.code, "locked")
        self.settle()
        self.assertNotIn(room, self.app.rooms)
        room = self.result(self.app.createRoom("chat"))
        self.result(self.engine.ask(room, TellSeat({}, None, True)))
        self.advance(14)
        self.assertIn(room, self.app.rooms)
        self.advance(17)
        self.assertNotIn(room, self.app.rooms)

    def test_toldMoved(self) -> None:
        """The next owner of the room knows the seat and its options."""
        if not self.isLagging:
            return
        self.rooms(autoDispose=False)
        room = self.result(self.app.createRoom("chat"))
        seat = self.result(self.engine.ask(room, TellSeat({"name": "ada"})))["member"]
        self.engine.loseOwner(room, False)
        self.settle()
        ada = self.player()
        self.assertEqual(ada.ask("joinById", room, {"seat": seat})[3]["member"], seat)
        self.assertEqual(self.named("join"), [{"name": "ada"}])

    def test_userIdRaises(self) -> None:
        """A client whose user is unknown does not get a seat that is kept for a user."""

        class Chat(NotingRoom):
            def userId(self, user: Any) -> str:
                return str(user["id"])

        self.rooms(Chat)
        room = self.result(self.app.createRoom("chat"))
        token = self.result(self.app.reserveSeat(room, {"id": 7}))
        self.assertEqual(self.player().ask("joinById", room, {"seat": token})[3], "forbidden")
        self.assertRaised(TypeError)

    def test_keeps(self) -> None:
        """A room with a reserved seat doesn't end."""
        self.rooms(autoDispose=True, linger=1.0)
        ada = self.joined()
        self.result(self.app.reserveSeat(ada.room, None, 10.0))
        ada.ask("leave", ada.room)
        self.advance(9)
        self.assertNotIn("dispose", self.kinds())
        self.advance(3)
        self.assertIn("dispose", self.kinds())


@onBothEngines
class RegistrationTests(RoomTestCase):
    """The registry, and what a server does with it."""

    def test_events(self) -> None:
        """Listeners hear of everything; one that raises harms nobody."""
        self.rooms(maxClients=1)
        heard: list[str] = []
        registration = self.app._registrations["chat"]

        def bad(*args: Any) -> None:
            raise ValueError

        for event in ("create", "dispose", "join", "leave", "lock", "unlock"):
            registration.on(event, lambda *args, event=event: heard.append(event))
        registration.on("join", bad)
        ada = self.joined()
        ada.ask("leave", ada.room)
        self.advance(3)
        self.assertRaised(ValueError)
        self.assertEqual(sorted(heard), ["create", "dispose", "join", "leave", "lock", "unlock"])

    def test_asyncListener(self) -> None:
        """It runs, and what it raises is logged."""
        self.rooms()
        registration = self.app.registrations["chat"]
        heard: list[str] = []

        async def listen(room: Any, client: Any) -> None:
            heard.append(client.id)
            raise ValueError("on purpose")

        registration.on("join", listen)
        ada = self.joined()
        self.assertEqual(heard, [ada.joined["member"]])
        self.assertRaised(ValueError)

    def test_leftInOnJoin(self) -> None:
        """Nobody leaves who never joined."""

        class Chat(NotingRoom):
            def onJoin(self, client: Any, options: Any) -> None:
                client.kick()

        self.rooms(Chat)
        heard: list[str] = []
        for event in ("join", "leave"):
            self.app.registrations["chat"].on(event, lambda *args, event=event: heard.append(event))
        self.player().join()
        self.advance(3)
        self.assertEqual((heard, self.named("leave")), ([], ["kicked"]))

    def test_server(self) -> None:
        """`query`, `createRoom`, `broadcast`, `rooms`."""
        self.rooms()
        room = self.result(self.app.createRoom("chat", {"topic": "x"}))
        self.assertEqual(self.app.rooms[room].options, {"topic": "x"})
        self.assertEqual([one.room for one in self.result(self.app.query("chat"))], [room])
        self.assertEqual(self.app.rooms.named("chat"), [self.app.rooms[room]])
        self.assertIsInstance(self.result(self.app.createRoom("nix")).value, RoomError)
        ada = self.joined()
        self.app.broadcastToRooms("chat", "said", 1)
        self.settle()
        self.assertEqual(ada.said(), [1])
        self.assertRaises(RoomError, self.app.broadcastToRooms, "nix", "said", 1)
        self.assertIn(
            "room.broadcast(type, data)", str(self.assertRaises(TypeError, self.app.broadcast, "x"))
        )

    def test_wrong(self) -> None:
        """Mistakes are told at once."""
        self.rooms()
        register = self.app.register
        self.assertRaises(ValueError, register, "chat", NotingRoom)
        self.assertRaises(ValueError, register, "a/b", NotingRoom)
        self.assertRaises(TypeError, register, "x", object)
        self.assertIn(
            "maxClients=-1", str(self.assertRaises(ValueError, register, "x", NotingRoom, maxClients=-1))
        )
        self.assertRaises(ValueError, register, "x", NotingRoom, presence=1)
        self.assertRaises(ValueError, register, "x", NotingRoom, history=5)
        registration = register("x", NotingRoom, maxClients=3)
        self.assertRaises(ValueError, registration.on, "nix", print)
        self.assertRaises(ValueError, registration.sortBy, clients=2)
