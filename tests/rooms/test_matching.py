"""What rooms are filtered by, and in which order they are tried."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests.case import warningsOf
from tests.rooms.case import MSGPACK, NotingRoom, RoomTestCase, onBothEngines
from txroom import RoomError
from txroom.rooms.contract.listing import Listing, keyOf
from txroom.rooms.matching import Matching, isFilterable, placeOf
from txroom.rooms.registration import Registration

WRONG: list[Any] = [[], {}, [1], {"a": 1}, b"x", float("nan"), float("inf"), 2**64, -(2**63) - 1]


class FilterTests(SynchronousTestCase):
    """`Registration.filterBy`."""

    def registration(self, **options: Any) -> Registration:
        return Registration("chat", NotingRoom, options)

    def test_same(self) -> None:
        """Text, truth and number are three kinds; a number is the same however it is written."""
        values: list[Any] = [None, "", "1", "True", "None", 0, 1, -1, 1.5, True, False]
        for one in values:
            self.assertEqual([each for each in values if keyOf(each) == keyOf(one)], [one])
        self.assertEqual(keyOf(1), keyOf(1.0))
        self.assertEqual(keyOf(0.0), keyOf(-0.0))
        for one in WRONG[:-2]:
            self.assertFalse(any(keyOf(one) == keyOf(each) for each in values))

    def test_filterable(self) -> None:
        """What both encodings can say, and both ends tell apart."""
        for value in ("", 0, 2**64 - 1, -(2**63), 1.5, True):
            self.assertTrue(isFilterable(value))
        for value in (None, *WRONG):
            self.assertFalse(isFilterable(value))

    def test_typed(self) -> None:
        """A declared type holds; a number may be written either way."""
        filters = Matching("chat", {}).filterBy("any", level=int, speed=float, ranked=bool, map=str)
        asked = {"any": "x", "level": 2.0, "speed": 3, "ranked": True, "map": "m", "other": [1]}
        typed = filters.typed(asked)
        self.assertEqual(typed, {**asked, "level": 2, "speed": 3.0})
        self.assertEqual([type(typed[name]) for name in ("level", "speed")], [int, float])
        self.assertEqual(filters.typed({"level": None}), {"level": None})
        for name, value in {
            "level": "2", "speed": True, "ranked": 1, "map": 5, "any": [], "other": 1,
        }.items():  # fmt: skip
            if name == "other":
                self.assertEqual(filters.typed({name: value}), {name: value})
                continue
            error = self.assertRaises(RoomError, filters.typed, {name: value})
            self.assertEqual((error.code, error.details), ("badRequest", {"field": name}))
            self.assertIn(f"option {name}: must be ", error.message)
        self.assertRaises(RoomError, filters.typed, {"level": 2.5})
        for value in WRONG:
            self.assertRaises(RoomError, filters.typed, {"any": value})

    def test_query(self) -> None:
        """The strings of a query string are converted to the declared types, if they can be."""
        filters = Matching("chat", {}).filterBy("any", level=int, speed=float, ranked=bool, map=str)
        asked = {"any": "1", "level": "2", "speed": "3.5", "ranked": "true", "map": "4"}
        self.assertEqual(
            filters.typed(asked, isText=True),
            {"any": "1", "level": 2, "speed": 3.5, "ranked": True, "map": "4"},
        )
        for name, wrong in {"level": ["x", "", "1.5", "9" * 30], "speed": ["nan", "inf", "1,5"]}.items():
            for text in wrong:
                error = self.assertRaises(RoomError, filters.typed, {name: text}, isText=True)
                self.assertEqual(error.details, {"field": name})
        self.assertRaises(RoomError, filters.typed, {"ranked": "yes"}, isText=True)

    def test_names(self) -> None:
        """One by one, as a list, and more than once."""
        registration = self.registration().filterBy("a", ["b", "c"]).filterBy(d=int)
        self.assertEqual(registration.filtersOf({"b": 1}), {"a": None, "b": 1, "c": None, "d": None})

    def test_mistakes(self) -> None:
        """What can't be filtered by is an error at once."""
        wrong: Any = self.registration(map=["a"], level="x")
        self.assertIn("5 is no name of an option", str(self.assertRaises(TypeError, wrong.filterBy, 5)))
        self.assertIn(
            "level='x': must be str, int", str(self.assertRaises(TypeError, wrong.filterBy, level="x"))
        )
        self.assertRaises(TypeError, wrong.filterBy, level=list)
        self.assertIn(
            "option map: must be a string", str(self.assertRaises(ValueError, wrong.filterBy, "map"))
        )
        self.assertIn(
            "rooms don't get the option 'auth'", str(self.assertRaises(ValueError, wrong.filterBy, "auth"))
        )
        declared = self.registration(level="x")
        self.assertIn(
            "register('chat', ...).filterBy: option level: must be a whole number",
            str(self.assertRaises(ValueError, declared.filterBy, level=int)),
        )
        for registration in (wrong, declared):
            self.assertEqual(registration.filtersOf({}), {})  # none of them counts


