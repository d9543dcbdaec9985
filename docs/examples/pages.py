from twisted.web.static import Data

from txroom import Application, Server


def makeServer(clock=None):
    server = Server(clock=clock)
    server.addApplication(Application(onMessage=lambda c, message: c.send(message)), path="/chat")
    server.addPage("/chat", Data(b"Use a WebSocket here.", "text/plain"))
    server.addPage("/", Data(b"<h1>Welcome</h1>", "text/html"))
    server.addHealthPage("/healthz")
    return server
