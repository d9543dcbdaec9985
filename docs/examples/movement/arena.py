"""A field on which players run, and shoot at the others where they see them."""

from collections import deque

import msgspec

from txroom import Room, Server, message
from txroom.state import Float32, Map, State

LENGTH = 100.0
STEP = 0.25  # how far an input moves a player
REACH = 0.5  # a shot hits a player that is at most so far from its place
MEMORY = 0.5  # the server knows where players were so many seconds ago


class Player(State):
    x: Float32 = 0.0
    hits: int = 0


class Field(State):
    time: float = 0.0  # when the players were there, in seconds
    players: Map[Player]


class Input(msgspec.Struct):
    direction: int


class Shot(msgspec.Struct):
    x: float
    time: float  # the time that the player saw: a moment ago


class Past:
    """Where the players were during the last seconds."""

    def __init__(self, seconds):
        self.seconds = seconds
        self.ring = deque()

    def add(self, time, players):
        self.ring.append((time, {key: player.x for key, player in players.items()}))
        while self.ring[0][0] < time - self.seconds:
            self.ring.popleft()

    def at(self, time):
        """The places by player at a time: between those of the ticks around it."""
        before = after = self.ring[0]
        for each in self.ring:
            after = each
            if each[0] >= time:
                break
            before = each
        if after[0] <= before[0]:
            return before[1]
        part = min(1.0, max(0.0, (time - before[0]) / (after[0] - before[0])))
        places = before[1].items()
        return {key: x + (after[1].get(key, x) - x) * part for key, x in places}


class Arena(Room):
    state: Field
    tickRate = 20.0
    patchRate = 20.0  # as often as it ticks, so each patch follows a tick

    def onCreate(self, options):
        self.past = Past(MEMORY)
        self.past.add(0.0, self.state.players)

    def onJoin(self, client, options):
        self.state.players[client.id] = Player()

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
    return server
