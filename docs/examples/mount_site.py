from twisted.application import strports
from twisted.application.service import MultiService
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from txroom import Application, Server


class Echo(Application):
    def onMessage(self, connection, message):
        connection.send(message)


def makeServer(clock=None):
    server = Server(clock=clock)
    server.addApplication(Echo(), path="/ws/chat")
    return server


def makeRoot(server):
    """Your resources, and one more for the WebSockets."""
    root = Resource()
    root.putChild(b"", Data(b"<h1>Welcome</h1>", "text/html"))
    root.putChild(b"ws", server.resource())
    return root


def makeService(reactor):
    service = MultiService()
    server = makeServer(reactor)
    server.setServiceParent(service)
    site = Site(makeRoot(server), reactor=reactor)
    strports.service("tcp:8080", site, reactor=reactor).setServiceParent(service)
    return service
