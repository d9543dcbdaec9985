"""What all parts of a state have in common: a number, a place, and what has changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import copy, deepcopy
from types import MemberDescriptorType
from typing import TYPE_CHECKING, Any, ClassVar, NoReturn, Protocol, SupportsIndex

if TYPE_CHECKING:
    from typing import Self

#: Names that begin so are of this package; a class of an application can't use them.
PREFIX = "_tx"

#: `Node._txMask` of what is in no tree: all bits are set, so that setters need not mark anything.
DETACHED = -1


class Holder(Protocol):
    """A tree, as its nodes see it."""

    def admit(self, node: Node, home: Node) -> None:
        """Raise `TypeError` or `ValueError` if the tree can't hold a node in `home`, or one below it."""

    def attach(self, node: Node, watch: Watch) -> None:
        """Take a node into the tree, and all below it."""

    def detach(self, node: Node) -> None:
        """Take a node out of the tree, and all below it; it still has its place."""


def unmarked(node: Any) -> None:
    """`Node._txMark` of what is in no tree."""


class Node:
    """
    A part of a state: a `State`, `Map` or `List`.

    Its attributes are read and written by this package only. Those of the tree are meaningful while it is in
    one; `_txHome` and `_txKey` also tell the place in what is in no tree.
    """

    __slots__ = (
        "__weakref__",
        "_txAt",
        "_txBorn",
        "_txHome",
        "_txId",
        "_txKey",
        "_txMark",
        "_txMask",
        "_txTree",
        "_txWatch",
    )

    #: The number of the node in its tree.
    _txId: int
    #: What has changed since the last commit: bits of fields, or 1 for a collection.
    _txMask: int
    #: Tells the tree that the node changes for the first time since the last commit.
    _txMark: Callable[[Any], None]
    _txTree: Holder | None
    #: The version in which it changed last, and the one in which it came; -1 before its first commit.
    _txAt: int
    _txBorn: int
    #: The views that see it; None if everybody does. What is below a private node has the same dictionary.
    _txWatch: Watch
    #: What holds it: a node, or the tree of a root. None: nothing.
    _txHome: Any
    #: Its key in a map, or the index of its field; None in a list.
    _txKey: Any

    #: The mask of all that clients see, and whether this is a collection.
    _txAll: ClassVar[int]
    _txIsCollection: ClassVar[bool]

    def _txReset(self) -> None:
        """Make this a node that is in no tree."""
        self._txId = self._txAt = self._txBorn = -1
        self._txMask = DETACHED
        self._txMark = unmarked
        self._txTree = None
        self._txWatch = None

    def _txCopy(self, made: list[tuple[Node, Node]]) -> Self:
        """
        A copy with all below it, which has no place. Attributes that clients don't see are not copied.

        @param made: gets each node and its copy.
        """
        raise NotImplementedError

    def _txBare(self, made: list[tuple[Node, Node]]) -> Self:
        """The beginning of a copy; `__init__` isn't called."""
        bare = object.__new__(type(self))
        bare._txReset()
        bare._txHome = bare._txKey = None
        made.append((self, bare))
        return bare

    def __copy__(self) -> Self:
        """
        An independent copy with all below it, since nodes have one place.

        Lists, dicts and sets in attributes that clients don't see are copied, too.
        """
        made: list[tuple[Node, Node]] = []
        result = self._txCopy(made)
        for old, new in made:
            _copyAttributes(old, new, attributeCopy)
        return result

    def __deepcopy__(self, memo: dict[Any, Any]) -> Self:
        """
        The same; attributes that clients don't see are copied with all that is in them. But what they have of
        states stays what it is, unless it is below this: then it becomes its copy.
        """
        if PREFIX in memo:
            return self
        made: list[tuple[Node, Node]] = []
        result = self._txCopy(made)
        memo.update((id(old), new) for old, new in made)
        memo[PREFIX] = True
        try:
            for old, new in made:
                _copyAttributes(old, new, lambda value: deepcopy(value, memo))
        finally:
            del memo[PREFIX]
        return result

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise TypeError(f"a {type(self).__name__} can't be pickled: rooms save their states themselves")

    def _txChildren(self) -> Iterator[tuple[Node, bool]]:
        """The nodes right below, and whether each is seen on its own."""
        raise NotImplementedError

    def _txTaken(self, home: Node, where: str) -> None:
        """Raise `ValueError` unless this can get a place in `home`."""
        if self._txHome is not None:
            raise ValueError(f"{where}: the {type(self).__name__} has a place in a state already")
        above: Any = home
        while isinstance(above, Node):
            if above is self:
                raise ValueError(f"{where}: a {type(self).__name__} can't be below itself")
            above = above._txHome


def attributeCopy(value: Any) -> Any:
    """What another instance has in an attribute that clients don't see."""
    return copy(value) if isinstance(value, list | dict | set) else value


def _copyAttributes(old: Node, new: Node, copyOf: Callable[[Any], Any]) -> None:
    """Copy the attributes that an application has declared, in slots or not."""
    for each in type(old).__mro__:
        for name, slot in vars(each).items():
            if not isinstance(slot, MemberDescriptorType) or name.startswith(PREFIX):
                continue
            try:
                value = slot.__get__(old)
            except AttributeError:
                continue  # it has none
            slot.__set__(new, copyOf(value))
    for name, value in getattr(old, "__dict__", {}).items():
        vars(new)[name] = copyOf(value)


#: The views that see a node, by identity; see `Node._txWatch`.
Watch = dict[Any, None] | None


def pathOf(node: Any) -> str:
    """Where a node is, for messages: ``Game.players['ada']``."""
    steps: list[str] = []
    while isinstance(node, Node):
        home, key = node._txHome, node._txKey
        if not isinstance(home, Node):
            steps.append(type(node).__name__)
        elif home._txIsCollection:
            steps.append("[]" if key is None else f"[{key!r}]")
        else:
            steps.append(f".{type(home)._txFields[key].name}")  # type: ignore[attr-defined]
        node = home
    return "".join(reversed(steps))
