"""
Memory of an idle connection, and upgrades per second of server CPU.

    python benchmarks/idle.py [--clients 5000] [--rounds 3]

Servers run one after another, interleaved over the rounds: txroom on a listener of its own, txroom under a
`Site`, and stock Autobahn. Each serves one application that says nothing. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import os
import resource
import signal
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path

REQUEST = (
    b"GET /idle HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    b"Origin: http://127.0.0.1\r\nUser-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36\r\n\r\n"
)
BATCH = 100
WARM_UP = 50


def serveOwn() -> None:
    """txroom on its own listener."""
    from twisted.internet import reactor

    from txroom import Application, Server

    server = Server()
    server.addApplication(Application(), path="/idle")
    server.listen("tcp:0:interface=127.0.0.1").addCallback(_tell)
    server.startService()
    reactor.run()


def serveSite() -> None:
    """txroom under a Site of someone else."""
    from twisted.internet import reactor
    from twisted.web.server import Site

    from txroom import Application, Server

    server = Server()
    server.addApplication(Application(), path="/idle")
    server.startService()
    _tell(reactor.listenTCP(0, Site(server.resource()), interface="127.0.0.1", backlog=511))
    reactor.run()


def serveAutobahn() -> None:
    """Stock Autobahn, without txroom."""
    from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
    from twisted.internet import reactor

    factory = WebSocketServerFactory()
    factory.protocol = WebSocketServerProtocol
    _tell(reactor.listenTCP(0, factory, interface="127.0.0.1", backlog=511))
    reactor.run()


SERVERS = {"txroom": serveOwn, "txroom under a Site": serveSite, "Autobahn": serveAutobahn}


def _tell(port: object) -> None:
    print(port.getHost().port, flush=True)


def rss(pid: int) -> int:
    """Resident bytes of a process."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("no VmRSS")


def cpu(pid: int) -> float:
    """CPU seconds of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def connect(port: int, count: int) -> list[socket.socket]:
    """Open WebSockets, some at a time."""
    opened: list[socket.socket] = []
    while len(opened) < count:
        batch = [
            socket.create_connection(("127.0.0.1", port), 10) for _ in range(min(BATCH, count - len(opened)))
        ]
        for client in batch:
            client.sendall(REQUEST)
        for client in batch:
            answer = b""
            while not answer.endswith(b"\r\n\r\n"):
                answer += client.recv(4096)
            assert answer.startswith(b"HTTP/1.1 101"), answer
        opened += batch
    return opened


def measure(name: str, clients: int) -> tuple[float, float]:
    """KiB per idle connection, and upgrades per CPU second, of one server."""
    server = subprocess.Popen([sys.executable, __file__, "--serve", name], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        warm = connect(port, WARM_UP)
        for client in warm:
            client.close()
        time.sleep(0.5)
        memory, seconds = rss(server.pid), cpu(server.pid)
        opened = connect(port, clients)
        seconds = cpu(server.pid) - seconds
        time.sleep(0.5)
        memory = rss(server.pid) - memory
        for client in opened:
            client.close()
        return memory / clients / 1024, clients / seconds
    finally:
        server.send_signal(signal.SIGKILL)
        server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=5000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--serve", choices=SERVERS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.serve:
        SERVERS[options.serve]()
        return
    found: dict[str, list[tuple[float, float]]] = {name: [] for name in SERVERS}
    for _ in range(options.rounds):
        for name in SERVERS:
            found[name].append(measure(name, options.clients))
    print(f"{options.clients} clients, median of {options.rounds} rounds")
    for name, results in found.items():
        memory, rate = (statistics.median(column) for column in zip(*results, strict=True))
        print(f"{name:22} {memory:6.1f} KiB/connection {rate:8.0f} upgrades/CPU s")


if __name__ == "__main__":
    main()
