"""
Tests for the handshake, headers and origins.
"""

from __future__ import annotations

from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txroom.core.handshake import Accept, Deny, Handshake, UpgradeError
from txroom.core.headers import FEW, Headers, MultiDict, checkedHeaders
from txroom.core.origin import (
    isAllowedHost,
    isAllowedOrigin,
    isLocalHost,
    isSameOrigin,
    splitHost,
    splitOrigin,
)

#: The characters of random headers.
LATIN = st.text(st.characters(max_codepoint=255))


class MultiDictTests(SynchronousTestCase):
    """`MultiDict` and `Headers`."""

    pairs = (("a", "1"), ("b", "2"), ("a", "3"))

    def test_mapping(self) -> None:
        """The mapping has each name once, with its first value."""
        found = MultiDict(self.pairs)
        self.assertEqual(dict(found), {"a": "1", "b": "2"})
        self.assertEqual(len(found), 2)
        self.assertRaises(KeyError, lambda: found["c"])
        self.assertEqual(found.get("c", "-"), "-")

    def test_all(self) -> None:
        """All values are kept in their order."""
        found = MultiDict(self.pairs)
        self.assertEqual(found.getAll("a"), ["1", "3"])
        self.assertEqual(found.getAll("c"), [])
        self.assertEqual(found.pairs, self.pairs)

    def test_case(self) -> None:
        """The names of a `MultiDict` differ in case, header names do not."""
        self.assertNotIn("A", MultiDict(self.pairs))
        headers = Headers([("Set-Cookie", "1"), ("SET-COOKIE", "2")])
        self.assertEqual(headers.getAll("set-Cookie"), ["1", "2"])
        self.assertEqual((headers["set-cookie"], len(headers)), ("1", 1))
        self.assertIn("sEt-cOOkie", headers)

    def test_index(self) -> None:
        """With an index, and after it was freed, look-ups have the same results."""
        headers = Headers([("B", "2"), ("A", "1"), ("a", "3"), *((f"x{n}", "") for n in range(FEW))])
        expected = [dict(headers), len(headers), headers.get("A"), headers.get("c"), headers.getAll("A")]
        for change in (headers.index, headers.compact):
            change()
            found = [dict(headers), len(headers), headers.get("A"), headers.get("c"), headers.getAll("A")]
            self.assertEqual((found, headers.getAll("c"), "B" in headers), (expected, [], True))

    def test_spaces(self) -> None:
        """Values of headers have no spaces or tabs around them."""
        self.assertEqual(Headers([("A", " \t1 2\t ")]).pairs, (("a", "1 2"),))

    def test_listed(self) -> None:
        """A list may be spread over fields; empty members are skipped (RFC 9110 §5.6.1)."""
        headers = Headers([("X", "a, b"), ("x", " ,c\t,, "), ("y", "")])
        self.assertEqual(headers.listed("X"), ["a", "b", "c"])
        self.assertEqual(headers.listed("y"), [])
        self.assertEqual(headers.listed("z"), [])

    def test_repr(self) -> None:
        """The repr shows the pairs."""
        self.assertEqual(repr(MultiDict([("a", "1")])), "MultiDict([('a', '1')])")


class HandshakeTests(SynchronousTestCase):
    """The properties of a `Handshake`."""

    def handshake(self, target: str = "/", *headers: tuple[str, str]) -> Handshake:
        return Handshake(target=target, headers=Headers(headers))

    def test_path(self) -> None:
        """The path is not decoded."""
        self.assertEqual(self.handshake("/a%20b;c?d=1?e").path, "/a%20b;c")
        self.assertEqual(self.handshake("/").path, "/")

    def test_query(self) -> None:
        """Parameters are decoded, with several values for a name and with empty ones."""
        query = self.handshake("/?a=1&b=%C3%A9+x&a=&c").query
        self.assertEqual(query.pairs, (("a", "1"), ("b", "é x"), ("a", ""), ("c", "")))
        self.assertEqual(len(self.handshake("/").query), 0)

    def test_headers(self) -> None:
        """Host, Origin, protocols and extensions."""
        handshake = self.handshake(
            "/",
            ("Host", "example.org:81"),
            ("Origin", "https://example.org"),
            ("Sec-WebSocket-Protocol", "a, b"),
            ("Sec-WebSocket-Protocol", "c"),
            ("Sec-WebSocket-Extensions", "x; y=1, z"),
        )
        self.assertEqual(handshake.host, "example.org:81")
        self.assertEqual(handshake.origin, "https://example.org")
        self.assertEqual(handshake.protocols, ["a", "b", "c"])
        self.assertEqual(handshake.extensions, ["x; y=1", "z"])

    def test_absent(self) -> None:
        """Missing headers are empty; only a missing Origin is None."""
        handshake = self.handshake()
        self.assertEqual((handshake.host, handshake.origin), ("", None))
        self.assertEqual((handshake.protocols, handshake.extensions, handshake.cookies), ([], [], {}))
        self.assertEqual((handshake.peer, handshake.secure, handshake.certificate), ("", False, None))

    def test_cookies(self) -> None:
        """Several cookies in a header, several headers (as HTTP/2 proxies split them), and quoted values."""
        handshake = self.handshake("/", ("Cookie", 'a=1; b="x y"'), ("Cookie", "c=3"))
        self.assertEqual(handshake.cookies, {"a": "1", "b": "x y", "c": "3"})

    def test_badCookies(self) -> None:
        """A malformed cookie is skipped, and no other one with it."""
        self.assertEqual(self.handshake("/", ("Cookie", "a b=1; =; []; a\x01=2")).cookies, {})
        odd = self.handshake("/", ("Cookie", 'a={"x":1}; path=2; session=abc; session=old'))
        self.assertEqual(odd.cookies, {"a": '{"x":1}', "path": "2", "session": "abc"})

    def test_data(self) -> None:
        """Each handshake has its own `data`."""
        one, other = self.handshake(), self.handshake()
        one.data["x"] = 1
        self.assertEqual(other.data, {})


