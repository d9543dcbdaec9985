"""
Tell in which order one reactor writes what was sent and reads what has come.

    python -m tests.functional.turn_order epoll

Prints as JSON, for each way in which something is sent, whether it had reached the clients when the next
message of another client was delivered, and how many bytes one of them has got soon after.
"""

from __future__ import annotations

import contextlib
import json
import socket
import sys
from collections.abc import Callable
from typing import Any

from twisted.application.reactors import installReactor
from twisted.internet.defer import inlineCallbacks
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from txroom import Application, Connection, Server
from txroom.testing import clientFrame, upgradeRequest

#: Seconds after which a reactor wakes that has nothing to do; what is sent doesn't wait for that.
LONG = 20.0
SHORT = 0.3


class Order(Application):
    """Two clients hear what is sent; a third one says "next" as soon as something was sent."""

    def __init__(self, reactor: Any) -> None:
        super().__init__()
        self.reactor = reactor
        self.isFirst: bool | None = None
        self.hearer: socket.socket
        self.talker: socket.socket

    def onMessage(self, connection: Connection, message: str | bytes) -> Any:
        if message == "next":
            self.isFirst = bool(self.heard())
        elif message == "read":
            self.sendAll()
        elif message == "deferred":
            return self.later()
        return None

    @inlineCallbacks
    def later(self) -> Any:
        yield deferLater(self.reactor, 0.05)
        self.sendAll()

    def sendAll(self) -> None:
        """Send two messages to everyone; the next message is there already when they are written."""
        self.talker.sendall(clientFrame(1, "next"))
        self.broadcast("a")
        self.broadcast("b")

    def heard(self) -> bytes:
        """What one client has got so far."""
        with contextlib.suppress(BlockingIOError):
            return self.hearer.recv(1000, socket.MSG_PEEK | socket.MSG_DONTWAIT)
        return b""


@inlineCallbacks
def run(reactor: Any) -> Any:
    application = Order(reactor)
    server = Server(clock=reactor)
    server.addApplication(application)
    listening = server.listen("tcp:0:interface=127.0.0.1")
    server.startService()
    number = (yield listening).getHost().port
    clients = [socket.create_connection(("127.0.0.1", number)) for _ in range(3)]
    for client in clients:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.sendall(upgradeRequest("/"))
    yield deferLater(reactor, SHORT)
    application.hearer, application.talker, other = clients
    clock = server._gateway.context.clock
    ways: dict[str, Callable[[], Any]] = {
        "read": lambda: other.sendall(clientFrame(1, "read")),
        "delayed call": lambda: reactor.callLater(0.05, application.sendAll),
        "delayed call of txroom": lambda: clock.callLater(0.05, application.sendAll),
        "thread": lambda: reactor.callInThread(reactor.callFromThread, application.sendAll),
        "deferred": lambda: other.sendall(clientFrame(1, "deferred")),
    }
    found = {}
    wake = reactor.callLater(LONG, reactor.crash)
    for name, way in ways.items():
        for client in clients:
            with contextlib.suppress(BlockingIOError):
                client.recv(1 << 16, socket.MSG_DONTWAIT)
        application.isFirst = None
        way()
        yield deferLater(reactor, SHORT)
        found[name] = [application.isFirst, len(application.heard())]
    wake.cancel()
    print(json.dumps(found))
    yield server.stopService()
    reactor.stop()


def main() -> None:
    installReactor(sys.argv[1])
    from twisted.internet import reactor

    def failed(failure: Failure) -> None:
        failure.printTraceback(sys.stderr)
        reactor.stop()

    reactor.callWhenRunning(lambda: run(reactor).addErrback(failed))
    reactor.run()


if __name__ == "__main__":
    main()
