"""
Clients while they are set up: upgraded, joined to their room, and given to the load generator.

A `Dialect` knows what a server's clients say: at the upgrade, to join, to speak and to call.
"""

from __future__ import annotations

import contextlib
import json
import resource
import select
import socket
import zlib
from collections.abc import Iterable, Iterator, Sequence

#: Connections that are opened side by side.
BATCH = 100
#: Seconds that anything may take while clients are set up.
PATIENCE = 30.0
#: Seconds without news after which nothing more is expected.
QUIET = 0.2
MASK = b"\x37\xfa\x21\x3d"

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
DEFLATED = 0x40


class ClientFailed(Exception):
    """A server didn't answer as it should."""


def raiseFileLimit() -> int:
    """Allow as many open files as this process may; how many that is."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def frameOf(payload: bytes, opcode: int = TEXT, rsv: int = 0) -> bytes:
    """A masked frame."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | rsv | opcode, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((0x80 | rsv | opcode, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | rsv | opcode, 0xFF)) + size.to_bytes(8, "big")
    key = (MASK * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return head + MASK + masked.to_bytes(size, "big")


class Client:
    """One connection that reads whole frames, and waits for them."""

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        self._data = b""

    def fileno(self) -> int:
        """Its number."""
        return self.socket.fileno()

    def close(self) -> None:
        """Drop the connection."""
        self.socket.close()

    def ask(self, path: str, headers: Iterable[str] = ()) -> None:
        """Send the request of the upgrade."""
        lines = [
            f"GET {path} HTTP/1.1",
            "Host: 127.0.0.1",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            "Origin: http://127.0.0.1",
            "User-Agent: Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
            *headers,
        ]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode())

    def upgraded(self) -> str:
        """The head of the answer, which has to be a 101."""
        while b"\r\n\r\n" not in self._data:
            self._more()
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise ClientFailed(head.decode("latin-1"))
        return head.decode("latin-1")

    def say(self, payload: bytes | str, opcode: int = TEXT) -> None:
        """Send one message."""
        self.socket.sendall(frameOf(payload.encode() if isinstance(payload, str) else payload, opcode))

    def frame(self) -> tuple[int, bytes]:
        """The first byte and the payload of the next frame that is no ping."""
        while True:
            size, head = self._size()
            while len(self._data) < head + size:
                self._more()
                size, head = self._size()
            first, payload = self._data[0], self._data[head : head + size]
            self._data = self._data[head + size :]
            if first & 15 == CLOSE:
                raise ClientFailed(f"closed with {int.from_bytes(payload[:2], 'big')} {payload[2:]!r}")
            if first & 15 == PING:
                self.say(payload, PONG)
            else:
                return first, payload

    def answer(self, start: str = "") -> str:
        """The next message that begins so; only the first of a connection may be deflated."""
        while True:
            first, payload = self.frame()
            if first & DEFLATED:
                payload = zlib.decompressobj(-zlib.MAX_WBITS).decompress(payload + b"\0\0\xff\xff")
            text = payload.decode(errors="replace")
            if text.startswith(start):
                return text

    def hasData(self) -> bool:
        """Whether something was read and not yet taken."""
        return bool(self._data)

    def _size(self) -> tuple[int, int]:
        """Bytes of the next frame's payload and of its head, as far as is known."""
        while len(self._data) < 2:
            self._more()
        size = self._data[1] & 127
        extra = {126: 2, 127: 8}.get(size, 0)
        if extra:
            while len(self._data) < 2 + extra:
                self._more()
            size = int.from_bytes(self._data[2 : 2 + extra], "big")
        return size, 2 + extra

    def _more(self) -> None:
        data = self.socket.recv(1 << 16)
        if not data:
            raise ClientFailed("the server has dropped a connection")
        self._data += data


def settle(clients: Sequence[Client], quiet: float = QUIET) -> None:
    """Take whatever comes until nothing comes any more."""
    poll = select.epoll()
    byNumber = {client.fileno(): client for client in clients}
    for number in byNumber:
        poll.register(number, select.EPOLLIN)
    with contextlib.closing(poll):
        while ready := poll.poll(quiet):
            for number, _ in ready:
                client = byNumber[number]
                client.frame()
                while client.hasData():
                    client.frame()


class Dialect:
    """Plain WebSockets: what is said is what is heard."""

    path = "/"
    headers: tuple[str, ...] = ()
    #: How the messages begin that a speaker causes, and the answers to calls.
    heard = b""
    answered = b""

    @contextlib.contextmanager
    def crowd(self, port: int, count: int) -> Iterator[list[Client]]:
        """So many clients, ready to speak, until the end of the block."""
        clients: list[Client] = []
        try:
            self.open(port, count, clients)
            settle(clients)
            yield clients
        finally:
            for client in clients:
                client.close()

    def open(self, port: int, count: int, clients: list[Client]) -> None:
        """So many clients more."""
        count += len(clients)
        while len(clients) < count:
            batch = [Client(port) for _ in range(min(BATCH, count - len(clients)))]
            clients += batch
            for client in batch:
                self.ask(client)
            for client in batch:
                client.upgraded()
            for client in batch:
                self.enter(client)
            for client in batch:
                self.entered(client)

    def ask(self, client: Client) -> None:
        """Send the request of the upgrade."""
        client.ask(self.path, self.headers)

    def enter(self, client: Client) -> None:
        """Send what it takes to join, after the upgrade."""

    def entered(self, client: Client) -> None:
        """Await what says that it has joined."""

    def spoken(self, text: str, count: int) -> list[bytes]:
        """The frames of a speaker, one after another; after the last the first comes again."""
        return [frameOf(text.encode())]

    def called(self, text: str, count: int) -> list[bytes]:
        """The frames of a caller."""
        raise NotImplementedError


def compact(data: object) -> str:
    """JSON as JavaScript's `JSON.stringify` writes it."""
    return json.dumps(data, separators=(",", ":"))


class Deflated(Dialect):
    """Plain WebSockets with permessage-deflate, offered as browsers do."""

    headers = ("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",)


class TxroomRoom(Dialect):
    """Members of a room of txroom, numbering what they send as its clients do."""

    path = "/rooms/chat?name=ada"
    heard = b'["msg"'
    answered = b'["reply"'

    def entered(self, client: Client) -> None:
        client.answer('["joined"')

    def spoken(self, text: str, count: int) -> list[bytes]:
        return [
            frameOf(compact(["send", None, "say", {"text": text}, n]).encode()) for n in range(1, count + 1)
        ]

    def called(self, text: str, count: int) -> list[bytes]:
        return [
            frameOf(compact(["call", n, None, "ask", {"text": text}, n]).encode())
            for n in range(1, count + 1)
        ]