class OrderTests(SynchronousTestCase):
    """`Registration.sortBy`."""

    def sorted(self, order: dict[str, int], *values: Any) -> list[Any]:
        """Those values of the metadata's "x", as rooms that have them are tried."""
        registration = Registration("chat", NotingRoom, {}).sortBy(order)
        listings = [
            Listing(str(age), "chat", 0, 0, metadata={} if value is None else {"x": value}, age=age)
            for age, value in enumerate(values)
        ]
        found = sorted(listings, key=lambda one: placeOf(one, registration.order))
        return [values[one.age] for one in found]

    def test_kinds(self) -> None:
        """Values of different kinds aren't compared; one that is missing or can't be sorted comes first."""
        values = ["b", 2, True, None, "a", 1.5, False, [1], float("nan"), {"a": 1}]
        self.assertEqual(
            list(map(repr, self.sorted({"x": 1}, *values))),
            list(map(repr, [None, [1], float("nan"), {"a": 1}, False, True, 1.5, 2, "a", "b"])),
        )
        self.assertEqual(
            self.sorted({"x": -1}, "b", 2, True, None, "a", 1.5, False), ["b", "a", 2, 1.5, True, False, None]
        )

    def test_ties(self) -> None:
        """The oldest first, whichever way."""
        self.assertEqual(self.sorted({"x": -1}, 1.0, 1, 2, 1.0), [2, 1.0, 1, 1.0])
        self.assertEqual(self.sorted({"clients": -1}, "b", "a"), ["b", "a"])

    def test_mistakes(self) -> None:
        """What is no order is an error at once, and a field that is almost one of every room a warning."""
        registration: Any = Registration("chat", NotingRoom, {})
        self.assertRaises(TypeError, registration.sortBy, "clients")
        for direction in (2, 0, True, "1", 1.0, None):
            error = self.assertRaises(ValueError, registration.sortBy, clients=direction)
            self.assertEqual(str(error), f"sortBy: clients={direction!r}: must be 1 (the least first) or -1")
        registration.sortBy(client=-1, level=1)
        [warning] = warningsOf(self)
        self.assertEqual(
            warning["message"], "sortBy(client=-1) is a field of the metadata: every room has clients"
        )


