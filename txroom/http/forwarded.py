"""
Who the client is: the peer of the socket, or what a proxy says that we trust.
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

#: ::ffff:0:0/96, IPv4 addresses in IPv6 (RFC 4291 §2.5.5.2).
_MAPPED = bytes(10) + b"\xff\xff"
#: 64:ff9b::/96, behind which NAT64 puts all of IPv4 (RFC 6052 §2.1).
_NAT64 = b"\x00\x64\xff\x9b" + bytes(8)

#: Headers in which a proxy tells for whom it asks.
_FORWARDED = ("x-forwarded-for", "forwarded")
#: How addresses begin from which a proxy of one's own may come; most clients' don't, and cost no parsing.
_NEAR = ("127.", "10.", "172.", "192.168.", "169.254.", "::1", "fc", "fd", "fe8", "fe9", "fea", "feb")


def makeHandshake(
    method: str, target: str, headers: Headers, transport: Any, options: ServerOptions
) -> Handshake:
    """The handshake of a request that came over `transport`."""
    peer = transport.getPeer()
    address = getattr(peer, "host", "")
    if address.startswith("::ffff:"):  # an IPv4 client of a dual-stack listener
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
        _believe(handshake, options)
    return handshake


def _believe(handshake: Handshake, options: ServerOptions) -> None:
    """
    Take the right-most hop that isn't trusted itself: everything left of it may be made up.

    The protocol is that of the same hop; proxies that tell only one tell it for all.
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
    What a client is counted under where connections of one address are: `networkOf` its address.

    "" for one of whom no address is known: a trusted proxy that told none, or a UNIX socket.
    """
    isTold = handshake.peerPort is None
    if not isTold and options.trustedProxies and _isTrusted(handshake.peer, options):
        return ""
    return networkOf(handshake.peer)


class UntrustedProxyWarning:
    """
    Says once that requests seem to come by way of a proxy that isn't trusted.

    Then all clients have the address of the proxy, in `Handshake.peer` and for the limits of one address.
    """

    _log = Logger()

    def __init__(self) -> None:
        self._isSaid = False

    def look(self, handshake: Handshake, options: ServerOptions) -> None:
        """Look at a request; it is one like that if a program nearby tells whom it speaks for."""
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
                "a request from {peer} says that it is forwarded for somebody else, but no proxy is trusted: "
                "all clients behind that proxy count as one address; set trustedProxies (--trusted-proxy) if "
                "it is yours",
                peer=peer,
            )


def networkOf(address: str) -> str:
    """
    The addresses that one host has for itself: a single one of IPv4, a /64 of IPv6 (RFC 6177).

    An IPv4 address that is written as one of IPv6 counts as itself. Behind the well-known prefix of NAT64
    and among link-local addresses each one is somebody else.
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
    What a connection counts under before its request has come; "" if only the request will tell.
    """
    if isinstance(transport, ProtocolWrapper) and hasProxyHeader(transport):
        return ""
    address: str = getattr(transport.getPeer(), "host", "")
    if options.trustedProxies and _isTrusted(address, options):
        return ""
    return networkOf(address)


def parseAddress(text: str) -> IPAddress | None:
    """An address as a proxy writes it, with or without brackets and port; `None` if it isn't one."""
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
