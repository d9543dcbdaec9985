"""A game: the first player who hits the mole gets a point."""

from __future__ import annotations

from collections.abc import Mapping
from random import randrange
from typing import Annotated, Any

from msgspec import Meta

from txroom import Client, Room, message
from txroom.state import State

HOLES = 9

Hole = Annotated[int, Meta(ge=0, lt=HOLES)]


class Game(State):
    """What the players see: how many holes there are, and the one out of which the mole looks."""

    holes: int = HOLES
    mole: int | None = None


class MoleRoom(Room):
    """
    Moves the mole to one of nine holes once per second.

    The mole is in the state of the room, and the score is part of presence. A hit is a call, so that the
    player gets an answer.
    """

    state: Game

    maxClients = 8
    presence = True
    tickRate = 1.0

    def onJoin(self, client: Client, options: Mapping[str, Any]) -> None:
        client.meta = {"name": str(options.get("name") or "somebody")[:24], "points": 0}

    def onDrop(self, client: Client) -> None:
        client.meta = {**client.meta, "away": True}

    def onResume(self, client: Client, recovered: bool) -> None:
        client.meta = {**client.meta, "away": False}

    def onTick(self, seconds: float) -> None:
        self.state.mole = randrange(HOLES)

    @message("hit")
    def hit(self, client: Client, hole: Hole) -> bool:
        if hole != self.state.mole:
            return False
        self.state.mole = None
        client.meta = {**client.meta, "points": client.meta["points"] + 1}
        self.broadcast("hit", {"by": client.id, "hole": hole})
        return True
