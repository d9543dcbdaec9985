"""A game in which players run on a line and shoot at each other, and its page."""

from collections import deque
from pathlib import Path
from random import randint

import msgspec
from twisted.web.static import Data

from txroom import Room, Server, message
from txroom.state import Float32, Map, State

LENGTH = 100.0  # of the line, in metres
STEP = 0.25  # how many metres an input moves a player
REACH = 0.5  # a shot hits a player who is at most this many metres from its target
MEMORY = 0.5  # for how many seconds the server remembers the positions


class Player(State):
    x: Float32 = 0.0
    hits: int = 0


class Field(State):
    time: float = 0.0  # the time to which the positions belong, in seconds
    players: Map[Player]


class Input(msgspec.Struct):
    direction: int


class Shot(msgspec.Struct):
    x: float
    time: float  # the time of the positions that the shooter saw


class Past:
    """The positions of the players during the last seconds."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.ring = deque()

    def add(self, time, players):
        self.ring.append((time, {key: player.x for key, player in players.items()}))
        while self.ring[0][0] < time - self.seconds:
            self.ring.popleft()

    def at(self, time):
        """Return the positions at a time, interpolated between two ticks."""
        before = after = self.ring[0]
        for each in self.ring:
            after = each
            if each[0] >= time:
                break
            before = each
        if after[0] <= before[0]:
            return before[1]
        part = min(1.0, max(0.0, (time - before[0]) / (after[0] - before[0])))
        positions = before[1].items()
        return {key: x + (after[1].get(key, x) - x) * part for key, x in positions}


class Arena(Room):
    state: Field
    tickRate = 20.0
    patchRate = 20.0  # the same as tickRate, so a patch follows each tick

    def onCreate(self, options):
        self.past = Past(MEMORY)
        self.past.add(0.0, self.state.players)

    def onJoin(self, client, options):
        start = randint(0, round(LENGTH))
        self.state.players[client.id] = Player(x=start)

    def onLeave(self, client, reason):
        del self.state.players[client.id]

    def onTick(self, seconds):
        self.state.time += seconds
        self.past.add(self.state.time, self.state.players)

    @message("move")
    def move(self, client, input: Input):
        player = self.state.players[client.id]
        step = STEP * max(-1, min(1, input.direction))
        player.x = max(0.0, min(LENGTH, player.x + step))

    @message("shoot")
    def shoot(self, client, shot: Shot):
        for key, x in self.past.at(shot.time).items():
            isHere = key != client.id and key in self.state.players
            if isHere and abs(x - shot.x) <= REACH:
                self.state.players[key].hits += 1


def makeServer(clock=None):
    server = Server(clock=clock)
    server.register("arena", Arena)
    folder = Path(__file__).parent
    page = (folder / "arena.html").read_bytes()
    server.addPage("/", Data(page, "text/html; charset=utf-8"))
    for path in folder.glob("*.mjs"):
        server.addPage(f"/{path.name}", Data(path.read_bytes(), "text/javascript"))
    server.addClientScript()
    return server
