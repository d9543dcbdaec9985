"""
TLS in memory: a certificate for the server, and clients that accept any certificate.
"""

from __future__ import annotations

from functools import cache
from typing import Any
from warnings import catch_warnings, simplefilter


@cache
def serverContext() -> Any:
    """Return a self-signed certificate for "localhost", made once in each process."""
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from OpenSSL.crypto import X509, PKey
    from twisted.internet.ssl import CertificateOptions

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, SHA256())
    )
    options = CertificateOptions(PKey.from_cryptography_key(key), X509.from_cryptography(certificate))
    with catch_warnings():
        # Twisted expects pyOpenSSL's types, which pyOpenSSL has deprecated.
        simplefilter("ignore", DeprecationWarning)
        options.getContext()
    return options


@cache
def clientContext() -> Any:
    """Return the TLS options of a client that accepts any certificate."""
    from twisted.internet.ssl import CertificateOptions

    return CertificateOptions()
