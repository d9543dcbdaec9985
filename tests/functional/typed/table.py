"""
A room with a declared state as a strict project would write it: type checkers look at all of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, assert_type

from txroom import Client, Room, message
from txroom.state import Float32, Int8, List, Map, Quantized, State, Uint64, private


class Card(State):
    rank: Int8 = 1


class Player(State):
    """Has a field of each kind."""

    limit: ClassVar[int] = 5
    name: str = "somebody"
    x: Float32 = 0.0
    angle: Annotated[float, Quantized(-180, 180, bits=8)]
    id: Uint64
    score: int | None = None
    hand: List[Card] = private()
    friend: Player | None = None
    points: List[int]
    _speed: float = 3.0

    @property
    def isFirst(self) -> bool:
        return self.x > 10


class Knight(Player):
    name = "Sir"
    horse: str


class Table(State):
    players: Map[Player]
    words: Map[str]


class Cards(Room):
    """Deals cards."""

    state: Table

    def onJoin(self, client: Client, options: Mapping[str, Any]) -> None:
        player = Player(name="Ada", x=1)
        self.state.players[client.id] = player
        client.view.add(player.hand)

    @message("draw")
    def draw(self, client: Client, rank: int) -> None:
        self.state.players[client.id].hand.append(Card(rank=rank))
        self.patch()


def check(table: Table, knight: Knight) -> None:
    """What type checkers make of fields."""
    player = table.players["ada"]
    assert_type(player, Player)
    assert_type(player.x, float)
    assert_type(player.angle, float)
    assert_type(player.id, int)
    assert_type(player.score, int | None)
    assert_type(player.hand[0].rank, int)
    assert_type(player.points[1:], list[int])
    assert_type(knight.name, str)
    assert_type(list(table.words.items()), list[tuple[str, str]])
    player.x += 1
    player.points.extend([1, 2])
    player.score = None
    table.words.update(a="b")
    assert_type(table.players.pop("ada", None), Player | None)
