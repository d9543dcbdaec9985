"""
Tests for `allowedHosts`: which hosts requests may ask for.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.server import Site

from tests.case import HarnessTestCase
from txroom import Application, Server, ServerOptions
from txroom.core.origin import isAllowedHost, isLocalHost, isLoopback
from txroom.http.origins import NAMED_ORIGINS
from txroom.testing import RawClient, RoomHarness, upgradeRequest
from txroom.testing.network import MemoryReactor

EVIL = "evil.example:8080"


class NameTests(SynchronousTestCase):
    """The text of hosts."""

    def test_local(self) -> None:
        """localhost, its subdomains and loopback addresses are local, with any port."""
        for host in (
            "localhost",
            "LOCALHOST",
            "localhost.",
            "a.b.localhost",
            "127.0.0.1",
            "127.8.9.1",
            "[::1]",
        ):
            for port in ("", ":80", ":65535"):
                self.assertTrue(isLocalHost(host + port), host + port)
        for host in (
            "evil.example", "localhost.evil.example", "evillocalhost", "127.0.0.1.evil.example", "10.0.0.1",
            "[fe80::1]", "", ":80", "127.0.0.1:" + "9" * 5000, "0.0.0.0", "[::]", "[::ffff:10.0.0.1]",
        ):  # fmt: skip
            self.assertFalse(isLocalHost(host), host)
        self.assertTrue(isLocalHost("[::ffff:127.0.0.1]:80"))
        self.assertEqual(
            [isLoopback(text) for text in ("127.0.0.1", "::1", "", "::", "x")], [True, True] + [False] * 3
        )

    def test_allowed(self) -> None:
        """A pattern is a host with or without a port, the subdomains of a host, or any host."""
        for host, allowed, isAllowed in (
            ("a.example", "a.example", True),
            ("A.Example:99", "a.example", True),
            ("a.example:80", "A.EXAMPLE:80", True),
            ("a.example:81", "a.example:80", False),
            ("a.example", "a.example:80", False),
            ("b.a.example", "a.example", False),
            ("b.a.example:1", "*.a.example", True),
            ("a.example", "*.a.example", False),
            ("xa.example", "*.a.example", False),
            ("[::1]:8080", "[::1]", True),
            ("anything", "*", True),
        ):
            self.assertEqual(isAllowedHost(host, ("other.example", allowed)), isAllowed, (host, allowed))

    def test_option(self) -> None:
        """The error names a value that is not a host."""
        for good in ("a.example", "localhost:8080", "*.a.example", "[::1]:80", "*", "192.0.2.1"):
            options: Any = {"allowedHosts": good}
            self.assertEqual(ServerOptions(**options).allowedHosts, (good,))
        for bad in ("https://a.example", "a.example/", "", "::1", "a:b", "a.*", 7, None):
            with self.assertRaises(ValueError) as caught:
                ServerOptions(allowedHosts=[bad])  # type: ignore[list-item]
            self.assertIn("must be hosts such as", str(caught.exception))


class HostCase(HarnessTestCase):
    """A server with a page and a socket."""

    def start(self, *where: str, **options: Any) -> RoomHarness:
        def make(clock: MemoryReactor) -> Server:
            server = Server(ServerOptions(**options), clock=clock)
            server.addApplication(Application(), path="/socket")
            server.addHealthPage()
            for each in where:
                server.listen(each)
            return server

        self.harness = self.serve(make)
        return self.harness

    def statuses(self, host: str, **more: Any) -> list[int]:
        """Return the statuses of a socket, a page, and a path with neither."""
        clients: list[RawClient] = [self.harness.raw(upgradeRequest("/socket", host=host), **more)]
        for path in ("/healthz", "/none"):
            request = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n\r\n".encode()
            clients.append(self.harness.raw(request, **more))
        return [client.response.status if client.response is not None else 0 for client in clients]


class DefaultTests(HostCase):
    """Without the option, hosts are checked only if nobody but this machine can connect."""

    def test_local(self) -> None:
        """
        On loopback addresses other names are refused, because anybody can make a name that resolves to
        127.0.0.1.
        """
        self.start("tcp:8080:interface=127.0.0.1", "tcp:8081:interface=\\:\\:1")
        self.assertEqual(self.statuses(EVIL), [421, 421, 421])
        for host in ("localhost:8080", "localhost:9000", "127.0.0.1:8080", "[::1]:8081", "chat.localhost"):
            self.assertEqual(self.statuses(host), [101, 200, 404], host)
        self.assertEqual(self.harness.server.stats().rejected, {"host": 3})

    def test_elsewhere(self) -> None:
        """If others can connect, all hosts are accepted, because the server can't know its names."""
        for where in (["tcp:8080"], ["tcp:8080:interface=127.0.0.1", "tcp:8081:interface=192.0.2.7"]):
            self.start(*where)
            self.assertEqual(self.statuses(EVIL), [101, 200, 404])

    def test_proxies(self) -> None:
        """Behind a proxy and over a UNIX socket all hosts are accepted."""
        self.start("tcp:8080:interface=127.0.0.1", trustedProxies=["127.0.0.1"])
        self.assertEqual(self.statuses("chat.example.org"), [101, 200, 404])
        self.start("tcp:8080:interface=127.0.0.1", "haproxy:tcp:8081:interface=127.0.0.1")
        self.assertEqual(self.statuses("chat.example.org"), [101, 200, 404])
        self.start("unix:/run/chat", "tcp:8080:interface=127.0.0.1")
        self.assertEqual(self.statuses("chat.example.org", peer=""), [101, 200, 404])
        self.assertEqual(self.statuses("chat.example.org", peer="127.0.0.1"), [421, 421, 421])

    def test_application(self) -> None:
        """If one application trusts a proxy, only that application accepts all hosts."""
        harness = self.start("tcp:8080:interface=127.0.0.1")
        harness.server.addApplication(Application(trustedProxies="127.0.0.1"), path="/proxied")
        self.assertTrue(
            harness.raw(upgradeRequest("/proxied", host=EVIL)).output.startswith(b"HTTP/1.1 101 ")
        )

    def test_old(self) -> None:
        """HTTP/1.0 requests may have no Host; browsers do not send such requests."""
        self.start("tcp:8080:interface=127.0.0.1")
        output = self.harness.raw(b"GET /healthz HTTP/1.0\r\n\r\n").output
        self.assertIn(b" 200 ", output[:20])

    def test_absolute(self) -> None:
        """The host of an absolute target is the one that is checked."""
        self.start("tcp:8080:interface=127.0.0.1")
        request = b"GET http://%b/healthz HTTP/1.1\r\nHost: %b\r\n\r\n"
        for target, host, status in (
            (b"evil.example", b"localhost", 421),
            (b"localhost", b"evil.example", 200),
        ):
            response = self.harness.raw(request % (target, host)).response
            assert response is not None
            self.assertEqual(response.status, status)

    def test_foreign(self) -> None:
        """Under a foreign `Site` all hosts are accepted, because it is not known where the site listens."""
        harness = self.start("tcp:8080:interface=127.0.0.1")
        site: Any = Site(harness.server.resource(), reactor=harness.clock)
        self.assertEqual(self.statuses(EVIL, to=site), [101, 200, 404])

    def test_listeners(self) -> None:
        """Listeners that are added or closed later are considered."""
        harness = self.start("tcp:8080:interface=127.0.0.1")
        self.assertTrue(harness.server.isLocal)
        harness.server.listen("tcp:8081")
        self.assertFalse(harness.server.isLocal)
        harness.stop()
        self.assertFalse(harness.server.isLocal)

    def test_tooLong(self) -> None:
        """Syntax and sizes are checked before the host."""
        self.start("tcp:8080:interface=127.0.0.1")
        client = self.harness.raw(b"POST /healthz HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n")
        assert client.response is not None
        self.assertEqual(client.response.status, 413)


