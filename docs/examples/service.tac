from twisted.application.service import Application as Daemon

from txroom import Application, Server, ServerOptions


class Echo(Application):
    def onMessage(self, connection, message):
        connection.send(message)


# In production, call useMonotonicClock(reactor) here: see "The clock" in "Deployment".
application = Daemon("echo")

server = Server(ServerOptions(maxConnections=10_000))
server.addApplication(Echo(), path="/echo")
server.listen("tcp:8080")
server.setServiceParent(application)
