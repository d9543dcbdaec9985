"""The classes of a state as Colyseus's clients know them: numbers, names of types, and the handshake."""

from __future__ import annotations

from typing import Any, cast

from ..collections import CollectionType, Map
from ..fields import Field
from ..model import State
from ..tree import StateTree
from ..types import MAX_FLOAT32, Quantized
from .wire import ADD, BYTES, head, integer, text

#: Colyseus's names of types, where they differ from those of `txroom.state.types`.
NAMES = {"bool": "boolean", "str": "string", "int": "number", "float": "number"}
#: What a field would take from the objects of JavaScript that decoders make.
RESERVED = frozenset({"constructor"})


def typeName(type_: Any) -> str:
    """
    Colyseus's name of a type of values.

    Only its version 5 knows quantized numbers, so these are sent as the numbers for which they stand.
    """
    if isinstance(type_, Quantized):
        return "float32" if max(abs(type_.min), abs(type_.max)) <= MAX_FLOAT32 else "float64"
    name: str = type_.name
    return NAMES.get(name, name)


def baseOf(cls: type[State]) -> type[State] | None:
    """The class whose fields come before its own; None: there is none."""
    base = cls._txBase
    return cast("type[State]", base) if base is not None and base._txFields else None


class Classes:
    """
    The classes that a state can have, by numbers; a class comes after its base.

    Raises:
        TypeError: A field has a name that Colyseus's clients can't have.
    """

    def __init__(self, tree: StateTree) -> None:
        self.numbers: dict[type[State], int] = {}
        self._root = type(tree.root)
        for type_ in tree.types:
            if not isinstance(type_, CollectionType):
                self._add(type_)

    def _add(self, cls: type[State]) -> None:
        if cls in self.numbers:
            return
        base = baseOf(cls)
        if base is not None:
            self._add(base)
        for field in cls._txFields:
            if field.name in RESERVED:
                raise TypeError(f"{field.where}: Colyseus's clients can't have a field with this name")
        self.numbers[cls] = len(self.numbers)

    def suffix(self, node: State, declared: type[State]) -> bytes:
        """What follows the number of an object that is added where a class is declared."""
        cls = type(node)
        return b"" if cls is declared else b"\xd5" + integer(self.numbers[cls])

    def handshake(self) -> bytes:
        """
        All classes and their fields, as Colyseus's ``Reflection``.

        Objects are numbered: 0 has the list of classes, 1 is that list; then each class and its list of
        fields; then the fields.
        """
        count = len(self.numbers)
        out = [head(0), BYTES[ADD], integer(1), BYTES[ADD | 1], integer(self.numbers[self._root]), head(1)]
        out += [BYTES[ADD] + integer(number) + integer(2 + 2 * number) for number in range(count)]
        nextId = 2 + 2 * count
        for cls, number in self.numbers.items():
            base = baseOf(cls)
            out += [head(2 + 2 * number), BYTES[ADD], integer(number)]
            if base is not None:
                out += [BYTES[ADD | 1], integer(self.numbers[base])]
            out += [BYTES[ADD | 2], integer(3 + 2 * number)]
            fields = cls._txFields[0 if base is None else len(base._txFields) :]
            if fields:
                out.append(head(3 + 2 * number))
                out += [BYTES[ADD] + integer(at) + integer(nextId + at) for at in range(len(fields))]
            for field in fields:
                out += [head(nextId), BYTES[ADD], text(field.name), self._typeOf(field)]
                nextId += 1
        return b"".join(out)

    def _typeOf(self, field: Field) -> bytes:
        """
        The type of a field, and the number of the class that it refers to.

        Version 5 has the type of the values of a collection in a field of its own, which versions 3 and 4
        don't know: they complain of it, and go on with the next object. They have it in the name, after a
        colon; it comes first, and version 5 then reads the name once more.
        """
        type_: Any = field.type
        if field.isValue:
            return BYTES[ADD | 1] + text(typeName(type_))
        if not isinstance(type_, CollectionType):
            return BYTES[ADD | 1] + text("ref") + BYTES[ADD | 2] + integer(self.numbers[type_])
        name = "map" if type_.kind is Map else "array"
        if type_.holdsNodes:
            item: Any = type_.item
            return BYTES[ADD | 1] + text(name) + BYTES[ADD | 2] + integer(self.numbers[item])
        value = typeName(type_.item)
        return b"".join(
            [
                *(BYTES[ADD | 1], text(f"{name}:{value}"), BYTES[ADD | 2], integer(-1)),
                *(BYTES[ADD | 3], text(value), BYTES[ADD | 1], text(name)),
            ]
        )
