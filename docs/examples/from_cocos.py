"""An echo server inside another program, with handlers for each connection."""

from txroom import Application, Server


def bootServer(clock=None):
    server = Server(clock=clock)
    server.addApplication(Application())

    def onMessage(connection, data):
        connection.send(data)

    def onDisconnect(connection, code, reason):
        print("connection gone!")

    def onConnection(connection):
        connection.onMessage = onMessage
        connection.onDisconnect = onDisconnect

    server.onConnection = onConnection
    server.onClose = lambda: print("server is closed!")
    server.listen(8080).addCallback(lambda port: print("server booted!"))
    return server


if __name__ == "__main__":
    from twisted.internet import reactor

    server = bootServer()
    server.startService()
    reactor.addSystemEventTrigger("before", "shutdown", server.stopService)
    reactor.run()
