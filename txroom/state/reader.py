"""A reader of the native encoding: it builds a state of plain objects, and follows its patches."""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct, pack
from typing import Any, Protocol
from zlib import crc32

import msgspec

from .native import EMPTY, FULL, GONE, HASH, MAKE, PUT, REMOVED, ROWS, SPLICE, WIDE
from .nativevalues import BYTES, integer, text, varint

#: The types of a fixed size, by their names in a schema.
_FIXED = {
    "bool": "?",
    "int8": "b",
    "uint8": "B",
    "int16": "h",
    "uint16": "H",
    "int32": "i",
    "uint32": "I",
    "int64": "q",
    "uint64": "Q",
    "float32": "f",
    "float": "d",
    "float64": "d",
}
_ZERO = {"bool": False, "str": "", "float32": 0.0, "float": 0.0, "float64": 0.0}
_WORD = {8: "B", 16: "H", 32: "I"}


class StateObject:
    """An object of a state as a client has it: its fields are attributes."""

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={value!r}" for name, value in vars(self).items())
        return f"{type(self).__name__}({values})"


class Shape(Protocol):
    """What a reader makes of the parts of a state."""

    def make(self, kind: str, name: str) -> tuple[Any, Any]:
        """
        Return an empty part: what the reader changes, and what the other parts and the user see of it.

        Args:
            kind: ``"object"``, ``"map"`` or ``"list"``. The reader changes maps as dictionaries, and lists as
                lists.
            name: The name of the class of an object; otherwise empty.
        """

    def set(self, made: Any, name: str, value: Any) -> None:
        """Set a field of an object."""


class PlainShape:
    """Dictionaries, lists, and instances of classes that have the names of those of the server."""

    def __init__(self) -> None:
        self._classes: dict[str, type] = {}

    def make(self, kind: str, name: str) -> tuple[Any, Any]:
        """See `Shape.make`."""
        made: Any
        if kind != "object":
            made = {} if kind == "map" else []
        else:
            if name not in self._classes:
                self._classes[name] = type(name, (StateObject,), {})
            made = self._classes[name]()
        return made, made

    def set(self, made: Any, name: str, value: Any) -> None:
        """See `Shape.set`."""
        setattr(made, name, value)


