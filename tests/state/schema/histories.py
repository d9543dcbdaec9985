"""Random histories of a state, and of the clients that follow it."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from struct import pack, unpack
from typing import Annotated, Any

import attrs

from txroom.state import (
    Float32,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    List,
    Map,
    Quantized,
    State,
    StateTree,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    View,
    private,
)
from txroom.state.node import Node
from txroom.state.schema import SchemaEncoding
from txroom.state.types import Scalar


class Item(State):
    """What a player carries."""

    kind: str = ""
    count: Int16 = 0


class Sword(Item):
    """An item with fields of its own."""

    damage: Float32 = 1.0
    runes: List[str]


class Player(State):
    """A player; everybody sees all but the hand and the plans."""

    name: str = ""
    x: Float32 = 0.0
    speed: float = 0.0
    points: int = 0
    isAlive: bool = True
    mood: str | None = None
    angle: Annotated[float, Quantized(0, 360, 8)] = 0.0
    home: Item
    pet: Item | None = None
    bag: List[Item]
    tags: List[str]
    worn: Map[Item]
    notes: Map[int]
    hand: List[Item] = private()
    plans: Map[str] = private()


class Numbers(State):
    """Every type of numbers."""

    int8: Int8 = 0
    int16: Int16 = 0
    int32: Int32 = 0
    int64: Int64 = 0
    uint8: Uint8 = 0
    uint16: Uint16 = 0
    uint32: Uint32 = 0
    uint64: Uint64 = 0
    float64: Float64 = 0.0
    optional: Int8 | None = None
    angle: Annotated[float, Quantized(-1, 1)] | None = None
    all: List[Int32]


class Wide(State):
    """An object in the field whose operation can be taken for the class of the object before it."""

    a0: Int8 = 0
    a1: Int8 = 0
    a2: Int8 = 0
    a3: Int8 = 0
    a4: Int8 = 0
    a5: Int8 = 0
    a6: Int8 = 0
    a7: Int8 = 0
    a8: Int8 = 0
    a9: Int8 = 0
    a10: Int8 = 0
    a11: Int8 = 0
    a12: Int8 = 0
    a13: Int8 = 0
    a14: Int8 = 0
    a15: Int8 = 0
    a16: Int8 = 0
    a17: Int8 = 0
    a18: Int8 = 0
    a19: Int8 = 0
    before: Item
    here: Item
    after: Item | None = None


class Game(State):
    """The root."""

    level: Uint8 = 1
    players: Map[Player]
    hidden: Map[Player] = private()
    boss: Player | None = None
    numbers: Numbers
    wide: Wide
    secret: Item = private()
    log: List[str]
    spots: Map[Float32]


KEYS = "abcdé"
#: How many clients follow a history at most, and how many changes there are between two patches.
CLIENTS, CHANGES = 4, 6


def nodesOf(node: Any) -> list[Any]:
    """An object and all below it."""
    found = [node]
    for child, _ in node._txChildren():
        found += nodesOf(child)
    return found


def randomValue(rng: Random, type_: Any) -> Any:
    """A value of a type."""
    if isinstance(type_, Quantized):
        return rng.choice([type_.min, type_.max, type_.min + (type_.max - type_.min) * rng.random()])
    assert isinstance(type_, Scalar)
    if type_.kind is bool:
        return rng.random() < 0.5
    if type_.kind is str:
        return rng.choice(["", "a", "é", "x" * 31, "y" * 32, "z" * 300, "\U0001f600", "a\0b"])
    if type_.kind is int:
        edges = [
            0,
            1,
            -1,
            -32,
            -33,
            127,
            128,
            -128,
            -129,
            255,
            256,
            65535,
            65536,
            2**31,
            -(2**31),
            2**32,
            2**40,
        ]
        edges += [type_.low, type_.high]
        return rng.choice([edge for edge in edges if type_.low <= edge <= type_.high])
    value = rng.choice([0.0, 1.0, -1.0, 0.5, 0.1, 1e30, -1e-30, 3e9, 1e16, rng.random() * 1000])
    return value if type_.name == "float32" else rng.choice([value, 1e300])


def randomNode(rng: Random, cls: type[State]) -> State:
    """An object of a class, or of one below it, with some values."""
    cls = rng.choice([cls, *cls.__subclasses__()])
    made = cls()
    for _ in range(rng.randrange(3)):
        mutate(rng, made)
    return made


def mutate(rng: Random, node: Any) -> None:
    """Change something of an object, map or list."""
    if isinstance(node, State):
        _mutateState(rng, node)
    elif isinstance(node, Map):
        _mutateMap(rng, node)
    else:
        _mutateList(rng, node)


def _item(rng: Random, type_: Any) -> Any:
    return randomNode(rng, type_.item) if type_.holdsNodes else randomValue(rng, type_.item)


def _mutateState(rng: Random, node: State) -> None:
    field = rng.choice(node._txFields)
    type_: Any = field.type
    if field.isOptional and rng.random() < 0.3:
        setattr(node, field.name, None)
    elif field.isValue:
        setattr(node, field.name, randomValue(rng, type_))
    elif isinstance(type_, type):
        setattr(node, field.name, randomNode(rng, type_))
    elif type_.kind is Map:
        setattr(node, field.name, {key: _item(rng, type_) for key in KEYS[: rng.randrange(3)]})
    else:
        setattr(node, field.name, [_item(rng, type_) for _ in range(rng.randrange(4))])


def _mutateMap(rng: Random, node: Map[Any]) -> None:
    chance = rng.random()
    if chance < 0.05:
        node.clear()
    elif chance < 0.35 and node:
        del node[rng.choice(sorted(node))]
    elif chance < 0.4 and len(node) > 1 and node._txHoldsNodes:
        one = node.pop(rng.choice(sorted(node)))
        node[rng.choice(sorted(node))] = one
    else:
        node[rng.choice(KEYS)] = _item(rng, node._txType)


def _mutateList(rng: Random, node: List[Any]) -> None:
    chance, size, type_ = rng.random(), len(node), node._txType
    if chance < 0.3 or not size:
        node.append(_item(rng, type_))
    elif chance < 0.45:
        node.insert(rng.randrange(size + 1), _item(rng, type_))
    elif chance < 0.65:
        node.pop(rng.randrange(size))
    elif chance < 0.8:
        node[rng.randrange(size)] = _item(rng, type_)
    elif chance < 0.85:
        node.reverse()
    elif chance < 0.9 and not node._txHoldsNodes:
        node.sort()
    elif chance < 0.95:
        node[:] = [_item(rng, type_) for _ in range(rng.randrange(4))]
    else:
        start = rng.randrange(size)
        del node[start : start + rng.randrange(3)]


def units(tree: StateTree) -> list[Node]:
    """Everything that views see on its own."""
    from txroom.state.views import isUnit

    return [node for node in tree.nodes.values() if isUnit(node)]


def expected(value: Any, view: View | None, type_: Any = None) -> Any:
    """What a client has of a value, as ``schema.mjs`` tells it; maps as dicts."""
    if isinstance(value, State):
        fields = {}
        for field in value._txFields:
            one = getattr(value, field.name)
            if field.isPrivate and isinstance(field.type, type) and (view is None or one not in view):
                continue
            if one is not None:
                fields[field.name] = expected(one, view, field.type)
        return fields
    if isinstance(value, Map):
        isSeen = _sees(value, view)
        isEach = value._txPrivate and value._txHoldsNodes
        return {
            "map": {
                key: expected(one, view, value._txType.item)  # type: ignore[union-attr]
                for key, one in value.items()
                if isSeen and (not isEach or (view is not None and one in view))
            }
        }
    if isinstance(value, List):
        item: Any = value._txType.item  # type: ignore[union-attr]
        return [expected(one, view, item) for one in value] if _sees(value, view) else []
    return _received(value, type_)


def _sees(node: Map[Any] | List[Any], view: View | None) -> bool:
    isOwn = node._txPrivate and not (isinstance(node, Map) and node._txHoldsNodes)
    return not isOwn or (view is not None and node in view)


def _received(value: Any, type_: Any) -> Any:
    """A value as JavaScript has it."""
    if isinstance(type_, Quantized):
        value = type_.unpack(type_.pack(value))
    name = getattr(type_, "name", "")
    if name in ("float32", "quantized"):
        return unpack("<f", pack("<f", value))[0]
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


@attrs.define(eq=False)
class Follower:
    """A client: the bytes that it gets, and what it must have after each step but the first."""

    key: str | None
    steps: list[tuple[str, bytes]]
    states: list[Any] = attrs.Factory(list)
    #: The version up to which it has got everything; it gets nothing while it is away.
    version: int = 0
    isAway: bool = False

    def take(self, kind: str, data: bytes, state: Any) -> None:
        """Get bytes."""
        self.steps.append((kind, data))
        self.states.append(state)


class History:
    """A state that changes, and its clients."""

    def __init__(self, rng: Random, onError: Callable[[Exception], None]) -> None:
        self.rng = rng
        self.tree = StateTree(randomNode(rng, Game), onError)
        self.encoding = SchemaEncoding(self.tree)
        self.followers: list[Follower] = []

    def play(self, patches: int) -> list[Follower]:
        """Let that many patches leave; returns the clients."""
        for _ in range(patches):
            for _ in range(self.rng.randrange(CHANGES)):
                self.change()
            self.commit()
            self.arrivals()
        return self.followers

    def change(self) -> None:
        """Something changes in the state, or in what a client sees."""
        rng, tree = self.rng, self.tree
        if rng.random() < 0.05:  # many objects have come and gone
            tree.nextId += rng.choice([2**8, 2**16, 2**31, 2**33, 2**40])
        keys = [each.key for each in self.followers if each.key is not None]
        if keys and rng.random() < 0.3 and (private := units(tree)):
            view, node = tree.view(rng.choice(keys)), rng.choice(private)
            if node in view:
                view.remove(node)
            else:
                try:
                    view.add(node)
                except ValueError:
                    pass  # it is in something that the view has not
            return
        mutate(rng, rng.choice(nodesOf(tree.root)))

    def commit(self) -> None:
        """The patch leaves to all clients that are there."""
        changes = self.tree.commit()
        if changes is None:
            return
        if self.rng.random() < 0.1 and not any(
            each.key is None and not each.isAway for each in self.followers
        ):
            for each in self.followers:
                each.isAway = True  # nobody asks for this one
            return
        for each in self.followers:
            if each.isAway:
                continue
            view = self.view(each)
            data = self.encoding.patch(changes)
            if view is not None:
                data += self.encoding.patchOf(changes, view)
            if data:
                each.take("patch", data, expected(self.tree.root, view))
            each.version = changes.version

    def arrivals(self) -> None:
        """Clients come, stop reading, and are there again."""
        rng = self.rng
        if len(self.followers) < CLIENTS and rng.random() < 0.4:
            key = rng.choice([None, f"member{len(self.followers)}"])
            client = Follower(key, [("handshake", self.encoding.schema())])
            view = self.view(client)
            self.catchUp(client, "state", self.encoding.full(view))
            self.followers.append(client)
        for client in self.followers:
            if not client.isAway:
                client.isAway = rng.random() < 0.15
            elif rng.random() < 0.5:
                # The server may know less than the client has.
                version = max(client.version - rng.choice([0, 0, 1, 2, 99]), -1)
                data = self.encoding.since(version, self.view(client))
                assert data is not None
                self.catchUp(client, rng.choice(["patch", "state"]), data)

    def catchUp(self, client: Follower, kind: str, data: bytes) -> None:
        """A client gets everything."""
        client.take(kind, data, expected(self.tree.root, self.view(client)))
        client.version, client.isAway = self.tree.version, False

    def view(self, client: Follower) -> View | None:
        """What a client sees of the private parts."""
        return None if client.key is None else self.tree.view(client.key)
