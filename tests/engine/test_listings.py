"""What an engine knows of rooms."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txroom.engine.listings import Listings
from txroom.rooms.contract.listing import Listing, Order
from txroom.rooms.matching import placeOf

NAMES = st.sampled_from(["chat", "game"])
# Some of them equal for Python though they are not the same.
VALUES = st.sampled_from([None, 0, 1, 1.0, -2.5, True, False, "1", "x"])
FILTERS = st.dictionaries(st.sampled_from(["mode", "map"]), VALUES)
METADATA = VALUES | st.sampled_from([[1], {"a": 1}, float("nan")])
FIELDS = st.sampled_from(["clients", "maxClients", "age", "mode", "map", "title"])
ORDERS = st.dictionaries(FIELDS, st.sampled_from([1, -1]), max_size=3).map(lambda each: tuple(each.items()))
ROOMS = ["r1", "r2", "r3", "r4", "r5"]
LISTINGS = st.builds(
    Listing,
    room=st.sampled_from(ROOMS),
    name=NAMES,
    clients=st.integers(0, 2),
    maxClients=st.sampled_from([0, 2]),
    isLocked=st.booleans(),
    isPrivate=st.booleans(),
    metadata=st.dictionaries(st.sampled_from(["map", "title"]), METADATA),
    filters=FILTERS,
    age=st.integers(1, 3),
)


class Looked(Listing, frozen=True):
    """A listing that counts how often it is looked at."""

    looks = 0

    def matches(self, filter: Mapping[str, Any]) -> bool:
        Looked.looks += 1
        return super().matches(filter)


class Age(int):
    """An age that counts how often it is compared."""

    comparisons = 0

    def __lt__(self, other: int) -> bool:
        Age.comparisons += 1
        return super().__lt__(other)

    __hash__ = int.__hash__

    def __eq__(self, other: object) -> bool:
        Age.comparisons += 1
        return super().__eq__(other)


class ListingsTests(SynchronousTestCase):
    @settings(deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(LISTINGS | st.sampled_from(ROOMS)), NAMES, FILTERS, ORDERS, ORDERS, st.integers(0, 3))
    def test_find(
        self,
        changes: list[Listing | str],
        name: str,
        wanted: dict[str, Any],
        order: Order,
        former: Order,
        limit: int,
    ) -> None:
        """The same rooms are found as if all were looked at and sorted, whatever came before."""
        listings = Listings()
        known: dict[str, Listing] = {}
        for index, change in enumerate(changes):
            if isinstance(change, str):
                listings.remove(change)
                known.pop(change, None)
            else:
                listings.put(change)
                known[change.room] = change
            if index == 3:
                listings.find(name, {}, order=former)
        for onlyOpen in (False, True):
            matching = [
                one
                for one in known.values()
                if one.name == name
                and one.matches(wanted)
                and not one.isPrivate
                and (one.isOpen or not onlyOpen)
            ]
            expected = sorted(matching, key=lambda one: placeOf(one, order))
            found = listings.find(name, wanted, onlyOpen, order)
            self.assertEqual([one.room for one in found], [one.room for one in expected])
            self.assertEqual(listings.find(name, wanted, onlyOpen, order, limit), found[: limit or None])
        for room in ROOMS:
            self.assertIs(listings.get(room), known.get(room))
            listings.remove(room)
        self.assertEqual((listings._known, listings._indexes), ({}, {}))

    def steps(self, number: int, order: Order) -> tuple[int, int]:
        """Looks and comparisons, among so many rooms, to find five twice and to put one elsewhere."""
        listings = Listings()
        for index in range(number):
            filters = {"mode": index % 2}
            metadata = {"region": "eu", "title": f"room {index // 3}", "tags": [index]}
            room = Looked(f"r{index}", "chat", index % 3, 4, False, False, metadata, filters, age=Age(index))
            listings.put(room)
        listings.find("chat", {}, True, order, 1)
        Looked.looks = Age.comparisons = 0
        self.assertEqual(len(listings.find("chat", {"mode": 1}, True, order, 5)), 5)
        self.assertEqual(len(listings.find("chat", {}, False, order, 5)), 5)
        self.assertEqual(len(listings.find("chat", {"region": "eu"}, False, order, 5)), 5)
        self.assertEqual(len(listings.find("chat", {"region": "eu", "title": "room 7"}, False, order)), 3)
        self.assertEqual(listings.find("chat", {"region": "eu", "mode": 1, "nothing": 1}, False, order), [])
        self.assertEqual(listings.find("chat", {"mode": 1, "region": None}, False, order), [])
        listings.put(Looked("last", "chat", 0, 4, filters={"mode": 0}, age=Age(number)))
        self.assertEqual(len(listings.find("chat", {"region": None}, False, order, 5)), 1)
        looks = Looked.looks
        listings.put(Looked("r0", "chat", 4, 4, filters={"mode": 0}, age=Age(0)))
        listings.put(Looked("r0", "chat", 3, 4, filters={"mode": 0}, age=Age(0)))
        return looks, Age.comparisons

    def test_steps(self) -> None:
        """Among a hundred times as many rooms it takes as many looks, and few more comparisons."""
        for order in ((), (("clients", -1),), (("mode", 1), ("clients", 1))):
            few, many = self.steps(100, order), self.steps(10_000, order)
            self.assertEqual((few[0], many[0]), (19, 19))
            self.assertLess(many[1], 3 * few[1])
