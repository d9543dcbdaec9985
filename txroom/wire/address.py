"""
Who the client is: the peer of the socket, or what a proxy says that we trust.
"""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any

from twisted.internet.interfaces import ISSLTransport

from ..handshake import Handshake, Headers
from ..options import ServerOptions

IPAddress = IPv4Address | IPv6Address


def describe(method: str, target: str, headers: Headers, transport: Any, options: ServerOptions) -> Handshake:
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
    """Take the right-most hop that isn't trusted itself: everything left of it may be made up."""
    for hop in reversed(handshake.headers.listed("x-forwarded-for")):
        address = parseAddress(hop)
        if address is None:
            break
        handshake.peer = str(address)
        handshake.peerPort = None
        if not _isTrusted(str(address), options):
            break
    protocols = handshake.headers.listed("x-forwarded-proto")
    if protocols:
        handshake.secure = protocols[-1].lower() in ("https", "wss")


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
    return parsed is not None and any(
        network != "unix" and parsed.version == network.version and parsed in network
        for network in options.trustedProxies
    )


def _certificate(transport: Any) -> bytes | None:
    certificate = transport.getPeerCertificate()
    if certificate is None:
        return None
    from OpenSSL.crypto import FILETYPE_ASN1, dump_certificate

    der: bytes = dump_certificate(FILETYPE_ASN1, certificate)
    return der
