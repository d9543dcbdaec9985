"""
What the functional tests share: servers in this reactor, and raw clients that can break the rules.

Everything listens on 127.0.0.1, and waits at most `PATIENCE` seconds for anything.
"""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from base64 import b64encode
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from hashlib import sha1
from pathlib import Path
from struct import Struct
from typing import Any, cast

import attrs
from twisted.internet.address import UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import deferLater
from twisted.internet.threads import deferToThread
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.python.failure import Failure

from txroom import Application, Server, ServerOptions

#: How many seconds any single wait may take.
PATIENCE = 30.0
#: More seconds than a busy machine takes for what happens at once or after a fraction of a second, and fewer
#: than the default of each time-out.
SOON = 4.5
LOCAL = "tcp:0:interface=127.0.0.1:backlog=511"
ROOT = Path(__file__).resolve().parents[2]

KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 §1.3
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0, 1, 2, 8, 9, 10
MASK = b"\x37\xfa\x21\x3d"  # RFC 6455 §5.7

_short = Struct("!H")
_long = Struct("!Q")


def reactor() -> Any:
    """The reactor that pytest-twisted runs."""
    from twisted.internet import reactor

    return reactor


async def sleep(seconds: float) -> None:
    """Let the reactor run for a while."""
    await deferLater(reactor(), seconds)


async def until(condition: Callable[[], Any], what: str = "", seconds: float = PATIENCE) -> None:
    """Let the reactor run until `condition` is true."""
    deadline = reactor().seconds() + seconds
    while not condition():
        assert reactor().seconds() < deadline, what or "waited in vain"
        await sleep(0.002)


# -- bytes


def head(
    target: str = "/",
    *more: str,
    method: str = "GET",
    version: str = "HTTP/1.1",
    without: Iterable[str] = (),
    **changed: str,
) -> bytes:
    """
    The head of an upgrade request.

    Args:
        more: Additional header lines.
        without: The names of headers to omit.
        changed: Other values for `host`, `upgrade`, `connection`, `key` and `protocolVersion`.
    """
    fields = {
        "Host": changed.get("host", "txroom.localhost"),
        "Upgrade": changed.get("upgrade", "websocket"),
        "Connection": changed.get("connection", "Upgrade"),
        "Sec-WebSocket-Version": changed.get("protocolVersion", "13"),
        "Sec-WebSocket-Key": changed.get("key", KEY),
    }
    lines = [f"{name}: {value}" for name, value in fields.items() if name not in without]
    return "\r\n".join([f"{method} {target} {version}", *lines, *more, "", ""]).encode("latin-1")


def get(target: str = "/", *more: str, method: str = "GET", version: str = "HTTP/1.1") -> bytes:
    """The head of a plain request."""
    lines = [f"{method} {target} {version}", "Host: txroom.localhost", *more, "", ""]
    return "\r\n".join(lines).encode("latin-1")


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    rsv: int = 0,
    mask: bytes | None = MASK,
    lengthBytes: int | None = None,
    length: int | None = None,
) -> bytes:
    """
    One frame of a client.

    `mask=None` sends it unmasked; `lengthBytes` 0, 2 or 8 chooses the form of the length; `length` is a
    wrong length.
    """
    size = len(payload) if length is None else length
    if lengthBytes is None:
        lengthBytes = 0 if size < 126 else 2 if size < 65536 else 8
    bit = 0 if mask is None else 0x80
    first = bytes([(0x80 if fin else 0) | rsv << 4 | opcode])
    if lengthBytes == 0:
        first += bytes([bit | size])
    elif lengthBytes == 2:
        first += bytes([bit | 126]) + _short.pack(size)
    else:
        first += bytes([bit | 127]) + _long.pack(size)
    return first + (payload if mask is None else mask + masked(payload, mask))


def masked(payload: bytes, mask: bytes) -> bytes:
    """Mask a payload (RFC 6455 §5.3)."""
    size = len(payload)
    key = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(payload) ^ int.from_bytes(key)).to_bytes(size)


def text(message: str, **more: Any) -> bytes:
    """A text frame of a client."""
    return frame(TEXT, message.encode(), **more)


def close(code: int | None = 1000, reason: bytes = b"") -> bytes:
    """A Close frame of a client."""
    return frame(CLOSE, b"" if code is None else _short.pack(code) + reason)


@attrs.frozen
class Frame:
    """One frame of a server."""

    opcode: int
    payload: bytes
    fin: bool = True
    rsv: int = 0

    @property
    def code(self) -> int | None:
        """The code of a Close frame."""
        assert self.opcode == CLOSE, self
        return _short.unpack_from(self.payload)[0] if self.payload else None


