"""
Sets clients up: they upgrade and join their room, then the load generator takes them over.

A `Dialect` has what the clients of a server send: at the upgrade, to join, to talk and to call.
"""

from __future__ import annotations

import contextlib
import json
import resource
import select
import socket
import ssl
import time
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection

from msgspec import msgpack

#: How many connections are opened in parallel.
BATCH = 50
#: How many seconds each step may take while clients are set up.
PATIENCE = 30.0
#: After this many seconds without data nothing more is expected.
QUIET = 0.2
#: And nothing is awaited longer than this many seconds: the pings of thousands of clients never pause.
LONGEST = 3.0
#: So many clients of a crowd connect from each address of 127.0.0.0/8: with most ports of one
#: address in use, the kernel needs long to find a free one.
PER_ADDRESS = 4_000
MASK = b"\x37\xfa\x21\x3d"

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
DEFLATED = 0x40


class ClientFailed(Exception):
    """A server did not answer as expected."""


def raiseFileLimit() -> int:
    """Raise the limit of open files as far as possible, and return it."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most


def frameOf(payload: bytes, opcode: int = TEXT) -> bytes:
    """Return a masked frame."""
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
    """Return an upgrade request, like a browser's."""
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
    """One connection that reads whole frames, and blocks until they have arrived."""

    def __init__(self, port: int, isSecure: bool = False, number: int = 0) -> None:
        source = f"127.0.0.{1 + number // PER_ADDRESS}"
        self.socket = socket.create_connection(("127.0.0.1", port), PATIENCE, (source, 0))
        if isSecure:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            self.socket = context.wrap_socket(self.socket)
        self._data = b""
        #: The sizes of the messages that it has received.
        self.sizes: list[int] = []
        #: Whether it has said that it closes the connection.
        self.isLeaving = False

    def fileno(self) -> int:
        """The number of the file descriptor."""
        return self.socket.fileno()

    def close(self) -> None:
        """Drop the connection."""
        self.socket.close()

    def ask(self, request: bytes) -> None:
        """Send the upgrade request."""
        self.socket.sendall(request)

    def upgraded(self) -> str:
        """Read the head of the response, which must be a 101, and return it."""
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
        """Read the next frame, and return its first byte and its payload; pings are answered."""
        size, head = self._size()
        while len(self._data) < head + size:
            self.more()
        first, payload = self._data[0], self._data[head : head + size]
        self._data = self._data[head + size :]
        if first & 15 == CLOSE:
            raise ClientFailed(f"closed with {int.from_bytes(payload[:2], 'big')} {payload[2:]!r}")
        if first & 15 == PING:
            self.say(payload, PONG)
        else:
            self.sizes.append(size)
        return first, payload

    def answer(self, start: str = "") -> str:
        """
        Read until a message that begins like that; only the first message of a connection may be deflated.
        """
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
        """Read and discard the whole frames that have arrived."""
        self.more()
        while self._data:
            self.frame()

    def leave(self) -> None:
        """Say that it closes the connection."""
        self.isLeaving = True
        self.say((1000).to_bytes(2, "big"), CLOSE)

    def _size(self) -> tuple[int, int]:
        """The size of the next frame's payload and of its head, as far as they are known."""
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
        """Read more data."""
        data = self.socket.recv(1 << 16)
        if not data:
            raise ClientFailed("the server has dropped a connection")
        self._data += data


class Listener(Client):
    """A client that counts how often something is in what it hears."""

    def __init__(self, port: int, counted: bytes) -> None:
        super().__init__(port)
        self.counted = counted
        self.count = 0

    def frame(self) -> tuple[int, bytes]:
        """The next frame."""
        first, payload = super().frame()
        self.count += payload.count(self.counted)
        return first, payload


