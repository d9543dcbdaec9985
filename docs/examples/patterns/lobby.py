"""
A lobby with a queue. Clients that want to play wait in the lobby, which reserves
seats in a match for each two of them.

A client joins "lobby", sends "play" and waits for the message "match". Then it
joins the match by its id, with the seat.
"""

from txroom import Room, Server, message


class Lobby(Room):
    """Matches clients in the order in which they ask."""

    presence = True
    resumeSeconds = 0.0  # nobody waits for a client that is away

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
        match = await self.application.createRoom(
            "match", {"mode": self.options.get("mode")}
        )
        for player in players:
            seat = await self.application.reserveSeat(match)
            if not player.hasLeft:
                player.send("match", {"room": match, "seat": seat})


class Match(Room):
    """A game for two clients that have a reserved seat."""

    maxClients = 2
    seatSeconds = 20.0

    def onCreate(self, options):
        self.players = []
        self.lock()  # only for clients without a reserved seat
        self.timeout = self.clock.callLater(
            self.seatSeconds, self.disconnect, "nobody else has come"
        )

    def onJoin(self, client, options):
        self.players.append(client.id)
        if len(self.players) == 2:
            self.timeout.cancel()
            self.broadcast(
                "begin", {"mode": self.options["mode"], "first": self.players[0]}
            )

    def onLeave(self, client, reason):
        self.disconnect("the other has left")


def makeServer(clock=None):
    server = Server(clock=clock)
    server.register("lobby", Lobby).filterBy("mode")
    server.register("match", Match, clientsMayCreate=False)
    return server
