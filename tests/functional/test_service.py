"""The server as a service: starting, stopping, restarting, draining, and use inside other applications."""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from twisted.application.service import MultiService
from twisted.internet.defer import Deferred
from twisted.internet.error import CannotListenError, ConnectError, ConnectionRefusedError

from tests.functional.support import (
    LOCAL,
    PING,
    SOON,
    Echo,
    Frame,
    Net,
    Recorder,
    child,
    close,
    frame,
    get,
    head,
    reactor,
    sleep,
    text,
    until,
    within,
)
from txroom import Connection, SendStatus, Server, ServerOptions


async def refusesConnections(net: Net, address: Any) -> bool:
    """Whether an address refuses connections."""
    try:
        probe = await net.connect(address)
    except ConnectionRefusedError:
        return True
    probe.reset()
    return False


async def test_notBeforeStart(net: Net) -> None:
    """Before it is started a server has no address; afterwards it listens, until it is stopped."""
    server = Server()
    server.addApplication(Echo())
    listening = server.listen(LOCAL)
    assert server.address() is None
    assert not listening.called
    told: list[Any] = []
    server.onListening = told.append
    server.onClose = lambda: told.append("closed")
    server.startService()
    port = await listening
    assert told == [port]
    address = server.address()
    probe = await net.open(server)
    probe.send(close())
    await probe.closed()
    await server.stopService()
    assert told == [port, "closed"]
    assert server.address() is None
    assert await refusesConnections(net, address)


async def test_restart(net: Net) -> None:
    """A server that is started again serves the same applications."""
    app = Echo()
    server = await net.serve(app)
    for count in range(3):
        probe = await net.open(server)
        probe.send(text("hello"))
        assert (await probe.frame()).payload == b"hello"
        stopping = server.stopService()
        assert (await probe.frame()).code == 1001
        probe.send(close(1001))
        await within(stopping)
        assert app.count("disconnect") == count + 1
        server.startService()
        await until(lambda: server.address() is not None)
    assert server.stats().total == 3


async def test_listenLater(net: Net) -> None:
    """A running server listens on a further endpoint at once."""
    server = await net.serve()
    port = await server.listen(LOCAL)
    assert len(server.ports) == 2
    await net.open(server)
    await net.open(port.getHost())


async def test_busyPort(net: Net) -> None:
    """A port that is in use makes the start fail, and no other port stays open."""
    first = await net.serve()
    taken = f"tcp:{first.address().port}:interface=127.0.0.1"
    second = Server()
    free = second.listen(LOCAL)
    failed = second.listen(taken)
    failed.addErrback(lambda _: None)
    with pytest.raises(CannotListenError):
        second.startService()
    address = (await free).getHost()
    await until(lambda: not second.ports)
    await sleep(0.01)
    assert await refusesConnections(net, address)


async def test_number(net: Net) -> None:
    """A port number listens on IPv4 and IPv6."""
    server = Server()
    server.addApplication(Echo())
    await net.start(server, 0)
    port = server.address().port
    probe = await net.open(SimpleNamespace(port=port))
    probe.send(text("four"))
    assert (await probe.frame()).payload == b"four"
    connection = next(iter(server.connections))
    assert connection.handshake.peer in ("127.0.0.1", "::ffff:127.0.0.1")


async def test_twoServers(net: Net) -> None:
    """Two servers in one process share neither connections nor limits, and can be stopped separately."""
    first = await net.serve(maxConnections=1)
    second = await net.serve(maxConnections=1)
    one, two = await net.open(first), await net.open(second)
    assert [len(server.connections) for server in (first, second)] == [1, 1]
    first.broadcast("to the first")
    assert (await one.frame()).payload == b"to the first"
    one.send(close())
    await within(first.stopService())
    two.send(text("still here"))
    assert await two.frame() == Frame(1, b"still here")


async def test_embedded(net: Net) -> None:
    """As a child of another service it starts and stops with that; without a parent it stops alone."""
    parent = MultiService()
    app = Echo()
    server = Server(ServerOptions(closeTimeout=0.3))
    server.addApplication(app)
    server.setServiceParent(parent)
    listening = server.listen(LOCAL)
    parent.startService()
    net.servers.append(server)
    await listening
    probe = await net.open(server)
    closing = server.close()
    assert (await probe.closed()).code == 1001
    await within(closing)
    assert server.parent is None
    assert app.count("disconnect") == 1
    await parent.stopService()


