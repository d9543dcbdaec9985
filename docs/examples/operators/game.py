"""A server whose operators list the coins of players, and give coins to them."""

from typing import Any

from msgspec import Struct

from txroom import Caller, Room, RoomError, Server


class Arena(Room):
    """A room that stays until somebody ends it."""

    autoDispose = False


class Player(Struct):
    """A player, and how many coins the player has."""

    userId: str
    coins: int


def makeServer(clock: Any = None) -> Server:
    """Make the server."""
    server = Server(clock=clock)
    server.register("arena", Arena)
    coins = {"ada": 5, "bob": 3}

    @server.rpc("economy.players", role="read")
    def players(least: int = 0) -> list[Player]:
        """
        List the players and their coins.

        Args:
            least: Leave out players who have fewer coins than this.
        """
        return [
            Player(user, owned) for user, owned in coins.items() if owned >= least
        ]

    @server.rpc("economy.give", role="manage")
    async def give(caller: Caller, userId: str, amount: int = 1) -> Player:
        """
        Give coins to a player.

        Args:
            userId: The player.
            amount: How many coins.
        """
        if userId not in coins:
            raise RoomError(
                "noSuchPlayer", "there is no such player", {"field": "userId"}
            )
        print(f"{caller.address} gives {amount} to {userId}")
        coins[userId] += amount
        return Player(userId, coins[userId])

    return server
