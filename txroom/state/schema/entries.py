"""Maps and lists on Colyseus's wire."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from ..changes import ListChange, MapChange
from ..collections import Collection, List, Map
from ..node import Node
from .classes import Classes
from .rows import writerOf
from .wire import ADD, BYTES, CLEAR, DELETE, DELETE_AND_ADD, REPLACE, head, integer, text

#: The keys that are gone of a map, whose versions are kept for clients that were away.
MAX_GONE = 1000
#: What a client that comes back is told at most that it is gone of a map or list; else it gets all anew.
MAX_SENT = 10_000
#: So many maps and lists there may be before those that are gone are looked for.
MIN_KNOWN = 64


class Keys:
    """
    The numbers by which clients know the keys of a map. A number is never used again.

    `Map` has no such numbers, because only this wire needs them.
    """

    def __init__(self, version: int) -> None:
        #: By key: its number, and its number with the key, as they are sent.
        self.entries: dict[str, tuple[bytes, bytes]] = {}
        #: The numbers of keys that are gone, with the versions.
        self.gone: deque[tuple[int, bytes]] = deque()
        #: The versions of those that went up to this version are forgotten, if any are.
        self.floor = version
        self.isComplete = True
        self._next = 0

    def of(self, key: str) -> tuple[bytes, bytes]:
        """The entry of a key, which gets a number if it has none."""
        entry = self.entries.get(key)
        if entry is None:
            number = integer(self._next)
            self._next += 1
            entry = self.entries[key] = number, number + text(key)
        return entry

    def remove(self, key: str, version: int) -> bytes | None:
        """Forget a key that is gone; its number, if it had one."""
        entry = self.entries.pop(key, None)
        if entry is None:
            return None
        self.gone.append((version, entry[0]))
        if len(self.gone) > MAX_GONE:
            self.floor = self.gone.popleft()[0]
            self.isComplete = False
        return entry[0]

    def since(self, version: int) -> list[bytes] | None:
        """The numbers of the keys that are gone since a version; None: there are too many."""
        if self.isComplete or version >= self.floor:
            return [number for at, number in self.gone if at > version]
        if self._next - len(self.entries) > MAX_SENT:
            return None
        present = {number for number, _ in self.entries.values()}
        return [number for number in map(integer, range(self._next)) if number not in present]


class Entries:
    """Encodes what is in maps and lists."""

    def __init__(self, classes: Classes, nodes: Mapping[int, Node]) -> None:
        self._classes = classes
        self._nodes = nodes
        self._keys: dict[int, Keys] = {}
        #: How many items clients may have of each list at most.
        self._sizes: dict[int, int] = {}
        #: How many maps and lists there may be until those that are gone are forgotten.
        self._limit = MIN_KNOWN
        self._writers: dict[Any, Callable[[Any], bytes]] = {}

    def settle(self, version: int) -> None:
        """Note which keys are gone, after changes that nobody has asked for."""
        self._forgetGone()
        for id, keys in self._keys.items():
            map: Any = self._nodes[id]
            for key in [key for key in keys.entries if key not in map._txData]:
                keys.remove(key, version)

    def _forgetGone(self) -> None:
        nodes = self._nodes
        self._keys = {id: one for id, one in self._keys.items() if id in nodes}
        self._sizes = {id: one for id, one in self._sizes.items() if id in nodes}
        self._limit = MIN_KNOWN + 2 * (len(self._keys) + len(self._sizes))

    def _makeRoom(self) -> None:
        """Forget the maps and lists that are gone, if there are many."""
        if len(self._keys) + len(self._sizes) > self._limit:
            self._forgetGone()

    def keysOf(self, map: Map[Any], version: int) -> Keys:
        """The keys of a map; of one whose keys have no numbers yet, `version` is the present one."""
        keys = self._keys.get(map._txId)
        if keys is None:
            self._makeRoom()
            keys = self._keys[map._txId] = Keys(version)
        return keys

    def _sent(self, list: List[Any]) -> int:
        """Note that a list is sent as it is now; how many items clients may have of it at most."""
        known, size = self._sizes.get(list._txId), len(list._txData)
        if known is None or known < size:
            if known is None:
                self._makeRoom()
            self._sizes[list._txId] = known = size
        return known

    # -- changes

    def mapChange(self, change: MapChange, version: int) -> bytes:
        """A change of a map that clients have."""
        map = change.map
        keys = self.keysOf(map, version)
        out = [head(map._txId)]
        for key in change.gone:
            number = keys.remove(key, version)
            if number is not None:
                out.append(BYTES[DELETE] + number)
        write = self._writer(map)
        for key in change.put:
            isKnown = key in keys.entries
            number, entry = keys.of(key)
            if not isKnown:
                out.append(BYTES[ADD] + entry)
            elif map._txHoldsNodes:
                out.append(BYTES[DELETE_AND_ADD] + entry)
            else:
                out.append(BYTES[REPLACE] + number)
            out.append(write(map._txData[key]))
        return b"".join(out)

    def listChange(self, change: ListChange) -> bytes:
        """
        A change of a list that clients have.

        Items that are gone leave holes, which a decoder closes at the end; to insert items before others,
        these are sent anew.
        """
        node, start, data = change.list, change.start, change.list._txData
        old = len(data) + change.removed - change.added
        write = self._writer(node)
        replace = BYTES[DELETE_AND_ADD if node._txHoldsNodes else REPLACE]
        end = len(data) if change.added > change.removed else start + change.added
        self._sent(node)
        out = [head(node._txId)]
        for at in range(start, end):
            out += replace if at < old else BYTES[ADD], integer(at), write(data[at])
        for at in range(end, start + change.removed):
            out.append(BYTES[DELETE] + integer(at))
        return b"".join(out)

    # -- all of it

    def content(self, node: Collection, version: int) -> bytes:
        """All that is in a collection, of which clients have nothing."""
        out = [head(node._txId)]
        if isinstance(node, Map):
            self._mapContent(node, version, ADD, out)
        else:
            assert isinstance(node, List)
            self._sent(node)
            self._listContent(node, ADD, out)
        return b"".join(out) if len(out) > 1 else b""

    def _mapContent(self, map: Map[Any], version: int, operation: int, out: list[bytes]) -> None:
        of, write, add = self.keysOf(map, version).of, self._writer(map), BYTES[operation]
        out += [add + of(key)[1] + write(value) for key, value in map._txData.items()]

    def _listContent(self, list: List[Any], operation: int, out: list[bytes]) -> None:
        write = self._writer(list)
        for at, value in enumerate(list._txData):
            out += BYTES[operation], integer(at), write(value)

    def since(self, node: Collection, since: int, version: int) -> bytes:
        """
        What brings a collection up to date, of which a client has version `since`, or a later one.

        Decoders tell their listeners only of the entries that are new, changed or gone. In a list these are
        found by their places.
        """
        out = [head(node._txId)]
        if isinstance(node, Map):
            gone = self.keysOf(node, version).since(max(since, node._txBorn))
            if gone is None:
                return self.anew(node, version)
            out += [BYTES[DELETE] + number for number in gone]
            # Only objects that are replaced have to be taken away first.
            self._mapContent(node, version, DELETE_AND_ADD if node._txHoldsNodes else ADD, out)
        else:
            assert isinstance(node, List)
            size, known = len(node._txData), self._sent(node)
            if known - size > MAX_SENT:
                return self.anew(node, version)
            # Decoders would insert what is only added.
            self._listContent(node, DELETE_AND_ADD, out)
            out += [BYTES[DELETE] + integer(at) for at in range(size, known)]
        return b"".join(out) if len(out) > 1 else b""

    def anew(self, node: Collection, version: int) -> bytes:
        """All that is in a collection, whatever a client has of it."""
        content = self.content(node, version)
        start = head(node._txId)
        return start + BYTES[CLEAR] + content[len(start) :]

    def instance(self, home: Map[Any], key: str, node: Node) -> bytes:
        """
        An entry of a private map of objects, for views: in place of the number of the key it has that of the
        object.
        """
        entry = integer(node._txId) + text(key)
        return head(home._txId) + BYTES[DELETE_AND_ADD] + entry + self._writer(home)(node)

    def _writer(self, node: Collection) -> Callable[[Any], bytes]:
        """The function that encodes an item of a collection."""
        type_: Any = node._txType
        writer = self._writers.get(type_)
        if writer is None:
            writer = self._reference(type_.item) if type_.holdsNodes else writerOf(type_.item)
            self._writers[type_] = writer
        return writer

    def _reference(self, declared: Any) -> Callable[[Any], bytes]:
        suffix = self._classes.suffix

        def reference(node: Any) -> bytes:
            if type(node) is declared:
                return integer(node._txId)
            return integer(node._txId) + suffix(node, declared)

        return reference


def cleared(id: int) -> bytes:
    """A collection becomes empty."""
    return head(id) + BYTES[CLEAR]


def removed(homeId: int, id: int) -> bytes:
    """An entry of a private map of objects goes."""
    return head(homeId) + BYTES[DELETE] + integer(id)