# -- draining


async def test_drain(net: Net) -> None:
    """
    While `onShutdown` runs, the port answers 503; the callbacks run in order; then 1001 is sent, and the
    port closed.
    """
    app = Recorder()
    server = Server()
    server.addApplication(app, path="/ws")
    server.addHealthPage()
    await net.start(server)
    address = server.address()
    probe = await net.open(server, "/ws")
    steps: list[str] = []
    gates: list[Deferred[None]] = [Deferred(), Deferred()]

    def callback(number: int) -> Any:
        steps.append(f"begin {number}")
        return gates[number].addCallback(lambda _: steps.append(f"end {number}"))

    async def last() -> None:
        steps.append("last")

    server.onShutdown(lambda: callback(0))
    server.onShutdown(lambda: callback(1))
    server.onShutdown(last)
    server.onClose = lambda: steps.append("closed")
    stopping = server.stopService()
    assert server.isDraining
    answer = await net.refused(server, head("/ws"))
    assert (answer.status, answer.headers["retry-after"].isdigit()) == (503, True)
    health = await (await net.ask(server, get("/healthz"))).answer()
    assert (health.status, json.loads(health.body)["status"]) == (503, "draining")
    probe.send(text("still served"), frame(PING, b"p"))
    assert await probe.frame() == Frame(10, b"p")
    assert app.messages == ["still served"]
    assert steps == ["begin 0"]
    gates[0].callback(None)
    await until(lambda: steps[-1] == "begin 1")
    assert not probe.data
    gates[1].callback(None)
    closing = await probe.frame()
    assert closing == Frame(8, (1001).to_bytes(2, "big") + b"server shutdown")
    assert await refusesConnections(net, address)
    assert "closed" not in steps
    probe.send(close(1001))
    await within(stopping)
    assert steps == ["begin 0", "end 0", "begin 1", "end 1", "last", "closed"]
    assert app.disconnects == [(1001, "")]


async def test_shutdownCallbackFails(net: Net) -> None:
    """A callback that raises or hangs does not keep the server from stopping within `shutdownTimeout`."""
    server = await net.serve(shutdownTimeout=0.5)

    def raising() -> None:
        raise LookupError("in shutdown")

    server.onShutdown(raising)
    hanging: Deferred[None] = Deferred()
    server.onShutdown(lambda: hanging)
    begun = reactor().seconds()
    await within(server.stopService())
    assert 0.4 <= reactor().seconds() - begun < SOON
    assert len(net.flush(LookupError)) == 1


async def test_everyKindOfPeer(net: Net) -> None:
    """Peers that answer, never answer, never read, or hang in a hook or the upgrade: all end in time."""

    class Mixed(Recorder):
        def verifyClient(self, handshake: Any) -> Any:
            return Deferred() if "x-hang" in handshake.headers else True

        def onMessage(self, connection: Connection, message: str | bytes) -> Any:
            super().onMessage(connection, message)
            return Deferred()

    app = Mixed()
    server = await net.serve(app, shutdownTimeout=2.5, closeTimeout=30)
    answering = [await net.open(server) for _ in range(5)]
    silent = [await net.open(server) for _ in range(5)]
    stalled = [await net.open(server) for _ in range(3)]
    busy = [await net.open(server) for _ in range(3)]
    await until(lambda: len(app.met) == 16)
    for connection, probe in zip(app.met[10:13], stalled, strict=True):
        probe.stall()
        while connection.send(b"m" * 65_536) is not SendStatus.DROPPED:
            pass
    for probe in busy:
        probe.send(text("hangs"))
    await until(lambda: len(app.messages) == 3)
    hanging = await net.ask(server, head("/", "X-Hang: yes"))
    half = await net.ask(server, head()[:30])
    idle = await net.connect(server)
    await sleep(0.05)
    begun = reactor().seconds()
    stopping = server.stopService()
    for probe in answering:
        assert (await probe.frame()).code == 1001
        probe.send(close(1001))
    await within(stopping)
    assert reactor().seconds() - begun < 2.5 + SOON
    assert app.count("disconnect") == 16
    codes = sorted(code for code, _ in app.disconnects)
    assert codes.count(1001) == 5
    assert set(codes) == {1001, 1006}
    for probe in (hanging, half):
        assert (await probe.refusal()).status == 503
    await idle.end()
    for probe in silent:
        await probe.end()


