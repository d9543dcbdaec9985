"""
An RPC interface for the process. A client that knows the password sends
{"call": "stats"} and gets {"result": ...}.
"""

from hmac import compare_digest

import attrs
import msgspec

from txroom import Application, Server

PASSWORD = "change me"


class Call(msgspec.Struct):
    call: str
    args: list = []


class Control(Application):
    def __init__(self, server):
        super().__init__(maxPayload=4096)
        self.functions = {
            "stats": lambda: attrs.asdict(server.stats()),
            "connections": lambda: [
                connection.id for connection in server.connections
            ],
            "disconnect": server.disconnect,
        }

    def verifyClient(self, handshake):
        return compare_digest(
            handshake.headers.get("authorization", "").encode(),
            f"Bearer {PASSWORD}".encode(),
        )

    def onText(self, connection, text):
        try:
            request = msgspec.json.decode(text, type=Call)
            answer = {"result": self.functions[request.call](*request.args)}
        except (msgspec.DecodeError, KeyError, TypeError, ValueError):
            answer = {"error": "no such function, or wrong arguments"}
        connection.send(msgspec.json.encode(answer).decode())


def makeServer(clock=None):
    server = Server(clock=clock)
    server.addApplication(Control(server), path="/control")
    return server
