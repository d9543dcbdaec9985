"""
A scenario for a load test of the room "mole" of the demo.

    python -m txroom.loadtest ws://localhost:8080/rooms --room mole \
        --scenario visitors:play --clients 100
"""

from random import randrange

from twisted.internet.task import deferLater


async def play(client, room, clock):
    """Play one game, and hit the hole where the mole was last seen."""
    hole = 0
    for _ in range(20):
        await deferLater(clock, 0.2 + randrange(10) / 10)
        if room.state.mole is not None:
            hole = room.state.mole
        await room.call("hit", hole)
