"""txroom serves an Autobahn program at a path of its own, and rooms beside it."""

from autobahn.twisted.websocket import (
    WebSocketServerFactory,
    WebSocketServerProtocol,
)
from autobahn.websocket.types import ConnectionDeny

from txroom import Room, Server, message

# The Autobahn program, without changes.


class Broadcasting(WebSocketServerProtocol):
    def onConnect(self, request):
        if "x-banned" in request.headers:
            raise ConnectionDeny(403, "not you")

    def onOpen(self):
        self.factory.clients.add(self)

    def onMessage(self, payload, isBinary):
        for client in self.factory.clients:
            client.sendMessage(payload, isBinary)

    def onClose(self, wasClean, code, reason):
        self.factory.clients.discard(self)


class BroadcastFactory(WebSocketServerFactory):
    protocol = Broadcasting

    def __init__(self):
        super().__init__("ws://127.0.0.1:9000")
        self.clients = set()


# These lines replace `reactor.listenTCP(9000, BroadcastFactory())`.


class Chat(Room):
    @message("say")
    def say(self, client, text: str):
        self.broadcast("said", text)


def makeServer(clock=None):
    server = Server(clock=clock)
    server.addFactory("/ws", BroadcastFactory())
    server.register("chat", Chat)
    return server
