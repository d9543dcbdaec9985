"""
A queue: who wants to play waits in a lobby, and each two are given seats in a match of their own.

A client joins "lobby", sends "play", and waits for "match"; then it joins the match by its id, with the seat.
"""

from txroom import Room, Server, message


class Lobby(Room):
    """Decides who plays with whom: first come, first served."""

    presence = True
    resumeSeconds = 0.0  # nobody is kept waiting for who isn't there

    def onCreate(self, options):
        self.queue = []

    @message("play")
    async def play(self, client):
        if client not in self.queue:
            self.queue.append(client)
        if len(self.queue) >= 2:
            pair, self.queue = self.queue[:2], self.queue[2:]
            await self.startMatch(pair)

    @message("wait")
    def wait(self, client):
        if client in self.queue:
            self.queue.remove(client)

    def onLeave(self, client, reason):
        self.wait(client)

    async def startMatch(self, players):
        match = await self.application.createRoom("match", {"mode": self.options.get("mode")})
        for player in players:
            seat = await self.application.reserveSeat(match)
            if not player.hasLeft:
                player.send("match", {"room": match, "seat": seat})


class Match(Room):
    """For those who have a seat; whoever doesn't come in time has lost it."""

    maxClients = 2
    seatSeconds = 20.0

    def onCreate(self, options):
        self.players = []
        self.lock()  # strangers are told "locked"; seats that are kept are not locked
        self.timeout = self.clock.callLater(self.seatSeconds, self.disconnect, "nobody else has come")

    def onJoin(self, client, options):
        self.players.append(client.id)
        if len(self.players) == 2:
            self.timeout.cancel()
            self.broadcast("begin", {"mode": self.options["mode"], "first": self.players[0]})

    def onLeave(self, client, reason):
        self.disconnect("the other has left")


def makeServer(clock=None):
    server = Server(clock=clock)
    server.register("lobby", Lobby).filterBy("mode")
    server.register("match", Match, clientsMayCreate=False)
    return server
