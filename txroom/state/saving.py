"""
A state as plain data, for checkpoints.

It has the names of classes and fields, so that later versions of the classes can read it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, cast

from .collections import Collection, CollectionType, Map
from .fields import Field
from .model import State
from .node import Node

#: The key of an object's class, if that is another one than its place declares. No field has this name.
CLASS = ""
#: What is raised if a class can't have what an earlier one has saved.
WRONG = (TypeError, ValueError, LookupError, AttributeError)


def plainOf(node: Node | None, declared: object) -> Any:
    """
    Return a part of a state as plain data.

    Args:
        node: An object, a collection, or `None`.
        declared: The type of its place, as a field or a collection has it.
    """
    if node is None:
        return None
    if isinstance(declared, CollectionType):
        content: Any = cast(Any, node)._txData
        if not declared.holdsNodes:
            return dict(content) if declared.kind is Map else list(content)
        if declared.kind is Map:
            return {key: plainOf(each, declared.item) for key, each in content.items()}
        return [plainOf(each, declared.item) for each in content]
    kind = cast("type[State]", type(node))
    data: dict[str, Any] = {} if kind is declared else {CLASS: kind.__name__}
    for field in kind._txFields:
        value = getattr(node, field.slot)
        data[field.name] = value if field.isValue else plainOf(value, field.type)
    return data


def fixedOf(root: State, before: str = "") -> Iterator[tuple[str, Node]]:
    """
    Yield the objects and collections that are in no collection, each with the names of the fields that lead
    to it.
    """
    for field in type(root)._txFields:
        node = None if field.isValue else getattr(root, field.slot)
        if node is not None:
            yield before + field.name, node
            if isinstance(node, State):
                yield from fixedOf(node, f"{before}{field.name}.")


class Restoring:
    """
    Makes a state of what `plainOf` has saved, by the classes as they are now.

    Fields that a class doesn't have any more are left out; those that are new have their defaults. So has a
    field that can't have what was saved, and an entry that can't be made is left out: both are reported once
    for each field of a class. `__init__` isn't called.

    Args:
        onError: Called with an exception whose text has the class and the field.
    """

    def __init__(self, onError: Callable[[Exception], None]) -> None:
        self._onError = onError
        self._told: set[tuple[type[State], str]] = set()
        #: Whether items of lists have other indexes than they had, because some are left out.
        self.isShifted = False

    def state(self, cls: type[State], data: Any) -> State:
        """
        Return an object, with all below it.

        Raises:
            TypeError, ValueError: There is no such class any more, or it isn't the data of an object.
        """
        if not isinstance(data, dict):
            raise TypeError(f"{cls.__name__} was saved as {type(data).__name__}")
        kind = _classOf(cls, data.get(CLASS))
        state = kind.__new__(kind)
        for field in kind._txFields:
            if field.name in data:
                try:
                    self._field(state, field, data[field.name])
                except WRONG as error:
                    self._failed(kind, field, error)
        return state

    def _field(self, state: State, field: Field, value: Any) -> None:
        if field.isValue or value is None:
            setattr(state, field.name, _whole(field.type, value))
        elif isinstance(field.type, CollectionType):
            self._fill(state, field, field.type, value)
        else:
            setattr(state, field.name, self.state(cast("type[State]", field.type), value))

    def _fill(self, state: State, field: Field, type_: CollectionType, data: Any) -> None:
        """Put saved content into a collection, in place of what it has by default."""
        isMap = type_.kind is Map
        if not isinstance(data, dict if isMap else list):
            raise TypeError(f"it was saved as {type(data).__name__}")
        target: Any = getattr(state, field.name)
        target.clear()
        for key, each in data.items() if isinstance(data, dict) else enumerate(data):
            try:
                item = (
                    self.state(cast(Any, type_.item), each) if type_.holdsNodes else _whole(type_.item, each)
                )
                if isMap:
                    target[key] = item
                else:
                    target.append(item)
            except WRONG as error:
                self.isShifted = self.isShifted or not isMap
                self._failed(type(state), field, error)

    def _failed(self, kind: type[State], field: Field, error: Exception) -> None:
        if (kind, field.name) not in self._told:
            self._told.add((kind, field.name))
            self._onError(ValueError(f"what was saved of {kind.__name__}.{field.name} is lost: {error}"))


def _whole(type_: Any, value: Any) -> Any:
    """Return an integer for a `float` without a fraction in its place, and anything else as it is."""
    isWhole = type(value) is float and type_.kind is int and value.is_integer()
    return int(value) if isWhole else value


def _classOf(declared: type[State], name: str | None) -> type[State]:
    if name is None:
        return declared
    for each in declared.__subclasses__():
        if each.__name__ == name:
            return each
        try:
            return _classOf(each, name)
        except ValueError:
            continue
    raise ValueError(f"there is no class {name} below {declared.__name__}")


def stepsTo(node: Node) -> list[Any]:
    """The names of fields, keys and indexes that lead from the root to a node."""
    steps: list[Any] = []
    while isinstance(node._txHome, Node):
        home: Any = node._txHome
        if isinstance(home, Map):
            steps.append(node._txKey)
        elif isinstance(home, Collection):
            items: list[Any] = home._txData  # type: ignore[attr-defined]
            steps.append(next(index for index, each in enumerate(items) if each is node))
        else:
            steps.append(home._txFields[node._txKey].name)
        node = home
    return steps[::-1]


def nodeAt(root: State, steps: list[Any]) -> Node | None:
    """The node to which steps lead; None if there is none, since the classes have changed."""
    node: Any = root
    for step in steps:
        try:
            node = node[step] if isinstance(node, Collection) else getattr(node, step)  # type: ignore[index]
        except (AttributeError, LookupError, TypeError):
            return None
    return node if isinstance(node, Node) else None
