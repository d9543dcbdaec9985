"""
Tests for the strict reader of request heads.
"""

from __future__ import annotations

from collections.abc import Iterable

from twisted.trial.unittest import SynchronousTestCase

from txroom.core.handshake import Handshake, UpgradeError
from txroom.core.headers import Headers
from txroom.http.request import (
    MAX_HEAD,
    MAX_HEADERS,
    MAX_LINE,
    Head,
    HeadReader,
    checkUpgrade,
    isUpgrade,
    parseHead,
)

GOOD = b"GET /a?b=c HTTP/1.1\r\nHost: a.example\r\nX-A: 1\r\n\r\n"


class HeadCase(SynchronousTestCase):
    """Reads heads whole, in two pieces and byte by byte; the results must be the same."""

    def read(self, data: bytes, pieces: Iterable[bytes] | None = None) -> Head | None:
        reader = HeadReader()
        head = None
        for piece in [data] if pieces is None else pieces:
            self.assertIsNone(head, "more was read than the head")
            head = reader.feed(piece)
        return head

    def status(self, data: bytes) -> int:
        """Return the status with which `data` is refused; 0 if it is a head, 100 if it is incomplete."""
        whole = self._status(data, [data])
        byByte = self._status(data, [data[at : at + 1] for at in range(len(data))])
        halves = self._status(data, [data[: len(data) // 2], data[len(data) // 2 :]])
        self.assertEqual({whole}, {whole, byByte, halves}, data)
        return whole

    def _status(self, data: bytes, pieces: list[bytes]) -> int:
        reader = HeadReader()
        try:
            for piece in pieces:
                if reader.feed(piece) is not None:
                    return 0
        except UpgradeError as error:
            return error.status
        return 100

    def field(self, line: bytes) -> int:
        return self.status(b"GET / HTTP/1.1\r\nHost: a\r\n" + line + b"\r\n\r\n")

    def target(self, target: bytes) -> int:
        return self.status(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")


class ReadTests(HeadCase):
    """Valid heads."""

    def test_parts(self) -> None:
        """The parts of a head, and the bytes behind it."""
        head = self.read(GOOD + b"rest")
        assert head is not None
        self.assertEqual((head.method, head.target, head.version), ("GET", "/a?b=c", (1, 1)))
        self.assertEqual(head.headers.pairs, (("host", "a.example"), ("x-a", "1")))
        self.assertEqual((head.raw, head.rest), (GOOD, b"rest"))

    def test_pieces(self) -> None:
        """A head may be cut anywhere."""
        for size in (1, 2, 3, 5, 7, 16):
            pieces = [GOOD[at : at + size] for at in range(0, len(GOOD), size)]
            head = self.read(GOOD, pieces)
            assert head is not None
            self.assertEqual(head.target, "/a?b=c")

    def test_emptyLine(self) -> None:
        """One empty line before the request is skipped (RFC 9112 §2.2), two are refused."""
        self.assertEqual(self.status(b"\r\n" + GOOD), 0)
        self.assertEqual(self.status(b"\r\n\r\n" + GOOD), 400)

    def test_started(self) -> None:
        """`started` tells a failed upgrade from an idle connection."""
        reader = HeadReader()
        self.assertFalse(reader.started)
        reader.feed(b"G")
        self.assertTrue(reader.started)

    def test_values(self) -> None:
        """Spaces around a value are removed, those inside it stay; latin-1 is kept byte for byte."""
        head = parseHead(b"GET / HTTP/1.1\r\nHost: a\r\nX: \t a \x85b\xff \t\r\nY:")
        self.assertEqual(head.headers["x"], "a \x85b\xff")
        self.assertEqual(head.headers["y"], "")

    def test_manyFields(self) -> None:
        """The maximum number of fields is accepted."""
        self.assertEqual(self.field(b"\r\n".join(b"X: y" for _ in range(MAX_HEADERS - 1))), 0)


class SyntaxTests(HeadCase):
    """400, however the bytes are cut."""

    def test_controls(self) -> None:
        """No control character but HTAB is accepted anywhere."""
        for control in (*range(0x20), 0x7F):
            if control == 0x09:
                continue
            self.assertEqual(self.field(b"X: a" + bytes([control]) + b"b: c"), 400, control)

    def test_lineBreaks(self) -> None:
        """Characters at which Python's splitlines breaks lines are part of the value, unlike in Autobahn."""
        for byte in (b"\x85", b"\xc3\x85", b"\xe2\x80\xa8"):
            data = b"GET / HTTP/1.1\r\nHost: a\r\nX: a" + byte + b"X-Forwarded-For: 6.6.6.6\r\n\r\n"
            head = self.read(data)
            assert head is not None
            self.assertNotIn("x-forwarded-for", head.headers)

    def test_bareBreaks(self) -> None:
        """CR or LF alone is refused."""
        for data in (
            b"GET / HTTP/1.1\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\n\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n",
            b"GET / HTTP/1.1\r\nHost: a\r\r\n\r\n",
            b"\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",
            b"GET / HTTP/1.1\n\n",
        ):
            self.assertEqual(self.status(data), 400, data)

    def test_fields(self) -> None:
        """
        Folded lines, spaces before the colon, missing colons and names, and names that are not tokens are
        refused.
        """
        for line in (
            b" folded",
            b"\tfolded",
            b"X : a",
            b"X\t: a",
            b"X",
            b": a",
            b"X(: a",
            b"\xc3: a",
            b" : a",
        ):
            self.assertEqual(self.field(line), 400, line)

    def test_requestLines(self) -> None:
        """A request line has three parts with one space between them."""
        for line in (
            b"GET /",
            b"GET",
            b"",
            b"GET  / HTTP/1.1",
            b"GET / HTTP/1.1 ",
            b" GET / HTTP/1.1",
            b"GET\t/ HTTP/1.1",
            b"GET / HTTP/1.1 x",
            b"GET / http/1.1",
            b"GET / HTTP/11",
            b"GET / HTTP/1.10",
            b"G(T / HTTP/1.1",
            b"GET /\xc3\xa9 HTTP/1.1",
            b"\x16\x03\x01\x02\x00\x01",
        ):
            self.assertEqual(self.status(line + b"\r\nHost: a\r\n\r\n"), 400, line)

    def test_preface(self) -> None:
        """HTTP/2's preface is refused."""
        self.assertEqual(self.status(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 400)

    def test_singles(self) -> None:
        """Fields that may occur once are refused if they occur twice."""
        for name in (b"Host", b"Content-Length", b"Origin", b"Sec-WebSocket-Key", b"sec-websocket-version"):
            line = name + b": 0\r\n" + name.upper() + b": 0"
            request = (
                b"GET / HTTP/1.1\r\n" + (b"" if name == b"Host" else b"Host: a\r\n") + line + b"\r\n\r\n"
            )
            self.assertEqual(self.status(request), 400, name)

    def test_host(self) -> None:
        """The Host is required and must be valid."""
        self.assertEqual(self.status(b"GET / HTTP/1.1\r\nX: a\r\n\r\n"), 400)
        for host in (
            b"",
            b"a b",
            b"a/b",
            b"a@b",
            b"a:x",
            b"a:123456",
            b"[::1",
            b"a\xff",
            b"http://a",
        ):
            request = b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
            self.assertEqual(self.status(request), 400, host)
        for host in (b"a", b"A.example:8080", b"[::1]:80", b"127.0.0.1", b"a:"):
            request = b"GET / HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
            self.assertEqual(self.status(request), 0, host)

    def test_smuggling(self) -> None:
        """Two lengths of one body are refused."""
        self.assertEqual(self.field(b"Content-Length: 1\r\nTransfer-Encoding: chunked"), 400)

    def test_early(self) -> None:
        """Bytes that can't become a request are refused at once, before the deadline."""
        for data in (
            b"\x16",
            b"\x00",
            b"GET / HTTP/1.1\r\nX\x00",
            b"GET / HTTP/1.1\r\nX: a\nb",
            b"GET /\r\n",
        ):
            self.assertEqual(self.status(data), 400, data)


class VersionTests(HeadCase):
    """The version of HTTP."""

    def test_absolute(self) -> None:
        """An absolute target does not change the version."""
        for version in ((1, 0), (1, 1)):
            request = b"GET http://a.example/x HTTP/%d.%d\r\nHost: b\r\n\r\n" % version
            head = HeadReader().feed(request)
            assert head is not None
            self.assertEqual((head.version, head.target, head.headers["host"]), (version, "/x", "a.example"))

    def test_schemes(self) -> None:
        """Targets may have the schemes of HTTP and of WebSockets."""
        for scheme in (b"http", b"https", b"ws", b"WSS"):
            head = HeadReader().feed(b"GET %b://a.example/x HTTP/1.1\r\nHost: b\r\n\r\n" % scheme)
            assert head is not None
            self.assertEqual((head.target, head.headers["host"]), ("/x", "a.example"))
        self.assertRaises(
            UpgradeError, HeadReader().feed, b"GET wsx://a.example/x HTTP/1.1\r\nHost: b\r\n\r\n"
        )

    def test_major(self) -> None:
        """Another major version gets 505."""
        for version in (b"0.9", b"2.0", b"3.0"):
            self.assertEqual(self.status(b"GET / HTTP/" + version + b"\r\nHost: a\r\n\r\n"), 505, version)

    def test_minor(self) -> None:
        """HTTP/1.0 is read, and refused later; it needs no Host."""
        head = self.read(b"GET / HTTP/1.0\r\n\r\n")
        assert head is not None
        self.assertEqual(head.version, (1, 0))
        self.assertEqual(self.status(b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"), 0)


class TargetTests(HeadCase):
    """The request target."""

    def test_good(self) -> None:
        """Valid paths are kept as sent."""
        for target in (
            b"/",
            b"//evil",
            b"/a;b",
            b"/a%20b?c=%zz"[:9],
            b"/a?b=/../c",
            b"/...",
            b"/a/..b",
            b"*",
        ):
            self.assertEqual(self.target(target), 0, target)

    def test_absolute(self) -> None:
        """The absolute form is reduced to its path (RFC 9112 §3.2.2)."""
        for target, expected in (
            (b"http://a/b?c", "/b?c"),
            (b"HTTPS://a", "/"),
            (b"http://a?b", "/?b"),
        ):
            head = parseHead(b"GET " + target + b" HTTP/1.1\r\nHost: a")
            self.assertEqual(head.target, expected)

    def test_bad(self) -> None:
        """
        Fragments, dot segments, encoded dots and controls, broken escapes, other schemes and missing slashes
        are refused.
        """
        for target in (
            b"/a#b",
            b"/..",
            b"/a/../b",
            b"/a/./b",
            b"/.",
            b"/%2e%2e/a",
            b"/a/%2E%2e",
            b"/a%2f..%2fb",
            b"/a%00b",
            b"/a%0d%0ab",
            b"/a%7f",
            b"/a%",
            b"/a%1",
            b"/a%zz",
            b"/?a%zz",
            b"a",
            b"?a",
            b"ftp://a/b",
            b"a.example:443",
            b"http:///a",
            b"http://a/../b",
        ):
            self.assertEqual(self.target(target), 400, target)


class SizeTests(HeadCase):
    """Sizes are limited, and refused as early as possible."""

    def test_requestLine(self) -> None:
        """A request line may have the maximum length; one byte more gets 414."""
        fixed = len(b"GET / HTTP/1.1")
        self.assertEqual(self.target(b"/" + b"a" * (MAX_LINE - fixed)), 0)
        self.assertEqual(self.target(b"/" + b"a" * (MAX_LINE - fixed + 1)), 414)

    def test_endless(self) -> None:
        """A line without an end is refused when it is too long."""
        self.assertEqual(self.status(b"GET /" + b"a" * (MAX_LINE + 1)), 414)

    def test_field(self) -> None:
        """A field that is too long gets 431."""
        self.assertEqual(self.field(b"X: " + b"a" * (MAX_LINE - 3)), 0)
        self.assertEqual(self.field(b"X: " + b"a" * (MAX_LINE - 2)), 431)

    def test_count(self) -> None:
        """Too many fields get 431."""
        self.assertEqual(self.field(b"\r\n".join(b"X: y" for _ in range(MAX_HEADERS))), 431)

    def test_head(self) -> None:
        """A head without an end gets 431."""
        self.assertEqual(self.status(b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * MAX_HEAD), 431)
        self.assertEqual(self.status(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * (MAX_HEAD // 6)), 431)

    def test_kept(self) -> None:
        """No more than the maximum is kept, however fast the bytes arrive."""
        reader = HeadReader()
        count = 0
        with self.assertRaises(UpgradeError):
            reader.feed(b"GET / HTTP/1.1\r\n")
            for count in range(10 * MAX_HEAD):  # noqa: B007
                reader.feed(b"X: y\r\n")
        self.assertLess(count * 6, MAX_HEAD + 12)


class IsUpgradeTests(SynchronousTestCase):
    """`isUpgrade`."""

    def test_yes(self) -> None:
        """Tokens are found in any case, in lists, and in several fields."""
        for pairs in (
            [("Upgrade", "websocket"), ("Connection", "Upgrade")],
            [("Upgrade", "WebSocket"), ("Connection", "keep-alive, uPGRADE")],
            [("Upgrade", "h2c, websocket"), ("Connection", "close"), ("Connection", "upgrade")],
        ):
            self.assertTrue(isUpgrade(Headers(pairs)), pairs)

    def test_no(self) -> None:
        """One header without the other, and words that only contain the token, do not count."""
        for pairs in (
            [],
            [("Upgrade", "websocket")],
            [("Connection", "Upgrade")],
            [("Upgrade", "h2c"), ("Connection", "Upgrade")],
            [("Upgrade", "websocket"), ("Connection", "keep-alive")],
            [("Upgrade", "websockets"), ("Connection", "Upgrade")],
            [("Upgrade", "websocket"), ("Connection", "no-upgrade")],
        ):
            self.assertFalse(isUpgrade(Headers(pairs)), pairs)


class CheckUpgradeTests(SynchronousTestCase):
    """The rules of RFC 6455 §4.2.1."""

    FIELDS = {
        "Host": "a",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }

    def status(self, method: str = "GET", **fields: str | None) -> int:
        given = {name.replace("_", "-").lower(): value for name, value in fields.items()}
        merged = {name.lower(): value for name, value in self.FIELDS.items()} | given
        pairs = [(name, value) for name, value in merged.items() if value is not None]
        try:
            checkUpgrade(Handshake(method=method, headers=Headers(pairs)), isForeign=True)
        except UpgradeError as error:
            self.error = error
            return error.status
        return 0

    def test_sound(self) -> None:
        """The example of §1.3 is accepted."""
        self.assertEqual(self.status(), 0)
        self.assertEqual(self.status(Content_Length="0"), 0)

    def test_method(self) -> None:
        """Another method gets 405, with the allowed one."""
        for method in ("POST", "HEAD", "OPTIONS", "get", "CONNECT"):
            self.assertEqual(self.status(method), 405)
            self.assertEqual(self.error.headers, (("Allow", "GET"),))

    def test_body(self) -> None:
        """A body is refused, because it would be read as frames."""
        self.assertEqual(self.status(Content_Length="5"), 400)
        self.assertEqual(self.status(Content_Length="-0"), 400)
        self.assertEqual(self.status(Transfer_Encoding="chunked"), 400)

    def test_key(self) -> None:
        """The key must be 16 bytes in base64."""
        for key in (
            None,
            "",
            "x",
            "dGhlIHNhbXBsZSBub25jZQ=",
            "dGhlIHNhbXBsZSBub25jZQ===",
            "dGhlIHNhb*Bs" * 2,
        ):
            self.assertEqual(self.status(Sec_WebSocket_Key=key), 400, key)

    def test_version(self) -> None:
        """Another version gets 426 with the supported one; a missing version gets 400."""
        for version in ("8", "12", "14", "013", "13, 8", "x"):
            self.assertEqual(self.status(Sec_WebSocket_Version=version), 426, version)
            self.assertEqual(self.error.headers, (("Sec-WebSocket-Version", "13"),))
        self.assertEqual(self.status(Sec_WebSocket_Version=None), 400)

    def test_protocols(self) -> None:
        """Sub-protocols must be tokens without duplicates; there may be none."""
        for protocols in ("chat", "a, b", "", ",,", "v1.json"):
            self.assertEqual(self.status(Sec_WebSocket_Protocol=protocols), 0, protocols)
        for protocols in ("a b", "a, a", "chät", 'a"', "a/b", "(a)"):
            self.assertEqual(self.status(Sec_WebSocket_Protocol=protocols), 400, protocols)

    def test_host(self) -> None:
        """Under a foreign site somebody else has read the head, so the Host is checked again."""
        self.assertEqual(self.status(Host=None), 400)
