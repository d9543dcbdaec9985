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
import ssl
import zlib
from collections.abc import Iterable, Iterator
from http.client import HTTPConnection

from msgspec import msgpack

#: Connections that are opened side by side.
BATCH = 50
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


def frameOf(payload: bytes, opcode: int = TEXT) -> bytes:
    """A masked frame."""
    size = len(payload)
    if size < 126:
        head = bytes((0x80 | opcode, 0x80 | size))
    elif size < 1 << 16:
        head = bytes((0x80 | opcode, 0xFE)) + size.to_bytes(2, "big")
    else:
        head = bytes((0x80 | opcode, 0xFF)) + size.to_bytes(8, "big")
    key = (MASK * (size // 4 + 1))[:size]
    masked = int.from_bytes(payload, "big") ^ int.from_bytes(key, "big")
    return head + MASK + masked.to_bytes(size, "big")


def requestOf(path: str, headers: Iterable[str] = ()) -> bytes:
    """The request of an upgrade, as a browser sends it."""
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
    return "\r\n".join([*lines, "", ""]).encode()


class Client:
    """One connection that reads whole frames, and waits for them."""

    def __init__(self, port: int, isSecure: bool = False) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE)
        if isSecure:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)
        self._data = b""

    def fileno(self) -> int:
        """Its number."""
        return self.socket.fileno()

    def close(self) -> None:
        """Drop the connection."""
        self.socket.close()

    def ask(self, request: bytes) -> None:
        """Send the request of the upgrade."""
        self.socket.sendall(request)

    def upgraded(self) -> str:
        """The head of the answer, which has to be a 101."""
        while b"\r\n\r\n" not in self._data:
            self.more()
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise ClientFailed(head.decode("latin-1"))
        return head.decode("latin-1")

    def say(self, payload: bytes | str, opcode: int = TEXT) -> None:
        """Send one message."""
        self.socket.sendall(frameOf(payload.encode() if isinstance(payload, str) else payload, opcode))

    def frame(self) -> tuple[int, bytes]:
        """The first byte and the payload of the next frame; pings are answered."""
        size, head = self._size()
        while len(self._data) < head + size:
            self.more()
        first, payload = self._data[0], self._data[head : head + size]
        self._data = self._data[head + size :]
        if first & 15 == CLOSE:
            raise ClientFailed(f"closed with {int.from_bytes(payload[:2], 'big')} {payload[2:]!r}")
        if first & 15 == PING:
            self.say(payload, PONG)
        return first, payload

    def answer(self, start: str = "") -> str:
        """The next message that begins so; only the first of a connection may be deflated."""
        while True:
            first, payload = self.frame()
            if first & 15 == PING:
                continue
            if first & DEFLATED:
                payload = zlib.decompressobj(-zlib.MAX_WBITS).decompress(payload + b"\0\0\xff\xff")
            text = payload.decode(errors="replace")
            if text.startswith(start):
                return text

    def take(self) -> None:
        """Read what is there and forget it, as whole frames."""
        self.more()
        while self._data:
            self.frame()

    def _size(self) -> tuple[int, int]:
        """Bytes of the next frame's payload and of its head, as far as is known."""
        while len(self._data) < 2:
            self.more()
        size = self._data[1] & 127
        extra = {126: 2, 127: 8}.get(size, 0)
        if extra:
            while len(self._data) < 2 + extra:
                self.more()
            size = int.from_bytes(self._data[2 : 2 + extra], "big")
        return size, 2 + extra

    def more(self) -> None:
        """Read what comes next."""
        data = self.socket.recv(1 << 16)
        if not data:
            raise ClientFailed("the server has dropped a connection")
        self._data += data


class Attendant:
    """Takes whatever comes to clients that are set up already, and answers pings."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._clients: dict[int, Client] = {}

    def add(self, clients: Iterable[Client]) -> None:
        """These too."""
        for client in clients:
            self._clients[client.fileno()] = client
            self._poll.register(client.fileno(), select.EPOLLIN)

    def attend(self, quiet: float) -> None:
        """Until nothing has come for so many seconds."""
        while ready := self._poll.poll(quiet):
            for number, _ in ready:
                client = self._clients[number]
                client.take()

    def close(self) -> None:
        """Drop the clients."""
        self._poll.close()
        for client in self._clients.values():
            client.close()


class Dialect:
    """Plain WebSockets: what is said is what is heard."""

    path = "/"
    headers: tuple[str, ...] = ()
    #: How the messages begin that a speaker causes, and the answers to what is asked.
    heard = b""
    answered = b""
    #: Whether a client numbers what it says, so that no frame is said twice.
    isNumbered = False

    @contextlib.contextmanager
    def crowd(self, port: int, count: int, query: str = "") -> Iterator[list[Client]]:
        """So many clients, ready to speak, until the end of the block."""
        clients: list[Client] = []
        attendant = Attendant()
        try:
            while len(clients) < count:
                batch = [Client(port) for _ in range(min(BATCH, count - len(clients)))]
                attendant.add(batch)
                clients += batch
                for client in batch:
                    self.ask(client, query)
                for client in batch:
                    client.upgraded()
                    self.enter(client)
                for client in batch:
                    self.entered(client)
                attendant.attend(0)
            attendant.attend(QUIET)
            yield clients
        finally:
            attendant.close()

    def ask(self, client: Client, query: str) -> None:
        """Send the request of the upgrade; `query` is more of the address, or nothing."""
        client.ask(requestOf(self.path + query, self.headers))

    def enter(self, client: Client) -> None:
        """Send what it takes to join, after the upgrade."""

    def entered(self, client: Client) -> None:
        """Await what says that it has joined."""

    def said(self, text: str, number: int) -> bytes:
        """The frame of a speaker; `number` counts from 1."""
        return frameOf(text.encode())

    def asked(self, text: str, number: int) -> bytes:
        """The frame of someone who asks, and is answered."""
        raise NotImplementedError


class Deflated(Dialect):
    """Plain WebSockets with permessage-deflate, offered and used as browsers do."""

    headers = ("Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",)

    def said(self, text: str, number: int) -> bytes:
        deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        deflated = deflater.compress(text.encode()) + deflater.flush(zlib.Z_SYNC_FLUSH)
        return frameOf(deflated[:-4], TEXT | DEFLATED)


def compact(data: object) -> bytes:
    """JSON as JavaScript's `JSON.stringify` writes it."""
    return json.dumps(data, separators=(",", ":")).encode()


