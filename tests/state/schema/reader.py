"""A decoder of @colyseus/schema in Python, as strict as Colyseus's own are lenient."""

from __future__ import annotations

from struct import calcsize, unpack_from
from typing import Any

import attrs

SWITCH, TYPE = 0xFF, 0xD5
ADD, DELETE, CLEAR = 0x80, 0x40, 0x0A
FORMATS = {
    **{"boolean": "?", "int8": "b", "uint8": "B", "int16": "h", "uint16": "H", "int32": "i", "uint32": "I"},
    **{"int64": "q", "uint64": "Q", "float32": "f", "float64": "d"},
}
NUMBERS = {0xCA: "f", 0xCB: "d", 0xCC: "B", 0xCD: "H", 0xCE: "I", 0xCF: "Q", 0xD0: "b", 0xD1: "h", 0xD2: "i"}


class Bytes:
    """What is left of a payload."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def __bool__(self) -> bool:
        return self._at < len(self._data)

    def peek(self) -> int:
        """The next byte, or -1."""
        return self._data[self._at] if self else -1

    def fixed(self, format: str) -> Any:
        """A value of a fixed size."""
        (value,) = unpack_from(f"<{format}", self._data, self._at)
        self._at += calcsize(f"<{format}")
        return value

    def number(self) -> Any:
        """A ``number``."""
        first = self.fixed("B")
        if first < 0x80:
            return first
        return first - 0x100 if first >= 0xE0 else self.fixed(NUMBERS[first])

    def text(self) -> str:
        """A ``string``."""
        first = self.fixed("B")
        size = first & 0x1F if 0xA0 <= first < 0xC0 else self.fixed({0xD9: "B", 0xDA: "H", 0xDB: "I"}[first])
        data = self._data[self._at : self._at + size]
        assert len(data) == size
        self._at += size
        return data.decode()


@attrs.define(eq=False)
class Thing:
    """An object, a map or a list: its class or the type of its items, and what it has by number."""

    kind: Any
    values: dict[int, Any] = attrs.Factory(dict)
    keys: dict[int, str] = attrs.Factory(dict)


@attrs.define
class Collection:
    """The type of a collection."""

    name: str
    item: Any


class Reader:
    """A client of version 5: classes from a handshake, and a state."""

    def __init__(self, handshake: bytes) -> None:
        self.classes: dict[int, list[tuple[str, Any]]] = {}
        fieldClass = [("name", "string"), ("type", "string"), ("refers", "number"), ("primitive", "string")]
        typeClass = [("id", "number"), ("base", "number"), ("fields", Collection("array", fieldClass))]
        root = Thing([("types", Collection("array", typeClass)), ("root", "number")])
        self._refs = {0: root}
        self.read(handshake)
        types = self.items(root.values[0])
        for each in types:
            self.classes[each.values[0]] = []
        for each in types:
            base = each.values.get(1)
            own = self.classes[each.values[0]]
            own += [] if base is None else self.classes[base]
            own += [(one.values[0], self._typeOf(one)) for one in self.items(each.values[2])]
        self.root = Thing(self.classes[root.values[1]])
        self._refs = {0: self.root}

    def _typeOf(self, field: Thing) -> Any:
        name, refers = field.values[1], field.values.get(2)
        if refers is None:
            return name
        if name == "ref":
            return self.classes[refers]
        return Collection(name, field.values[3] if refers < 0 else self.classes[refers])

    def items(self, list: Thing) -> list[Any]:
        """What is in a list."""
        assert sorted(list.values) == [*range(len(list.values))]
        return [list.values[at] for at in sorted(list.values)]

    def read(self, data: bytes) -> None:
        """Take a patch or a full state."""
        left, thing = Bytes(data), self._refs[0]
        while left:
            if left.peek() == SWITCH:
                self._close(thing)
                left.fixed("B")
                thing = self._refs[left.number()]
            elif isinstance(thing.kind, Collection):
                self._entry(left, thing)
            else:
                first = left.fixed("B")
                index = first & 0x3F
                self._operate(left, thing, first & 0xC0, index, thing.kind[index][1])
        self._close(thing)
        kept = self._reached(self._refs[0])
        self._refs = {id: one for id, one in self._refs.items() if one in kept}

    def _reached(self, thing: Thing) -> set[Thing]:
        """An object and all that is in it: decoders forget the others after each payload."""
        found = {thing}
        for one in thing.values.values():
            if isinstance(one, Thing):
                found |= self._reached(one)
        return found

    def _entry(self, left: Bytes, thing: Thing) -> None:
        operation = left.fixed("B")
        if operation == CLEAR:
            thing.values.clear()
            thing.keys.clear()
            return
        index = left.number()
        if operation & ADD and thing.kind.name == "map":
            thing.keys[index] = left.text()
        self._operate(left, thing, operation, index, thing.kind.item)

    def _operate(self, left: Bytes, thing: Thing, operation: int, index: int, type: Any) -> None:
        if operation == DELETE:
            thing.values.pop(index, None)
            thing.keys.pop(index, None)
        elif isinstance(type, str):
            value: Any
            if type in FORMATS:
                value = left.fixed(FORMATS[type])
            else:
                value = left.number() if type == "number" else left.text()
            assert operation or index in thing.values
            thing.values[index] = value
        else:
            assert operation & ADD
            id = left.number()
            kind = type
            if isinstance(type, list) and left.peek() == TYPE:
                left.fixed("B")
                kind = self.classes[left.number()]
            if id not in self._refs:
                self._refs[id] = Thing(kind)
            thing.values[index] = self._refs[id]

    def _close(self, thing: Thing) -> None:
        """Close the holes of a list."""
        if isinstance(thing.kind, Collection) and thing.kind.name == "array":
            thing.values = dict(enumerate(thing.values[at] for at in sorted(thing.values)))

    def state(self, thing: Any = None) -> Any:
        """The state, as `tests.state.schema.histories.expected` has it."""
        thing = self.root if thing is None else thing
        if not isinstance(thing, Thing):
            return float(thing) if isinstance(thing, int) and not isinstance(thing, bool) else thing
        if not isinstance(thing.kind, Collection):
            return {thing.kind[at][0]: self.state(one) for at, one in sorted(thing.values.items())}
        if thing.kind.name == "array":
            return [self.state(one) for one in self.items(thing)]
        keys = [thing.keys[index] for index in thing.values]
        assert len(set(keys)) == len(keys)
        return {"map": {thing.keys[index]: self.state(one) for index, one in thing.values.items()}}
