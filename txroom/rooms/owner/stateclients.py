"""
The clients of a room that get its state in one format, and the items for them.
"""

from __future__ import annotations

from collections.abc import Iterator

from ...state import StateTree, View
from ...state.changes import Changes
from ...state.encoding import Encoding
from ..contract.items import StateFull, StatePatch, StatePatches
from ..contract.ports import Outlet
from .member import JOINED, Member
from .outbox import Audience
from .roster import Roster

#: What an encoding takes for a version that it can't know: that of another owner, for example.
UNKNOWN = -1

#: The members with views on one edge: its outlet, their links, and the view of each.
Viewers = tuple[Outlet, tuple[str, ...], tuple[View, ...]]


class StateClients:
    """
    The members that get the state in one format.

    Versions are those that clients know: the version of the tree, and `base`.

    Args:
        room: The room's id.
        format: The format; see `Join.stateFormat`.
        encoding: Encodes the state.
        tree: The state.
        base: What is added to the versions of the tree.
        roster: The members of the room.
    """

    __slots__ = (
        "_base", "_encoding", "_format", "_held", "_newcomers", "_revision", "_room", "_roster", "_same",
        "_since", "_tree", "_viewers",
    )  # fmt: skip

    def __init__(
        self, room: str, format: str, encoding: Encoding, tree: StateTree, base: int, roster: Roster
    ) -> None:
        self._room = room
        self._format = format
        self._encoding = encoding
        self._tree = tree
        self._base = base
        self._roster = roster
        #: The version of the last patch for the members without views.
        self._since = base + tree.version
        #: The members without views, and those with views, as of a revision of the roster.
        self._same: Audience = ()
        self._viewers: list[Viewers] = []
        self._revision = -1
        #: The commits that are not sent yet: the version before each, and its data. For each member that has
        #: been shown the state since the first of them: how many of them it has.
        self._held: list[tuple[int, bytes]] = []
        self._newcomers: dict[str, int] = {}

    def forget(self) -> None:
        """Find the members again, because one has got a view."""
        self._revision = -1

    def _find(self) -> None:
        views = self._tree.views
        same: list[Member] = []
        viewing: dict[Outlet, list[tuple[str, View]]] = {}
        for member in self._roster.members.values():
            if member.stateFormat == self._format and member.state is JOINED and member.outlet is not None:
                view = views.get(member.id)
                if view is None:
                    same.append(member)
                else:
                    viewing.setdefault(member.outlet, []).append((member.link, view))
        self._same = self._roster.reached(same)
        self._viewers = [
            (outlet, tuple(link for link, _ in each), tuple(view for _, view in each))
            for outlet, each in viewing.items()
        ]
        self._revision = self._roster.revision

    @property
    def isHolding(self) -> bool:
        """Whether there are commits that are not sent yet."""
        return bool(self._held)

    def hold(self, changes: Changes) -> bool:
        """
        Keep a commit for the next patch, so that many clients that join at once don't cause a patch each.

        Returns `False` if that isn't possible: members have views.
        """
        if self._tree.views:
            return False
        data = self._encoding.patch(changes)
        if data:
            self._held.append((self._since, data))
            self._since = self._base + changes.version
        return True

    def shown(self, member: Member) -> None:
        """Note that a member has been shown the state as it is now."""
        if self._held:
            self._newcomers[member.id] = len(self._held)

    def _heldPatches(self, changes: Changes | None) -> Iterator[tuple[StatePatch, Audience]]:
        """Return the items of the commits that are not sent yet, and of the newest one."""
        held, self._held = self._held, []
        newcomers, self._newcomers = self._newcomers, {}
        groups: dict[int, list[Member]] = {}
        for member in self._roster.members.values():
            if member.stateFormat == self._format:
                groups.setdefault(newcomers.get(member.id, 0), []).append(member)
        newest = b"" if changes is None else self._encoding.patch(changes)
        held.append((self._since, newest))
        version = self._base + self._tree.version
        if newest:
            self._since = version
        for index, members in groups.items():
            data = b"".join([each for _, each in held[index:]])
            audience = self._roster.reached(members)
            if data and audience:
                yield StatePatch(self._room, held[index][0], version, data), audience

    def patches(self, changes: Changes | None) -> Iterator[tuple[StatePatch | StatePatches, Audience]]:
        """
        Return the items of a commit, and of those that are not sent yet: one for all members without views,
        and one for the others on each edge.

        `changes` is `None` if there is nothing new to commit.
        """
        if self._held:
            yield from self._heldPatches(changes)
            return
        if changes is None:
            return
        if self._revision != self._roster.revision:
            self._find()
        since, version = self._base + changes.since, self._base + changes.version
        if not self._same and not self._viewers:
            self._since = version
            return
        data = self._encoding.patch(changes)
        if data:
            if self._same:
                yield StatePatch(self._room, self._since, version, data), self._same
            self._since = version
        for outlet, links, views in self._viewers:
            own = {
                link: private
                for link, view in zip(links, views, strict=True)
                if (private := self._encoding.patchOf(changes, view))
            }
            yield StatePatches(self._room, since, version, data, own), ((outlet, links),)

    def skip(self) -> tuple[StatePatches, Audience]:
        """
        Go on from the present version after an error, with which items of commits were lost.

        Returns an item from which the edges learn the version: each asks for what its clients have missed.
        """
        self._held, self._newcomers = [], {}
        self._since = version = self._base + self._tree.version
        members = self._roster.members.values()
        audience = self._roster.reached([each for each in members if each.stateFormat == self._format])
        return StatePatches(self._room, version, version, b"", {}), audience

    def got(self, version: int) -> StatePatches:
        """
        Return an item for a member that has just got a view.

        Commits that only other views have seen were not told to it. So its edge learns that nothing was
        missed.
        """
        return StatePatches(self._room, self._since, version, b"", {})

    @property
    def mark(self) -> str:
        """What tokens tell of the classes of the state; see `States.mark`."""
        return self._encoding.mark

    def schema(self) -> bytes:
        """Return the description of the state."""
        return self._encoding.schema()

    def missed(self, member: Member, known: int | None) -> StatePatch | StateFull | None:
        """
        Return what a member has missed since a version; `None`: nothing. There must be no changes that are
        not committed.
        """
        version = self._base + self._tree.version
        view = self._tree.views.get(member.id)
        if known == version:
            return None
        if known is not None:
            isKnown = self._base <= known < version
            isOurs = isKnown or not member.mayHaveFormerState
            data = self._encoding.since(known - self._base if isKnown else UNKNOWN, view, isOurs)
            if data is not None:
                return StatePatch(self._room, known, version, data)
        return StateFull(self._room, version, self._encoding.full(view))
