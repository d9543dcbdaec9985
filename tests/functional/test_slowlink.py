"""Clients on a link of 25 kB/s, and a process that is suspended: neither counts as misuse."""

from __future__ import annotations

import signal
import socket
from typing import Any

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol

from tests.functional.slowlink import SlowLink
from tests.functional.support import BINARY, SOON, Net, Recorder, child, frame, python, reactor, sleep, until


async def test_upload(net: Net) -> None:
    """
    A message that takes four times `messageTimeout` to arrive is delivered, and its sender is not dropped.
    """
    application = Recorder()
    server = await net.serve(application, messageTimeout=1, pingInterval=0.5, pingTimeout=2)
    link = await SlowLink.to(server.address().port)
    try:
        begun = reactor().seconds()
        probe = await net.open(link)
        probe.send(frame(BINARY, bytes(100_000)))
        await until(lambda: application.messages, "no message", 20)
        assert reactor().seconds() - begun > 3.5  # the link is really slow
        assert not probe.ended
    finally:
        await link.close()


async def test_download(net: Net) -> None:
    """A peer that still reads what the operating system has buffered for it does not count as dead."""
    application = Recorder()
    server = await net.serve(application, pingInterval=0.5, pingTimeout=2)
    link = await SlowLink.to(server.address().port)
    try:
        probe = await net.open(link)
        await until(lambda: application.met)
        connection = application.met[0]
        connection._wire.receiver.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 19)
        size = 150_000
        begun = reactor().seconds()
        connection.send(bytes(size))
        assert connection.bufferedAmount == 0, "the operating system took it at once"
        await until(lambda: len(probe.data) > size or probe.ended, "the message doesn't come", 20)
        assert (probe.ended, application.disconnects) == (False, [])
        assert reactor().seconds() - begun > 4, "the link isn't slow"
    finally:
        await link.close()


async def test_dead(net: Net) -> None:
    """A peer that reads nothing is dropped, however much the operating system has buffered for it."""
    application = Recorder()
    server = await net.serve(application, pingInterval=0.4, pingTimeout=0.4)
    link = await SlowLink.to(server.address().port, rate=0)
    try:
        link.rate = 1_000_000
        await net.open(link)
        link.rate = 0
        await until(lambda: application.met)
        application.met[0].send(bytes(150_000))
        begun = reactor().seconds()
        assert (await application.ended())[1] == "no heartbeat"
        assert reactor().seconds() - begun < SOON
    finally:
        await link.close()


STANDING_STILL = """
    from txroom import Application, Server, ServerOptions
    from twisted.internet import reactor

    server = Server(ServerOptions(pingInterval=0.3, pingTimeout=1.5))
    server.addApplication(Application(onDisconnect=lambda connection, code, reason: print(code, flush=True)))
    server.onListening = lambda port: print(port.getHost().port, flush=True)
    server.listen("tcp:0:interface=127.0.0.1")
    server.startService()
    reactor.run()
"""


async def test_standstill(net: Net) -> None:
    """After the process was suspended, clients are read before their timeouts are checked."""
    with child(*python(STANDING_STILL)) as process:
        factory = WebSocketClientFactory(f"ws://127.0.0.1:{await process.line()}", reactor=reactor())
        closed: list[Any] = []

        class Client(WebSocketClientProtocol):
            opened = 0

            def onOpen(self) -> None:
                Client.opened += 1

            def onPing(self, payload: bytes) -> None:
                reactor().callLater(0.15, self.sendPong, payload)

            def onClose(self, wasClean: bool, code: int, reason: str) -> None:
                closed.append((code, reason))

        factory.protocol = Client
        clients = [reactor().connectTCP("127.0.0.1", factory.port, factory) for _ in range(60)]
        await until(lambda: Client.opened == 60)
        for _ in range(2):
            await sleep(0.35)  # some pings have been answered, some not yet
            process.send(signal.SIGSTOP)
            await sleep(2.5)
            process.send(signal.SIGCONT)
        await sleep(0.5)
        assert closed == []
        for each in clients:
            each.disconnect()
        await until(lambda: len(closed) == 60)