class Attendant:
    """Reads and discards what clients receive that are set up already, and answers pings."""

    def __init__(self) -> None:
        self._poll = select.epoll()
        self._clients: dict[int, Client] = {}

    def add(self, clients: Iterable[Client]) -> None:
        """Take more clients."""
        for client in clients:
            self._clients[client.fileno()] = client
            self._poll.register(client.fileno(), select.EPOLLIN)

    def attend(self, quiet: float) -> None:
        """Read until nothing has arrived for that many seconds, but no longer than `LONGEST`."""
        end = time.monotonic() + LONGEST
        while time.monotonic() < end and (ready := self._poll.poll(quiet)):
            for number, _ in ready:
                client = self._clients[number]
                try:
                    client.take()
                except ClientFailed:
                    if not client.isLeaving:
                        raise
                    self._poll.unregister(number)
                    client.close()

    def close(self) -> None:
        """Drop the clients."""
        self._poll.close()
        for client in self._clients.values():
            client.close()


def received(clients: Iterable[Client], seconds: float) -> list[int]:
    """Read what arrives at clients for that many seconds; returns the sizes of the messages of the first."""
    poll, all = select.epoll(), {client.fileno(): client for client in clients}
    first = next(iter(all.values()))
    first.sizes.clear()
    end = time.monotonic() + seconds
    try:
        for number in all:
            poll.register(number, select.EPOLLIN)
        while (left := end - time.monotonic()) > 0:
            for number, _ in poll.poll(left):
                all[number].take()
    finally:
        poll.close()
    return first.sizes


class Dialect:
    """Plain WebSockets: each client receives what is sent, without a protocol of rooms."""

    path = "/"
    headers: tuple[str, ...] = ()
    #: How the messages begin that a client receives after one has talked, and the answers to calls.
    heard = b""
    answered = b""
    #: Whether a client numbers its messages, so that no frame can be sent twice.
    isNumbered = False
    #: What is once in all that tells of one member; nothing: members are told nothing of one another.
    named = b""
    #: Whether a client joins by connecting, so that the one can't be measured without the other.
    joinsByConnecting = False

    @contextlib.contextmanager
    def crowd(self, port: int, count: int, query: str = "", first: int = 0) -> Iterator[list[Client]]:
        """
        Set up that many clients, which exist until the end of the block.

        `query` is appended to the path of each; "{}" in it is the client's number. `first` is the number of
        the first one.
        """
        clients: list[Client] = []
        attendant = Attendant()
        try:
            while len(clients) < count:
                following = range(len(clients), min(len(clients) + BATCH, count))
                batch = [Client(port, number=first + number) for number in following]
                attendant.add(batch)
                for number, client in enumerate(batch, first + len(clients)):
                    self.ask(client, query.format(number))
                clients += batch
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
        """Send the upgrade request; `query` is appended to its path."""
        client.ask(requestOf(self.path + query, self.headers))

    def enter(self, client: Client) -> None:
        """Send the frames that join the room, after the upgrade."""

    def entered(self, client: Client) -> None:
        """Wait for the answer that the client has joined."""

    def said(self, text: str, number: int) -> bytes:
        """The frame with which a client talks; `number` counts from 1."""
        return frameOf(text.encode())

    def asked(self, text: str, number: int) -> bytes:
        """The frame of a call."""
        raise NotImplementedError

    def told(self, joined: int, left: int) -> int:
        """How often the first member is told of members when so many have joined, and the last ones left."""
        return joined + left


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
    Members of a room of txroom. They number their messages as txroom's clients do.
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


class TxroomParty(TxroomRoom):
    """Clients of txroom that connect first, and join later; `isTold`: whether the room has presence."""

    path = "/rooms"

    def __init__(self, isTold: bool) -> None:
        self.named = b'"name":"ada"' if isTold else b""

    def enter(self, client: Client) -> None:
        client.say(compact(["join", 1, "chat", {"name": "ada"}]))

    def told(self, joined: int, left: int) -> int:
        return min(joined, 500)  # presenceLimit; the others are counted


class TxroomKeyed(TxroomRoom):
    """Members of rooms of txroom that have a key; clients with the same key meet. They ask for such rooms."""

    path = "/rooms/keyed?name=ada"
    heard = b'["msg"'

    def __init__(self) -> None:
        super().__init__("find", isCall=True)


