"""
A chat room as one writes it with ws, as an application of txroom.

Each message goes to all other clients. A client needs a token, and a page of
another origin has to come from one of these two.
"""

from txroom import Application, Deny


class RoundTable(Application):
    def __init__(self):
        super().__init__(
            allowedOrigins=["http://localhost:3000", "https://myapp.com"],
            clientTracking=True,
        )

    def verifyClient(self, handshake):
        if handshake.query.get("token") != "let-me-in":
            return Deny(401, "Unauthorized")
        return True

    def chooseProtocol(self, offered, handshake):
        for protocol in ("chat-v2", "chat-v1", "echo"):
            if protocol in offered:
                return protocol
        return None if not offered else False

    def responseHeaders(self, handshake):
        return {"X-Custom-Header": "MyValue"}

    def onMessage(self, connection, message):
        self.broadcast(f"Broadcast: {message}", exclude=[connection])
