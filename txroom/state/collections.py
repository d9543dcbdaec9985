"""`Map` and `List`: collections that track their changes."""

from __future__ import annotations

from collections import deque
from collections.abc import (
    ItemsView,
    Iterable,
    Iterator,
    KeysView,
    Mapping,
    MutableMapping,
    MutableSequence,
    ValuesView,
)
from reprlib import repr as short
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

import attrs

from .node import Node, pathOf
from .types import STR, Quantized, Scalar

if TYPE_CHECKING:
    from typing import Self

T = TypeVar("T")

#: What a collection holds: values, or instances of a `State` class.
ItemType = Scalar | Quantized | type[Node]

_MISSING: Any = object()


@attrs.frozen
class CollectionType:
    """``Map[Player]`` or ``List[int]``, resolved."""

    kind: type[Collection]
    item: ItemType

    @property
    def holdsNodes(self) -> bool:
        """Whether it holds instances of a `State` class."""
        return isinstance(self.item, type)


class Collection(Node):
    """What `Map` and `List` have in common."""

    __slots__ = ("_txHoldsNodes", "_txPrivate", "_txType")

    _txAll: ClassVar[int] = 1
    _txIsCollection: ClassVar[bool] = True

    #: None until it is assigned to a field; until then it takes any values.
    _txType: CollectionType | None
    _txHoldsNodes: bool
    #: Whether only views see what is in it.
    _txPrivate: bool

    def __init__(self) -> None:
        self._txReset()
        self._txHome = self._txKey = self._txType = None
        self._txHoldsNodes = self._txPrivate = False

    def _txBind(self, type: CollectionType) -> None:
        """Make this a collection of a type; its values are checked. Once."""
        raise NotImplementedError

    def _txBegin(self) -> None:
        """Clients know nothing of the content."""
        raise NotImplementedError

    def _txBare(self, made: list[tuple[Node, Node]]) -> Self:
        bare = super()._txBare(made)
        bare._txType, bare._txHoldsNodes = self._txType, self._txHoldsNodes
        bare._txPrivate = self._txPrivate
        return bare

    def _txCopied(self, item: Any, key: Any, made: list[tuple[Node, Node]]) -> Any:
        """An item of another collection for this one, which becomes a copy of that."""
        if not isinstance(item, Node):
            return item
        copy = item._txCopy(made)
        if self._txHoldsNodes:
            copy._txHome, copy._txKey = self, key
        return copy

    def _txMarkChanged(self) -> None:
        if not self._txMask:
            self._txMask = 1
            self._txMark(self)

    def _txChecked(self, value: Any, key: Any) -> Any:
        """A new item, as the type has it; nothing has changed if it raises."""
        type_ = self._txType
        if type_ is None:
            return value
        if not self._txHoldsNodes:
            kind: Any = type_.item
            return kind.check(value, self._txWhere(key))
        item: Any = type_.item
        if not isinstance(value, item):
            raise TypeError(f"{self._txWhere(key)}: must be a {item.__name__}, not {short(value)}")
        value._txTaken(self, self._txWhere(key))
        if self._txTree is not None:
            self._txTree.admit(value, self)
        return value

    def _txWhere(self, key: Any) -> str:
        """The place of an item, for messages."""
        return f"{pathOf(self)}[{'' if key is None else repr(key)}]"

    def _txPut(self, node: Node, key: Any) -> None:
        """A node has come into the collection."""
        node._txHome, node._txKey = self, key
        if self._txTree is not None:
            isOwn = self._txPrivate and key is not None
            self._txTree.attach(node, {} if isOwn else self._txWatch)

    def _txDrop(self, node: Node) -> None:
        """A node has left the collection."""
        if self._txTree is not None:
            self._txTree.detach(node)
        node._txHome = node._txKey = None


