"""
Tests for the browser client, as a server serves it.
"""

from __future__ import annotations

from importlib.resources import files

from tests.case import HarnessTestCase
from txroom import Application, Server
from txroom.testing import Response


class ClientScriptTests(HarnessTestCase):
    """`Server.addClientScript`."""

    def setUp(self) -> None:
        super().setUp()
        self.harness = self.serve(Application())
        self.server: Server = self.harness.server

    def get(self, path: str, method: str = "GET", tag: str = "") -> Response:
        head = f"{method} {path} HTTP/1.1\r\nHost: localhost\r\n"
        if tag:
            head += f"If-None-Match: {tag}\r\n"
        answer = self.harness.raw(f"{head}\r\n".encode()).response
        assert answer is not None
        return answer

    def test_served(self) -> None:
        """It serves the package's module, with the content type that browsers require for modules."""
        self.server.addClientScript()
        answer = self.get("/txroom.js")
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.body, files("txroom").joinpath("web", "txroom.js").read_bytes())
        self.assertEqual(answer.headers["content-type"], "text/javascript; charset=utf-8")
        self.assertEqual(answer.headers["x-content-type-options"], "nosniff")

    def test_otherPages(self) -> None:
        """Pages of other servers may import it, also from the browser's cache."""
        self.server.addClientScript()
        first = self.get("/txroom.js")
        again = self.get("/txroom.js", tag=first.headers["etag"])
        for answer in (first, again):
            self.assertEqual(answer.headers["access-control-allow-origin"], "*")

    def test_kept(self) -> None:
        """A browser that has cached it gets it again only if it has changed."""
        self.server.addClientScript()
        first = self.get("/txroom.js")
        self.assertEqual(first.headers["cache-control"], "no-cache")
        tag = first.headers["etag"]
        again = self.get("/txroom.js", tag=tag)
        self.assertEqual((again.status, again.body, again.headers["etag"]), (304, b"", tag))
        other = self.get("/txroom.js", tag='"of-another-version"')
        self.assertEqual((other.status, other.body), (200, first.body))

    def test_head(self) -> None:
        """HEAD is answered without a body."""
        self.server.addClientScript()
        answer = self.get("/txroom.js", "HEAD")
        self.assertEqual((answer.status, answer.body), (200, b""))

    def test_path(self) -> None:
        """It is served at the given path only."""
        self.server.addClientScript("/static/client.js")
        self.assertEqual(self.get("/static/client.js").status, 200)
        self.assertEqual(self.get("/txroom.js").status, 426)
        self.assertRaises(ValueError, self.server.addClientScript, "client.js")
