"""
TLS on the server's own listeners: certificates that can be reloaded, and ALPN.

Twisted reads single certificates well. In a directory, however, it loops forever on a certificate of an
authority itself, logs each name that a client makes up, and gives clients that speak only HTTP/2 an "internal
error".
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

from ..http.names import ALPN

_BLOCK = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.*?-----END \1-----", re.DOTALL)


class NoProtocolInCommon(SSL.Error):
    """
    A client offers only ALPN protocols that the server does not speak. The client gets the TLS alert
    "no application protocol", and nothing is logged.
    """


@implementer(IOpenSSLServerConnectionCreator)
class Certificates:
    """
    The source of TLS connections for a listener. It can reload its certificates while the server listens.
    """

    def __init__(self, read: Callable[[], Any]) -> None:
        self._read = read
        self._current = _prepared(read())

    def reload(self) -> None:
        """Reload the certificates. If reading them raises, the old ones stay in force."""
        self._current = _prepared(self._read())

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        creator = self._current
        if hasattr(creator, "serverConnectionForTLS"):
            connection: SSL.Connection = creator.serverConnectionForTLS(protocol)
            return connection
        return SSL.Connection(creator.getContext(), None)


def _prepared(creator: Any) -> Any:
    """
    Prepare a source of connections. Making the contexts now also finds a key that does not fit its
    certificate.
    """
    for context in creator.contexts if isinstance(creator, NamedCertificates) else [creator.getContext()]:
        context.set_options(SSL.OP_NO_RENEGOTIATION)
        context.set_alpn_select_callback(_chooseProtocol)
    return creator


def _chooseProtocol(connection: SSL.Connection, offered: Sequence[bytes]) -> Any:
    if ALPN in offered:
        return ALPN
    if b"http/1.0" in offered:  # the server speaks it too, but twisted.web does not know that name
        return SSL.NO_OVERLAPPING_PROTOCOLS
    raise NoProtocolInCommon([("SSL routines", "", "no application protocol")])


# -- a directory of certificates


@implementer(IOpenSSLServerConnectionCreator)
class NamedCertificates:
    """
    Certificates chosen by server name (SNI). A client that gives no known name gets the first certificate.
    """

    def __init__(self, named: Iterable[tuple[Sequence[str], SSL.Context]]) -> None:
        self.contexts: list[SSL.Context] = []
        self._byName: dict[bytes, SSL.Context] = {}
        for names, context in named:
            self.contexts.append(context)
            for name in names:
                self._byName.setdefault(name.lower().encode(), context)
        if not self.contexts:
            raise ValueError(
                "no certificate with its key was found; both must be in files *.pem of the directory"
            )
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
    r"""
    Read the certificates in the files "\\*.pem" in and below a directory.

    A certificate is used, with its chain, if its key is there too. Of two certificates for the same name, the
    one that became valid later is used.

    Raises:
        ValueError: A file is damaged, or there is no certificate with its key.
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
    """Yield the certificates and keys in a directory."""
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
            raise ValueError(f"{file} has a certificate or key that can't be read") from None


def _identity(key: Any) -> bytes:
    """Return the public key in a form that is equal for a key and its certificate."""
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
    # pyOpenSSL takes objects of `cryptography`; Twisted's annotations are older.
    makeOptions: Any = CertificateOptions
    context: SSL.Context = makeOptions(key, certificate, extraCertChain=chain).getContext()
    return context
