"""Before the server stops, it tells all clients and gives them five seconds."""

from twisted.internet.task import deferLater

from txroom import Application, Server

SECONDS = 5


class Chat(Application):
    def onMessage(self, connection, message):
        self.broadcast(message)


def makeServer(clock=None):
    server = Server(clock=clock)
    server.addApplication(Chat(), path="/chat")

    async def tell():
        server.broadcast('{"type": "server_shutdown", "seconds": 5}')
        for _ in range(SECONDS * 10):
            if not server.connections:
                return
            await deferLater(server.clock, 0.1)

    server.onShutdown(tell)
    return server
