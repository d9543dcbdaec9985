"""The head of a request, read strictly."""

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
    """Reads heads whole, in two pieces and byte by byte: the outcome must be the same."""

    def read(self, data: bytes, pieces: Iterable[bytes] | None = None) -> Head | None:
        reader = HeadReader()
        head = None
        for piece in [data] if pieces is None else pieces:
            self.assertIsNone(head, "more was read than the head")
            head = reader.feed(piece)
        return head

    def status(self, data: bytes) -> int:
        """The status with which `data` is refused; 0 if it is a head, 100 if more must come."""
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
    """A sound head."""

    def test_parts(self) -> None:
        """Its parts, and what came behind it."""
        head = self.read(GOOD + b"rest")
        assert head is not None
        self.assertEqual((head.method, head.target, head.version), ("GET", "/a?b=c", (1, 1)))
        self.assertEqual(head.headers.pairs, (("host", "a.example"), ("x-a", "1")))
        self.assertEqual((head.raw, head.rest), (GOOD, b"rest"))

    def test_pieces(self) -> None:
        """However it is cut."""
        for size in (1, 2, 3, 5, 7, 16):
            pieces = [GOOD[at : at + size] for at in range(0, len(GOOD), size)]
            head = self.read(GOOD, pieces)
            assert head is not None
            self.assertEqual(head.target, "/a?b=c")

    def test_emptyLine(self) -> None:
        """One empty line before the request is passed over (RFC 9112 §2.2), two are not."""
        self.assertEqual(self.status(b"\r\n" + GOOD), 0)
        self.assertEqual(self.status(b"\r\n\r\n" + GOOD), 400)

    def test_started(self) -> None:
        """Whether anything came tells a failed upgrade from an idle connection."""
        reader = HeadReader()
        self.assertFalse(reader.started)
        reader.feed(b"G")
        self.assertTrue(reader.started)

    def test_values(self) -> None:
        """Blanks around a value go, those inside stay; latin-1 is kept byte for byte."""
        head = parseHead(b"GET / HTTP/1.1\r\nHost: a\r\nX: \t a \x85b\xff \t\r\nY:")
        self.assertEqual(head.headers["x"], "a \x85b\xff")
        self.assertEqual(head.headers["y"], "")

    def test_manyFields(self) -> None:
        """As many as are allowed."""
        self.assertEqual(self.field(b"\r\n".join(b"X: y" for _ in range(MAX_HEADERS - 1))), 0)


class SyntaxTests(HeadCase):
    """400, in all pieces alike."""

    def test_controls(self) -> None:
        """No control character but HTAB, anywhere; nothing of it ends a line."""
        for control in (*range(0x20), 0x7F):
            if control == 0x09:
                continue
            self.assertEqual(self.field(b"X: a" + bytes([control]) + b"b: c"), 400, control)

    def test_lineBreaks(self) -> None:
        """What Python's splitlines takes for a break is part of the value (trap 3 of Autobahn)."""
        for byte in (b"\x85", b"\xc3\x85", b"\xe2\x80\xa8"):
            data = b"GET / HTTP/1.1\r\nHost: a\r\nX: a" + byte + b"X-Forwarded-For: 6.6.6.6\r\n\r\n"
            head = self.read(data)
            assert head is not None
            self.assertNotIn("x-forwarded-for", head.headers)

    def test_bareBreaks(self) -> None:
        """CR or LF alone."""
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
        """Folded lines, blanks before the colon, no colon, no name, names that are no tokens."""
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
        """Three parts with one blank between, nothing else."""
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
        """HTTP/2's preface is no request of ours."""
        self.assertEqual(self.status(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), 400)

    def test_singles(self) -> None:
        """Fields of which there is one, twice."""
        for name in (b"Host", b"Content-Length", b"Origin", b"Sec-WebSocket-Key", b"sec-websocket-version"):
            line = name + b": 0\r\n" + name.upper() + b": 0"
            request = (
                b"GET / HTTP/1.1\r\n" + (b"" if name == b"Host" else b"Host: a\r\n") + line + b"\r\n\r\n"
            )
            self.assertEqual(self.status(request), 400, name)

    def test_host(self) -> None:
        """Needed, and a host."""
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
        """Two lengths of one body."""
        self.assertEqual(self.field(b"Content-Length: 1\r\nTransfer-Encoding: chunked"), 400)

    def test_early(self) -> None:
        """What can't become a request is refused before its end: nobody waits for the deadline."""
        for data in (
            b"\x16",
            b"\x00",
            b"GET / HTTP/1.1\r\nX\x00",
            b"GET / HTTP/1.1\r\nX: a\nb",
            b"GET /\r\n",
        ):
            self.assertEqual(self.status(data), 400, data)


class VersionTests(HeadCase):
    """Which HTTP."""

    def test_absolute(self) -> None:
        """An absolute target doesn't make another version of it."""
        for version in ((1, 0), (1, 1)):
            request = b"GET http://a.example/x HTTP/%d.%d\r\nHost: b\r\n\r\n" % version
            head = HeadReader().feed(request)
            assert head is not None
            self.assertEqual((head.version, head.target, head.headers["host"]), (version, "/x", "a.example"))

    def test_schemes(self) -> None:
        """Targets with the schemes of HTTP and of WebSockets are alike."""
        for scheme in (b"http", b"https", b"ws", b"WSS"):
            head = HeadReader().feed(b"GET %b://a.example/x HTTP/1.1\r\nHost: b\r\n\r\n" % scheme)
            assert head is not None
            self.assertEqual((head.target, head.headers["host"]), ("/x", "a.example"))
        self.assertRaises(
            UpgradeError, HeadReader().feed, b"GET wsx://a.example/x HTTP/1.1\r\nHost: b\r\n\r\n"
        )

    def test_major(self) -> None:
        """505 for another major version."""
        for version in (b"0.9", b"2.0", b"3.0"):
            self.assertEqual(self.status(b"GET / HTTP/" + version + b"\r\nHost: a\r\n\r\n"), 505, version)

    def test_minor(self) -> None:
        """HTTP/1.0 is understood (and refused later); it needs no Host."""
        head = self.read(b"GET / HTTP/1.0\r\n\r\n")
        assert head is not None
        self.assertEqual(head.version, (1, 0))
        self.assertEqual(self.status(b"GET / HTTP/1.2\r\nHost: a\r\n\r\n"), 0)


