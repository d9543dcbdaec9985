"""
The encoding of txroom's own clients; docs/protocol.rst specifies it.

Objects of one class that changed in the same fields make one section of rows. The function that encodes the
rows of a class and a set of fields is generated when it is needed often: it has one expression for a row, in
which fields of a fixed size are packed together.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from typing import Any
from zlib import crc32

import msgspec

from .changes import Changes, ListChange, MapChange, Part
from .collections import Collection, CollectionType, Map
from .fields import Field
from .model import State
from .nativevalues import BYTES, reference, rowsOf, text, varint, writerOf
from .node import Node
from .tree import StateTree
from .types import Quantized
from .views import Hidden, View, existence, existing, unit

ROWS, WIDE, MAKE, PUT, GONE, SPLICE, EMPTY, REMOVED, FULL, HASH = range(1, 11)

#: The numbers of objects that a row has room for, and a wide row.
NARROW, WIDE_END = 2**16, 2**32


class NativeEncoding:
    """
    The encoding of txroom's own clients.

    @param tree: the state; the encoding must be used for this tree only.
    @param hasHashes: whether each patch ends with the hash of the state, for a client that checks itself.
    """

    mark = ""

    def __init__(self, tree: StateTree, hasHashes: bool = False) -> None:
        self.tree = tree
        self.hasHashes = hasHashes
        self._full: tuple[int, bytes] | None = None
        self._schema: bytes | None = None
        self._writers = {
            type_: writerOf(type_.item) for type_ in tree.types if isinstance(type_, CollectionType)
        }

    def schema(self) -> bytes:
        """What clients have to know of the classes: plain data in MessagePack."""
        if self._schema is None:
            types = [self._described(type_) for type_ in self.tree.types]
            self._schema = msgspec.msgpack.encode(types)
        return self._schema

    def _described(self, type_: type[State] | CollectionType) -> Any:
        if isinstance(type_, CollectionType):
            return ["map" if type_.kind is Map else "list", self._typeName(type_.item)]
        fields = []
        for field in type_._txFields:
            name = self._typeName(field.type)
            if field.isOptional and field.isValue:
                name = ["optional", name]
            fields.append([field.name, name, True] if field.isPrivate else [field.name, name])
        return ["object", type_.__name__, fields]

    def _typeName(self, type_: Any) -> Any:
        if isinstance(type_, Quantized):
            return ["quantized", float(type_.min), float(type_.max), type_.bits]
        return self.tree.types[type_] if isinstance(type_, type | CollectionType) else type_.name

    # -- patches

    def patch(self, changes: Changes) -> bytes:
        """The changes that everybody sees; empty if there are none."""
        if self not in changes.encoded:
            out: list[bytes] = []
            self._part(changes.shared, out)
            self._removed(changes.removed, out)
            if self.hasHashes and out and not self.tree.hasFailures:
                with suppress(Exception):  # a patch is complete without it
                    out.append(BYTES[HASH] + self.hash().to_bytes(4, "little"))
            changes.encoded[self] = b"".join(out)
        data: bytes = changes.encoded[self]
        return data

    def patchOf(self, changes: Changes, view: View) -> bytes:
        """The changes that only a view sees, for after those of `patch`; empty if there are none."""
        key = self, "views"
        if key not in changes.encoded:
            changes.encoded[key] = self._private(changes)
        parts: dict[View, list[bytes]] = changes.encoded[key]
        return b"".join(parts[view]) if view in parts else b""

    def _part(self, part: Part, out: list[bytes]) -> None:
        self._make(part.made, out)
        for (cls, mask), states in part.states.items():
            self._section(cls, mask, states, out)
        out += map(self._mapChange, part.maps)
        out += map(self._listChange, part.lists)

    def _private(self, changes: Changes) -> dict[View, list[bytes]]:
        parts: dict[View, list[bytes]] = {}
        for view, hidden in changes.hidden.items():
            self._hide(hidden, parts.setdefault(view, []))
        for views, ids in changes.privateRemoved:
            for view in views:
                self._removed(ids, parts.setdefault(view, []))
        self._distribute(changes, parts)
        for view, nodes in changes.shown.items():
            self._show(nodes, parts.setdefault(view, []))
        return parts

    def _distribute(self, changes: Changes, parts: dict[View, list[bytes]]) -> None:
        """Give each view the changes of what it has seen before. Each object is encoded once."""
        part = changes.private
        for node in part.made:
            watch = existence(node)
            if watch:
                made: list[bytes] = []
                self._make([node], made)
                for view in changes.seers(watch):
                    parts.setdefault(view, []).extend(made)
        for (cls, mask), states in part.states.items():
            self._distributeRows(cls, mask, states, changes, parts)
        for mapChange in part.maps:
            self._give(mapChange.map, self._mapChange, mapChange, changes, parts)
        for listChange in part.lists:
            self._give(listChange.list, self._listChange, listChange, changes, parts)

    def _give(
        self,
        node: Collection,
        encode: Callable[[Any], bytes],
        change: Any,
        changes: Changes,
        parts: dict[View, list[bytes]],
    ) -> None:
        if node._txWatch:
            data = encode(change)
            for view in changes.seers(node._txWatch):
                parts.setdefault(view, []).append(data)

    def _distributeRows(
        self,
        cls: type[State],
        mask: int,
        states: list[State],
        changes: Changes,
        parts: dict[View, list[bytes]],
    ) -> None:
        seen = [state for state in states if state._txWatch]
        if not seen:
            return
        base, isWide = self._base(seen)
        try:
            rows = self._encoded(cls, mask, isWide, seen, base)
        except Exception:
            for state in seen:
                section: list[bytes] = []
                self._careful(cls, mask, state, section)
                for view in changes.seers(state._txWatch or {}):
                    parts.setdefault(view, []).extend(section)
            return
        views = list(self.tree.views.values())
        chosen: list[list[bytes]] = []
        for view in views:
            mine: list[bytes] = []
            view.put = mine.append
            chosen.append(mine)
        if changes.shown:
            for state, row in zip(seen, rows, strict=True):
                for view in changes.seers(state._txWatch):  # type: ignore[arg-type]
                    view.put(row)
        else:
            for state, row in zip(seen, rows, strict=True):
                for view in state._txWatch:  # type: ignore[union-attr]
                    view.put(row)
        head = self._head(cls, mask, base, isWide)
        for view, mine in zip(views, chosen, strict=True):
            view.put = None
            if mine:
                parts.setdefault(view, []).append(head + varint(len(mine)) + b"".join(mine))

    def _hide(self, hidden: Iterable[Hidden], out: list[bytes]) -> None:
        nodes = self.tree.nodes
        for each in hidden:
            home: Any = nodes.get(each.homeId)
            if each.isCollection:
                if each.id in nodes:
                    out.append(BYTES[EMPTY] + varint(each.id))
            elif isinstance(home, Map):
                out.append(BYTES[GONE] + varint(each.homeId) + BYTES[1] + text(each.key))
            elif home is not None:
                out.append(self._referenceRow(home, each.key, None))
            self._removed(each.ids, out)

    def _show(self, nodes: Iterable[Node], out: list[bytes]) -> None:
        for node in nodes:
            self._make(existing(node), out)
            self._contents(unit(node), out)
            home = node._txHome
            if isinstance(node, Collection):
                continue
            if isinstance(home, Map):
                out.append(BYTES[PUT] + varint(home._txId) + BYTES[1] + text(node._txKey) + reference(node))
            else:
                out.append(self._referenceRow(home, node._txKey, node))

    def _referenceRow(self, home: Node, index: int, node: Node | None) -> bytes:
        """A row of a field that only views see."""
        number = home._txId % WIDE_END
        head = self._head(type(home), 1 << index, home._txId - number, True)  # type: ignore[arg-type]
        return head + BYTES[1] + number.to_bytes(4, "little") + reference(node)

    # -- all of it

    def full(self, view: View | None) -> bytes:
        """The whole state as it is, with what a view sees of the private parts."""
        self._checkCommitted()
        if self._full is None or self._full[0] != self.tree.version:
            out = [BYTES[FULL]]
            nodes = self.tree.nodes.values()
            self._make([node for node in nodes if existence(node) is None], out)
            self._contents([node for node in nodes if node._txWatch is None], out)
            self._full = self.tree.version, b"".join(out)
        shared = self._full[1]
        if view is None or not view.seen:
            return shared
        own: list[bytes] = [shared]
        self._show([node for node, _ in view.seen.values()], own)
        return b"".join(own)

    def since(self, version: int, view: View | None, isOurs: bool = False) -> bytes | None:
        """
        What brings a client up to date that has a version.

        None if that isn't possible: it is too long ago, or the client has a version of another tree.
        """
        self._checkCommitted()
        tree = self.tree
        if not tree.floor <= version <= tree.version or (view is not None and version < view.floor):
            return None
        out: list[bytes] = []
        nodes = tree.nodes.values()
        self._make([node for node in nodes if node._txBorn > version and existence(node) is None], out)
        self._contents(
            [node for node in nodes if node._txAt > version and node._txWatch is None], out, version
        )
        self._removed([id for at, ids in tree.gone if at > version for id in ids], out)
        if view is not None:
            self._sinceOf(version, view, out)
        return b"".join(out)

    def _sinceOf(self, version: int, view: View, out: list[bytes]) -> None:
        known = {id(node._txWatch) for node, shown in view.seen.values() if shown <= version}
        for at, what in view.hidden:
            if at <= version:
                continue
            if isinstance(what, list):
                self._removed(what, out)
                continue
            home = self.tree.nodes.get(what.homeId)
            if (
                home is not None
                and home._txBorn <= version
                and (home._txWatch is None or id(home._txWatch) in known)
            ):
                self._hide([what], out)
            else:  # the client doesn't have what it was in
                self._removed(what.ids, out)
        for node, shown in view.seen.values():
            if shown > version:
                self._show([node], out)
            else:
                self._make([each for each in existing(node) if each._txBorn > version], out)
                self._contents([each for each in unit(node) if each._txAt > version], out, version)

    def _contents(self, nodes: Iterable[Node], out: list[bytes], version: int = -1) -> None:
        """What nodes have: all fields of objects, and what has come into collections after a version."""
        groups: dict[type[State], list[State]] = {}
        collections: list[Any] = []
        for node in nodes:
            if node._txIsCollection:
                collections.append(node)
            else:
                groups.setdefault(type(node), []).append(node)  # type: ignore[arg-type]
        for cls, states in groups.items():
            self._section(cls, cls._txAll, states, out)
        for node in collections:
            if isinstance(node, Map):
                self._mapSince(node, version, out)
            elif node:
                if version >= 0 and node._txBorn <= version:
                    out.append(BYTES[EMPTY] + varint(node._txId))
                out.append(self._listChange(ListChange(node, 0, 0, len(node))))
            elif version >= 0:
                out.append(BYTES[EMPTY] + varint(node._txId))

    def _mapSince(self, map: Map[Any], version: int, out: list[bytes]) -> None:
        if map._txPrivate and map._txHoldsNodes:
            return
        if version <= map._txBorn or version < map._txFloor:
            if version >= map._txBorn:
                out.append(BYTES[EMPTY] + varint(map._txId))
            put, gone = list(map), []
        else:
            put = [key for key, at in map._txPutAt.items() if at > version]
            gone = [key for at, key in map._txGone if at > version and key not in map]
        if put or gone:
            out.append(self._mapChange(MapChange(map, put, gone)))

    def _checkCommitted(self) -> None:
        if self.tree.isChanged:
            raise RuntimeError("the state has changes that are not committed")

    # -- sections

    def _make(self, nodes: Sequence[Node], out: list[bytes]) -> None:
        """Objects that the client doesn't have, as runs of numbers of one type."""
        types = self.tree.types
        start = 0
        while start < len(nodes):
            first = nodes[start]
            type_ = _typeOf(first)
            end = start + 1
            while (
                end < len(nodes)
                and nodes[end]._txId == first._txId + end - start
                and _typeOf(nodes[end]) == type_
            ):
                end += 1
            out.append(BYTES[MAKE] + varint(types[type_]) + varint(first._txId) + varint(end - start))
            start = end

    def _removed(self, ids: Sequence[int], out: list[bytes]) -> None:
        if ids:
            out.append(BYTES[REMOVED] + varint(len(ids)) + b"".join(map(varint, ids)))

    def _mapChange(self, change: MapChange) -> bytes:
        data, out = change.map._txData, []
        if change.gone:
            out += [BYTES[GONE], varint(change.map._txId), varint(len(change.gone)), *map(text, change.gone)]
        if change.put:
            write = self._writers[change.map._txType]  # type: ignore[index]
            entries: list[bytes] = []
            for key in change.put:
                try:
                    entries.append(text(key) + write(data[key]))
                except Exception as error:
                    self.tree.failed(change.map, repr(key), error)
            out += BYTES[PUT], varint(change.map._txId), varint(len(entries)), *entries
        return b"".join(out)

    def _listChange(self, change: ListChange) -> bytes:
        node, start = change.list, change.start
        head = varint(node._txId) + varint(start) + varint(change.removed) + varint(change.added)
        write = self._writers[node._txType]  # type: ignore[index]
        items: list[bytes] = []
        for value in node._txData[start : start + change.added]:
            try:
                items.append(write(value))
            except Exception as error:  # others must keep their places
                self.tree.failed(node, repr(value), error)
                items.append(write(node._txType.item.zero))  # type: ignore[union-attr]
        return BYTES[SPLICE] + head + b"".join(items)

    def _section(self, cls: type[State], mask: int, states: Sequence[State], out: list[bytes]) -> None:
        if not mask:
            return
        base, isWide = self._base(states)
        try:
            rows = self._encoded(cls, mask, isWide, states, base)
        except Exception:
            for state in states:
                self._careful(cls, mask, state, out)
            return
        out.append(self._head(cls, mask, base, isWide) + varint(len(rows)))
        out += rows

    def _careful(self, cls: type[State], mask: int, state: State, out: list[bytes]) -> None:
        """A section of one object without the fields that can't be encoded; they are reported."""
        base, isWide = self._base([state])
        mask = self.tree.sendable(state, mask, lambda bit: self._encoded(cls, bit, isWide, [state], base))
        if mask:
            out.append(self._head(cls, mask, base, isWide) + BYTES[1])
            out += self._encoded(cls, mask, isWide, [state], base)

    def _head(self, cls: type[State], mask: int, base: int, isWide: bool) -> bytes:
        kind = BYTES[WIDE if isWide else ROWS]
        return kind + varint(self.tree.types[cls]) + varint(mask) + varint(base)

    def _base(self, states: Sequence[State]) -> tuple[int, bool]:
        """
        What the numbers in the rows count from, and whether they don't fit into 16 bits.

        If they don't fit into 32 bits, the rows can't be encoded together.
        """
        if self.tree.nextId <= NARROW:
            return 0, False
        ids = [state._txId for state in states]
        least, most = min(ids), max(ids)
        if most - least < NARROW:
            return least, False
        return (0 if most < WIDE_END else least), True

    def _encoded(
        self, cls: type[State], mask: int, isWide: bool, states: Sequence[State], base: int
    ) -> list[bytes]:
        return rowsOf(cls, mask, isWide, base != 0, len(states))(states, base)

    def hash(self) -> int:
        """A number of 32 bits for the values that everybody sees; equal states have equal ones."""
        out: list[bytes] = []
        self._hashed(self.tree.root, out)
        return crc32(b"".join(out))

    def _hashed(self, node: Any, out: list[bytes]) -> None:
        if node is None:
            out.append(BYTES[0])
        elif isinstance(node, State):
            out.append(BYTES[1])
            for field in node._txFields:
                if not field.isPrivate:
                    self._hashedValue(field, getattr(node, field.slot), out)
        else:
            write = self._writers[node._txType]
            out.append(varint(len(node)))
            for key in sorted(node) if isinstance(node, Map) else range(len(node)):
                if isinstance(key, str):
                    out.append(text(key))
                self._hashed(node[key], out) if node._txHoldsNodes else out.append(write(node[key]))

    def _hashedValue(self, field: Field, value: Any, out: list[bytes]) -> None:
        if not field.isValue:
            self._hashed(value, out)
            return
        if field.isOptional:
            out.append(BYTES[value is not None])
        if value is not None:
            out.append(writerOf(field.type)(value))


def _typeOf(node: Node) -> Any:
    return node._txType if isinstance(node, Collection) else type(node)