class CheckedHeadersTests(SynchronousTestCase):
    """The headers that hooks return."""

    def test_forms(self) -> None:
        """A mapping, or pairs if a name occurs twice."""
        self.assertEqual(checkedHeaders({"X-A": "1"}), (("X-A", "1"),))
        pairs = (("Set-Cookie", "a=1"), ("Set-Cookie", "b=2\t"))
        self.assertEqual(checkedHeaders(iter(pairs)), pairs)
        self.assertEqual(checkedHeaders(()), ())

    def test_injection(self) -> None:
        """No value can end its line or the head."""
        for control in "\r\n\0\x0b\x0c\x1b\x1c\x1d\x1e\x7f":
            with self.assertRaises(ValueError) as caught:
                checkedHeaders({"X-A": f"a{control}Set-Cookie: b=1"})
            self.assertIn("X-A", str(caught.exception))

    def test_names(self) -> None:
        """A name is a token (RFC 9110 §5.6.2)."""
        for name in ("", "X A", "X:A", "X\r\nA", "Ä", 'X"'):
            self.assertRaises(ValueError, checkedHeaders, {name: "1"})

    def test_latin1(self) -> None:
        """Values must be encodable as latin-1."""
        self.assertEqual(checkedHeaders({"X-A": "é"}), (("X-A", "é"),))
        self.assertRaises(ValueError, checkedHeaders, {"X-A": "€"})

    def test_ours(self) -> None:
        """The handshake's own headers are refused, in any case."""
        for name in (
            "Connection",
            "UPGRADE",
            "Content-Length",
            "transfer-encoding",
            "Sec-WebSocket-Accept",
            "sec-websocket-protocol",
            "SEC-WebSocket-Extensions",
        ):
            self.assertRaises(ValueError, checkedHeaders, {name: "1"})


class AnswerTests(SynchronousTestCase):
    """The results of `verifyClient`."""

    def test_accept(self) -> None:
        """A user, and headers that are checked at once."""
        accepted = Accept("alice", headers={"X-A": "1"})
        self.assertEqual((accepted.user, accepted.headers), ("alice", (("X-A", "1"),)))
        self.assertEqual((Accept().user, Accept().headers), (None, ()))
        self.assertRaises(ValueError, lambda: Accept(headers={"X-A": "\n"}))

    def test_deny(self) -> None:
        """The default status is 401, as in ws."""
        denied = Deny()
        self.assertEqual((denied.status, denied.body, denied.headers), (401, None, ()))
        self.assertEqual(Deny(302, headers={"Location": "/login"}).status, 302)
        self.assertRaises(ValueError, lambda: Deny(headers={"X-A": "\n"}))

    def test_denyStatus(self) -> None:
        """The status must be an HTTP status from 300 to 511."""
        for status in (0, 101, 200, 299, 399, 512, 520, 999, "401"):
            bad: Any = status
            self.assertRaises(ValueError, Deny, bad)

    def test_denyBody(self) -> None:
        """The body must be text that can be sent, or None."""
        for body in (None, "", "no", "kein Zutritt €"):
            self.assertEqual(Deny(403, body).body, body)
        for wrong in (b"bytes", {"error": "x"}, 7):
            bad: Any = wrong
            with self.assertRaises(TypeError) as caught:
                Deny(403, bad)
            self.assertIn(f"body={wrong!r}", str(caught.exception))
        with self.assertRaises(ValueError) as surrogate:
            Deny(403, "no \udcff")
        self.assertIn("surrogates", str(surrogate.exception))


class UpgradeErrorTests(SynchronousTestCase):
    """`UpgradeError`."""

    def test_body(self) -> None:
        """The default body is the phrase of the status; with status 0 there is none."""
        self.assertEqual(UpgradeError(404, "path").body, "Not Found")
        self.assertEqual(UpgradeError(404, "path", "gone").body, "gone")
        self.assertEqual(UpgradeError(404, "path", "").body, "")
        self.assertIsNone(UpgradeError(0, "left").body)

    def test_text(self) -> None:
        """Its text has status and reason."""
        self.assertEqual(str(UpgradeError(404, "path")), "404: path")
        self.assertEqual(str(UpgradeError(0, "left")), "no answer: left")


