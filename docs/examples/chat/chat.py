from collections import deque
from pathlib import Path

import msgspec
from twisted.web.static import Data

from txroom import Accept, Application, Deny, Server

HERE = Path(__file__).parent


class Say(msgspec.Struct):
    """A message of a client: {"text": "hello"}."""

    text: str


class Chat(Application):
    """Sends each message to all clients."""

    def __init__(self):
        super().__init__(maxPayload=4096, messageRate=5)
        self.last = deque(maxlen=100)

    def verifyClient(self, handshake):
        name = handshake.query.get("name", "")
        if not name.isalnum():
            return Deny(403, "A name is letters and digits.")
        if name in {connection.user for connection in self.connections}:
            return Deny(409, f"There is a {name} already.")
        return Accept(user=name)

    def onConnect(self, connection):
        for line in list(self.last)[-20:]:
            connection.send(line)
        self.tell(f"{connection.user} came in")

    def onText(self, connection, text):
        try:
            said = msgspec.json.decode(text, type=Say)
        except msgspec.ValidationError as error:
            connection.send(f"! {error}")
        except msgspec.DecodeError:
            connection.close(1003, "say it in JSON")
        else:
            self.tell(f"{connection.user}: {said.text}")

    def onDisconnect(self, connection, code, reason):
        self.tell(f"{connection.user} left")

    def tell(self, line):
        self.last.append(line)
        self.broadcast(line)


def makeServer(clock=None):
    """The chat at /chat, its page at /, and a page for health checks."""
    server = Server(clock=clock)
    server.addApplication(Chat(), path="/chat")
    page = (HERE / "chat.html").read_bytes()
    server.addPage("/", Data(page, "text/html; charset=utf-8"))
    server.addHealthPage("/healthz")
    return server
