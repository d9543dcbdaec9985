"""Views: what single clients see of the private parts of a state."""

from __future__ import annotations

from collections import deque
from typing import Any, Protocol

import attrs

from .node import Holder, Node, Watch, pathOf

#: What was hidden from a view, that `since` tells a client that was away: that many, then it gets all.
MAX_HIDDEN = 200


@attrs.define(eq=False)
class Hidden:
    """
    A view doesn't see something any more: an instance of a private map or field, or the content of a private
    collection.
    """

    #: Its number then, and that of its home. Numbers are never used again, and keep nothing in memory.
    id: int
    homeId: int
    #: Its key in a map, or the index of its field.
    key: Any
    isCollection: bool
    #: The numbers of what the view saw, and is gone.
    ids: list[int]


def hiddenOf(node: Node, ids: list[int]) -> Hidden:
    """What there is to tell of a node that is still in its place."""
    return Hidden(node._txId, node._txHome._txId, node._txKey, node._txIsCollection, ids)


class Viewed(Holder, Protocol):
    """A tree, as its views see it."""

    version: int
    #: The views that have something waiting for the next commit.
    touched: dict[View, None]


class View:
    """
    What one client sees of the private parts of a room's state.

    `add` shows an instance that is in a map declared with `private`, a nested `State` of a private field, or
    the content of a private map of values or a private list, with everything below it. The client gets it
    with the next patch. What leaves the state leaves the view. Like Colyseus's ``StateView``.
    """

    def __init__(self, tree: Viewed, key: str) -> None:
        self.tree = tree
        self.key = key
        #: What it sees, by number, and the version since which. What is below something comes after it.
        self.seen: dict[int, tuple[Node, int]] = {}
        #: What it shall see or not see after the next commit, by number.
        self.waiting: dict[int, tuple[Node, bool]] = {}
        #: What was hidden from it, or is gone, with the versions; all up to `floor` is forgotten.
        self.hidden: deque[tuple[int, Hidden | list[int]]] = deque()
        self.floor = tree.version
        #: Whether it has forgotten something of `hidden`.
        self.hasForgotten = False
        #: Where an encoding puts its bytes, while it encodes.
        self.put: Any = None

    def add(self, node: Any) -> None:
        """
        Show something to the client; nothing happens if it sees it already.

        @raise TypeError: it is no part of a state at all.
        @raise ValueError: it isn't in the state, isn't private, or is in something private that the view has
        not.
        """
        if not isinstance(node, Node):
            raise TypeError(f"{node!r}: must be an object, a Map or a List of the state")
        if node._txTree is not self.tree:
            raise ValueError(f"{node!r} isn't in the state of the room")
        if not isUnit(node):
            if node._txIsCollection and node._txPrivate:  # type: ignore[attr-defined]
                raise ValueError(f"{pathOf(node)}: each of its items is private: add these")
            raise ValueError(f"{pathOf(node)} isn't private by itself: add what is, see txroom.state.private")
        if not self.hasOuter(node):
            raise ValueError(f"{pathOf(node)}: the view doesn't have what it is in")
        self._want(node, True)

    def hasOuter(self, node: Node) -> bool:
        """Whether it shows, after the next commit, what something private is in."""
        outer = node._txHome._txWatch
        return outer is None or self._shows(outer)

    def remove(self, node: Any) -> None:
        """Hide something from the client, with everything below it; nothing happens if it doesn't see it."""
        if not isinstance(node, Node) or node._txTree is not self.tree or not isUnit(node):
            return
        for inner in unitsBelow(node):
            self.remove(inner)
        self._want(node, False)

    def __contains__(self, node: Any) -> bool:
        """Whether the client sees something private, after the next commit."""
        if not isinstance(node, Node) or node._txTree is not self.tree:
            return False
        if node._txId in self.waiting:
            return self.waiting[node._txId][1]
        return node._txId in self.seen

    def wanted(self) -> list[Node]:
        """What the client sees after the next commit; what is in something private comes after that."""
        kept = [node for node, _ in self.seen.values() if node in self]
        return kept + [node for node, isSeen in self.waiting.values() if isSeen]

    def remember(self, version: int, what: Hidden | list[int]) -> None:
        """Keep what was hidden, for when the client was away."""
        self.hidden.append((version, what))
        while len(self.hidden) > MAX_HIDDEN:
            self.floor, _ = self.hidden.popleft()
            self.hasForgotten = True

    def _want(self, node: Node, isSeen: bool) -> None:
        if isSeen == (node._txId in self.seen):
            self.waiting.pop(node._txId, None)
        else:
            self.waiting[node._txId] = node, isSeen
            self.tree.touched[self] = None

    def _shows(self, watch: dict[View, None]) -> bool:
        """Whether it shows, after the next commit, what has a dictionary of views."""
        for node, isSeen in self.waiting.values():
            if node._txWatch is watch:
                return isSeen
        return self in watch


def isUnit(node: Node) -> bool:
    """Whether something is seen by views on its own."""
    home = node._txHome
    return node._txWatch is not None and isinstance(home, Node) and node._txWatch is not home._txWatch


def unitsBelow(node: Node) -> list[Node]:
    """What is seen on its own within something; not what is in that again."""
    found: list[Node] = []
    for child, isOwn in node._txChildren():
        if isOwn:
            found.append(child)
        else:
            found += unitsBelow(child)
    return found


def unit(node: Node) -> list[Node]:
    """Something and all below it that is seen with it, from above."""
    found = [node]
    for child, isOwn in node._txChildren():
        if not isOwn:
            found += unit(child)
    return found


def existence(node: Node) -> Watch:
    """Who sees that something exists: of a private collection that is everybody who sees what it is in."""
    if node._txIsCollection and isUnit(node):
        watch: Watch = node._txHome._txWatch
        return watch
    return node._txWatch


def existing(node: Node) -> list[Node]:
    """What a view knows of, when it sees something that is seen on its own, and would not otherwise."""
    nodes = unit(node)
    found = [
        child for each in nodes for child, isOwn in each._txChildren() if isOwn and child._txIsCollection
    ]
    return (nodes[1:] if node._txIsCollection else nodes) + found
