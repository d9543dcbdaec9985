"""What has changed in a state between two versions, for encodings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import attrs

from .collections import Collection, List, Map
from .node import Node, Watch
from .views import Hidden, View

if TYPE_CHECKING:
    from .model import State

#: The keys that are gone of a map, which are kept for clients that were away.
MAX_GONE = 1000


@attrs.define(eq=False)
class MapChange:
    """The keys of a map whose values are new, and those that are gone."""

    map: Map[Any]
    put: list[str]
    gone: list[str]


@attrs.define(eq=False)
class ListChange:
    """From `start`, `removed` items of a list have been replaced by `added` items, which are in it now."""

    list: List[Any]
    start: int
    removed: int
    added: int


@attrs.define(eq=False)
class Part:
    """The changes for one audience: everybody, or views."""

    #: Nodes that are new, in the order in which they came.
    made: list[Node] = attrs.Factory(list)
    #: The objects by their class and the mask of the fields that have changed; new objects have all fields.
    states: dict[tuple[type[State], int], list[State]] = attrs.Factory(dict)
    maps: list[MapChange] = attrs.Factory(list)
    lists: list[ListChange] = attrs.Factory(list)

    def groupOf(self, cls: type[State], mask: int) -> list[State]:
        """The objects of a class whose fields of a mask have changed."""
        group = self.states.get((cls, mask))
        if group is None:
            group = self.states[cls, mask] = []
        return group

    def __bool__(self) -> bool:
        return bool(self.states or self.maps or self.lists or self.made)


@attrs.define(eq=False)
class Changes:
    """
    What a commit has found. Encode it before the state changes again: values are read from the state.

    An encoding's `patch` and `patchOf` encode it once, however often they are called.
    """

    #: The versions before and after.
    since: int
    version: int
    #: What everybody sees, and the numbers of what is gone. What is gone and never was sent isn't there.
    shared: Part
    removed: list[int]
    #: What only views see: each node's `_txWatch` has the views. `privateRemoved` has the views with numbers.
    private: Part
    privateRemoved: list[tuple[tuple[View, ...], list[int]]]
    #: By view: what it sees newly (with all that is below, see `tree.unit`), and what no longer.
    shown: dict[View, list[Node]]
    hidden: dict[View, list[Hidden]]
    #: The results of encodings.
    encoded: dict[Any, Any] = attrs.Factory(dict)

    def partOf(self, watch: Watch) -> Part:
        """The part for what has these views."""
        return self.shared if watch is None else self.private

    def seers(self, watch: dict[View, None]) -> list[View]:
        """The views that saw a private node before already: they need only what has changed."""
        if not self.shown:
            return list(watch)
        return [
            view for view in watch if not any(node._txWatch is watch for node in self.shown.get(view, ()))
        ]


def change(node: Collection, version: int) -> MapChange | ListChange | None:
    """Take the change of a collection since the last commit; None: none. It then has no changes."""
    return _mapChange(node, version) if isinstance(node, Map) else _listChange(cast(List[Any], node))


def _mapChange(map: Map[Any], version: int) -> MapChange | None:
    data, ops = map._txData, map._txOps
    put = [key for key in ops if key in data]
    gone = [key for key, was in ops.items() if was and key not in data]
    map._txOps = {}
    for key in put:
        map._txPutAt[key] = version
    for key in gone:
        del map._txPutAt[key]
        map._txGone.append((version, key))
        if len(map._txGone) > MAX_GONE:
            map._txFloor = map._txGone.popleft()[0]
    return MapChange(map, put, gone) if put or gone else None


def _listChange(list: List[Any]) -> ListChange | None:
    data = list._txData
    # What was taken out and put in again has a new number.
    old, new = list._txSent, [node._txId for node in data] if list._txHoldsNodes else data
    least = min(len(old), len(new))
    start = 0
    while start < least and old[start] == new[start]:
        start += 1
    tail = 0
    while tail < least - start and old[-1 - tail] == new[-1 - tail]:
        tail += 1
    removed, added = len(old) - start - tail, len(new) - start - tail
    if not removed and not added:
        return None
    list._txSent = new if list._txHoldsNodes else data.copy()
    return ListChange(list, start, removed, added)
