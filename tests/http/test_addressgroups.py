"""
Tests for connections that are grouped by client address.
"""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from txroom.http.addressgroups import AddressGroups


class AddressGroupsTests(SynchronousTestCase):
    """`AddressGroups`."""

    def test_model(self) -> None:
        """
        It agrees with a simple implementation: find the address with the most members, and take its oldest
        member.
        """
        random = Random(9)
        groups: AddressGroups[int] = AddressGroups()
        addresses: dict[int, str] = {}
        for number in range(3000):
            if addresses and random.random() < 0.48:
                gone = random.choice(list(addresses))
                groups.remove(gone)
                del addresses[gone]
            else:
                addresses[number] = random.choice(["", "a", "b", "c", "d"])
                groups.add(number, addresses[number])
            self.assertEqual((len(groups), list(groups)), (len(addresses), list(addresses)))
            by: dict[object, list[int]] = {}
            for member, address in addresses.items():
                by.setdefault(address or member, []).append(member)
            last = groups.oldestOfLargest()
            if not addresses:
                self.assertIsNone(last)
                continue
            assert last is not None
            members = by[addresses[last] or last]
            self.assertEqual((len(members), last), (max(map(len, by.values())), members[0]))
            for address in "abcd":
                self.assertEqual(groups.count(address), len(by.get(address, ())))
                self.assertEqual(groups.oldestOf(address), by.get(address, [None])[0])
        for member in list(addresses):
            groups.remove(member)
        self.assertEqual(
            (len(groups), groups.oldestOfLargest(), groups._members, groups._bySize), (0, None, {}, {})
        )

    def test_again(self) -> None:
        """A member that is added again under another address is counted only there."""
        groups: AddressGroups[str] = AddressGroups()
        groups.add("x", "")
        groups.add("x", "a")
        groups.remove("y")
        self.assertEqual((len(groups), groups.count("a")), (1, 1))

    def test_ties(self) -> None:
        """Of addresses with the same number of members, the one that reached the number first is chosen."""
        groups: AddressGroups[int] = AddressGroups()
        for number, address in enumerate("abcabc"):
            groups.add(number, address)
        self.assertEqual(groups.oldestOfLargest(), 0)
        groups.remove(0)
        self.assertEqual(groups.oldestOfLargest(), 1)

    def test_replace(self) -> None:
        """
        `replace` does the same as `remove` and `add`, at the same address, at another, or at none, but keeps
        the rank.
        """
        for before, after in (("a", "a"), ("a", "b"), ("a", ""), ("", "a"), ("", ""), ("b", "c")):
            groups: AddressGroups[str] = AddressGroups()
            plain: AddressGroups[str] = AddressGroups()
            for each in (groups, plain):
                for number, address in enumerate(("a", before, "b", "")):
                    each.add("old" if number == 1 else str(number), address)
            groups.replace("old", "new", after)
            plain.remove("old")
            plain.add("new", after)
            self.assertEqual(list(groups), list(plain))
            self.assertEqual(groups._members, plain._members)
            self.assertEqual(groups._bySize, plain._bySize)
            self.assertEqual(list(groups._members.get("a", ())), list(plain._members.get("a", ())))

    def test_replaceRank(self) -> None:
        """The new member is the youngest of its address, and the address keeps its rank."""
        groups: AddressGroups[int] = AddressGroups()
        for number, address in enumerate("aabb"):
            groups.add(number, address)
        groups.replace(0, 10, "a")
        self.assertEqual(groups.oldestOfLargest(), 1)
        self.assertEqual(list(groups), [1, 2, 3, 10])
        groups.replace(99, 11, "c")
        self.assertEqual((len(groups), groups.count("c")), (5, 1))
