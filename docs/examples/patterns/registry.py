"""A registry of connections by user, to list users and to notify them."""

import msgspec

from txroom import Accept, Application, Prepared


class Registry(Application):
    def __init__(self):
        super().__init__()
        self.users = {}

    def verifyClient(self, handshake):
        user = handshake.query.get("user")  # a real server checks a session
        return Accept(user=user) if user else False

    def onConnect(self, connection):
        connection.data["device"] = connection.handshake.query.get(
            "device", "unknown"
        )
        self.users.setdefault(connection.user, set()).add(connection)

    def onDisconnect(self, connection, code, reason):
        connections = self.users[connection.user]
        connections.discard(connection)
        if not connections:
            del self.users[connection.user]

    def notify(self, user, notification):
        """Send to all connections of a user. Returns how many there are."""
        message = Prepared(msgspec.json.encode(notification).decode())
        connections = list(self.users.get(user, ()))
        for connection in connections:
            connection.sendFrame(message)
        return len(connections)

    def listing(self):
        return [
            {
                "user": connection.user,
                "device": connection.data["device"],
                "connectedAt": connection.connectedAt,
                "lastActivity": connection.lastActivity,
            }
            for connection in self.connections
        ]