def takeFrame(data: bytearray) -> Frame | None:
    """Take one frame of a server off the start of `data`, if it is complete."""
    if len(data) < 2:
        return None
    assert not data[1] & 0x80, "servers don't mask"
    length, start = data[1], 2
    if length >= 126:
        start = 4 if length == 126 else 10
        if len(data) < start:
            return None
        length = int.from_bytes(data[2:start], "big")
    if len(data) < start + length:
        return None
    payload = bytes(data[start : start + length])
    found = Frame(data[0] & 15, payload, bool(data[0] & 0x80), data[0] >> 4 & 7)
    del data[: start + length]
    return found


@attrs.frozen
class Answer:
    """An HTTP response."""

    status: int
    phrase: str
    headers: dict[str, str]
    body: bytes = b""

    @staticmethod
    def parse(raw: bytes) -> Answer:
        first, *lines = raw.decode("latin-1").split("\r\n")
        version, status, phrase = first.split(" ", 2)
        assert version in ("HTTP/1.1", "HTTP/1.0"), first
        pairs = [line.split(": ", 1) for line in lines]
        assert len({name.lower() for name, _ in pairs}) == len(pairs), raw
        return Answer(int(status), phrase, {name.lower(): value for name, value in pairs})


# -- a raw client


class Probe(Protocol):
    """A TCP connection that can send anything; received bytes are added to `data`."""

    transport: Any

    def __init__(self) -> None:
        self.data = bytearray()
        #: Why the connection ended; `None` if it has not ended.
        self.reason: Failure | None = None
        #: How many bytes were received, including those that were discarded.
        self.total = 0
        self.discards = False

    def dataReceived(self, data: bytes) -> None:
        self.total += len(data)
        if not self.discards:
            self.data += data

    def connectionLost(self, reason: Failure) -> None:  # type: ignore[override]
        self.reason = reason

    def send(self, *parts: bytes) -> None:
        """Send in one segment, if it fits."""
        self.transport.write(b"".join(parts))

    async def dribble(self, data: bytes, size: int = 1, pause: float = 0.0) -> None:
        """Send in small segments."""
        for at in range(0, len(data), size):
            if self.ended:
                return
            self.transport.write(data[at : at + size])
            await sleep(pause)

    @property
    def ended(self) -> bool:
        return self.reason is not None

    async def end(self, seconds: float = PATIENCE) -> bytes:
        """Wait until the server has closed the TCP connection, and return the rest of the data."""
        await until(
            lambda: self.ended, f"the server did not close; it sent {bytes(self.data[:300])!r}", seconds
        )
        return self.take(len(self.data))

    def take(self, size: int) -> bytes:
        taken = bytes(self.data[:size])
        del self.data[:size]
        return taken

    async def answer(self, *, hasBody: bool = True) -> Answer:
        """One HTTP response; what follows a 101 stays in `data`."""
        await until(lambda: b"\r\n\r\n" in self.data or self.ended, "no answer")
        assert b"\r\n\r\n" in self.data, f"no whole answer: {bytes(self.data)!r}"
        answer = Answer.parse(self.take(self.data.index(b"\r\n\r\n")))
        self.take(4)
        if answer.headers.get("transfer-encoding") == "chunked" and hasBody:
            return attrs.evolve(answer, body=await self._chunks())
        length = int(answer.headers.get("content-length", 0)) if hasBody else 0
        await until(lambda: len(self.data) >= length or self.ended, "the body is short")
        assert len(self.data) >= length, bytes(self.data)
        return attrs.evolve(answer, body=self.take(length))

    async def _chunks(self) -> bytes:
        body = b""
        while True:
            await until(lambda: b"\r\n" in self.data, "no chunk")
            size = int(self.take(self.data.index(b"\r\n")), 16)
            await until(partial(lambda wanted: len(self.data) >= wanted, size + 4), "the chunk is short")
            body += self.take(size + 4)[2:-2]
            if not size:
                return body

    async def refusal(self, *, hasBody: bool = True) -> Answer:
        """The one response to a refused request; checks everything that holds for every refusal."""
        answer = await self.answer(hasBody=hasBody)
        assert await self.end() == b"", "more than one answer"
        assert answer.status >= 400, answer
        assert "close" in answer.headers["connection"].lower()
        assert answer.body or not hasBody, answer
        assert len(answer.body) < 200, "the body must be short"
        assert b"Error" not in answer.body.replace(b"Internal Server Error", b""), answer
        assert b"Traceback" not in answer.body, answer
        return answer

    async def upgraded(self) -> Answer:
        """The 101 response."""
        answer = await self.answer(hasBody=False)
        assert answer.status == 101, (answer, bytes(self.data))
        key = (KEY + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11").encode()
        assert answer.headers["sec-websocket-accept"] == b64encode(sha1(key).digest()).decode() == ACCEPT
        assert "content-length" not in answer.headers
        return answer

    async def frame(self, seconds: float = PATIENCE) -> Frame:
        """The next frame."""
        found = takeFrame(self.data)
        deadline = reactor().seconds() + seconds
        while found is None:
            assert not self.ended, f"the connection ended: {self.reason}, {bytes(self.data)!r}"
            assert reactor().seconds() < deadline, f"no frame: {bytes(self.data[:100])!r}"
            await sleep(0.002)
            found = takeFrame(self.data)
        return found

    async def frames(self) -> list[Frame]:
        """All frames until the server has closed the TCP connection."""
        rest = bytearray(await self.end())
        found = []
        while (one := takeFrame(rest)) is not None:
            found.append(one)
        assert not rest, bytes(rest)
        return found

    async def closed(self) -> Frame:
        """The Close frame, which must be the last one; frames before it are ignored."""
        frames = await self.frames()
        assert frames, f"no Close frame: {self.reason}"
        assert [one.opcode for one in frames].count(CLOSE) == 1, frames
        assert frames[-1].opcode == CLOSE, frames
        return frames[-1]

    def stall(self) -> None:
        """Stop reading, so that the server's queue fills."""
        self.transport.pauseProducing()

    def unstall(self) -> None:
        """Read again."""
        self.transport.resumeProducing()

    def reset(self) -> None:
        """Send RST."""
        self.transport.abortConnection()

    def halfClose(self) -> None:
        """Send FIN, and continue to read."""
        self.transport.loseWriteConnection()


# -- applications


class Recorder(Application):
    """Records the calls of its hooks in order, as tuples that begin with the name of the hook."""

    def __init__(self, **hooksAndOptions: Any) -> None:
        super().__init__(**hooksAndOptions)
        self.events: list[tuple[Any, ...]] = []
        self.met: list[Any] = []

    def onConnect(self, connection: Any) -> Any:
        self.met.append(connection)
        self.events.append(("connect",))

    def onMessage(self, connection: Any, message: str | bytes) -> Any:
        self.events.append(("message", message))

    def onDisconnect(self, connection: Any, code: int, reason: str) -> Any:
        self.events.append(("disconnect", code, reason))

    @property
    def messages(self) -> list[str | bytes]:
        return [event[1] for event in self.events if event[0] == "message"]

    @property
    def disconnects(self) -> list[tuple[int, str]]:
        return [event[1:] for event in self.events if event[0] == "disconnect"]

    def count(self, name: str) -> int:
        return sum(event[0] == name for event in self.events)

    async def ended(self, count: int = 1) -> tuple[int, str]:
        """The last arguments of `onDisconnect`, after `count` calls of it."""
        await until(lambda: len(self.disconnects) >= count, f"no onDisconnect: {self.events[-3:]}")
        return self.disconnects[-1]


class Echo(Recorder):
    """Sends every message back; it stops reading while its answers are not read."""

    def onConnect(self, connection: Any) -> None:
        super().onConnect(connection)
        connection.onDrain = lambda drained: drained.resume()

    def onMessage(self, connection: Any, message: str | bytes) -> None:
        from txroom import SendStatus

        super().onMessage(connection, message if len(message) < 1000 else len(message))  # type: ignore[arg-type]
        if connection.send(message) is SendStatus.BACKPRESSURE:
            connection.pause()


# -- servers


class Net:
    """The servers and clients of one test."""

    def __init__(self) -> None:
        self.servers: list[Server] = []
        self.probes: list[Probe] = []
        #: The logged failures; a test that causes some must remove them with `flush`.
        self.failures: list[Failure] = []
        self._calls = set(reactor().getDelayedCalls())
        self._observer = cast(ILogObserver, self._observe)
        globalLogPublisher.addObserver(self._observer)

    def _observe(self, event: LogEvent) -> None:
        failure = event.get("log_failure")
        if failure is not None:
            self.failures.append(failure)

    def flush(self, *kinds: type[BaseException]) -> list[BaseException | None]:
        """Return the logged errors of these kinds, and remove them."""
        found = [failure for failure in self.failures if failure.check(*kinds)]
        self.failures = [failure for failure in self.failures if failure not in found]
        return [failure.value for failure in found]

    async def serve(
        self, application: Application | None = None, *, where: str = LOCAL, **options: Any
    ) -> Server:
        """A running server with one application at all paths (default: `Echo`)."""
        server = Server(ServerOptions(**options))
        server.addApplication(application or Echo())
        return await self.start(server, where)

    async def start(self, server: Server, *where: Any) -> Server:
        """Start a server, which is stopped when the test ends."""
        ports = [server.listen(one) for one in where or (LOCAL,)]
        self.servers.append(server)
        server.startService()
        for port in ports:
            await port
        return server

    async def connect(self, where: Server | Any, *, tls: Any = None) -> Probe:
        """Connect a raw client to a server or an address."""
        address: Any = where.address() if hasattr(where, "address") else where
        if isinstance(address, UNIXAddress):
            endpoint: Any = UNIXClientEndpoint(reactor(), os.fsdecode(address.name or b""))
        else:
            endpoint = TCP4ClientEndpoint(reactor(), "127.0.0.1", address.port)
        if tls is not None:
            endpoint = wrapClientTLS(tls, endpoint)
        probe: Probe = await endpoint.connect(Factory.forProtocol(Probe))
        self.probes.append(probe)
        return probe

    async def open(
        self, where: Any, target: str = "/", *more: str, early: bytes = b"", tls: Any = None
    ) -> Probe:
        """An upgraded client; `early` is sent in the same segment as the request."""
        probe = await self.connect(where, tls=tls)
        probe.send(head(target, *more), early)
        await probe.upgraded()
        return probe

    async def ask(self, where: Any, *parts: bytes) -> Probe:
        """A client that has sent something."""
        probe = await self.connect(where)
        probe.send(*parts)
        return probe

    async def refused(self, where: Any, *parts: bytes) -> Answer:
        """The response to a request that must be refused."""
        return await (await self.ask(where, *parts)).refusal()

    async def close(self) -> None:
        """Stop everything, and check that nothing of it is left."""
        for probe in self.probes:
            if not probe.ended:
                probe.transport.abortConnection()
        for server in self.servers:
            try:
                await until(partial(isForgotten, server))
            except AssertionError:
                raise AssertionError(f"left over: {leftovers(server)}") from None
            if server.running:
                await server.stopService()
        await until(lambda: not self._newCalls(), "DelayedCalls are left")
        globalLogPublisher.removeObserver(self._observer)
        if self.failures:
            raise AssertionError("logged: " + "\n".join(one.getTraceback() for one in self.failures))

    def _newCalls(self) -> list[Any]:
        """The delayed calls of the servers, without those of this module."""
        mine = [call for call in reactor().getDelayedCalls() if call not in self._calls]
        return [call for call in mine if "txroom" in repr(call.func) or "twisted.web" in repr(call.func)]


def leftovers(server: Server) -> dict[str, Any]:
    """What a server still holds of its clients."""
    admission = server._gateway.admission
    return {
        "connections": server.connections,
        "pending": list(admission.pending),
        "perAddress": dict(admission.perAddress),
        "perApplication": dict(admission.perApplication),
        "wheel": dict(server._gateway.wheel._slots),
    }


def isForgotten(server: Server) -> bool:
    """Whether the server holds nothing of the clients that have disconnected."""
    return not any(leftovers(server).values())


# -- other processes


def environment() -> dict[str, str]:
    """The environment of a child process that runs the Python code of this checkout."""
    return {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


class Child:
    """A process whose standard output is read line by line."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    async def line(self) -> str:
        """The next line."""
        stream = self.process.stdout
        assert stream is not None
        line: str = await within(deferToThread(stream.readline), "no line from the child")
        assert line or self.process.poll() is None, f"the child ended: {self.process.poll()}"
        return line.rstrip("\n")

    def send(self, signal: int) -> None:
        self.process.send_signal(signal)

    async def wait(self, seconds: float = 20) -> int:
        """Its exit status."""
        status: int = await deferToThread(self.process.wait, seconds)
        return status


@contextmanager
def child(*command: str, cwd: Path | None = None) -> Iterator[Child]:
    """Run a command; it is killed when the block ends."""
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        yield Child(process)
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def python(source: str) -> tuple[str, ...]:
    """The command that runs a piece of Python."""
    return sys.executable, "-c", textwrap.dedent(source)


async def within(waited: Deferred[Any], what: str = "", seconds: float = PATIENCE) -> Any:
    """The result of a Deferred, which must fire soon."""
    return await waited.addTimeout(
        seconds, reactor(), onTimeoutCancel=lambda result, _: Failure(AssertionError(what or "too late"))
    )