class TxroomRoom(Dialect):
    """
    Members of a room of txroom, numbering what they send as its clients do.

    They ask by a call, or by a message of some type that is answered by a message.
    """

    path = "/rooms/chat?name=ada"
    heard = b'["msg"'
    isNumbered = True

    def __init__(self, asks: str = "ask", isCall: bool | None = None) -> None:
        self._asks = asks
        self._isCall = asks == "ask" if isCall is None else isCall
        self.answered = b'["reply"' if self._isCall else self.heard

    def entered(self, client: Client) -> None:
        client.answer('["joined"')

    def said(self, text: str, number: int) -> bytes:
        return frameOf(compact(["send", None, "say", {"text": text}, number]))

    def asked(self, text: str, number: int) -> bytes:
        if self._isCall:
            return frameOf(compact(["call", number, None, self._asks, {"text": text}, number]))
        return frameOf(compact(["send", None, self._asks, {"text": text}, number]))


class TxroomLobby(Dialect):
    """Clients of txroom that are alone in rooms of their own."""

    path = "/rooms"
    #: Rooms of each client.
    ROOMS = 10

    def enter(self, client: Client) -> None:
        for number in range(self.ROOMS):
            client.say(compact(["create", number, "other", {"name": "ada"}]))

    def entered(self, client: Client) -> None:
        for _ in range(self.ROOMS):
            client.answer('["joined"')


class SocketIORoom(Dialect):
    """Clients of Socket.IO, by WebSocket from the start."""

    path = "/socket.io/?EIO=4&transport=websocket&name=ada"
    heard = b'42["said"'
    answered = b"430["

    def enter(self, client: Client) -> None:
        client.say("40")

    def entered(self, client: Client) -> None:
        client.answer("40{")

    def said(self, text: str, number: int) -> bytes:
        return frameOf(b"42" + compact(["say", {"text": text}]))

    def asked(self, text: str, number: int) -> bytes:
        return frameOf(b"420" + compact(["ask", {"text": text}]))


class ChannelsRoom(Dialect):
    """Clients of the consumer of channels_server.py."""

    path = "/?name=ada"
    heard = b'{"type": "said"'
    answered = b'{"type": "answered"'

    def said(self, text: str, number: int) -> bytes:
        return frameOf(compact({"type": "say", "text": text}))

    def asked(self, text: str, number: int) -> bytes:
        return frameOf(compact({"type": "ask", "text": text}))


class ColyseusRoom(Dialect):
    """Clients of Colyseus: a seat over HTTP, the upgrade, MessagePack."""

    JOIN, DATA = b"\x0a", b"\x0d"
    heard = DATA + msgpack.encode("said")
    answered = DATA + msgpack.encode("answered")

    def __init__(self) -> None:
        self._http: HTTPConnection | None = None

    def ask(self, client: Client, query: str) -> None:
        port = client.socket.getpeername()[1]
        if self._http is None or self._http.port != port:
            self._http = HTTPConnection("127.0.0.1", port, PATIENCE)
        body, headers = compact({"name": "ada"}), {"Content-Type": "application/json"}
        self._http.request("POST", "/matchmake/joinOrCreate/chat", body, headers)
        seat = json.loads(self._http.getresponse().read())
        room = seat["room"]
        client.ask(requestOf(f"/{room['processId']}/{room['roomId']}?sessionId={seat['sessionId']}"))

    def enter(self, client: Client) -> None:
        client.answer(self.JOIN.decode())
        client.say(self.JOIN, BINARY)

    def said(self, text: str, number: int) -> bytes:
        return self._data("say", text)

    def asked(self, text: str, number: int) -> bytes:
        return self._data("ask", text)

    def _data(self, type: str, text: str) -> bytes:
        return frameOf(self.DATA + msgpack.encode(type) + msgpack.encode({"text": text}), BINARY)
