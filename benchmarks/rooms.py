"""
Server CPU per delivered message: one room of many, beside a plain broadcast.

    python benchmarks/rooms.py [--clients 500] [--messages 400] [--rounds 5] [--profile FILE]

One server of the demo. So many clients have joined one "chat" room (JSON), as many are connected to
`/broadcast`; some of them say 64 characters in turn, and the next message goes when all have the last one.
The two are measured alternately. Linux only: it reads /proc.
"""

from __future__ import annotations

import argparse
import json
import resource
import select
import signal
import socket
import statistics
import subprocess
import sys
from pathlib import Path

REQUEST = (
    "GET {} HTTP/1.1\r\nHost: 127.0.0.1\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
TEXT = "x" * 64
#: So many of the clients speak, so that none of them is over its rate.
SPEAKERS = 50
WARM_UP = 40
#: Seconds without news after which something is wrong.
PATIENCE = 20.0


def serve(profile: str | None) -> None:
    """The demo, in this process."""
    from twisted.internet import reactor

    from txroom.demo import makeDemo

    server = makeDemo()
    server.listen("tcp:0:backlog=511:interface=127.0.0.1").addCallback(
        lambda port: print(port.getHost().port, flush=True)
    )
    server.startService()
    if profile is None:
        reactor.run()
        return
    import cProfile

    signal.signal(signal.SIGTERM, lambda *_: reactor.callFromThread(reactor.stop))
    profiler = cProfile.Profile()
    profiler.runcall(reactor.run, installSignalHandlers=False)
    profiler.dump_stats(profile)


def cpu(pid: int) -> float:
    """CPU seconds of a process with one busy thread."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def masked(text: str) -> bytes:
    """A text frame of a client, masked with zeros."""
    payload = text.encode()
    size = len(payload)
    head = bytes((0x81, 0x80 | size)) if size < 126 else bytes((0x81, 0xFE)) + size.to_bytes(2, "big")
    return head + bytes(4) + payload


class Crowd:
    """Clients that read, count and forget."""

    def __init__(self, port: int, path: str, count: int) -> None:
        self._poll = select.epoll()
        self._clients: dict[int, socket.socket] = {}
        self._rest: dict[int, bytes] = {}
        self.got = 0
        for _ in range(count):
            client = socket.create_connection(("127.0.0.1", port), 10)
            client.sendall(REQUEST.format(path).encode())
            answer = b""
            while b"\r\n\r\n" not in answer:
                answer += client.recv(4096)
            head, _, rest = answer.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101"), head
            client.setblocking(False)
            self._clients[client.fileno()] = client
            self._rest[client.fileno()] = rest
            self._poll.register(client.fileno(), select.EPOLLIN)
        self._speakers = list(self._clients.values())[:SPEAKERS]
        self._said = 0

    def say(self) -> None:
        """The next speaker says something to all."""
        client = self._speakers[self._said % len(self._speakers)]
        self._said += 1
        client.sendall(self.message())

    def message(self) -> bytes:
        """What is said."""
        return masked(TEXT)

    def counts(self, frame: bytes) -> bool:
        """Whether a frame is what is counted."""
        return True

    def read(self, timeout: float) -> bool:
        """Read what has come; whether there was anything."""
        ready = self._poll.poll(timeout)
        for number, _ in ready:
            data = self._clients[number].recv(1 << 18)
            assert data, "the server has closed a connection"
            data = self._rest[number] + data
            start = 0
            while len(data) - start >= 2:
                size, head = data[start + 1], 2
                if size == 126:
                    size, head = int.from_bytes(data[start + 2 : start + 4], "big"), 4
                elif size == 127:
                    size, head = int.from_bytes(data[start + 2 : start + 10], "big"), 10
                if len(data) - start < head + size:
                    break
                if data[start] == 0x81:
                    self.got += self.counts(data[start + head : start + head + size])
                elif data[start] == 0x89:
                    pong = data[start + head : start + head + size]
                    self._clients[number].sendall(bytes((0x8A, 0x80 | size, 0, 0, 0, 0)) + pong)
                start += head + size
            self._rest[number] = data[start:]
        return bool(ready)

    def deliver(self, messages: int) -> int:
        """Say so many things, one after another; how many messages were delivered."""
        self.got = 0
        for number in range(1, messages + 1):
            self.say()
            while self.got < number * len(self._clients):
                assert self.read(PATIENCE), f"{self.got} of {number * len(self._clients)} messages have come"
        return self.got

    def settle(self) -> None:
        """Until nothing comes any more."""
        while self.read(0.3):
            pass


class RoomCrowd(Crowd):
    """All in one room."""

    def __init__(self, port: int, count: int) -> None:
        super().__init__(port, "/rooms", count)
        for client in self._clients.values():
            client.sendall(masked(json.dumps(["join", 1, "chat", {"name": "ada"}])))
            self._room = ""
            while not self._room:
                assert self.read(PATIENCE), "no seat"
        self.settle()

    def message(self) -> bytes:
        """Numbered, as the clients of txroom do."""
        n = (self._said - 1) // len(self._speakers) + 1
        return masked(json.dumps(["send", self._room, "say", TEXT, n]))

    def counts(self, frame: bytes) -> bool:
        """The messages of the room; not its acknowledgements."""
        if frame.startswith(b'["joined"'):
            self._room = json.loads(frame)[2]
        return frame.startswith(b'["msg"')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clients", type=int, default=500)
    parser.add_argument("--messages", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--profile", help="write a profile of the server, all of it, to this file")
    parser.add_argument("--only", choices=("broadcast", "room"), help="measure one of the two")
    parser.add_argument("--serve", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.serve:
        serve(options.profile)
        return
    command = [sys.executable, __file__, "--serve"]
    if options.profile:
        command += ["--profile", options.profile]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline())
        crowds: dict[str, Crowd] = {}
        if options.only != "room":
            crowds["broadcast"] = Crowd(port, "/broadcast", options.clients)
        if options.only != "broadcast":
            crowds["room"] = RoomCrowd(port, options.clients)
        found: dict[str, list[float]] = {name: [] for name in crowds}
        for crowd in crowds.values():
            crowd.deliver(WARM_UP)
            crowd.settle()
        for _ in range(options.rounds):
            for name, crowd in crowds.items():
                seconds = cpu(server.pid)
                delivered = crowd.deliver(options.messages)
                found[name].append((cpu(server.pid) - seconds) / delivered * 1e6)
                crowd.settle()
        print(f"{options.clients} clients, {options.messages} messages, median of {options.rounds} rounds")
        for name, values in found.items():
            print(f"{name:10} {statistics.median(values):6.2f} µs   ({min(values):.2f}-{max(values):.2f})")
        if len(found) == 2:
            ratio = statistics.median(found["room"]) / statistics.median(found["broadcast"])
            print(f"ratio      {ratio:6.2f}")
    finally:
        server.send_signal(signal.SIGTERM)
        try:
            server.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            server.kill()
            server.wait()


if __name__ == "__main__":
    main()