@onBothEngines
class FilteredTests(RoomTestCase):
    """Filters, as clients meet them."""

    def filtered(self, *names: str, **types: type) -> None:
        self.rooms()
        self.app.registrations["chat"].filterBy(*names, **types)

    def test_kinds(self) -> None:
        """1, "1" and true are three rooms, 1 and 1.0 are one; so they are in MessagePack."""
        self.filtered("mode")
        rooms = [self.joined(mode=value).room for value in (1, "1", True)]
        self.assertEqual(len(set(rooms)), 3)
        self.assertEqual([self.joined(mode=value).room for value in (1.0, "1", True)], rooms)
        packed = [self.joined(protocol=MSGPACK, mode=value).room for value in (1.0, "1", True)]
        self.assertEqual(packed, rooms)
        self.assertEqual(self.joined(mode=None).room, self.joined().room)

    def test_wrong(self) -> None:
        """Anything else is refused before anything is made, and the option is named."""
        self.filtered("mode", level=int)
        extension = msgspec.msgpack.Ext(5, b"x")
        for protocol, value in [
            (None, [1]), (None, {}), (MSGPACK, [1]), (MSGPACK, extension), (MSGPACK, b"x"),
            (MSGPACK, float("nan")),
        ]:  # fmt: skip
            player = self.player(protocol=protocol)
            for kind in ("join", "joinOnly", "create"):
                answer = player.ask(kind, "chat", {"mode": value})
                self.assertEqual((answer[0], answer[3]), ("error", "badRequest"))
                self.assertIn("mode", str(answer[4:]))
        one = self.player()
        for value in ("1", 1.5, True):
            answer = one.ask("join", "chat", {"level": value})
            self.assertEqual(
                answer[3:], ["badRequest", "option level: must be a whole number", {"field": "level"}]
            )
        self.assertEqual((self.events, len(self.app.rooms)), ([], 0))
        self.assertIn("joined", one.join(mode="m"))

    def test_server(self) -> None:
        """The same when the server makes a room; nothing is left of it."""
        self.filtered("mode", level=int)
        for options in ({"mode": [1]}, {"level": "1"}):
            error = self.result(self.app.createRoom("chat", options)).value
            self.assertEqual((error.code, error.details["field"]), ("badRequest", *options))
        self.assertEqual((self.events, len(self.app.rooms)), ([], 0))

    def test_path(self) -> None:
        """A declared type is made of the text of a path; the room sees it so."""
        self.filtered(level=int)
        ada = self.player("/rooms/chat?level=1")
        joined = ada.take("joined")[0]
        self.assertEqual(self.joined(level=1).room, joined[2])
        self.assertEqual((self.named("create"), self.named("join")), ([{"level": 1}], [{"level": 1}] * 2))
        bob = self.player("/rooms/chat?level=x")
        self.assertEqual(
            bob.take()[0][3:], ["badRequest", "option level: must be a whole number", {"field": "level"}]
        )
        self.advance(1)
        self.assertEqual(bob.client.closeCode, 4010)
        self.assertEqual(len(self.app.rooms), 1)

    def test_query(self) -> None:
        """Queries are held to the same; metadata counts like options."""
        self.filtered("mode")
        rooms = [self.joined(mode=value).room for value in (1, "1", True)]
        self.app.rooms[rooms[0]].setMetadata({"ranked": True, "tags": ["a"]})
        self.settle()
        player = self.player()

        def found(filter: Any) -> list[str]:
            return [listing["room"] for listing in player.ask("rooms", "chat", filter)[2]]

        self.assertEqual([found({"mode": value}) for value in (1.0, "1", True)], [[room] for room in rooms])
        self.assertEqual([found({"ranked": value}) for value in (True, 1, None)], [rooms[:1], [], rooms])
        answer = player.ask("rooms", None, {"tags": ["a"]})
        self.assertEqual(
            answer[3:],
            ["badRequest", "filter tags: must be a string, a number, true or false", {"field": "tags"}],
        )
        self.assertEqual([one.room for one in self.result(self.app.query("chat", {"mode": True}))], rooms[2:])
        self.assertEqual(len(self.result(self.app.query())), 3)
        self.assertEqual(self.result(self.app.query("chat", {"mode": []})).value.code, "badRequest")
        self.assertEqual(self.result(self.app.query("nix")).value.code, "noSuchRoom")
        wrong: Any = "mode"
        self.assertIs(self.result(self.app.query("chat", wrong)).type, TypeError)

    def test_fixed(self) -> None:
        """A room is found by what it was made with, whatever the registration says later."""
        self.filtered("mode")
        room = self.joined(mode="x").room
        self.app.registrations["chat"].filterBy("map")
        self.room().setMetadata({"title": "t"})
        self.settle()
        self.assertEqual([one.filters for one in self.result(self.app.query("chat"))], [{"mode": "x"}])
        self.assertEqual(self.joined(mode="x").room, room)
        self.assertNotEqual(self.joined(mode="x", map="m").room, room)
