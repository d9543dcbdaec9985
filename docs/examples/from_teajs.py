"""Sends each message to all clients, by their ids."""

from txroom import Application, Server


def makeServer(clock=None):
    server = Server(clock=clock)
    clients = []

    def onConnect(connection):
        clients.append(connection.id)

    def onMessage(connection, data):
        for client in clients:
            server.send(client, data)

    def onDisconnect(connection, code, reason):
        clients.remove(connection.id)

    server.addApplication(
        Application(
            onConnect=onConnect, onMessage=onMessage, onDisconnect=onDisconnect
        )
    )
    server.listen(8888)
    return server
