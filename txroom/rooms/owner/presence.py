"""
Presence: the members of a room receive the list of members, and its changes.

Changes are collected for `Room.presenceSeconds` (`PresenceChanges`) and then sent together. What others see
of one member is its *entry*. An entry is encoded once for each change of the member; lists and frames are
made of encoded entries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any, NamedTuple

from ...core.codes import ErrorCode
from ...protocol import payload
from ..api.clock import Timer
from ..contract.items import Error, Item, MembersPage, PresenceChange
from .context import RoomContext
from .member import Member, State
from .presencechanges import PresenceChanges, PresenceEntry


class Shown(NamedTuple):
    """The members that `joined` tells a client of; see the fields of `Joined`."""

    members: tuple[bytes, ...] | None = None
    ownMember: bytes = b""
    memberCount: int | None = None
    membersAfter: int | None = None


#: What `joined` tells in a room without presence.
_NOTHING = Shown()


class Presence:
    """The presence of one room."""

    __slots__ = ("_changes", "_context", "_entries", "_first", "_lastPlace", "_timer", "_toldPlace")

    def __init__(self, context: RoomContext) -> None:
        self._context = context
        #: The entries of the members by their ids, in the order in which they joined; `None` until the first
        #: time that they are needed.
        self._entries: dict[str, PresenceEntry] | None = None
        self._lastPlace = 0
        #: The greatest place of a member that a client, other than the member's own, was told of.
        self._toldPlace = 0
        #: The first members, until one of them changes.
        self._first: _First | None = None
        self._changes = PresenceChanges()
        #: The timer that ends the window, while there are changes.
        self._timer: Timer | None = None

    # -- the roster

    def members(self) -> list[dict[str, Any]]:
        """See `Room.members`."""
        byUser: dict[str, list[Member]] = {}
        for member in self._context.roster.present:
            byUser.setdefault(member.userId, []).append(member)
        return [
            {"user": userId, "metas": [_metaOf(member, member.meta) for member in members]}
            for userId, members in byUser.items()
        ]

    def _roster(self) -> dict[str, PresenceEntry]:
        """Return the entries of all members."""
        if self._entries is None:
            self._entries = {}
            for member in self._context.roster.present:
                self._entries[member.id] = self._entryOf(member)
        return self._entries

    def _entryOf(self, member: Member) -> PresenceEntry:
        """Return the entry of a new member. It can be encoded, since `setMeta` has tried that."""
        self._lastPlace += 1
        return PresenceEntry(member.userId, _encoded(member, member.meta, True), self._lastPlace)

    @property
    def _isKept(self) -> bool:
        """Whether the entries are kept. A room without presence does not need them."""
        return self._entries is not None or self._context.room.presence

    def shownTo(self, member: Member) -> Shown:
        """
        Return the members that `joined` tells a client of, when it joins or resumes.

        From now on the client is told of the changes after this moment, and of none before it.
        """
        room = self._context.room
        if not room.presence:
            return _NOTHING
        roster = self._roster()
        first = self._firstOf(room.presenceLimit)
        self._changes.mark(member.id)
        self._toldPlace = max(self._toldPlace, first.last)
        if len(roster) == first.size:
            return Shown(first.entries)
        own = roster[member.id]
        ownMember = own.payload if own.place > first.last else b""
        return Shown(first.entries, ownMember, len(roster), first.last)

    def _firstOf(self, limit: int) -> _First:
        first = self._first
        if first is None or first.limit != limit:
            entries = self._roster().values()
            chosen = list(islice(entries, limit)) if limit else list(entries)
            last = chosen[-1].place if chosen else 0
            first = self._first = _First(_listed(chosen), len(chosen), last, limit)
        return first

    def page(self, member: Member, ref: int, after: int) -> None:
        """
        Answer a request for the members after a place.

        Before the answer, the client is told of the changes that it has not been told of, so that both fit
        together.

        Args:
            member: The member whose client asks.
            ref: The number of the request.
            after: The place.
        """
        room = self._context.room
        if member.state is not State.JOINED or not room.presence:
            answer: Item = Error(ref, self._context.id, ErrorCode.BAD_REQUEST, "this room has no presence")
        else:
            self.catchUp(member)
            roster = self._roster()
            later = (entry for entry in roster.values() if entry.place > after)
            chosen = list(islice(later, room.presenceLimit)) if room.presenceLimit else list(later)
            last = chosen[-1].place if chosen else after
            self._toldPlace = max(self._toldPlace, last)
            answer = MembersPage(ref, _listed(chosen), len(roster), last)
        self._context.outbox.emit(answer, member.audience)

    # -- the changes

    def came(self, member: Member) -> None:
        """Add a new member. The others are told when the window is over; without a window, by `settle`."""
        if self._isKept:
            self._roster()  # the members of an earlier owner come before this one
            self._change(member, self._entryOf(member))

    def left(self, member: Member) -> None:
        """Remove a member that has left, and tell the others. Do nothing for a client that was no member."""
        if self._entries is not None and member.id in self._entries:
            self._change(member, None)
            self._changes.forget(member.id)
            self.settle()

    def setMeta(self, member: Member, meta: Mapping[str, Any]) -> None:
        """See `Client.meta`."""
        context = self._context
        isBinary = context.room.binary
        plain = payload.plain(dict(meta), isBinary, "meta")
        # This raises now if the meta cannot be encoded, so that no later frame can fail.
        encoded = _encoded(member, plain, isBinary)
        before = self._roster()[member.id] if member.isPresent and self._isKept else None
        member.meta = plain
        if not member.isPresent:
            return
        context.outbox.record(member.record())
        if before is not None:
            self._change(member, PresenceEntry(before.user, encoded, before.place))
            self.settle()

    def _change(self, member: Member, now: PresenceEntry | None) -> None:
        """Replace the entry of a member; `None` removes it."""
        roster, context = self._roster(), self._context
        count = len(roster)
        before = roster.pop(member.id) if now is None else roster.get(member.id)
        if now is not None:
            roster[member.id] = now
        first, changed = self._first, now or before
        if first is not None and changed is not None and (not first.isFull or changed.place <= first.last):
            self._first = None
        if context.room.presence and context.life.isRunning:  # when a room ends, all leave
            self._changes.note(member.id, before, count)

    def settle(self) -> None:
        """Tell the members of the changes at the end of the window; at once if the room has no window."""
        if not self._changes:
            return
        seconds = self._context.room.presenceSeconds
        if not seconds:
            self.tell()
        elif self._timer is None:
            self._timer = self._context.timers.callLater(seconds, self._windowOver)

    def _windowOver(self) -> None:
        self._timer = None
        self.tell()

    def tell(self) -> None:
        """Tell all members of the changes."""
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()
        changes, roster = self._changes, self._context.roster
        if not changes:
            return
        if changes.marks:
            byMark: dict[int, list[Member]] = {}
            for member in roster.members.values():
                byMark.setdefault(changes.marks.get(member.id, 0), []).append(member)
            byChange: dict[PresenceChange, list[Member]] = {}
            for mark, change in self._since(byMark).items():
                byChange.setdefault(change, []).extend(byMark[mark])
            for change, members in byChange.items():
                self._context.outbox.emit(change, roster.reached(members))
        else:
            for change in self._since((0,)).values():
                self._context.outbox.emit(change, roster.everyone)
        changes.clear()

    def catchUp(self, member: Member) -> None:
        """Tell one member of the changes now; the others are told at the end of the window."""
        mark = self._changes.marks.get(member.id, 0)
        for change in self._since((mark,)).values():
            self._context.outbox.emit(change, member.audience)
        self._changes.mark(member.id)

    def _since(self, marks: Iterable[int]) -> dict[int, PresenceChange]:
        """
        Return, for each of these marks, the item that tells of the changes since. Marks since which there is
        nothing to tell are left out.

        In a room with more members than `presenceLimit`, members that join are only counted, unless they are
        among the first ones. Members that leave are only counted if no client was told of them.
        """
        room, roster = self._context.room, self._roster()
        first = self._firstOf(room.presenceLimit)
        isAll = len(roster) == first.size
        lastTold = self._toldPlace = max(self._toldPlace, first.last)

        def isTold(before: PresenceEntry | None, now: PresenceEntry | None) -> bool:
            if before is None:
                return now is not None and (isAll or now.place <= first.last)
            if now is not None:
                self._toldPlace = max(self._toldPlace, now.place)
                return True
            return before.place <= lastTold

        found = {}
        for mark, (joined, left) in self._changes.since(marks, roster, isTold).items():
            count = self._changes.sizeAt(mark)
            if joined or left or count not in (None, len(roster)):
                after = None if isAll else first.last
                change = (self._context.id, _listed(joined), _listed(left), len(roster), after)
                found[mark] = PresenceChange(*change)
        return found


class _First(NamedTuple):
    """The first members of a room, which `joined` tells of."""

    entries: tuple[bytes, ...]
    size: int
    #: The place of the last of them.
    last: int
    #: The `presenceLimit` for which they were chosen.
    limit: int

    @property
    def isFull(self) -> bool:
        """Whether a new member does not belong to them."""
        return 0 < self.limit <= self.size


def _metaOf(member: Member, meta: Mapping[str, Any]) -> dict[str, Any]:
    """Return the meta of a member as others see it, with the member's id."""
    return {**meta, "member": member.id}


def _encoded(member: Member, meta: Mapping[str, Any], isBinary: bool) -> bytes:
    """Return the encoded entry of a member."""
    return payload.encode([{"user": member.userId, "metas": [_metaOf(member, meta)]}], isBinary)[1:]


def _listed(entries: Sequence[PresenceEntry]) -> tuple[bytes, ...]:
    """Return the payloads of entries, with one payload for all members of a user."""
    byUser = {entry.user: entry.payload for entry in entries}
    if len(byUser) == len(entries):
        return tuple(byUser.values())
    metas: dict[str, list[Any]] = {}
    for entry in entries:
        metas.setdefault(entry.user, []).extend(payload.decode(entry.payload)["metas"])
    return tuple(
        payload.encode({"user": user, "metas": found}, True) if len(found) > 1 else byUser[user]
        for user, found in metas.items()
    )