class Map(Collection, MutableMapping[str, T], Generic[T]):
    """
    A mapping from strings to values or to instances of a `State` class: ``players: Map[Player]``.

    It is used as a dict. An instance of a `State` class has one place: what is in a state already raises
    `ValueError`, what is taken out can be put in again and is new to clients then.
    """

    __slots__ = ("_txData", "_txFloor", "_txGone", "_txOps", "_txPutAt")

    _txData: dict[str, Any]
    #: The keys that were touched since the last commit, and whether each was there then; of a map in a tree.
    _txOps: dict[str, bool]
    #: The versions in which the values came, by key; those in which keys went, of all after `_txFloor`.
    _txPutAt: dict[str, int]
    _txGone: deque[tuple[int, str]]
    _txFloor: int

    def __init__(self, values: Mapping[str, T] | Iterable[tuple[str, T]] = ()) -> None:
        super().__init__()
        self._txData = dict(values)
        self._txBegin()

    def _txBegin(self) -> None:
        self._txOps = dict.fromkeys(self._txData, False)
        self._txPutAt, self._txGone, self._txFloor = {}, deque(), -1

    def _txBind(self, type: CollectionType) -> None:
        data, self._txData = self._txData, {}
        self._txType, self._txHoldsNodes = type, type.holdsNodes
        try:
            for key, value in data.items():
                self[key] = value
        except BaseException:
            for key in list(self):
                del self[key]
            self._txData, self._txType, self._txHoldsNodes = data, None, False
            raise

    def _txCopy(self, made: list[tuple[Node, Node]]) -> Self:
        copy = self._txBare(made)
        copy._txData = {key: copy._txCopied(item, key, made) for key, item in self._txData.items()}
        copy._txBegin()
        return copy

    def _txChildren(self) -> Iterator[tuple[Node, bool]]:
        if self._txHoldsNodes:
            for node in self._txData.values():
                yield node, self._txPrivate

    def __getitem__(self, key: str) -> T:
        value: T = self._txData[key]
        return value

    def __setitem__(self, key: str, value: T) -> None:
        if key.__class__ is not str or not key.isascii():
            key = STR.check(key, self._txWhere(key))
        old = self._txData.get(key, _MISSING)
        if old is value and self._txHoldsNodes:
            return
        checked = self._txChecked(value, key)
        if old is not _MISSING and old == checked and not self._txHoldsNodes and self._txType is not None:
            return
        self._txData[key] = checked
        self._txMarkChanged()
        if self._txTree is not None:
            self._txOps.setdefault(key, old is not _MISSING)
        if self._txHoldsNodes:
            if old is not _MISSING:
                self._txDrop(old)
            self._txPut(checked, key)

    def __delitem__(self, key: str) -> None:
        value = self._txData.pop(key)
        self._txMarkChanged()
        if self._txTree is not None:
            self._txOps.setdefault(key, True)
        if self._txHoldsNodes:
            self._txDrop(value)

    def __contains__(self, key: object) -> bool:
        return key in self._txData

    def __iter__(self) -> Iterator[str]:
        return iter(self._txData)

    def __len__(self) -> int:
        return len(self._txData)

    def keys(self) -> KeysView[str]:
        """The keys, as of a dict."""
        return self._txData.keys()

    def values(self) -> ValuesView[T]:
        """The values, as of a dict."""
        return self._txData.values()

    def items(self) -> ItemsView[str, T]:
        """The pairs of keys and values, as of a dict."""
        return self._txData.items()

    def clear(self) -> None:
        """Take out everything."""
        for key in list(self._txData):
            del self[key]

    def __repr__(self) -> str:
        return f"Map({self._txData!r})"

    __hash__ = object.__hash__


