"""The fields of a `State` class, from its annotations."""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Union

import attrs

from .collections import Collection, CollectionType, ItemType, List, Map
from .node import PREFIX, Node
from .types import PLAIN, Quantized, Scalar, ValueType

#: What a field has that its class gives no default.
ABSENT: Any = object()

#: The most fields of a class: Colyseus's decoders can't tell more apart.
MAX_FIELDS = 63


@attrs.frozen
class Private:
    """The default of a field that `private` declares."""

    default: Any


def private(default: Any = ABSENT) -> Any:
    """
    Declare a field whose content only some clients see: ``units: Map[Unit] = private()``.

    The instances in a private map are seen by the clients to whose view each was added, with all that is
    below it. Of another map, a list or a nested `State`, clients see the whole content or nothing: the map
    or list is empty for who doesn't see it, a nested `State` None. Like Colyseus's ``@view()``.

    @param default: the default of the field, as it would be without `private`.
    """
    return Private(default)


@attrs.define(eq=False)
class Field:
    """A field of a `State` class."""

    name: str
    #: Its place among the fields of the class, beginning with those of its bases.
    index: int
    #: A type of values, a `State` class, or a collection of either.
    type: ValueType | type[Node] | CollectionType
    isOptional: bool
    isPrivate: bool
    default: Any
    #: ``Player.name``, for messages.
    where: str
    #: Its place among the `Quantized` fields of the class, if it is one.
    quantizedAt: int = 0

    @property
    def bit(self) -> int:
        """Its bit in masks."""
        return 1 << self.index

    @property
    def slot(self) -> str:
        """The attribute that holds its value."""
        return slotOf(self.name)

    @property
    def isValue(self) -> bool:
        """Whether it holds a value, and not a node."""
        return isinstance(self.type, Scalar | Quantized)

    @property
    def isOwn(self) -> bool:
        """Whether views see what it holds on its own; in a private map, each instance is seen on its own."""
        isMapOfNodes = (
            isinstance(self.type, CollectionType) and self.type.kind is Map and self.type.holdsNodes
        )
        return self.isPrivate and not isMapOfNodes

    @property
    def isShared(self) -> bool:
        """Whether rows that all clients see have it: a reference that only views see isn't there."""
        return not self.isPrivate or isinstance(self.type, CollectionType)


def slotOf(name: str) -> str:
    """The attribute that holds the value of a field."""
    return f"{PREFIX}f_{name}"


def isClassVar(annotation: Any) -> bool:
    """Whether an annotation, resolved or not, is that of an attribute of the class."""
    if isinstance(annotation, str):
        return annotation.replace("typing.", "").lstrip().startswith("ClassVar")
    return annotation is ClassVar or typing.get_origin(annotation) is ClassVar


def resolved(annotation: Any, globals: Mapping[str, Any], locals: Mapping[str, Any]) -> Any:
    """
    An annotation, which ``from __future__ import annotations`` makes a string; `NameError` if it can't be.
    """
    holder = types.SimpleNamespace(__annotations__={"it": annotation})
    hints = typing.get_type_hints(typing.cast(Any, holder), dict(globals), dict(locals), include_extras=True)
    return hints["it"]


def fieldOf(name: str, index: int, annotation: Any, default: Any, where: str) -> Field:
    """Make a field of a resolved annotation; raise `TypeError` if it is none that a state can have."""
    isPrivate = isinstance(default, Private)
    if isPrivate:
        default = default.default
    type_, isOptional = _typeOf(annotation, where)
    field = Field(name, index, type_, isOptional, isPrivate, default, where)
    if isPrivate and field.isValue:
        raise TypeError(f"{where}: only maps, lists and State classes can be private")
    if default is ABSENT:
        if field.isValue:
            field.default = None if isOptional else typing.cast(Any, type_).zero
        elif isOptional:
            field.default = None
    elif field.isValue and default is not None:
        field.default = typing.cast(Any, type_).check(default, where)
    elif default is None and not isOptional:
        raise TypeError(f"{where}: None is a value of Optional fields only")
    return field


def _typeOf(annotation: Any, where: str) -> tuple[Any, bool]:
    origin = typing.get_origin(annotation)
    if origin in (Union, types.UnionType):
        options = [each for each in typing.get_args(annotation) if each is not types.NoneType]
        if len(options) == 1:
            type_, _ = _typeOf(options[0], where)
            if isinstance(type_, CollectionType):
                raise TypeError(f"{where}: maps and lists can't be Optional: an empty one is no less clear")
            return type_, True
    if origin in (Map, List):
        arguments = typing.get_args(annotation)
        if len(arguments) != 1:
            raise TypeError(_tooMany(origin, arguments, where))
        (item,) = arguments
        return CollectionType(typing.cast(type[Collection], origin), _itemOf(item, where)), False
    return _itemOf(annotation, where), False


def _tooMany(kind: type[Collection], arguments: tuple[Any, ...], where: str) -> str:
    right = f"write {kind.__name__}[{getattr(arguments[-1], '__name__', 'Player')}]"
    return f"{where}: keys are always texts: {right}" if kind is Map else f"{where}: {right}"


def _itemOf(annotation: Any, where: str) -> ItemType:
    if typing.get_origin(annotation) is Annotated:
        base, *extras = typing.get_args(annotation)
        for extra in extras:
            if isinstance(extra, Scalar | Quantized) and extra.kind is base:
                return extra
            if isinstance(extra, Quantized):
                raise TypeError(f"{where}: only a float can be quantized: write Annotated[float, {extra!r}]")
        return _itemOf(base, where)
    if annotation in PLAIN:
        return PLAIN[annotation]
    if (
        isinstance(annotation, type)
        and issubclass(annotation, Node)
        and not issubclass(annotation, Collection)
    ):
        return annotation
    if typing.get_origin(annotation) in (Map, List):
        raise TypeError(
            f"{where}: a Map or List can't hold others: let it hold a State class with such a field"
        )
    if isinstance(annotation, Quantized):
        raise TypeError(f"{where}: write Annotated[float, {annotation!r}]")
    raise TypeError(f"{where}: a state can't have fields of {annotation!r}; see txroom.state for what it can")
