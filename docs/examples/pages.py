from twisted.web.static import Data

from txroom import Application, Server


class Echo(Application):
    def onMessage(self, connection, message):
        connection.send(message)


def makeServer(clock=None):
    server = Server(clock=clock)
    server.addApplication(Echo(), path="/chat")
    server.addPage("/chat", Data(b"Use a WebSocket here.", "text/plain"))
    server.addPage("/", Data(b"<h1>Welcome</h1>", "text/html"))
    server.addHealthPage("/healthz")
    return server
