"""Limits for the number of connections, and a page that counts them: /stats."""

import attrs
import msgspec
from twisted.web.resource import Resource

from txroom import Application, Server, ServerOptions


class Stats(Resource):
    isLeaf = True

    def __init__(self, server):
        super().__init__()
        self.server = server

    def render_GET(self, request):
        request.setHeader("Content-Type", "application/json")
        return msgspec.json.encode(attrs.asdict(self.server.stats()))


class Echo(Application):
    def onMessage(self, connection, message):
        connection.send(message)


def makeServer(clock=None, maxConnections=1000):
    options = ServerOptions(
        maxConnections=maxConnections, maxConnectionsPerAddress=100
    )
    server = Server(options, clock)
    server.addApplication(Echo(), path="/echo")
    server.addPage("/stats", Stats(server))
    return server
