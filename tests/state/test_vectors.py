"""The recorded states of `tests/vectors/state-v1.json`, which the reader in JavaScript reads too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from txroom.state import (
    Float32,
    Float64,
    Int8,
    Int16,
    Int32,
    Int64,
    List,
    Map,
    NativeEncoding,
    NativeReader,
    Quantized,
    State,
    StateTree,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    private,
)
from txroom.state import reader as readers

VECTORS = Path(__file__).parents[1] / "vectors" / "state-v1.json"


class Numbers(State):
    flag: bool
    int8: Int8
    uint8: Uint8
    int16: Int16
    uint16: Uint16
    int32: Int32
    uint32: Uint32
    int64: Int64
    uint64: Uint64
    float32: Float32
    float64: Float64
    number: float
    count: int
    small: Annotated[float, Quantized(-1, 1, 8)]
    medium: Annotated[float, Quantized(0, 1000)]
    large: Annotated[float, Quantized(-180, 180, 32)]
    text: str
    maybe: int | None = None


class Card(State):
    rank: Uint8


class Player(State):
    name: str = ""
    x: Float32 = 0.0
    y: Float32 = 0.0
    hand: List[Card] = private()
    friend: Player | None = None
    scores: Map[int]


class Knight(Player):
    horse: str = "Rocinante"


class Game(State):
    players: Map[Player]
    hidden: Map[Player] = private()
    secret: Card | None = private()
    numbers: Numbers | None = None
    words: List[str]
    cards: List[Card]


class Recording:
    """A game that happens in one way, with everything that clients get of it."""

    def __init__(self) -> None:
        self.game = Game()
        self.tree = StateTree(self.game, self.failed)
        self.encoding = NativeEncoding(self.tree, hasHashes=True)
        self.view = self.tree.view("m1")
        self.steps: list[dict[str, Any]] = []
        self.readers = {view: NativeReader(self.encoding.schema()) for view in (None, self.view)}
        self.add("the whole state", self.encoding.full(None), self.encoding.full(self.view))

    def failed(self, error: Exception) -> None:
        raise error

    def add(self, about: str, shared: bytes, own: bytes) -> None:
        step: dict[str, Any] = {"about": about}
        for key, view, data in (("shared", None, shared), ("view", self.view, own)):
            self.readers[view].apply(data)
            step[key] = {"data": data.hex(), "state": plain(self.readers[view].root)}
        step["hash"] = self.encoding.hash()
        self.steps.append(step)

    def commit(self, about: str) -> None:
        changes = self.tree.commit()
        assert changes is not None
        shared = self.encoding.patch(changes)
        self.add(about, shared, shared + self.encoding.patchOf(changes, self.view))

    def catchUp(self, about: str, version: int) -> None:
        """New readers that had `version`, and are brought up to date."""
        data = [self.encoding.since(version, view) for view in (None, self.view)]
        assert data[0] is not None and data[1] is not None
        self.steps.append(
            {
                "about": about,
                "since": version,
                "shared": {"data": data[0].hex(), "state": self.steps[-1]["shared"]["state"]},
                "view": {"data": data[1].hex(), "state": self.steps[-1]["view"]["state"]},
                "hash": self.encoding.hash(),
            }
        )

    def play(self) -> None:
        game = self.game
        game.players["ada"] = Player(name="Ada", x=1.5)
        game.players["quixote"] = Knight(name="Don Quixote", scores={"mills": -1})
        self.commit("two players, one of a subclass")
        game.players["ada"].x, game.players["quixote"].y = 2.5, -0.25
        game.words.extend(["one", "two", "three"])
        self.commit("fields of two objects, and a list of texts")
        game.numbers = Numbers(
            flag=True, int8=-128, uint8=255, int16=-32768, uint16=65535, int32=-(2**31), uint32=2**32 - 1,
            int64=-(2**63), uint64=2**64 - 1, float32=0.1, float64=0.1, number=-1e300, count=2**53 - 1,
            small=0.5, medium=333.3, large=-179.99, text="Zürich \U0001f600", maybe=-65,
        )  # fmt: skip
        self.commit("a value of each type")
        game.numbers.maybe = None
        game.numbers.count, game.numbers.medium = 1 - 2**53, 5000
        game.words[1:2] = ["deux", "zwei"]
        game.cards.extend(Card(rank=rank) for rank in range(3))
        self.commit("null, the least integer, the largest value of a range, a splice, and a list of objects")
        game.hidden["owl"] = Player(name="Owl")
        ada = game.players["ada"]
        ada.hand.append(Card(rank=12))
        game.secret = Card(rank=1)
        for node in (game.hidden["owl"], ada.hand, game.secret):
            self.view.add(node)
        self.commit("private objects, which the view sees")
        game.hidden["owl"].scores["mice"] = 300
        ada.hand.append(Card(rank=13))
        ada.friend = Player(name="Bob")
        game.cards.pop(0)
        self.commit("private changes, and an object in a field")
        self.view.remove(game.hidden["owl"])
        game.secret = None
        del game.players["quixote"]
        ada.scores["a"], game.words = 1, List(["new"])
        self.commit("objects that are gone, or hidden, and another list in a field")
        self.catchUp("what brings a client up to date that has version 2", 2)
        self.catchUp("what brings a client up to date that has version 6", 6)


def plain(value: Any) -> Any:
    """A state of a reader as JSON. Integers that JavaScript's numbers can't hold are texts."""
    if isinstance(value, dict):
        return {"map": {key: plain(each) for key, each in value.items()}}
    if isinstance(value, list):
        return {"list": [plain(each) for each in value]}
    if isinstance(value, readers.StateObject):
        fields = {key: plain(each) for key, each in vars(value).items()}
        return {"object": type(value).__name__, "fields": fields}
    return str(value) if isinstance(value, int) and abs(value) > 2**53 else value


def recorded() -> str:
    """The content of the file."""
    recording = Recording()
    recording.play()
    about = (
        "States of docs/state-format.rst: what clients without and with a view get, and have then. "
        "Each step builds upon the one before, or if it has `since`, upon the step of that number, from 0. "
        "Data is hexadecimal. Integers beyond 53 bits are texts. `hash` is that of what both see."
    )
    schema = recording.encoding.schema()
    start = {"about": about, "schema": msgspec.msgpack.decode(schema), "schemaData": schema.hex()}
    lines = [json.dumps(step, ensure_ascii=False) for step in recording.steps]
    head = ",\n  ".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in start.items())
    return f'{{\n  {head},\n  "steps": [\n    ' + ",\n    ".join(lines) + "\n  ]\n}\n"


class VectorTests(SynchronousTestCase):
    """The encoding writes what the file has, and the reader reads it."""

    def test_written(self) -> None:
        """Clients of the field read what the encoding writes: if this must change, it is another version."""
        self.assertEqual(
            recorded(), VECTORS.read_text("utf-8"), "python -m tests.state.test_vectors records it"
        )

    def test_read(self) -> None:
        """The reader has the states of the file."""
        vectors = json.loads(VECTORS.read_text("utf-8"))
        for key in ("shared", "view"):
            reader = NativeReader(vectors["schema"])
            for index, step in enumerate(vectors["steps"]):
                if "since" in step:
                    reader = NativeReader(bytes.fromhex(vectors["schemaData"]))
                    for before in vectors["steps"][: step["since"] + 1]:
                        reader.apply(bytes.fromhex(before[key]["data"]))
                reader.apply(bytes.fromhex(step[key]["data"]))
                self.assertEqual(plain(reader.root), step[key]["state"], (key, index))
                self.assertEqual(reader.hash(), step["hash"])


if __name__ == "__main__":
    VECTORS.write_text(recorded(), "utf-8")
