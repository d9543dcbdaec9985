"""Authentication after the upgrade: the client is told the result in a message."""

import msgspec

from txroom import Application, CloseCode


async def verifyToken(token):
    """Ask a database or another service."""
    return {"t-1": {"id": 1, "name": "alice"}}.get(token)


class Authenticated(Application):
    async def onConnect(self, connection):
        handshake = connection.handshake
        bearer = handshake.headers.get("authorization", "").removeprefix("Bearer ")
        user = await verifyToken(bearer or handshake.query.get("token", ""))
        if user is None:
            self.tell(
                connection,
                type="auth",
                status="error",
                message="Authentication failed",
            )
            connection.close(CloseCode.POLICY_VIOLATION, "Authentication failed")
        else:
            connection.user = user
            self.tell(connection, type="auth", status="success", user=user)

    def onText(self, connection, text):
        # There is a user: the server delivers no message before onConnect is done,
        # and none after a close.
        self.tell(connection, type="echo", text=text, to=connection.user["name"])

    def tell(self, connection, **message):
        connection.send(msgspec.json.encode(message).decode())
