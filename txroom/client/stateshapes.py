"""
What becomes of a room's state at a client: read-only objects, or instances of the classes of the server.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import MappingProxyType
from typing import Any, overload

from ..core.codes import ErrorCode
from ..protocol.errors import RoomError
from ..state import List, Map, State
from ..state.fields import slotOf
from ..state.reader import StateObject


class ReadOnlyObject(StateObject):
    """An object of a state. Its fields are attributes; they are the server's, so they can't be set."""

    def __setattr__(self, name: str, value: Any) -> None:
        raise AttributeError(f"{type(self).__name__}.{name}: only the server changes the state of a room")

    def __delattr__(self, name: str) -> None:
        raise AttributeError(f"{type(self).__name__}.{name}: only the server changes the state of a room")


class ReadOnlyList(Sequence[Any]):
    """A list of a state. It is equal to lists with the same items."""

    __slots__ = ("_items",)

    def __init__(self, items: list[Any]) -> None:
        self._items = items

    @overload
    def __getitem__(self, index: int) -> Any: ...
    @overload
    def __getitem__(self, index: slice) -> list[Any]: ...
    def __getitem__(self, index: int | slice) -> Any:
        return self._items[index]

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Any]:
        return iter(self._items)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ReadOnlyList):
            return self._items == other._items
        return self._items == other if isinstance(other, list) else NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._items)


class ReadOnlyShape:
    """Objects with the fields as attributes, mappings and sequences, all of which only the reader changes."""

    def __init__(self) -> None:
        self._classes: dict[str, type] = {}

    def make(self, kind: str, name: str) -> tuple[Any, Any]:
        """See `Shape.make`."""
        if kind == "map":
            entries: dict[str, Any] = {}
            return entries, MappingProxyType(entries)
        if kind == "list":
            items: list[Any] = []
            return items, ReadOnlyList(items)
        if name not in self._classes:
            self._classes[name] = type(name, (ReadOnlyObject,), {})
        made = self._classes[name]()
        return made, made

    def set(self, made: Any, name: str, value: Any) -> None:
        """See `Shape.set`."""
        vars(made)[name] = value


class ClassShape:
    """
    Instances of the classes with which the server declares the state.

    Args:
        root: The class of the whole state.
        schema: The description of the state that the server has sent.

    Raises:
        RoomError: "invalidData" if the server's state has a class that `root` does not lead to, or a field
            that such a class does not have.
    """

    def __init__(self, root: type[State], schema: Sequence[Any]) -> None:
        self._classes: dict[str, type[State]] = {}
        self._find(root)
        for kind, name, *fields in schema:
            if kind == "object":
                self._check(name, [field[0] for field in fields[0]])

    def _find(self, cls: type[State]) -> None:
        if cls.__name__ in self._classes:
            return
        self._classes[cls.__name__] = cls
        cls._txResolve()
        kinds = [getattr(field.type, "item", field.type) for field in cls._txFields]
        for kind in (*kinds, *cls.__subclasses__()):
            if isinstance(kind, type) and issubclass(kind, State):
                self._find(kind)

    def _check(self, name: str, fields: list[str]) -> None:
        cls = self._classes.get(name)
        if cls is None:
            text = f"the state of the room has objects of the class {name}, which is unknown here"
            raise RoomError(ErrorCode.INVALID_DATA, text)
        if missing := set(fields) - {field.name for field in cls._txFields}:
            text = f"the class {name} has no field {min(missing)!r} here, but that of the server has"
            raise RoomError(ErrorCode.INVALID_DATA, text)

    def make(self, kind: str, name: str) -> tuple[Any, Any]:
        """See `Shape.make`."""
        if kind == "map":
            entries: Map[Any] = Map()
            return entries._txData, entries
        if kind == "list":
            items: List[Any] = List()
            return items._txData, items
        cls = self._classes[name]
        made = cls.__new__(cls)  # `__init__` may want arguments
        return made, made

    def set(self, made: Any, name: str, value: Any) -> None:
        """See `Shape.set`. The server has checked the values."""
        setattr(made, slotOf(name), value)