class NativeReader:
    """
    The state of a room at a client, in the format of docs/state-format.rst.

    Args:
        schema: What `NativeEncoding.schema` returned, decoded or not.
        shape: What the parts of the state become; default: `PlainShape`.
    """

    def __init__(self, schema: bytes | Sequence[Any], shape: Shape | None = None) -> None:
        types = msgspec.msgpack.decode(schema) if isinstance(schema, bytes) else schema
        self._types: list[Any] = list(types)
        self._shape: Shape = PlainShape() if shape is None else shape
        #: What the reader changes, its type, and what others see of it.
        self._objects: dict[int, tuple[Any, Any, Any]] = {}
        self._data = b""
        self._at = 0
        #: The state; `None` before the first data.
        self.root: Any = None

    def apply(self, data: bytes) -> None:
        """
        Read a full state, a patch, or what brings the client up to date.

        @raise ValueError: the data isn't a part of this state; nothing of the state can be relied on then.
        """
        self._data, self._at = data, 0
        try:
            while self._at < len(data):
                self._section(self._byte())
        except (LookupError, TypeError, AttributeError, UnicodeDecodeError, OverflowError) as error:
            raise ValueError(f"not a patch of this state: {error!r}") from error
        if 0 not in self._objects:
            raise ValueError("not a patch of this state: it has no root")
        self.root = self._objects[0][2]

    def _section(self, kind: int) -> None:
        if kind in (ROWS, WIDE):
            self._rows("<I" if kind == WIDE else "<H")
        elif kind == MAKE:
            type_, first, count = self._types[self._varint()], self._varint(), self._varint()
            if count > len(self._data):
                raise ValueError("more objects than the data can be about")
            for id in range(first, first + count):
                self._objects[id] = self._made(type_)
        elif kind == PUT:
            map, type_, _ = self._objects[self._varint()]
            for _ in range(self._varint()):
                key = self._text()
                map[key] = self._value(type_[1])
        elif kind == GONE:
            map, *_ = self._objects[self._varint()]
            for _ in range(self._varint()):
                map.pop(self._text(), None)
        elif kind == SPLICE:
            items, type_, _ = self._objects[self._varint()]
            start, removed, added = self._varint(), self._varint(), self._varint()
            items[start : start + removed] = [self._value(type_[1]) for _ in range(added)]
        elif kind == EMPTY:
            self._objects[self._varint()][0].clear()
        elif kind == REMOVED:
            for _ in range(self._varint()):
                self._objects.pop(self._varint(), None)
        elif kind == FULL:
            self._objects.clear()
        elif kind == HASH:
            self._checkHash(self._fixed("<I"))
        else:
            raise ValueError(f"no section is of kind {kind}")

    def _made(self, type_: Any) -> tuple[Any, Any, Any]:
        kind = type_[0]
        made, shown = self._shape.make(kind, type_[1] if kind == "object" else "")
        if kind == "object":
            for name, fieldType, *_ in type_[2]:
                self._shape.set(made, name, _zero(fieldType))
        return made, type_, shown

    def _rows(self, word: str) -> None:
        type_ = self._types[self._varint()]
        mask, base = self._varint(), self._varint()
        fields = [field for index, field in enumerate(type_[2]) if mask >> index & 1]
        for _ in range(self._varint()):
            made, *_ = self._objects[base + self._fixed(word)]
            for name, fieldType, *_ in fields:
                self._shape.set(made, name, self._value(fieldType))

    # -- values

    def _byte(self) -> int:
        self._at += 1
        return self._data[self._at - 1]

    def _varint(self) -> int:
        value = shift = 0
        while True:
            byte = self._byte()
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value
            shift += 7
            if shift == 63:
                raise ValueError("a number of more than 63 bits")

    def _fixed(self, format: str) -> Any:
        each = Struct(format)
        if self._at + each.size > len(self._data):
            raise IndexError("the data ends early")
        self._at += each.size
        return each.unpack_from(self._data, self._at - each.size)[0]

    def _text(self) -> str:
        size = self._varint()
        if self._at + size > len(self._data):
            raise IndexError("the data ends early")
        self._at += size
        return self._data[self._at - size : self._at].decode()

    def _value(self, type_: Any) -> Any:
        if isinstance(type_, int):
            id = self._varint()
            return self._objects[id - 1][2] if id else None
        if isinstance(type_, str):
            if type_ in _FIXED:
                return self._fixed(f"<{_FIXED[type_]}")
            if type_ == "str":
                return self._text()
            value = self._varint()
            return -(value + 1 >> 1) if value & 1 else value >> 1
        if type_[0] == "optional":
            return self._value(type_[1]) if self._byte() else None
        _, least, most, bits = type_
        packed: int = self._fixed(f"<{_WORD[bits]}")
        return least + packed / ((1 << bits) - 1) * (most - least)

    # -- the hash

    def hash(self) -> int:
        """A number of 32 bits for the values that everybody sees; see `NativeEncoding.hash`."""
        out: list[bytes] = []
        self._hashed(self.root, {id(shown): type_ for _, type_, shown in self._objects.values()}, out)
        return crc32(b"".join(out))

    def _checkHash(self, expected: int) -> None:
        if 0 in self._objects:
            self.root = self._objects[0][2]
        if self.hash() != expected:
            raise ValueError("the state is not that of the server: the hashes differ")

    def _hashed(self, value: Any, kinds: dict[int, Any], out: list[bytes]) -> None:
        if value is None:
            out.append(BYTES[0])
            return
        type_ = kinds[id(value)]
        if type_[0] == "object":
            out.append(BYTES[1])
            for name, fieldType, *isPrivate in type_[2]:
                if not isPrivate:
                    self._hashedValue(getattr(value, name), fieldType, kinds, out)
        elif type_[0] == "map":
            out.append(varint(len(value)))
            for key in sorted(value):
                out.append(text(key))
                self._hashedValue(value[key], type_[1], kinds, out)
        else:
            out.append(varint(len(value)))
            for item in value:
                self._hashedValue(item, type_[1], kinds, out)

    def _hashedValue(self, value: Any, type_: Any, kinds: dict[int, Any], out: list[bytes]) -> None:
        if isinstance(type_, int):
            self._hashed(value, kinds, out)
        elif isinstance(type_, str):
            if type_ in _FIXED:
                out.append(pack(f"<{_FIXED[type_]}", value))
            else:
                out.append(text(value) if type_ == "str" else integer(value))
        elif type_[0] == "optional":
            out.append(BYTES[value is not None])
            if value is not None:
                self._hashedValue(value, type_[1], kinds, out)
        else:
            _, least, most, bits = type_
            packed = int((value - least) / (most - least) * ((1 << bits) - 1) + 0.5)
            out.append(packed.to_bytes(bits // 8, "little"))


def _zero(type_: Any) -> Any:
    """The value of a field until a row has given one."""
    if isinstance(type_, str):
        return _ZERO.get(type_, 0)
    return type_[1] if isinstance(type_, list) and type_[0] == "quantized" else None