class TargetTests(HeadCase):
    """What is asked for."""

    def test_good(self) -> None:
        """Paths of all kinds, as they were sent."""
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
        """The absolute form comes down to its path (RFC 9112 §3.2.2)."""
        for target, expected in (
            (b"http://a/b?c", "/b?c"),
            (b"HTTPS://a", "/"),
            (b"http://a?b", "/?b"),
        ):
            head = parseHead(b"GET " + target + b" HTTP/1.1\r\nHost: a")
            self.assertEqual(head.target, expected)

    def test_bad(self) -> None:
        """Fragments, dots, hidden dots and controls, broken escapes, other schemes, no slash."""
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
    """Bounded, and refused as soon as it is certain."""

    def test_requestLine(self) -> None:
        """A line as long as is allowed, and one byte more: 414."""
        fixed = len(b"GET / HTTP/1.1")
        self.assertEqual(self.target(b"/" + b"a" * (MAX_LINE - fixed)), 0)
        self.assertEqual(self.target(b"/" + b"a" * (MAX_LINE - fixed + 1)), 414)

    def test_endless(self) -> None:
        """A line without an end is refused when it is too long, whatever comes."""
        self.assertEqual(self.status(b"GET /" + b"a" * (MAX_LINE + 1)), 414)

    def test_field(self) -> None:
        """A field that is too long: 431."""
        self.assertEqual(self.field(b"X: " + b"a" * (MAX_LINE - 3)), 0)
        self.assertEqual(self.field(b"X: " + b"a" * (MAX_LINE - 2)), 431)

    def test_count(self) -> None:
        """Too many fields: 431."""
        self.assertEqual(self.field(b"\r\n".join(b"X: y" for _ in range(MAX_HEADERS))), 431)

    def test_head(self) -> None:
        """A head that doesn't end: 431."""
        self.assertEqual(self.status(b"GET / HTTP/1.1\r\n" + b"X: " + b"a" * MAX_HEAD), 431)
        self.assertEqual(self.status(b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * (MAX_HEAD // 6)), 431)

    def test_kept(self) -> None:
        """No more is kept than is allowed, at whatever speed it comes."""
        reader = HeadReader()
        count = 0
        with self.assertRaises(UpgradeError):
            reader.feed(b"GET / HTTP/1.1\r\n")
            for count in range(10 * MAX_HEAD):  # noqa: B007
                reader.feed(b"X: y\r\n")
        self.assertLess(count * 6, MAX_HEAD + 12)


class IsUpgradeTests(SynchronousTestCase):
    """Whether a request is for a WebSocket at all."""

    def test_yes(self) -> None:
        """Names in any case, in lists, over several fields."""
        for pairs in (
            [("Upgrade", "websocket"), ("Connection", "Upgrade")],
            [("Upgrade", "WebSocket"), ("Connection", "keep-alive, uPGRADE")],
            [("Upgrade", "h2c, websocket"), ("Connection", "close"), ("Connection", "upgrade")],
        ):
            self.assertTrue(isUpgrade(Headers(pairs)), pairs)

    def test_no(self) -> None:
        """One without the other; words that only contain it."""
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
    """RFC 6455 §4.2.1."""

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
            checkUpgrade(Handshake(method=method, headers=Headers(pairs)))
        except UpgradeError as error:
            self.error = error
            return error.status
        return 0

    def test_sound(self) -> None:
        """The example of §1.3."""
        self.assertEqual(self.status(), 0)
        self.assertEqual(self.status(Content_Length="0"), 0)

    def test_method(self) -> None:
        """405, and what is allowed."""
        for method in ("POST", "HEAD", "OPTIONS", "get", "CONNECT"):
            self.assertEqual(self.status(method), 405)
            self.assertEqual(self.error.headers, (("Allow", "GET"),))

    def test_body(self) -> None:
        """A body would be taken for frames."""
        self.assertEqual(self.status(Content_Length="5"), 400)
        self.assertEqual(self.status(Content_Length="-0"), 400)
        self.assertEqual(self.status(Transfer_Encoding="chunked"), 400)

    def test_key(self) -> None:
        """16 bytes in base64."""
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
        """426 with the version we speak; none at all is an error."""
        for version in ("8", "12", "14", "013", "13, 8", "x"):
            self.assertEqual(self.status(Sec_WebSocket_Version=version), 426, version)
            self.assertEqual(self.error.headers, (("Sec-WebSocket-Version", "13"),))
        self.assertEqual(self.status(Sec_WebSocket_Version=None), 400)

    def test_protocols(self) -> None:
        """Tokens, each once; none is fine."""
        for protocols in ("chat", "a, b", "", ",,", "v1.json"):
            self.assertEqual(self.status(Sec_WebSocket_Protocol=protocols), 0, protocols)
        for protocols in ("a b", "a, a", "chät", 'a"', "a/b", "(a)"):
            self.assertEqual(self.status(Sec_WebSocket_Protocol=protocols), 400, protocols)

    def test_host(self) -> None:
        """Under a foreign site somebody else read the head: what matters is checked again."""
        self.assertEqual(self.status(Host=None), 400)
