from typing import Annotated

from msgspec import Meta, Struct

from txroom import Room, Server, message

NAMES = {"t-1": "ann", "t-2": "bob"}


class Point(Struct):
    x: float
    y: float


class Arena(Room):
    maxClients = 8
    tickRate = 20
    resumeSeconds = 30

    def onCreate(self, options):
        self.players = {}
        self.moved = set()
        self.clock.callLater(600, self.disconnect, "the game is over")

    def onAuth(self, client, options, handshake):
        return NAMES.get(options.get("auth"))

    def onJoin(self, client, options):
        self.players[client.id] = {
            "name": client.user,
            "x": 50,
            "y": 50,
            "connected": True,
        }
        self.tell(client)

    def snapshot(self, client):
        return self.players

    @message("move")
    def move(self, client, to: Point):
        x, y = (min(max(value, 0), 100) for value in (to.x, to.y))
        self.players[client.id].update(x=x, y=y)
        self.moved.add(client.id)

    @message("say")
    def say(self, client, text: Annotated[str, Meta(max_length=200)]):
        self.broadcast("said", {"name": client.user, "text": text})

    def onTick(self, seconds):
        if self.moved:
            moved = {id: self.players[id] for id in self.moved}
            places = {id: (each["x"], each["y"]) for id, each in moved.items()}
            self.broadcast("moved", places, volatile=True)
            self.moved.clear()

    def onDrop(self, client):
        self.players[client.id]["connected"] = False
        self.tell(client)

    def onResume(self, client, recovered):
        self.players[client.id]["connected"] = True
        self.tell(client)
        self.moved.update(self.players)

    def onLeave(self, client, reason):
        del self.players[client.id]
        self.moved.discard(client.id)
        self.broadcast("gone", client.id)

    def tell(self, client):
        self.broadcast("player", {"id": client.id, **self.players[client.id]})


def makeServer(clock=None):
    server = Server(clock=clock)
    server.register("arena", Arena).filterBy("mode")
    return server
