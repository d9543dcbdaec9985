"""
The client's address: the peer of the socket, or the address that a trusted proxy reports.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from socket import AF_INET, AF_INET6, inet_ntop, inet_pton
from typing import Any

from twisted.internet.interfaces import ISSLTransport
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper

from ..core.handshake import Handshake
from ..core.headers import Headers
from ..core.options import ServerOptions
from .proxyprotocol import hasProxyHeader

IPAddress = IPv4Address | IPv6Address

#: ::ffff:0:0/96, IPv4-mapped IPv6 addresses (RFC 4291 §2.5.5.2).
_MAPPED = bytes(10) + b"\xff\xff"
#: 64:ff9b::/96, the prefix under which NAT64 maps all of IPv4 (RFC 6052 §2.1).
_NAT64 = b"\x00\x64\xff\x9b" + bytes(8)

#: Headers in which a proxy reports the client's address.
_FORWARDED = ("x-forwarded-for", "forwarded")
#: Prefixes of addresses that a local proxy may have. Most clients have other addresses, so theirs are never
#: parsed.
_NEAR = ("127.", "10.", "172.", "192.168.", "169.254.", "::1", "fc", "fd", "fe8", "fe9", "fea", "feb")


def makeHandshake(
    method: str, target: str, headers: Headers, transport: Any, options: ServerOptions
) -> Handshake:
    """
    Return the handshake of a request that came over `transport`.

    If the peer is a trusted proxy, the client's address and scheme come from the proxy's headers.
    """
    peer = transport.getPeer()
    address = getattr(peer, "host", "")
    if address.startswith("::ffff:"):  # an IPv4 client on a dual-stack listener
        address = address[7:]
    secure = ISSLTransport.providedBy(transport)
    handshake = Handshake(
        method=method,
        target=target,
        headers=headers,
        peer=address,
        peerPort=getattr(peer, "port", None),
        secure=secure,
        certificate=_certificate(transport) if secure else None,
    )
    if options.trustedProxies and _isTrusted(address, options):
        _applyForwardedHeaders(handshake, options)
    return handshake


def _applyForwardedHeaders(handshake: Handshake, options: ServerOptions) -> None:
    """
    Take the client's address and scheme from the headers of a trusted proxy.

    The address is the right-most one in `X-Forwarded-For` that is not a trusted proxy itself, because the
    client may have made up everything to the left of it. The scheme belongs to the same proxy hop; a single
    `X-Forwarded-Proto` applies to all hops.
    """
    client: IPAddress | None = None
    hops = 0
    for hop in reversed(handshake.headers.listed("x-forwarded-for")):
        address = parseAddress(hop)
        if address is None:
            break
        client = address
        hops += 1
        if not _isInside(address, options):
            break
    if client is not None:
        handshake.peer = str(client)
        handshake.peerPort = None
    protocols = handshake.headers.listed("x-forwarded-proto")
    if protocols:
        handshake.secure = protocols[-min(max(hops, 1), len(protocols))].lower() in ("https", "wss")


def peerNetwork(handshake: Handshake, options: ServerOptions) -> str:
    """
    Return the address under which the limits per address count a client: `networkOf` its address.

    Returns "" if the client's address is unknown: a trusted proxy reported none, or the client came through a
    UNIX socket.
    """
    isTold = handshake.peerPort is None
    if not isTold and options.trustedProxies and _isTrusted(handshake.peer, options):
        return ""
    return networkOf(handshake.peer)


class UntrustedProxyWarning:
    """
    Logs one warning if requests seem to come through a proxy that is not trusted.

    In that case all clients have the proxy's address, both in `Handshake.peer` and for the limits per
    address.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._isSaid = False

    def check(self, handshake: Handshake, options: ServerOptions) -> None:
        """Warn if a request comes from nearby and has the headers of a proxy, but no proxy is trusted."""
        peer = handshake.peer
        if self._isSaid or options.trustedProxies or not peer.startswith(_NEAR):
            return
        for name, _ in handshake.headers.pairs:
            if name in _FORWARDED:
                self._warn(peer)
                return

    def _warn(self, peer: str) -> None:
        address = parseAddress(peer.partition("%")[0])
        if address is not None and (address.is_private or address.is_link_local):
            self._isSaid = True
            self._log.warn(
                "a request from {peer} has the headers of a proxy, but no proxy is trusted: all clients "
                "behind that proxy count as one address; if the proxy is yours, set trustedProxies "
                "(--trusted-proxy)",
                peer=peer,
            )


def networkOf(address: str) -> str:
    """
    Return the addresses that a single host usually controls: one IPv4 address, or an IPv6 /64 (RFC 6177).

    An IPv4-mapped IPv6 address counts as its IPv4 address. Addresses behind the well-known NAT64 prefix and
    link-local addresses count one by one, because there each belongs to a different host.
    """
    if ":" not in address:
        return address
    try:
        packed = inet_pton(AF_INET6, address.partition("%")[0])
    except (OSError, ValueError):
        return address
    if packed.startswith(_MAPPED):
        return inet_ntop(AF_INET, packed[12:])
    isLinkLocal = packed[0] == 0xFE and packed[1] & 0xC0 == 0x80
    if isLinkLocal or packed.startswith(_NAT64):
        return address.lower()
    return inet_ntop(AF_INET6, packed[:8] + bytes(8)) + "/64"


def addressOf(transport: Any, options: ServerOptions) -> str:
    """
    Return the address to count a connection under before its request has arrived.

    Returns "" if only the request will tell, because the connection comes from a trusted proxy.
    """
    if isinstance(transport, ProtocolWrapper) and hasProxyHeader(transport):
        return ""
    address: str = getattr(transport.getPeer(), "host", "")
    if options.trustedProxies and _isTrusted(address, options):
        return ""
    return networkOf(address)


def parseAddress(text: str) -> IPAddress | None:
    """
    Parse an address as proxies write it, with or without brackets and a port; `None` if it is not an address.
    """
    text = text.strip()
    if text.startswith("["):
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ip_address(text)
    except ValueError:
        return None
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address


def _isTrusted(address: str, options: ServerOptions) -> bool:
    if not address:
        return "unix" in options.trustedProxies
    parsed = parseAddress(address.partition("%")[0])
    return parsed is not None and _isInside(parsed, options)


def _isInside(address: IPAddress, options: ServerOptions) -> bool:
    return any(
        network != "unix" and address.version == network.version and address in network
        for network in options.trustedProxies
    )


def _certificate(transport: Any) -> bytes | None:
    certificate = transport.getPeerCertificate()
    if certificate is None:
        return None
    from OpenSSL.crypto import FILETYPE_ASN1, dump_certificate

    der: bytes = dump_certificate(FILETYPE_ASN1, certificate)
    return der
