"""What a request costs before it is answered, counted in steps: never more than its length is worth."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from types import FrameType
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import Resource
from twisted.web.server import Site
from twisted.web.static import Data

from txroom import Application, Server, ServerOptions
from txroom.core.headers import Headers, MultiDict
from txroom.http.request import MAX_HEAD, HeadReader
from txroom.testing import upgradeRequest

#: Lengths of which each is twice the one before: what is linear costs twice as much more at the second step.
LENGTHS = (250, 500, 1000, 2000)
SIZED = (str, bytes, list, tuple)
#: Methods of lists whose cost doesn't depend on how long they are.
CHEAP = ("append", "extend")


Parts = dict[str, Callable[[int], bytes]]


class Steps:
    """
    Counts the calls that are made, Python's and C's, and the size of what C is called on.

    A call in C is linear in the object that it belongs to, so what a request costs is linear if the sum of
    these sizes is; and it is linear at least if their number doesn't depend on the request.
    """

    def __init__(self) -> None:
        self.calls = self.size = 0

    def __enter__(self) -> Steps:
        sys.setprofile(self._note)
        return self

    def __exit__(self, *args: object) -> None:
        sys.setprofile(None)

    def _note(self, frame: FrameType, event: str, called: Any) -> None:
        if event == "call":
            self.calls += 1
        elif event == "c_call":
            self.calls += 1
            owner = getattr(called, "__self__", None)
            if isinstance(owner, SIZED) and called.__name__ not in CHEAP:
                self.size += len(owner)


class Transport(StringTransport):
    """A connection from a proxy that is trusted, with what protocols take over."""

    def __init__(self) -> None:
        super().__init__(peerAddress=IPv4Address("TCP", "10.0.0.1", 4000))
        self.protocol: Any = None

    def abortConnection(self) -> None:
        self.loseConnection()


class RequestTests(SynchronousTestCase):
    """Heads as our own listeners get them, and as a foreign `Site` hands them on."""

    def setUp(self) -> None:
        # What is logged costs what its observers want, which isn't ours; trial has some.
        for observer in list(globalLogPublisher._observers):
            globalLogPublisher.removeObserver(observer)
            self.addCleanup(globalLogPublisher.addObserver, observer)
        clock = Clock()
        options = ServerOptions(
            trustedProxies=["10.0.0.0/8"],
            compression="shared",
            allowedOrigins=["https://a.example"],
            allowedHosts="*",
            handshakeTimeout=0,
        )
        server = Server(options, clock=clock)
        server.addApplication(Application(), path="/socket")
        server.addApplication(Application(), host="other.example")
        for path in ("/healthz", "/txroom.js", "/docs/page"):
            server.addPage(path, Data(b"page", "text/plain"))
        server.addPage("/docs", Resource())
        self.factory = server._factory
        self.site = Site(server.resource(), reactor=clock)

    def steps(self, request: bytes, isForeign: bool) -> Steps:
        """What it takes from the request to its answer."""
        transport = Transport()
        channel = (self.site if isForeign else self.factory).buildProtocol(None)
        transport.protocol = channel
        channel.makeConnection(transport)
        with Steps() as steps:
            transport.protocol.dataReceived(request)
        if not isForeign:  # a Site closes without a word what is too long for it
            self.assertTrue(transport.value().startswith(b"HTTP/1.1 "), transport.value()[:50])
        return steps

    def costs(self, make: Callable[[int], bytes], isForeign: bool = False) -> list[Steps]:
        """Of the requests that are made for `LENGTHS`."""
        self.steps(make(LENGTHS[0]), isForeign)  # caches are filled
        return [self.steps(make(length), isForeign) for length in LENGTHS]

    def assertLinear(self, figures: list[int], what: str) -> None:
        """Each growth is about twice the one before it, and not four times."""
        growth = [later - earlier for earlier, later in pairwise(figures)]
        for before, after in pairwise(growth):
            self.assertLessEqual(after, 2.5 * max(before, 0) + 200, f"{what}: {figures}")

    def assertBounded(self, make: Callable[[int], bytes], what: str, isConstant: bool, **more: Any) -> None:
        costs = self.costs(make, **more)
        calls = [each.calls for each in costs]
        if isConstant:  # but for refusals, which are sooner or later than other answers
            growth = [later - earlier for earlier, later in pairwise(calls)]
            self.assertLessEqual(max(growth), 100, f"{what}: {calls}")
        self.assertLinear(calls, what)
        self.assertLinear([each.size for each in costs], what)

    #: Parts that are one text; however long, they are looked at by the same number of calls.
    TEXTS: Parts = {
        "target": lambda n: b"/" + b"a" * n,
        "slashes": lambda n: b"/" * n,
        "below a page": lambda n: b"/docs" + b"/" * n,
        "beside a page": lambda n: b"/docs/page" + b"/" * n,
        "below a socket": lambda n: b"/socket" + b"/" * n,
        "escapes": lambda n: b"/" + b"%41" * n,
        "query of a socket": lambda n: b"/socket?" + b"a=b&" * n,
        "dots": lambda n: b"/" + b".../" * n,
    }
    FIELDS: Parts = {
        "any": lambda n: b"X: " + b"a" * n,
        "name": lambda n: b"a" * n + b": x",
        "spaces": lambda n: b"X: " + b" " * n + b"x",
        "cookie": lambda n: b"Cookie: " + b"a=b; " * n,
        "origin": lambda n: b"Origin: http://" + b"a" * n,
        "labels of the origin": lambda n: b"Origin: http://" + b"a." * n,
        "port of the origin": lambda n: b"Origin: http://a:" + b"9" * n,
        "key": lambda n: b"Sec-WebSocket-Key: " + b"A" * n,
        "version": lambda n: b"Sec-WebSocket-Version: " + b"1" * n,
        "length": lambda n: b"Content-Length: " + b"1" * n,
        "coding": lambda n: b"Transfer-Encoding: " + b"chunked," * n,
        "forwarded address": lambda n: b"X-Forwarded-For: " + b"1" * n,
    }
    #: Parts that are lists: each member may cost some calls.
    LISTS: Parts = {
        "protocols": lambda n: b"Sec-WebSocket-Protocol: " + b",".join(b"%04d" % i for i in range(n)),
        "the same protocols": lambda n: b"Sec-WebSocket-Protocol: " + b"a," * n,
        "extensions": lambda n: b"Sec-WebSocket-Extensions: " + b"a," * n,
        "offers": lambda n: b"Sec-WebSocket-Extensions: " + b"permessage-deflate;a," * (n // 8),
        "parameters": lambda n: b"Sec-WebSocket-Extensions: permessage-deflate" + b";a=b" * n,
        "other parameters": lambda n: (
            b"Sec-WebSocket-Extensions: permessage-deflate;" + b";".join(b"a%04d" % i for i in range(n))
        ),
        "connection": lambda n: b"Connection: " + b"a," * n + b"upgrade",
        "hops": lambda n: b"X-Forwarded-For: " + b",".join([b"10.1.1.1"] * (n // 4)),
        "hops that are none": lambda n: b"X-Forwarded-For: " + b"," * n,
        "schemes": lambda n: b"X-Forwarded-Proto: " + b"https," * n,
    }

    def test_targets(self) -> None:
        """The request line, with and without an upgrade."""
        for name, target in self.TEXTS.items():
            isConstant = name != "escapes"  # which are decoded one by one
            self.assertBounded(partial(plain, target), name, isConstant)
            self.assertBounded(partial(upgradeTo, target), f"{name}, upgrade", isConstant)
        self.assertBounded(lambda n: b"A" * n + b" / HTTP/1.1\r\nHost: a\r\n\r\n", "method", True)

    def test_fields(self) -> None:
        """Each field, with and without an upgrade."""
        for name, field in self.FIELDS.items():
            for path in ("/nothing", "/healthz"):
                # twisted.web takes the cookies of a page apart, one by one.
                isConstant = (name, path) != ("cookie", "/healthz")
                self.assertBounded(partial(plainWith, path, field), f"{name} at {path}", isConstant)
            self.assertBounded(partial(upgradeWith, field), f"{name}, upgrade", True)
        self.assertBounded(lambda n: b"GET / HTTP/1.1\r\nHost: " + b"a" * n + b"\r\n\r\n", "host", True)

    def test_lists(self) -> None:
        """Fields that are lists, and the number of fields."""
        for name, field in self.LISTS.items():
            self.assertBounded(partial(upgradeWith, field), name, False)

        def many(n: int) -> bytes:
            return b"\r\n".join([b"X: y"] * (n // 25))

        for path in ("/nothing", "/healthz", "/socket"):
            self.assertBounded(partial(plainWith, path, many), f"fields at {path}", False)
        self.assertBounded(partial(upgradeWith, many), "fields", False)

    def test_foreign(self) -> None:
        """Under a foreign `Site` our part of it is no worse."""
        for name, field in {**self.FIELDS, **self.LISTS}.items():
            if name != "name":
                self.assertBounded(partial(upgradeWith, field), f"{name}, foreign", False, isForeign=True)


def plain(target: Callable[[int], bytes], length: int) -> bytes:
    """A request for a page."""
    return b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target(length)


def plainWith(path: str, field: Callable[[int], bytes], length: int) -> bytes:
    """A request for a page with one field more."""
    return b"GET %b HTTP/1.1\r\nHost: a\r\n%b\r\n\r\n" % (path.encode(), field(length))


def upgradeTo(target: Callable[[int], bytes], length: int) -> bytes:
    """An upgrade there."""
    return upgradeRequest().replace(b"GET / ", b"GET %b " % target(length))


def upgradeWith(field: Callable[[int], bytes], length: int) -> bytes:
    """An upgrade with one field more, in place of its own of that name."""
    line = field(length)
    name = line.partition(b":")[0].lower()
    lines = upgradeRequest("/socket").split(b"\r\n")[:-2]
    if name != b"connection":
        lines = [each for each in lines if each.partition(b":")[0].lower() != name]
    return b"\r\n".join([*lines, line, b"", b""])


class Counting(bytearray):
    """A buffer that counts the bytes that are looked at."""

    looked = 0

    def find(self, sub: Any, start: Any = 0, end: Any = None) -> int:
        found = super().find(sub, start, end)
        stop = len(self) if end is None else min(end, len(self))
        self.looked += (found if found >= 0 else stop) - start
        return found

    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        self.looked += len(part) if isinstance(index, slice) else 1
        return part


class PieceTests(SynchronousTestCase):
    """A head that comes byte by byte."""

    def test_bytes(self) -> None:
        """Each byte is looked at a few times, however many are there already."""
        for start in (b"GET /" + b"a" * 8000, b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"a" * 8000 + b"\r\nY: "):
            reader = HeadReader()
            buffer = reader._data = Counting()
            request = start.ljust(MAX_HEAD - 1, b"b") if b"\r\n" in start else start
            for place in range(len(request)):
                reader.feed(request[place : place + 1])
            self.assertLessEqual(buffer.looked, 16 * len(request))


class MultiDictTests(SynchronousTestCase):
    """Queries and headers with many names."""

    def test_dict(self) -> None:
        """Made into a `dict`, each name costs the same, however many there are."""
        for kind in (MultiDict, Headers):
            figures = []
            for count in LENGTHS:
                pairs = kind([(f"n{number}", "x") for number in range(count)])
                lines = 0

                def note(frame: FrameType, event: str, arg: Any) -> Any:
                    nonlocal lines
                    lines += event == "line"
                    return note

                before = sys.gettrace()
                sys.settrace(note)
                try:
                    self.assertEqual(len(dict(pairs)), count)
                finally:
                    sys.settrace(before)
                figures.append(lines / count)
            self.assertLess(max(figures), 2 * min(figures) + 5, figures)