class List(Collection, MutableSequence[T], Generic[T]):
    """
    A sequence of values or of instances of a `State` class: ``scores: List[int]``.

    It is used as a list. A commit sends one change of it: what lies between the parts at its beginning and
    its end that are as before. An instance of a `State` class has one place, as in a `Map`.
    """

    __slots__ = ("_txData", "_txSent")

    _txData: list[Any]
    #: What it was at the last commit: values, or the numbers of nodes.
    _txSent: list[Any]

    def __init__(self, values: Iterable[T] = ()) -> None:
        super().__init__()
        self._txData = list(values)
        self._txBegin()

    def _txBegin(self) -> None:
        self._txSent = []

    def _txBind(self, type: CollectionType) -> None:
        data, self._txData = self._txData, []
        self._txType, self._txHoldsNodes = type, type.holdsNodes
        try:
            self.extend(data)
        except BaseException:
            del self[:]
            self._txData, self._txType, self._txHoldsNodes = data, None, False
            raise

    def _txCopy(self, made: list[tuple[Node, Node]]) -> Self:
        copy = self._txBare(made)
        copy._txData = [copy._txCopied(item, None, made) for item in self._txData]
        copy._txBegin()
        return copy

    def _txChildren(self) -> Iterator[tuple[Node, bool]]:
        if self._txHoldsNodes:
            for node in self._txData:
                yield node, False

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> list[T]: ...

    def __getitem__(self, index: int | slice) -> Any:
        return self._txData[index]

    @overload
    def __setitem__(self, index: int, value: T) -> None: ...

    @overload
    def __setitem__(self, index: slice, value: Iterable[T]) -> None: ...

    def __setitem__(self, index: int | slice, value: Any) -> None:
        if isinstance(index, slice):
            self._replace(index, list(value))
        elif not self._txHoldsNodes:
            checked = self._txChecked(value, index)
            if self._txData[index] != checked or self._txType is None:
                self._txData[index] = checked
                self._txMarkChanged()
        elif self._txData[index] is not value:
            at = range(len(self._txData))[index]
            self._replace(slice(at, at + 1), [value])

    @overload
    def __delitem__(self, index: int) -> None: ...

    @overload
    def __delitem__(self, index: slice) -> None: ...

    def __delitem__(self, index: int | slice) -> None:
        if isinstance(index, slice):
            gone = self._txData[index]
            del self._txData[index]
        else:
            gone = [self._txData.pop(index)]
        self._txMarkChanged()
        if self._txHoldsNodes:
            for node in gone:
                self._txDrop(node)

    def __len__(self) -> int:
        return len(self._txData)

    def __iter__(self) -> Iterator[T]:
        return iter(self._txData)

    def insert(self, index: int, value: T) -> None:
        """Put a value before the one at `index`."""
        checked = self._txChecked(value, None)
        self._txData.insert(index, checked)
        self._txMarkChanged()
        if self._txHoldsNodes:
            self._txPut(checked, None)

    def append(self, value: T) -> None:
        """Put a value at the end."""
        self.insert(len(self._txData), value)

    def sort(self, *, key: Any = None, reverse: bool = False) -> None:
        """Sort it in place, as `list.sort`."""
        self._txData.sort(key=key, reverse=reverse)
        self._txMarkChanged()

    def reverse(self) -> None:
        """Reverse it in place."""
        self._txData.reverse()
        self._txMarkChanged()

    def clear(self) -> None:
        """Take out everything."""
        del self[:]

    def _replace(self, index: slice, values: list[Any]) -> None:
        """Assign to a slice; what is in both the old and the new part stays."""
        if not self._txHoldsNodes:
            self._txData[index] = [self._txChecked(each, None) for each in values]
            self._txMarkChanged()
            return
        old = {id(node): node for node in self._txData[index]}
        new = {id(node): node for node in values}
        if len(new) < len(values):
            raise ValueError(f"{pathOf(self)}: an instance has one place in a state")
        for key, node in new.items():
            if key not in old:
                self._txChecked(node, None)
        data = self._txData.copy()
        data[index] = values
        self._txData = data
        self._txMarkChanged()
        for key, node in old.items():
            if key not in new:
                self._txDrop(node)
        for key, node in new.items():
            if key not in old:
                self._txPut(node, None)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, List):
            return bool(self._txData == other._txData)
        return self._txData == other if isinstance(other, list) else NotImplemented

    __hash__ = object.__hash__

    def __repr__(self) -> str:
        return f"List({self._txData!r})"
