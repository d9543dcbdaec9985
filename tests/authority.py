"""A certificate authority for tests: clients that trust it check the certificates of servers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ec import (
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

DAY = timedelta(days=1)


class Authority:
    """Issues certificates that are valid for some days; its own certificate is in `file`."""

    def __init__(self, directory: Path) -> None:
        self._key = generate_private_key(SECP256R1())
        self._name = _name("txroom tests")
        basic = x509.BasicConstraints(ca=True, path_length=0)
        uses = x509.KeyUsage(
            digital_signature=True,
            key_cert_sign=True,
            crl_sign=True,
            content_commitment=False,
            key_encipherment=False,
            data_encipherment=False,
            key_agreement=False,
            encipher_only=False,
            decipher_only=False,
        )
        builder = _builder(self._name, self._name, self._key)
        for extension in (basic, uses):
            builder = builder.add_extension(extension, critical=True)
        identifier = x509.SubjectKeyIdentifier.from_public_key(self._key.public_key())
        builder = builder.add_extension(identifier, critical=False)
        self.file = directory / "authority.pem"
        self.file.write_bytes(builder.sign(self._key, SHA256()).public_bytes(Encoding.PEM))

    def issue(self, file: Path, *names: str, age: int = 1) -> int:
        """Write a new key and a certificate of that age to `file`, atomically; return its serial number."""
        key = generate_private_key(SECP256R1())
        alternatives = x509.SubjectAlternativeName([_alternative(name) for name in names])
        issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = _builder(_name(names[0]), self._name, key, age).add_extension(alternatives, critical=False)
        certificate = builder.add_extension(issuer, critical=False).sign(self._key, SHA256())
        secret = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        fresh = file.with_suffix(".fresh")
        fresh.write_bytes(secret + certificate.public_bytes(Encoding.PEM))
        fresh.replace(file)
        return certificate.serial_number


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _builder(
    subject: x509.Name, issuer: x509.Name, key: EllipticCurvePrivateKey, age: int = 1
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return x509.CertificateBuilder(
        issuer, subject, key.public_key(), x509.random_serial_number(), now - age * DAY, now + 2 * DAY
    )


def _alternative(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ip_address(name))
    except ValueError:
        return x509.DNSName(name)
