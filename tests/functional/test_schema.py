"""Colyseus's own decoders, of three generations, read what txroom writes for them."""

from __future__ import annotations

import base64
import json
import os
import subprocess
from collections.abc import Iterator
from random import Random
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.requires import CLIENTS, requiresNode, requiresPackage
from tests.state.schema.histories import Follower, History
from txroom.state import List, Map, State, StateTree, private
from txroom.state.schema import SchemaEncoding

#: How many histories are played; each has up to four clients, and each client every decoder.
EXAMPLES = int(os.environ.get("TXROOM_EXAMPLES", "25"))
VERSIONS = (3, 4, 5)
PATCHES = 12


class Decoders:
    """The decoders of all versions, in one process of Node."""

    def __init__(self) -> None:
        for version in VERSIONS:
            requiresPackage(f"schema-v{version}")
        self._process = subprocess.Popen(
            [requiresNode(), "schema.mjs"],
            cwd=CLIENTS,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def read(self, version: int, steps: list[tuple[str, bytes]]) -> list[Any]:
        """The states that one decoder has after each step but the first."""
        return [withDicts(state) for state in self._answer(version, steps, "")["states"]]

    def heard(self, version: int, listeners: str, steps: list[tuple[str, bytes]]) -> list[list[str]]:
        """What listeners are told, which are added after the second step, in each step after it."""
        events: list[list[str]] = self._answer(version, steps, listeners)["events"]
        return events

    def _answer(self, version: int, steps: list[tuple[str, bytes]], listeners: str) -> Any:
        assert self._process.stdin is not None and self._process.stdout is not None
        told = [[kind, base64.b64encode(data).decode()] for kind, data in steps]
        question = {"schema": version, "steps": told, "listeners": listeners}
        self._process.stdin.write(json.dumps(question) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        assert "error" not in answer, answer
        assert not [each for each in answer["complaints"] if not isExpected(version, each)], answer[
            "complaints"
        ]
        return answer

    def close(self) -> None:
        """End the process."""
        self._process.communicate()


def isExpected(version: int, complaint: str) -> bool:
    """Whether a decoder complains of what only later versions know, in the handshake."""
    return version < 5 and ("field not defined at" in complaint or "definition mismatch" in complaint)


def withDicts(value: Any) -> Any:
    """A state with dicts for its maps, and floats for all numbers."""
    if isinstance(value, list):
        return [withDicts(one) for one in value]
    if isinstance(value, dict):
        if value.keys() == {"map"} and isinstance(value["map"], list):
            keys = [key for key, _ in value["map"]]
            assert len(keys) == len(set(keys))
            return {"map": {key: withDicts(one) for key, one in value["map"]}}
        return {name: withDicts(one) for name, one in value.items()}
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


@pytest.fixture(scope="module")
def decoders() -> Iterator[Decoders]:
    """The decoders, for all tests of this file."""
    made = Decoders()
    yield made
    made.close()


def check(decoders: Decoders, version: int, client: Follower) -> None:
    """One client has the state as the server has it after each patch."""
    read = decoders.read(version, client.steps)
    for step, (got, wanted) in enumerate(zip(read, client.states, strict=True), 1):
        assert got == wanted, f"version {version}, after {client.steps[step][0]} {step}"


@settings(max_examples=EXAMPLES, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(seed=st.integers(0, 2**64 - 1))
def test_histories(decoders: Decoders, seed: int) -> None:
    """Clients that join late, are away, and see private parts have the same state as the server."""
    errors: list[Exception] = []
    for client in History(Random(seed), errors.append).play(PATCHES):
        for version in VERSIONS:
            check(decoders, version, client)
    assert not errors


class Card(State):
    """A card."""

    face: str = ""


class Seat(State):
    """A player at a table; only its own view has the hand."""

    name: str = ""
    score: int = 0
    coat: Card
    tags: List[str]
    hand: List[Card] = private()


class Table(State):
    """A table, of which a view sees some of the secrets."""

    turn: int = 0
    seats: Map[Seat]
    points: Map[int]
    log: List[str]
    pile: List[Card]
    secrets: Map[Card] = private()


#: Each version of the decoder, with the ways in which its SDK adds listeners.
LISTENERS = [(version, "getStateCallbacks") for version in VERSIONS] + [(4, "Callbacks"), (5, "Callbacks")]


class Returning:
    """A client that comes back again and again, without telling what it has, like those of Colyseus."""

    def __init__(self, table: Table) -> None:
        self.errors: list[Exception] = []
        self.tree = StateTree(table, self.errors.append)
        self.view = self.tree.view("ada")
        self.encoding = SchemaEncoding(self.tree)
        for each in (table.seats["a"].hand, table.secrets["a"]):
            self.view.add(each)
        self.tree.commit()
        self.steps = [("handshake", self.encoding.schema()), ("state", self.encoding.full(self.view))]

    def comeBack(self) -> None:
        """The client gets what it has missed; meanwhile nobody was in the room."""
        self.tree.commit()
        data = self.encoding.since(-1, self.view)
        assert data is not None
        self.steps.append(("patch", data))

    def patch(self) -> None:
        """The client is there and gets a patch."""
        changes = self.tree.commit()
        assert changes is not None
        data = self.encoding.patch(changes) + self.encoding.patchOf(changes, self.view)
        self.steps.append(("patch", data))


def tableOf() -> Table:
    """A table with two seats."""
    seats = {
        "a": Seat(name="ada", tags=["x", "y"], hand=[Card(face="1"), Card(face="2")]),
        "b": Seat(name="bob", hand=[Card(face="3")]),
    }
    return Table(
        seats=seats,
        points={"a": 1, "b": 0},
        log=["", "one", "two"],
        pile=[Card(face="4"), Card(face="5"), Card(face="6")],
        secrets={"a": Card(face="7"), "b": Card(face="8")},
    )


@pytest.mark.parametrize(("version", "listeners"), LISTENERS)
def test_listeners(decoders: Decoders, version: int, listeners: str) -> None:
    """
    Listeners of a client that comes back are told of what is new, changed or gone, once, and of nothing else.
    """
    table = tableOf()
    client = Returning(table)
    ada = table.seats["a"]
    wanted: list[list[str]] = []
    for score in range(1, 4):
        client.comeBack()  # nothing has changed
        wanted.append([])
        ada.score = score
        client.comeBack()
        wanted.append([f"seats[a].score={score}"])
    ada.score, ada.hand[0].face, table.secrets["a"].face = 9, "one", "seven"
    client.patch()
    wanted.append(["secrets[a].face=seven", "seats[a].hand[0].face=one", "seats[a].score=9"])
    del table.seats["b"], table.points["b"], table.log[1:], table.pile[2], ada.hand[1]
    client.view.remove(table.secrets["a"])
    client.comeBack()
    gone = ["-log[1]", "-log[2]", "-pile[2]", "-points[b]", "-seats[a].hand[1]", "-seats[b]", "-secrets[a]"]
    wanted.append(gone)
    client.comeBack()
    wanted.append([])
    table.seats["c"], table.points["c"] = Seat(name="eve"), 5
    table.seats["a"] = Seat(name="ada again")
    table.log.append("new")
    table.pile.append(Card(face="9"))
    client.view.add(table.secrets["b"])
    client.comeBack()
    new = ["+log[1]", "+pile[2]", "+points[c]", "+seats[a]", "+seats[c]", "+secrets[b]", "-seats[a]"]
    fields = ["pile[2].face=9", "secrets[b].face=8"]
    for name, seat in (("ada again", "a"), ("eve", "c")):
        fields += [f"seats[{seat}].{each}" for each in (f"name={name}", "score=0", "coat.face=")]
    wanted.append(new + fields)
    client.comeBack()
    wanted.append([])
    table.seats["a"].score, table.seats["c"].score, table.pile[2].face = 1, 2, "ten"
    client.patch()
    wanted.append(["pile[2].face=ten", "seats[a].score=1", "seats[c].score=2"])
    heard = decoders.heard(version, listeners, client.steps)
    assert [sorted(each) for each in heard] == [sorted(each) for each in wanted]
    assert not client.errors