async def test_stopNow(net: Net) -> None:
    """After `stopNow`, or a second signal, the server does not wait any more."""
    app = Recorder()
    server = await net.serve(app, shutdownTimeout=30)
    server.onShutdown(lambda: Deferred())
    probes = [await net.open(server) for _ in range(3)]
    stopping = server.stopService()
    await sleep(0.05)
    assert not stopping.called
    begun = reactor().seconds()
    server.stopNow()
    await within(stopping)
    assert reactor().seconds() - begun < SOON
    assert app.count("disconnect") == 3
    for probe in probes:
        await probe.end()


async def test_underLoad(net: Net) -> None:
    """
    If it stops while clients connect, send and leave, each accepted client has exactly one `onDisconnect`.
    """
    app = Recorder()
    server = await net.serve(app, shutdownTimeout=20)
    probes = [await net.open(server) for _ in range(100)]
    going = True
    refused = 0

    async def come() -> None:
        nonlocal refused
        while going:
            try:
                probe = await net.connect(server.address())
            except (ConnectError, AttributeError):
                return
            probe.send(head())
            await until(lambda: probe.data or probe.ended)  # noqa: B023
            refused += probe.data.startswith(b"HTTP/1.1 503")
            probes.append(probe)

    coming = Deferred.fromCoroutine(come())
    drained: Deferred[None] = Deferred()
    server.onShutdown(lambda: drained)
    await sleep(0.05)
    stopping = server.stopService()
    while not stopping.called:
        if refused and not drained.called:
            drained.callback(None)
        for probe in list(probes):
            if not probe.ended:
                probe.send(text("x"))
                if b"server shutdown" in probe.data:
                    probe.send(close(1001))
        await sleep(0.01)
    going = False
    await within(coming)
    await within(stopping)
    assert refused
    assert app.count("connect") == app.count("disconnect") == server.stats().total
    assert server.connections == []


async def test_manyAtOnce(net: Net) -> None:
    """600 connections that answer are closed in batches, long before the deadline."""
    app = Recorder()
    server = await net.serve(app, shutdownTimeout=120)
    probes = [await net.open(server) for _ in range(600)]
    for probe in probes:
        probe.dataReceived = lambda data, probe=probe: probe.send(close(1001))  # type: ignore[method-assign,misc]
    await within(server.stopService())
    assert app.disconnects == [(1001, "")] * 600


# -- a plain application


TAC = """
import sys
from functools import partial
from twisted.application.service import Application
from txroom import Application as Sockets, Server

say = partial(print, file=sys.__stdout__, flush=True)
echo = Sockets(onMessage=lambda connection, message: connection.send(message))
echo.onDisconnect = lambda connection, code, reason: say("gone", code)
server = Server()
server.addApplication(echo, path="/ws")
server.listen("tcp:0:interface=127.0.0.1")
server.onListening = lambda port: say(port.getHost().port)
server.onShutdown(lambda: say("stopping"))
server.onClose = lambda: say("stopped")

application = Application("plain")
server.setServiceParent(application)
"""


async def test_tac(net: Net, tmp_path: Path) -> None:
    """In a plain `.tac` application under twistd it serves, and SIGTERM stops it in order."""
    (tmp_path / "plain.tac").write_text(TAC)
    command = (
        *(sys.executable, "-c", "from twisted.scripts.twistd import run; run()"),
        *("--nodaemon", "--pidfile=", "--logfile=twistd.log", "--python", "plain.tac"),
    )
    with child(*command, cwd=tmp_path) as process:
        where = SimpleNamespace(port=int(await process.line()))
        probe = await net.open(where, "/ws")
        other = await net.open(where, "/ws")
        probe.send(text("hello"))
        assert (await probe.frame()).payload == b"hello"
        process.send(signal.SIGTERM)
        assert await process.line() == "stopping"
        for one in (probe, other):
            assert (await one.frame()).code == 1001
            one.send(close(1001))
        assert sorted([await process.line(), await process.line()]) == ["gone 1001", "gone 1001"]
        assert await process.line() == "stopped"
        assert await process.wait() in (0, -signal.SIGTERM)
    log = (tmp_path / "twistd.log").read_text()
    assert "Traceback" not in log
