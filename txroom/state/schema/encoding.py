"""The encoding of a state for Colyseus's clients."""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Iterable
from hashlib import sha256
from itertools import groupby
from operator import attrgetter
from typing import Any, NamedTuple

from ..changes import Changes, Part
from ..collections import Collection, CollectionType, Map
from ..model import State
from ..node import Node, Watch
from ..tree import StateTree
from ..views import Hidden, View, existence, unit
from .classes import Classes
from .entries import Entries, cleared, removed
from .rows import rowsOf
from .wire import BYTES, DELETE, DELETE_AND_ADD, head, integer

#: The bytes of the hash of the classes; see `Encoding.mark`.
MARK_SIZE = 9
#: What a client has that has nothing.
NOTHING = -1
#: No numbers.
NONE: frozenset[int] = frozenset()


class Known(NamedTuple):
    """What is known of a client that has something of a state already."""

    #: The numbers of the maps and lists that it may have from an earlier owner of the room.
    inherited: frozenset[int]
    #: Whether it is known what it has of private parts.
    isSure: bool


class SchemaEncoding:
    """
    The encoding of Colyseus's clients: the format of @colyseus/schema, for its versions 3, 4 and 5 at once.

    The number of an object is its ``refId``. An object that a client does not have yet comes after the one in
    which it is. Quantized numbers are sent as ``float32``; `int` and `float` are ``number``.

    @param tree: the state; the encoding must be used for this tree only.
    """

    def __init__(self, tree: StateTree) -> None:
        self.tree = tree
        self._classes = Classes(tree)
        self._entries = Entries(self._classes, tree.nodes)
        self._handshake = self._classes.handshake()
        self.mark = urlsafe_b64encode(sha256(self._handshake).digest()[:MARK_SIZE]).decode()
        self._full: tuple[int, bytes] | None = None
        #: The version of the last change that was encoded.
        self._version = tree.version

    def schema(self) -> bytes:
        """What clients have to know of the classes, as Colyseus's ``Reflection`` tells it."""
        return self._handshake

    # -- patches

    def patch(self, changes: Changes) -> bytes:
        """The changes that everybody sees; empty if there are none. Colyseus's message 15 has it."""
        return self._encode(changes)[0]

    def patchOf(self, changes: Changes, view: View) -> bytes:
        """The changes that only a view sees, for after those of `patch`; empty if there are none."""
        parts = self._encode(changes)[1]
        return b"".join(parts[view]) if view in parts else b""

    def _encode(self, changes: Changes) -> tuple[bytes, dict[View, list[bytes]]]:
        """
        Encode changes once.

        The private parts are encoded even if no view asks: the keys of maps get and lose their numbers here.
        """
        encoded: tuple[bytes, dict[View, list[bytes]]] | None = changes.encoded.get(self)
        if encoded is None:
            hasMissed = self._version != changes.since
            self._version = NOTHING  # unless all of it is encoded
            out: list[bytes] = []
            self._part(changes.shared, changes, out)
            encoded = changes.encoded[self] = b"".join(out), self._private(changes)
            if hasMissed:
                self._entries.settle(changes.version)
            self._version = changes.version
        return encoded

    def _follow(self, since: int) -> None:
        """Notice if there were changes that nobody has asked for."""
        if since != self._version:
            self._entries.settle(since)
            self._version = since

    def _part(self, part: Part, changes: Changes, out: list[bytes]) -> None:
        for (cls, mask), states in part.states.items():
            if part.made and mask == cls._txAll:
                states = [state for state in states if state._txBorn <= changes.since]
            if mask and states:
                out += self._encoded(cls, mask, False, states)
        for mapChange in part.maps:
            if mapChange.map._txBorn <= changes.since:
                out.append(self._entries.mapChange(mapChange, changes.version))
        for listChange in part.lists:
            if listChange.list._txBorn <= changes.since:
                out.append(self._entries.listChange(listChange))
        if part.made:
            self._contents([node for node in _fromAbove(part.made) if _isOpen(node, None)], out)

    def _private(self, changes: Changes) -> dict[View, list[bytes]]:
        """The changes that single views see. Each object is encoded once."""
        parts: dict[View, list[bytes]] = {}
        if not (changes.private or changes.hidden or changes.shown):
            return parts
        for view, hidden in changes.hidden.items():
            self._hide(hidden, parts.setdefault(view, []))
        views = [*self.tree.views.values()]
        chosen: list[list[bytes]] = [[] for _ in views]
        for view, mine in zip(views, chosen, strict=True):
            view.put = mine.append
        self._distribute(changes)
        for view, mine in zip(views, chosen, strict=True):
            view.put = None
            if mine:
                parts.setdefault(view, []).extend(mine)
        for view, nodes in changes.shown.items():
            self._show(nodes, parts.setdefault(view, []))
        return parts

    def _distribute(self, changes: Changes) -> None:
        """Give each view the changes of what it has seen before."""
        part, since = changes.private, changes.since
        isShown = bool(changes.shown)
        for (cls, mask), states in part.states.items():
            seen = [state for state in states if state._txWatch and state._txBorn <= since]
            if not mask or not seen:
                continue
            for state, row in zip(seen, self._encoded(cls, mask, False, seen), strict=True):
                watch = state._txWatch or {}
                for view in changes.seers(watch) if isShown else watch:
                    view.put(row)
        for mapChange in part.maps:
            if mapChange.map._txBorn <= since:
                self._give(changes, mapChange.map, self._entries.mapChange(mapChange, changes.version))
        for listChange in part.lists:
            if listChange.list._txBorn <= since:
                self._give(changes, listChange.list, self._entries.listChange(listChange))
        for node in _fromAbove(part.made):
            if node._txWatch and _isOpen(node, node._txWatch):
                out: list[bytes] = []
                self._contents([node], out)
                self._give(changes, node, b"".join(out))

    def _give(self, changes: Changes, node: Node, data: bytes) -> None:
        for view in changes.seers(node._txWatch or {}):
            view.put(data)

    def _hide(self, hidden: Iterable[Hidden], out: list[bytes]) -> None:
        nodes = self.tree.nodes
        for each in hidden:
            home = nodes.get(each.homeId)
            if each.isCollection:
                if each.id in nodes:
                    out.append(cleared(each.id))
            elif isinstance(home, Map):
                out.append(removed(each.homeId, each.id))
            elif home is not None:
                out.append(head(each.homeId) + BYTES[DELETE | each.key])

    def _show(self, nodes: Iterable[Node], out: list[bytes], known: Known | None = None) -> None:
        """Show what views see on its own; `known`: the client may have something of it already."""
        for node in nodes:
            home: Any = node._txHome
            if isinstance(node, Collection):
                pass  # clients know that there is one
            elif isinstance(home, Map):
                out.append(self._entries.instance(home, node._txKey, node))
            else:
                field = type(home)._txFields[node._txKey]
                suffix = self._classes.suffix(node, field.type)  # type: ignore[arg-type]
                operation = BYTES[DELETE_AND_ADD | field.index]
                out.append(head(home._txId) + operation + integer(node._txId) + suffix)
            if known is None:
                self._contents(unit(node), out)
            else:
                self._sinceOf(unit(node), NOTHING, known, out)

    def _contents(self, nodes: Iterable[Node], out: list[bytes]) -> None:
        """All that objects have of which clients have nothing yet, in the given order."""
        for cls, run in groupby(nodes, type):
            if issubclass(cls, State):
                if cls._txAll:
                    out += self._encoded(cls, cls._txAll, True, [*run])
                continue
            for node in run:
                assert isinstance(node, Collection)
                if _hasContent(node):
                    out.append(self._entries.content(node, self.tree.version))

    # -- all of it

    def full(self, view: View | None) -> bytes:
        """
        The whole state as it is, with what a view sees of the private parts. Colyseus's message 14 has it.

        It is for clients that have nothing yet: decoders before version 5 keep what is gone; see `since`.
        """
        version = self._committed()
        if self._full is None or self._full[0] != version:
            out: list[bytes] = []
            self._contents([node for node in self.tree.nodes.values() if node._txWatch is None], out)
            self._full = version, b"".join(out)
        shared = self._full[1]
        if view is None or not view.seen:
            return shared
        own = [shared]
        self._show([node for node, _ in view.seen.values()], own)
        return b"".join(own)

    def since(self, version: int, view: View | None, isOurs: bool = False) -> bytes | None:
        """
        What brings a client up to date that has a version, or a later one.

        It is never None: a client whose version is too old, or not known (-1), gets everything, and what may
        be gone is taken from it. Its decoder finds what is new or changed, and tells its listeners of that
        only. Everything goes and comes again in a map or list of which too much is gone, or that a client may
        have from an earlier owner of the room: it is not `isOurs`.
        """
        present = self._committed()
        if not self.tree.start <= version <= present or (view is not None and version < view.floor):
            version = NOTHING
        out: list[bytes] = []
        inherited = NONE if isOurs or version >= 0 else self.tree.inherited
        # Else the client may have private parts of which nothing is known.
        isForgotten = inherited or self.tree.start or (view is not None and view.hasForgotten)
        known = Known(inherited, version >= 0 or not isForgotten)
        nodes = [node for node in self.tree.nodes.values() if node._txWatch is None]
        self._sinceOf(nodes, version, known, out)
        if view is not None:
            self._viewSince(version, view, known, out)
        return b"".join(out)

    def _sinceOf(self, nodes: Iterable[Node], since: int, known: Known, out: list[bytes]) -> None:
        """What brings objects up to date; a client has version `since` of them, a later one, or nothing."""
        for node in nodes:
            if node._txAt <= since:
                continue
            if isinstance(node, State):
                if node._txAll:
                    out += self._encoded(type(node), node._txAll, False, [node])
            elif isinstance(node, Collection) and _hasContent(node):
                if since < 0 and node._txId in known.inherited:
                    out.append(self._entries.anew(node, self.tree.version))
                else:
                    out.append(self._entries.since(node, since, self.tree.version))
            if not known.isSure:
                self._blank(node, out)

    def _blank(self, node: Node, out: list[bytes]) -> None:
        """Take away what a client may have of the private parts of an object."""
        if isinstance(node, State):
            for field in node._txNodeFields:
                if isinstance(field.type, CollectionType):
                    if field.isOwn:
                        out.append(cleared(getattr(node, field.slot)._txId))
                elif field.isOwn:
                    out.append(head(node._txId) + BYTES[DELETE | field.index])
        elif isinstance(node, Collection) and not _hasContent(node):
            out.append(cleared(node._txId))

    def _viewSince(self, version: int, view: View, known: Known, out: list[bytes]) -> None:
        for node, shown in view.seen.values():
            if shown > version:
                self._show([node], out, known)
            else:
                self._sinceOf(unit(node), version, known, out)
        for at, what in view.hidden:
            if (
                known.isSure
                and at > version
                and isinstance(what, Hidden)
                and not self._isShownAgain(what, view)
            ):
                place = self.tree.nodes.get(what.id if what.isCollection else what.homeId)
                audience = None if place is None else existence(place)
                if audience is None or view in audience:
                    self._hide([what], out)

    def _isShownAgain(self, hidden: Hidden, view: View) -> bool:
        """Whether a view sees again what was hidden from it, or another object in the same field."""
        if hidden.id in view.seen:
            return True
        home = self.tree.nodes.get(hidden.homeId)
        if not isinstance(home, State) or hidden.isCollection:
            return False
        now = getattr(home, type(home)._txFields[hidden.key].slot)
        return now is not None and now._txId in view.seen

    def _committed(self) -> int:
        """The version of the state, which must not have changed since."""
        if self.tree.isChanged:
            raise RuntimeError("the state has changes that are not committed")
        version = self.tree.version
        self._follow(version)
        return version

    def _encoded(self, cls: type[State], mask: int, isNew: bool, states: list[Any]) -> list[bytes]:
        """A row for each object, without fields that can't be encoded."""
        try:
            return self._rows(cls, mask, isNew, states)
        except Exception:
            return [self._careful(cls, mask, isNew, state) for state in states]

    def _careful(self, cls: type[State], mask: int, isNew: bool, state: State) -> bytes:
        """The row of an object without the fields that can't be encoded; they are reported."""
        good = self.tree.sendable(state, mask, lambda bit: self._rows(cls, bit, isNew, [state]))
        return self._rows(cls, good, isNew, [state])[0] if good else b""

    def _rows(self, cls: type[State], mask: int, isNew: bool, states: list[Any]) -> list[bytes]:
        return rowsOf(cls, mask, isNew, len(states))(states, self._classes.suffix)


def _fromAbove(made: list[Node]) -> list[Node]:
    """New objects, each after the one in which it is: that one has the smaller number."""
    return sorted(made, key=attrgetter("_txId"))


def _hasContent(node: Collection) -> bool:
    """Whether who sees a collection sees what is in it; views see the entries of a private map of objects."""
    return not (isinstance(node, Map) and node._txPrivate and node._txHoldsNodes)


def _isOpen(node: Node, watch: Watch) -> bool:
    """Whether those whose `watch` it is see what is in an object."""
    return node._txWatch is watch and not (isinstance(node, Collection) and not _hasContent(node))