class TxroomLobby(Dialect):
    """Clients of txroom, each alone in rooms of its own."""

    path = "/rooms"
    #: How many rooms each client joins, and what the key of a room is.
    ROOMS = 10
    KEY = "room {}"

    def __init__(self, name: str = "other", first: int = 0) -> None:
        self._name = name
        #: The number of the next room.
        self._key = first

    def enter(self, client: Client) -> None:
        for number in range(self.ROOMS):
            client.say(
                compact(["create", number, self._name, {"name": "ada", "key": self.KEY.format(self._key)}])
            )
            self._key += 1

    def entered(self, client: Client) -> None:
        for _ in range(self.ROOMS):
            client.answer('["joined"')


@dataclass(frozen=True)
class Membership:
    """What a client needs to resume: the fields of its `joined` frame."""

    room: str
    token: str
    epoch: str
    offset: int

    def resume(self) -> bytes:
        """The `resume` frame, as JSON."""
        return compact(["resume", 1, self.room, self.token, self.epoch, self.offset])


def membershipOf(joined: str) -> Membership:
    """Read a `joined` frame."""
    _, _, room, fields = json.loads(joined)
    return Membership(room, fields["token"], fields["epoch"], fields["offset"])


class HallMember(TxroomRoom):
    """A member of one of many rooms of equal size; it remembers what it needs to resume."""

    def __init__(self, size: int) -> None:
        self.path = f"/rooms/hall?name=ada&size={size}"
        self.memberships: list[Membership] = []

    def entered(self, client: Client) -> None:
        self.memberships.append(membershipOf(client.answer('["joined"')))


class TxroomState(Dialect):
    """Members of a room of txroom who follow its state, with MessagePack."""

    path = "/rooms"
    headers = ("Sec-WebSocket-Protocol: txroom.v1.msgpack",)

    def __init__(self, name: str) -> None:
        self._name = name

    def enter(self, client: Client) -> None:
        client.say(msgpack.encode(["join", 1, self._name, {}, {"state": 1}]), BINARY)

    def entered(self, client: Client) -> None:
        while "joined" not in client.answer():
            pass


class SocketIORoom(Dialect):
    """Clients of Socket.IO that use a WebSocket from the start."""

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
    """Clients for the consumer of channels_server.py."""

    path = "/?name=ada"
    heard = b'{"type": "said"'
    answered = b'{"type": "answered"'

    def said(self, text: str, number: int) -> bytes:
        return frameOf(compact({"type": "say", "text": text}))

    def asked(self, text: str, number: int) -> bytes:
        return frameOf(compact({"type": "ask", "text": text}))


class ColyseusRoom(Dialect):
    """Clients of Colyseus: a seat over HTTP, then the upgrade, and MessagePack."""

    JOIN, DATA = b"\x0a", b"\x0d"
    heard = DATA + msgpack.encode("said")
    joinsByConnecting = True
    answered = DATA + msgpack.encode("answered")

    def __init__(self, name: str = "chat") -> None:
        self._name = name
        self._http: HTTPConnection | None = None

    def ask(self, client: Client, query: str) -> None:
        port = client.socket.getpeername()[1]
        if self._http is None or self._http.port != port:
            self._http = HTTPConnection("127.0.0.1", port, PATIENCE)
        body, headers = compact({"name": "ada"}), {"Content-Type": "application/json"}
        self._http.request("POST", f"/matchmake/joinOrCreate/{self._name}", body, headers)
        seat = json.loads(self._http.getresponse().read())
        client.ask(requestOf(f"/{seat['processId']}/{seat['roomId']}?sessionId={seat['sessionId']}"))

    def told(self, joined: int, left: int) -> int:
        return joined  # the frame has the number of members that left

    def enter(self, client: Client) -> None:
        client.answer(self.JOIN.decode())
        client.say(self.JOIN, BINARY)

    def said(self, text: str, number: int) -> bytes:
        return self._data("say", text)

    def asked(self, text: str, number: int) -> bytes:
        return self._data("ask", text)

    def _data(self, type: str, text: str) -> bytes:
        return frameOf(self.DATA + msgpack.encode(type) + msgpack.encode({"text": text}), BINARY)
