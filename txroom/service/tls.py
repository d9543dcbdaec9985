"""
TLS on our own listeners: their certificates, which can be read again, and what is agreed with clients.

Twisted reads single certificates well. In a directory it would follow an authority's own certificate without
end, log each name that a client makes up, and tell those that speak only HTTP/2 of an "internal error".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from operator import attrgetter
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_pem_private_key
from OpenSSL import SSL
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.ssl import CertificateOptions
from twisted.python.filepath import FilePath
from zope.interface import implementer

from ..http.factory import ALPN

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


class NoProtocolInCommon(SSL.Error):
    """A client offers none of the protocols that are spoken here; it is told so, and that is all."""


@implementer(IOpenSSLServerConnectionCreator)
class Certificates:
    """Where a TLS listener takes its connections from; can be read again while it listens."""

    def __init__(self, read: Callable[[], Any]) -> None:
        self._read = read
        self._current = _prepared(read())

    def reload(self) -> None:
        """Read again; if that raises, what was read before stays in force."""
        self._current = _prepared(self._read())

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        creator = self._current
        if hasattr(creator, "serverConnectionForTLS"):
            connection: SSL.Connection = creator.serverConnectionForTLS(protocol)
            return connection
        return SSL.Connection(creator.getContext(), None)


def _prepared(creator: Any) -> Any:
    """A source of connections, ready for the first; making the context finds a key that doesn't fit."""
    for context in creator.contexts if isinstance(creator, NamedCertificates) else [creator.getContext()]:
        context.set_options(SSL.OP_NO_RENEGOTIATION)
        context.set_alpn_select_callback(_chooseProtocol)
    return creator


def _chooseProtocol(connection: SSL.Connection, offered: Sequence[bytes]) -> Any:
    if ALPN in offered:
        return ALPN
    if b"http/1.0" in offered:  # served too, but twisted.web doesn't know the name
        return SSL.NO_OVERLAPPING_PROTOCOLS
    raise NoProtocolInCommon([("SSL routines", "", "no application protocol")])


# -- a directory of certificates


@implementer(IOpenSSLServerConnectionCreator)
class NamedCertificates:
    """Certificates by the names that they are for; a client that asks for none of these gets the first."""

    def __init__(self, named: Iterable[tuple[Sequence[str], SSL.Context]]) -> None:
        self.contexts: list[SSL.Context] = []
        self._byName: dict[bytes, SSL.Context] = {}
        for names, context in named:
            self.contexts.append(context)
            for name in names:
                self._byName.setdefault(name.lower().encode(), context)
        if not self.contexts:
            raise ValueError("no certificate with its key is there")
        self.contexts[0].set_tlsext_servername_callback(self._choose)

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        return SSL.Connection(self.contexts[0])

    def _choose(self, connection: SSL.Connection) -> None:
        name = (connection.get_servername() or b"").lower()
        _, dot, domain = name.partition(b".")
        context = self._byName.get(name) or self._byName.get(b"*" + dot + domain)
        if context is not None:
            connection.set_context(context)


def certificatesIn(directory: str) -> NamedCertificates:
    """
    The certificates in the files "*.pem" in and below a directory, each with its chain, if its key is there.

    Of two for the same name the one that was issued later counts. Raises `ValueError` for a bad file.
    """
    keys: dict[bytes, Any] = {}
    found: dict[x509.Certificate, None] = {}
    for one in _pemsIn(directory):
        if isinstance(one, x509.Certificate):
            found[one] = None
        else:
            keys[_identity(one.public_key())] = one
    newestFirst = sorted(found, key=attrgetter("not_valid_before_utc"), reverse=True)
    issuers = {each.subject: each for each in found}
    return NamedCertificates(
        (_namesOf(each), _contextOf(each, keys[_identity(each.public_key())], issuers))
        for each in newestFirst
        if _identity(each.public_key()) in keys
    )


def _pemsIn(directory: str) -> Iterator[Any]:
    """The certificates and keys in a directory."""
    files = (each for each in FilePath(directory).walk() if each.basename().endswith(".pem"))
    for file in sorted(each.path for each in files if each.isfile()):
        with open(file, "rb") as opened:
            content = opened.read()
        try:
            for block in _BLOCK.finditer(content):
                if b"CERTIFICATE" in block[1]:
                    yield x509.load_pem_x509_certificate(block[0])
                elif b"PRIVATE KEY" in block[1]:
                    yield load_pem_private_key(block[0], None)
        except (TypeError, ValueError):
            raise ValueError(f"no good certificate or key in {file}") from None


def _identity(key: Any) -> bytes:
    """What a key and its certificate have in common."""
    identity: bytes = key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    return identity


def _namesOf(certificate: x509.Certificate) -> list[str]:
    try:
        extension = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return []
    return list(extension.value.get_values_for_type(x509.DNSName))


def _contextOf(
    certificate: x509.Certificate, key: Any, issuers: dict[x509.Name, x509.Certificate]
) -> SSL.Context:
    chain: list[x509.Certificate] = []
    issuer = issuers.get(certificate.issuer)
    while issuer is not None and issuer.issuer != issuer.subject and issuer not in chain:
        chain.append(issuer)
        issuer = issuers.get(issuer.issuer)
    # pyOpenSSL wants what `cryptography` has; Twisted's annotations say what it was before.
    makeOptions: Any = CertificateOptions
    context: SSL.Context = makeOptions(key, certificate, extraCertChain=chain).getContext()
    return context