class OptionTests(HostCase):
    """With the option, only those hosts are accepted, wherever the server listens."""

    def start(self, *where: str, **options: Any) -> RoomHarness:
        return super().start(*where, **{"allowedHosts": ["chat.example", "*.chat.example"], **options})

    def test_everywhere(self) -> None:
        """That holds behind proxies and over UNIX sockets, too."""
        for where in (["tcp:8080"], ["tcp:8080:interface=127.0.0.1"], ["unix:/run/chat"]):
            self.start(*where, trustedProxies=["127.0.0.1"])
            for host in ("chat.example", "chat.example:99", "a.chat.example"):
                self.assertEqual(self.statuses(host), [101, 200, 404])
            for host in (EVIL, "localhost"):
                self.assertEqual(self.statuses(host), [421, 421, 421])

    def test_foreign(self) -> None:
        """Under a foreign `Site` it holds for sockets; the site's own pages are not affected."""
        harness = self.start("tcp:8080")
        site: Any = Site(harness.server.resource(), reactor=harness.clock)
        self.assertEqual(self.statuses(EVIL, to=site), [421, 200, 404])

    def test_log(self) -> None:
        """The log names the host and the option once, and only a few hosts."""
        self.start("tcp:8080")

        def said(act: Callable[[], Any]) -> list[str]:
            with capturedLogs() as events:
                act()
            return [formatEvent(event) for event in events if event["log_level"] is LogLevel.warn]

        first = said(lambda: [self.statuses(EVIL) for _ in range(3)])
        self.assertEqual(len(first), 1)
        for word in (EVIL, "allowedHosts", "--allowed-host"):
            self.assertIn(word, first[0])
        more = said(lambda: [self.statuses(f"{number}.evil.example") for number in range(50)])
        self.assertEqual(len(more), NAMED_ORIGINS - 1)
