"""Secrets are cut out of texts that are logged."""

from __future__ import annotations

import json
from collections.abc import Callable
from urllib.parse import quote

from hypothesis import assume, given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txroom.process.redaction import redacted

#: What JavaScript's `encodeURIComponent` leaves as it is, besides letters, digits and "-._".
SAFE = "'()*!~"
#: What must not be logged.
SECRET = "Q7Q"
#: What quotes, escapes and ends.
SPECIAL = st.sampled_from("'()*!~\"\\&=?/:;,.#@}]")
TEXTS = st.lists(SPECIAL | st.characters(codec="utf-8"), max_size=12).map("".join)
KEYS = st.lists(SPECIAL | st.characters(min_codepoint=0x21, max_codepoint=0x7E), max_size=12).map("".join)

#: What a log says of a URL or a secret.
CONTEXTS: list[Callable[[str], str]] = [
    lambda text: text,
    lambda text: f'"GET {text} HTTP/1.1" 101',
    lambda text: f"see {text}, then go on",
    lambda text: f"({text})",
    lambda text: f"'{text}', 'x'",
    lambda text: f"it's '{text}'",
    lambda text: f"<Request at 0x1 uri={text!r} clientproto='HTTP/1.1'>",
    lambda text: repr(text.encode()),
    lambda text: repr((text, text)),
    lambda text: repr({"a": text, "it's": "b"}),
    lambda text: repr([text, text]).replace(" ", ""),
    lambda text: json.dumps({"a": text, "b": text}),
    lambda text: json.dumps([text, text], separators=(",", ":")),
    lambda text: json.dumps(json.dumps({"a": text})),
    lambda text: repr(json.dumps({"a": text})),
    lambda text: repr(f"'a' \"b\" {text}"),
]


class RedactionTests(SynchronousTestCase):
    """`redacted`."""

    def test_examples(self) -> None:
        """Queries and secrets are cut out; other texts stay as they are."""
        for text, expected in (
            ('"GET /rooms/chat?token=abc&x=1 HTTP/1.1" 101', '"GET /rooms/chat?... HTTP/1.1" 101'),
            ('"GET /chat?name=O\'Brien&ticket=S HTTP/1.1"', '"GET /chat?... HTTP/1.1"'),
            ("GET /rooms/it's?ticket=S", "GET /rooms/it's?..."),
            (r'"GET /x\"y?z=\"S HTTP/1.1" 400', r'"GET /x\"y?... HTTP/1.1" 400'),
            ("wss://host/a?b", "wss://host/a?..."),
            ("{'url': '/a?b', 'x': '/c?d'}", "{'url': '/a?...', 'x': '/c?...'}"),
            ("b'/a?b\"c' 'ws://a/?b'", "b'/a?...' 'ws://a/?...'"),
            ('["/a?b","/c?d"]', '["/a?...","/c?..."]'),
            ("redis://user:pass@host:6379/0", "redis://user:...@host:6379/0"),
            ("redis://user:p'a@ss@host", "redis://user:...@host"),
            ("Authorization: Bearer abc.def", "Authorization: Bearer ..."),
            ("{'Authorization': 'Bearer a!\"b', 'c': 1}", "{'Authorization': 'Bearer ...', 'c': 1}"),
            ("password=abc, user=ada", "password=..., user=ada"),
            ("password=O'Brien, user=ada", "password=..., user=ada"),
            ("password='correct horse', user=ada", "password='...', user=ada"),
            ("why? /a is late", "why? /a is late"),
            ("what?/a?", "what?/a?"),
            ("/a/b/c?d e/f?g", "/a/b/c?... e/f?..."),
            ("{'password': 'hunter2', 'a': 1}", "{'password': '...', 'a': 1}"),
            ("{'password': b'hunter2', 'a': 1}", "{'password': b'...', 'a': 1}"),
            ('{"token": "abc"}', '{"token": "..."}'),
            (r'"{\"token\": \"a\\\"b\", \"c\": 1}"', r'"{\"token\": \"...\", \"c\": 1}"'),
            ("access_token=abc&x=1 sessionToken=abc", "access_token=...&x=1 sessionToken=..."),
            ("a room with 3 tokens", "a room with 3 tokens"),
        ):
            self.assertEqual(redacted(text), expected)

    @given(TEXTS, TEXTS, TEXTS, st.sampled_from(("", "http://ho'st", "wss://host:80")))
    def test_queries(self, path: str, before: str, after: str, origin: str) -> None:
        """No query of a URL is logged, whatever a browser leaves in it."""
        query = quote(f"{before}{SECRET}{after}", safe=SAFE + "&=")
        url = f"{origin}/{quote(path, safe=SAFE + '/')}?{query}"
        assume(SECRET not in path)
        for context in CONTEXTS:
            self.assertNotIn(SECRET, redacted(context(url)), context(url))

    @given(TEXTS, TEXTS)
    def test_fields(self, before: str, after: str) -> None:
        """No secret is logged that is the field of a mapping."""
        fields = {"a": 1, "apiKey": f"{before}{SECRET}{after}", "b": 2}
        for text in (repr(fields), json.dumps(fields), json.dumps(fields, ensure_ascii=False)):
            for logged in (
                text,
                f"got {text!r}",
                json.dumps(text),
                repr([text]),
                json.dumps(json.dumps(text)),
            ):
                self.assertNotIn(SECRET, redacted(logged), logged)

    @given(KEYS)
    def test_headers(self, before: str) -> None:
        """No key of an operator is logged, which may have any visible characters of ASCII."""
        header = f"Bearer {before}{SECRET}"
        for text in (
            repr({"a": header}),
            json.dumps({"a": header}),
            repr(json.dumps(header)),
            repr((header, 1)),
        ):
            self.assertNotIn(SECRET, redacted(text), text)

    def test_linear(self) -> None:
        """A text that a client has chosen doesn't hold up the server; this would take minutes."""
        for unit in (
            "'",
            "/",
            "'/",
            '"',
            "\\",
            '\\"',
            "a'",
            "'a:/",
            "://a:",
            "token",
            "token ",
            "?a",
        ):
            text = unit * (300_000 // len(unit))
            for end in ("", "?"):
                self.assertEqual(redacted(text + end), text + end)
        for unit in (
            "'?",
            "/?'",
            "?/",
            "'/?\\",
            "token=",
            "token='",
            "token=\\",
            "Bearer ",
            "Bearer '",
            "://:@",
        ):
            redacted(unit * (300_000 // len(unit)))
