"""
Tests for the client's address.
"""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.testing import StringTransport
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.trial.unittest import SynchronousTestCase

from tests.case import HarnessTestCase
from txroom import Application
from txroom.core.handshake import Handshake
from txroom.core.headers import Headers
from txroom.core.options import ServerOptions
from txroom.http.forwarded import addressOf, makeHandshake, networkOf, parseAddress, peerNetwork
from txroom.http.proxyprotocol import ProxiedFactory


class ParseTests(SynchronousTestCase):
    """Addresses as proxies write them."""

    def test_forms(self) -> None:
        """Ports, brackets and spaces are accepted; IPv4-mapped addresses become IPv4."""
        for text, expected in (
            ("192.0.2.1", "192.0.2.1"),
            (" 192.0.2.1 ", "192.0.2.1"),
            ("192.0.2.1:1234", "192.0.2.1"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]", "2001:db8::1"),
            ("[2001:db8::1]:1234", "2001:db8::1"),
            ("::ffff:192.0.2.1", "192.0.2.1"),
            ("[::ffff:192.0.2.1]:5", "192.0.2.1"),
        ):
            self.assertEqual(parseAddress(text), ip_address(expected), text)

    def test_none(self) -> None:
        """Anything else is not an address."""
        for text in ("", "unknown", "_hidden", "a.example", "192.0.2", "1.2.3.4.5", "[", "999.0.0.1"):
            self.assertIsNone(parseAddress(text), text)


