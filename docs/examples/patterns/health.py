"""
Health checks: a heartbeat for each connection, a page with the round-trip times at
/connections, and the health of the server at /healthz.
"""

import msgspec
from twisted.web.resource import Resource

from txroom import Application, Server, ServerOptions


class Connections(Resource):
    isLeaf = True

    def __init__(self, server):
        super().__init__()
        self.server = server

    def render_GET(self, request):
        now = self.server.clock.seconds()
        request.setHeader("Content-Type", "application/json")
        return msgspec.json.encode(
            [
                {"rtt": connection.rtt, "idle": now - connection.lastActivity}
                for connection in self.server.connections
            ]
        )


class Monitored(Application):
    def __init__(self):
        super().__init__()
        self.lost = 0

    def onDisconnect(self, connection, code, reason):
        if reason == "no heartbeat":
            self.lost += 1


def makeServer(clock=None):
    # The server drops a client that is silent for 30 + 10 seconds.
    server = Server(ServerOptions(pingInterval=30, pingTimeout=10), clock)
    server.addApplication(Monitored(), path="/chat")
    server.addPage("/connections", Connections(server))
    server.addHealthPage("/healthz")
    return server
