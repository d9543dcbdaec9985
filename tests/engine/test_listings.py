"""What an engine knows of rooms."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txroom.engine.listings import Listings
from txroom.rooms.seam import Listing

NAMES = st.sampled_from(["chat", "game"])
# Some of them equal though of different types, some that can't be hashed.
VALUES = st.sampled_from([None, 0, 1, 1.0, True, "1", [1], [[1], {"a": [1]}], {"a": 1}, {"a": 1.0}])
FILTERS = st.dictionaries(st.sampled_from(["mode", "map"]), VALUES)
LISTINGS = st.builds(
    Listing,
    room=st.sampled_from(["r1", "r2", "r3", "r4"]),
    name=NAMES,
    clients=st.integers(0, 2),
    maxClients=st.sampled_from([0, 2]),
    isLocked=st.booleans(),
    isPrivate=st.booleans(),
    metadata=st.dictionaries(st.sampled_from(["map", "title"]), VALUES),
    filters=FILTERS,
)


def named(listings: list[Listing]) -> set[str]:
    """The ids of those rooms."""
    return {listing.room for listing in listings}


class ListingsTests(SynchronousTestCase):
    @given(st.lists(LISTINGS | st.sampled_from(["r1", "r2", "r3", "r4"])), NAMES, FILTERS)
    def test_find(self, changes: list[Listing | str], name: str, wanted: dict[str, Any]) -> None:
        """The same rooms are found as if all were looked at, whatever came before."""
        listings = Listings()
        known: dict[str, Listing] = {}
        for change in changes:
            if isinstance(change, str):
                listings.remove(change)
                known.pop(change, None)
            else:
                listings.put(change)
                known[change.room] = change
        matching = [one for one in known.values() if one.name == name and one.matches(wanted)]
        self.assertEqual(named(listings.find(name, wanted)), named(matching))
        opened = [one for one in matching if one.isOpen]
        self.assertEqual(named(listings.find(name, wanted, onlyOpen=True)), named(opened))
        for room in ("r1", "r2", "r3", "r4"):
            self.assertIs(listings.get(room), known.get(room))
            listings.remove(room)
        self.assertEqual((listings._known, listings._groups), ({}, {}))