class MakeHandshakeTests(SynchronousTestCase):
    """X-Forwarded-For and X-Forwarded-Proto, from trusted peers and from others."""

    def makeHandshake(
        self, peer: Any, headers: dict[str, str] | list[tuple[str, str]], *trusted: str
    ) -> Handshake:
        if isinstance(peer, str):
            peer = (IPv6Address if ":" in peer else IPv4Address)("TCP", peer, 5000)
        pairs = list(headers.items()) if isinstance(headers, Mapping) else headers
        proxies: Any = trusted
        options = ServerOptions(trustedProxies=proxies)
        return makeHandshake("GET", "/", Headers(pairs), StringTransport(peerAddress=peer), options)

    def peer(self, peer: Any, forwarded: str, *trusted: str) -> tuple[str, int | None]:
        handshake = self.makeHandshake(peer, {"X-Forwarded-For": forwarded}, *trusted)
        return handshake.peer, handshake.peerPort

    def test_direct(self) -> None:
        """Without proxies the address is the peer's."""
        handshake = self.makeHandshake("192.0.2.1", {})
        self.assertEqual((handshake.peer, handshake.peerPort, handshake.secure), ("192.0.2.1", 5000, False))

    def test_mapped(self) -> None:
        """An IPv4 client of a dual-stack listener has its IPv4 address."""
        self.assertEqual(self.makeHandshake("::ffff:192.0.2.1", {}).peer, "192.0.2.1")

    def test_spoofed(self) -> None:
        """Headers from peers that are not trusted are ignored."""
        for trusted in ((), ("10.0.0.0/8",), ("unix",), ("192.0.2.2",)):
            self.assertEqual(self.peer("192.0.2.1", "6.6.6.6", *trusted), ("192.0.2.1", 5000))

    def test_trusted(self) -> None:
        """Behind a trusted proxy the address is the one that the proxy has added, the right-most."""
        trusted = ("10.0.0.0/8",)
        for forwarded, expected in (
            ("203.0.113.9", "203.0.113.9"),
            ("6.6.6.6, 203.0.113.9", "203.0.113.9"),
            ("6.6.6.6,203.0.113.9:1234", "203.0.113.9"),
            ("2001:db8::1", "2001:db8::1"),
            ("[2001:db8::1]:99", "2001:db8::1"),
            ("203.0.113.9, 10.0.0.7", "203.0.113.9"),
            ("6.6.6.6, 203.0.113.9, 10.0.0.7, 10.0.0.8", "203.0.113.9"),
        ):
            self.assertEqual(self.peer("10.0.0.1", forwarded, *trusted), (expected, None), forwarded)

    def test_allTrusted(self) -> None:
        """If all addresses are trusted, it is the left-most."""
        self.assertEqual(self.peer("10.0.0.1", "10.0.0.3, 10.0.0.2", "10.0.0.0/8"), ("10.0.0.3", None))

    def test_garbage(self) -> None:
        """An entry that is not an address ends the search, because everything left of it may be made up."""
        self.assertEqual(self.peer("10.0.0.1", "6.6.6.6, unknown", "10.0.0.0/8")[0], "10.0.0.1")
        self.assertEqual(self.peer("10.0.0.1", "6.6.6.6, x, 10.0.0.2", "10.0.0.0/8")[0], "10.0.0.2")
        self.assertEqual(self.peer("10.0.0.1", "", "10.0.0.0/8")[0], "10.0.0.1")

    def test_severalHeaders(self) -> None:
        """A proxy may add a header instead of an entry."""
        headers = [("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "203.0.113.9")]
        self.assertEqual(self.makeHandshake("10.0.0.1", headers, "10.0.0.0/8").peer, "203.0.113.9")

    def test_unix(self) -> None:
        """A proxy on a UNIX socket is believed if those are trusted."""
        peer = UNIXAddress(None)
        self.assertEqual(self.peer(peer, "203.0.113.9", "unix"), ("203.0.113.9", None))
        self.assertEqual(self.peer(peer, "203.0.113.9", "10.0.0.0/8"), ("", None))
        self.assertEqual(self.peer(peer, "203.0.113.9"), ("", None))

    def test_families(self) -> None:
        """IPv6 networks work; scopes and mapped addresses of the proxy itself are recognized."""
        self.assertEqual(self.peer("fd00::1", "203.0.113.9", "fd00::/8")[0], "203.0.113.9")
        self.assertEqual(self.peer("fe80::1%eth0", "203.0.113.9", "fe80::/10")[0], "203.0.113.9")
        self.assertEqual(self.peer("::ffff:10.0.0.1", "203.0.113.9", "10.0.0.0/8")[0], "203.0.113.9")

    def test_proto(self) -> None:
        """The scheme is that of the nearest proxy, if it is trusted."""
        for said, expected in (
            ("https", True),
            ("WSS", True),
            ("http, https", True),
            ("https, http", False),
            ("http", False),
            ("", False),
        ):
            headers = {"X-Forwarded-Proto": said}
            self.assertEqual(self.makeHandshake("10.0.0.1", headers, "10.0.0.0/8").secure, expected, said)
            self.assertFalse(self.makeHandshake("192.0.2.1", headers, "10.0.0.0/8").secure)

    def test_protoOfHop(self) -> None:
        """If proxies add to a list, the scheme belongs to the hop whose address is used."""
        for proto, secure in (
            ("https, http", True),
            ("http, https", False),
            ("http, https, http", True),  # the client's own header is to the left
            ("https", True),
            ("http", False),
        ):
            headers = {"X-Forwarded-For": "6.6.6.6, 198.51.100.1, 10.0.0.5", "X-Forwarded-Proto": proto}
            handshake = self.makeHandshake("10.0.0.1", headers, "10.0.0.0/8")
            self.assertEqual((handshake.peer, handshake.secure), ("198.51.100.1", secure), proto)
        for proto, secure in (("https, http", False), ("http, https", True)):
            self.assertEqual(
                self.makeHandshake("10.0.0.1", {"X-Forwarded-Proto": proto}, "10.0.0.0/8").secure, secure
            )


class CountedTests(SynchronousTestCase):
    """The address under which a client is counted."""

    def test_networks(self) -> None:
        """A host is one IPv4 address or an IPv6 /64."""
        for address, network in (
            ("203.0.113.9", "203.0.113.9"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:DB8:1:2::1", "2001:db8:1:2::/64"),
            ("2001:db8:1:3::1", "2001:db8:1:3::/64"),
            ("::ffff:203.0.113.9", "203.0.113.9"),
            ("::ffff:cb00:7109", "203.0.113.9"),
            ("64:ff9b::203.0.113.9", "64:ff9b::203.0.113.9"),
            ("64:ff9b:1::203.0.113.9", "64:ff9b:1::/64"),
            ("fe80::1%eth0", "fe80::1%eth0"),
            ("", ""),
            ("no:address", "no:address"),
            ("2001:db8::\0", "2001:db8::\0"),
        ):
            self.assertEqual(networkOf(address), network)

    def counted(self, peer: Any, forwarded: str = "", *trusted: str) -> tuple[str, str]:
        """Return the addresses before and after the request has arrived."""
        proxies: Any = trusted
        options = ServerOptions(trustedProxies=proxies)
        transport = StringTransport(peerAddress=peer)
        headers = Headers([("X-Forwarded-For", forwarded)] if forwarded else [])
        handshake = makeHandshake("GET", "/", headers, transport, options)
        return addressOf(transport, options), peerNetwork(handshake, options)

    def test_direct(self) -> None:
        """Without proxies both are the peer's."""
        self.assertEqual(self.counted(IPv4Address("TCP", "192.0.2.1", 5)), ("192.0.2.1",) * 2)
        self.assertEqual(self.counted(IPv6Address("TCP", "2001:db8::1", 5)), ("2001:db8::/64",) * 2)
        self.assertEqual(self.counted(IPv4Address("TCP", "192.0.2.1", 5), "6.6.6.6"), ("192.0.2.1",) * 2)

    def test_proxies(self) -> None:
        """Behind a trusted proxy it is the client's address, or "" if the proxy reports none."""
        proxy, trusted = IPv4Address("TCP", "10.0.0.1", 5), "10.0.0.0/8"
        self.assertEqual(self.counted(proxy, "2001:db8::1, 10.0.0.2", trusted), ("", "2001:db8::/64"))
        self.assertEqual(self.counted(proxy, "", trusted), ("", ""))
        self.assertEqual(self.counted(proxy, "nonsense", trusted), ("", ""))
        self.assertEqual(self.counted(proxy, "10.0.0.9", trusted), ("", "10.0.0.9"), "a client inside")

    def test_unix(self) -> None:
        """At a UNIX socket it is ""."""
        self.assertEqual(self.counted(UNIXAddress(None)), ("", ""))
        self.assertEqual(self.counted(UNIXAddress(None), "192.0.2.1", "unix"), ("", "192.0.2.1"))

    def test_proxyProtocol(self) -> None:
        """With the PROXY protocol it is not known before the header."""
        wrapper: Any = ProxiedFactory(Factory.forProtocol(Protocol)).buildProtocol(None)
        self.assertEqual(addressOf(wrapper, ServerOptions()), "")
        for _ in range(2):  # for example with TLS above it
            below, wrapper = wrapper, ProtocolWrapper(WrappingFactory(Factory()), Protocol())
            wrapper.transport = below
            self.assertEqual(addressOf(wrapper, ServerOptions()), "")


class LimitTests(HarnessTestCase):
    """`maxConnectionsPerAddress`."""

    def opened(self, count: int, peer: str = "203.0.113.9", **headers: str) -> int:
        """Return how many of so many clients are accepted; `%` stands for their number."""
        clients = [
            self.harness.connect(
                headers={
                    name.replace("_", "-"): value.replace("%", str(i)) for name, value in headers.items()
                },
                peer=peer.replace("%", str(i)),
            )
            for i in range(1, count + 1)
        ]
        return sum(client.isOpen for client in clients)

    def test_networks(self) -> None:
        """An IPv6 /64 counts as one, and so does each IPv4 address."""
        self.harness = self.serve(Application(), maxConnectionsPerAddress=2)
        self.assertEqual(self.opened(5, "2001:db8::%"), 2)
        self.assertEqual(self.opened(5, "2001:db8:%::1"), 5)
        self.assertEqual(self.opened(5, "64:ff9b::203.0.113.%"), 5)
        self.assertEqual(self.opened(5, "198.51.100.%"), 5)
        self.assertEqual(self.opened(5, "::ffff:192.0.2.7") + self.opened(5, "192.0.2.7"), 2)

    def test_proxies(self) -> None:
        """Behind a proxy each client is counted by itself; the proxy's own connections are not counted."""
        self.harness = self.serve(
            Application(), maxConnectionsPerAddress=2, trustedProxies=["10.0.0.1", "unix"]
        )
        for proxy in ("10.0.0.1", ""):
            self.assertEqual(self.opened(5, proxy), 5)
            self.assertEqual(self.opened(5, proxy, X_Forwarded_For=f"2001:db8:{len(proxy)}::%"), 2)
        admission = self.harness.server._gateway.admission
        self.assertEqual(set(admission.perAddress), {"2001:db8::/64", "2001:db8:8::/64"})

    def test_gone(self) -> None:
        """Nothing remains counted when connections are closed."""
        self.harness = self.serve(Application(), maxConnectionsPerAddress=2, trustedProxies=["10.0.0.1"])
        for peer in ("2001:db8::1", "10.0.0.1", ""):
            client = self.harness.connect(peer=peer)
            self.assertTrue(client.isOpen)
            client.drop()
        self.assertEqual(self.harness.server._gateway.admission.perAddress, {})


class UntrustedProxyWarningTests(HarnessTestCase):
    """The warning about a proxy that is not trusted."""

    FORWARDED = {"X-Forwarded-For": "198.51.100.7"}

    def noted(self, *peers: str, headers: Any = FORWARDED, app: Any = None, **options: Any) -> list[str]:
        """Return the warnings when these peers connect."""
        harness = self.serve(app or Application(), **options)
        with capturedLogs() as logged:
            for peer in peers:
                self.assertTrue(harness.connect(peer=peer, headers=headers).isOpen)
        return [formatEvent(event) or "" for event in logged if event["log_level"] is LogLevel.warn]

    def test_once(self) -> None:
        """One warning says what is wrong and which option to set, however many clients come."""
        (line,) = self.noted("127.0.0.1", "127.0.0.1", "10.0.0.1")
        self.assertEqual(
            line,
            "a request from 127.0.0.1 has the headers of a proxy, but no proxy is trusted: all clients "
            "behind that proxy count as one address; if the proxy is yours, set trustedProxies "
            "(--trusted-proxy)",
        )

    def test_near(self) -> None:
        """Peers on this machine and in private networks cause it, with either header; others do not."""
        for peer in ("127.1.2.3", "10.1.2.3", "172.16.0.1", "192.168.0.1", "::1", "fd00::1", "fe80::1%eth0"):
            self.assertEqual(len(self.noted(peer)), 1, peer)
            self.assertEqual(len(self.noted(peer, headers={"Forwarded": "for=198.51.100.7"})), 1, peer)
        for peer in ("198.18.0.1", "172.15.0.1", "8.8.8.8", "2606:4700::1", ""):
            self.assertEqual(self.noted(peer), [], peer)

    def test_silent(self) -> None:
        """There is no warning without such a header, or if the server or the application trusts proxies."""
        self.assertEqual(self.noted("127.0.0.1", headers={}), [])
        self.assertEqual(self.noted("127.0.0.1", trustedProxies=["10.0.0.1"]), [])
        self.assertEqual(self.noted("127.0.0.1", app=Application(trustedProxies=["10.0.0.1"])), [])

    def test_page(self) -> None:
        """A page request causes it, too."""
        harness = self.serve(Application())
        harness.server.addHealthPage()
        with capturedLogs() as logged:
            harness.raw(
                b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nX-Forwarded-For: 1.2.3.4\r\n\r\n",
                peer="127.0.0.1",
            )
        self.assertEqual([event["peer"] for event in logged if "peer" in event], ["127.0.0.1"])