class OriginTests(SynchronousTestCase):
    """Origins (RFC 6455 §10.2)."""

    def test_split(self) -> None:
        """Scheme, host and port are normalized."""
        self.assertEqual(splitOrigin("https://Example.ORG"), ("https", "example.org", 443))
        self.assertEqual(splitOrigin("HTTP://example.org:80"), ("http", "example.org", 80))
        self.assertEqual(splitOrigin("http://[::1]:8080"), ("http", "::1", 8080))
        self.assertEqual(splitOrigin("app://x"), ("app", "x", None))

    def test_noOrigin(self) -> None:
        """Anything else matches nothing."""
        for text in (
            "null",
            "",
            "example.org",
            "file://",
            "http://",
            "http://good.example@evil.example",
            "http://good.example:80@evil.example",
            "http://a.example/",
            "http://a.example/path",
            "http://a.example?q",
            "http://a.example?",
            "http://a.example#",
            "http://a.example:x",
            "http://a.example:99999",
            "http://[::1",
            "http://bücher.example",
            "http://a.example, http://b.example",
        ):
            self.assertIsNone(splitOrigin(text), text)

    def test_splitHost(self) -> None:
        """The name is in lower case; the port may be missing."""
        self.assertEqual(splitHost("Example.org:8080"), ("example.org", 8080))
        self.assertEqual(splitHost("example.org"), ("example.org", None))
        self.assertEqual(splitHost("[::1]:8080"), ("[::1]", 8080))
        self.assertEqual(splitHost("[::1]"), ("[::1]", None))
        self.assertEqual(splitHost("example.org:"), ("example.org:", None))

    @settings(deadline=None, suppress_health_check=list(HealthCheck))
    @given(LATIN, LATIN)
    @example("http://a:" + "9" * 5000, "a:" + "9" * 5000)
    @example("http://[::1", "[::1")
    @example("http://[v1.x]:1", "a:\xb2")
    @example("//:@", ":")
    def test_anything(self, origin: str, host: str) -> None:
        """Comparing never raises, whatever the headers contain, and strange values match nothing."""
        self.assertIsInstance(splitHost(host)[0], str)
        self.assertFalse(isAllowedOrigin(origin, host, ()) and splitOrigin(origin) is None)
        isAllowedHost(host, ("a.example", "*.b.example:80"))
        self.assertFalse(
            isLocalHost(host) and "localhost" not in host.lower() and not any(c in host for c in "1:")
        )

    def test_longPort(self) -> None:
        """A number that is too long for a port stays a part of the name, which matches nothing."""
        for digits in ("123456", "9" * 5000):
            self.assertEqual(splitHost(f"a.example:{digits}"), (f"a.example:{digits}", None))
            self.assertIsNone(splitOrigin(f"http://a.example:{digits}"))
            self.assertFalse(isSameOrigin("http://a.example", f"a.example:{digits}"))

    def test_same(self) -> None:
        """Host and port are compared, the scheme is not, because a proxy may have handled TLS."""
        for origin, host in (
            ("http://a.example", "a.example"),
            ("https://a.example", "a.example"),
            ("https://A.example", "a.EXAMPLE:443"),
            ("http://a.example:80", "a.example"),
            ("http://a.example:8080", "a.example:8080"),
            ("http://[::1]:8080", "[::1]:8080"),
            ("https://192.0.2.1:9999", "192.0.2.1:9999"),
            ("ftp://a.example:8080", "a.example:8080"),
        ):
            self.assertTrue(isSameOrigin(origin, host), origin)

    def test_other(self) -> None:
        """Names that only begin or end alike are different."""
        for origin, host in (
            ("http://a.example.evil", "a.example"),
            ("http://evil-a.example", "a.example"),
            ("http://a.example:8080", "a.example"),
            ("https://a.example", "a.example:80"),
            ("null", "null"),
            ("http://a.example:80@evil", "a.example"),
            ("http://sub.a.example", "a.example"),
            ("http://a.example", ""),
            ("http://a.example:0", "a.example:0"),
            ("http://a.example:99999", "a.example:99999"),
        ):
            self.assertFalse(isSameOrigin(origin, host), origin)

    def test_allowed(self) -> None:
        """The list allows more; scheme, host and port are compared."""
        allowed = ("https://b.example", "http://c.example:8080")
        self.assertTrue(isAllowedOrigin("https://B.example:443", "a.example", allowed))
        self.assertTrue(isAllowedOrigin("http://c.example:8080", "a.example", allowed))
        self.assertTrue(isAllowedOrigin("https://a.example", "a.example", allowed))
        self.assertFalse(isAllowedOrigin("http://b.example", "a.example", allowed))
        self.assertFalse(isAllowedOrigin("https://c.example:8080", "a.example", allowed))
        self.assertFalse(isAllowedOrigin("null", "a.example", allowed))

    def test_any(self) -> None:
        """ "*" allows everything, even invalid origins."""
        self.assertTrue(isAllowedOrigin("null", "a.example", ("*",)))
