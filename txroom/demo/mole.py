"""A game: the first player who hits the mole gets a point."""

from __future__ import annotations

from collections.abc import Mapping
from random import randrange
from typing import Annotated, Any

from msgspec import Meta

from txroom import Client, Room, message

HOLES = 9

Hole = Annotated[int, Meta(ge=0, lt=HOLES)]


class MoleRoom(Room):
    """
    Moves the mole to one of nine holes once per second.

    The score is part of presence. A hit is a call, so that the player gets an answer.
    """

    maxClients = 8
    presence = True
    tickRate = 1.0
    mole: int | None = None

    def onJoin(self, client: Client, options: Mapping[str, Any]) -> None:
        client.meta = {"name": str(options.get("name") or "somebody")[:24], "points": 0}

    def onDrop(self, client: Client) -> None:
        client.meta = {**client.meta, "away": True}

    def onResume(self, client: Client, recovered: bool) -> None:
        client.meta = {**client.meta, "away": False}

    def snapshot(self, client: Client) -> dict[str, Any]:
        return {"holes": HOLES, "mole": self.mole}

    def onTick(self, seconds: float) -> None:
        self.mole = randrange(HOLES)
        self.broadcast("mole", self.mole, volatile=True)

    @message("hit")
    def hit(self, client: Client, hole: Hole) -> bool:
        if hole != self.mole:
            return False
        self.mole = None
        client.meta = {**client.meta, "points": client.meta["points"] + 1}
        self.broadcast("hit", {"by": client.id, "hole": hole})
        return True
