"""
The address of a Redis server: a URL, and the endpoint for it.

Errors about a URL never show any part of it. A password with a character that should have been escaped may
look like a port, a database or a parameter.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

import attrs
from cryptography.x509 import load_pem_x509_certificates
from OpenSSL.crypto import X509
from OpenSSL.crypto import Error as OpenSSLError
from twisted.internet.endpoints import HostnameEndpoint, TCP4ClientEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import (
    Certificate,
    PrivateCertificate,
    optionsForClientTLS,
    platformTrust,
    trustRootFromCertificates,
)

DEFAULT_PORT = 6379
SCHEMES = ("redis", "rediss", "unix")
#: The parameters of a URL. The last three have the names of redis-cli's options.
PARAMETERS = ("db", "cacert", "cert", "key")

_FORM = "redis://[user:password@]host[:port][/database]"
_ESCAPED = "special characters of a user or password must be percent-encoded, such as %40 for @"


@attrs.frozen(kw_only=True)
class RedisAddress:
    """
    Where a Redis server is, and who the client is there. The password is not in its `repr` and `str`.

    `RedisAddress.parse` makes it from a URL.
    """

    #: The name or IP address of the host; empty for a UNIX socket.
    host: str = ""
    port: int = DEFAULT_PORT
    #: The path of the UNIX socket; empty for TCP.
    path: str = ""
    user: str = "default"
    #: `None`: the client does not authenticate.
    password: str | None = attrs.field(default=None, repr=False)
    database: int = 0
    #: Whether the connection uses TLS. The certificate of the server must be valid for `host`.
    isTLS: bool = False
    #: A PEM file with the authorities to trust; empty for those of the system.
    authorities: str = ""
    #: A PEM file with the certificate of the client; empty for none.
    certificate: str = ""
    #: A PEM file with the key of that certificate; empty if it is in the same file.
    key: str = ""

    @classmethod
    def parse(cls, url: str) -> RedisAddress:
        """
        Read a URL.

        The forms are::

            redis://[user:password@]host[:port][/database]
            rediss://...            the same over TLS
            unix://[user:password@]/path/of/the/socket[?db=database]

        A password without a user (`redis://:password@host`) is that of the user "default". A rediss URL may
        have the parameters `cacert`, `cert` and `key`: the paths of PEM files with the authorities to trust,
        and with the client's certificate and its key.

        Raises:
            ValueError: The URL is wrong. The text does not show it.
        """
        if not isinstance(url, str):
            raise _wrong(f"must be a text, such as {_FORM}")
        if any(character <= " " or character == "\x7f" for character in url):
            raise _wrong("must not contain spaces or control characters")
        scheme, separator, _ = url.partition("://")
        if scheme not in SCHEMES or not separator:
            raise _wrong("must begin with redis://, rediss:// or unix://")
        try:
            parts = urlsplit(url)
        except ValueError:
            raise _wrong(f"is not valid; {_ESCAPED}") from None
        if "#" in url:
            raise _wrong(f"must not contain #; {_ESCAPED}")
        who, _, where = parts.netloc.rpartition("@")
        given = _parameters(parts.query, scheme)
        fields: dict[str, Any] = dict(zip(("user", "password"), _credentials(who), strict=True))
        if scheme == "unix":
            fields |= {"path": _socket(where, parts.path), "database": _database(given.get("db", "0"))}
        else:
            host, port = _hostAndPort(where)
            path = parts.path.removeprefix("/")
            if path and "db" in given:
                raise _wrong("names the database twice, in its path and as db")
            fields |= {"host": host, "port": port, "database": _database(path or given.get("db", "0"))}
        if given.get("key") and not given.get("cert"):
            raise _wrong("has the parameter key without cert")
        return cls(
            **fields,
            isTLS=scheme == "rediss",
            authorities=given.get("cacert", ""),
            certificate=given.get("cert", ""),
            key=given.get("key", ""),
        )

    def __str__(self) -> str:
        """The URL, with *** in place of the password and without the files of TLS."""
        name = "" if self.user == "default" else quote(self.user, safe="")
        who = "" if self.password is None else f"{name}:***@"
        if self.path:
            return f"unix://{who}{self.path}" + (f"?db={self.database}" if self.database else "")
        host = f"[{self.host}]" if ":" in self.host else self.host
        database = f"/{self.database}" if self.database else ""
        return f"{'rediss' if self.isTLS else 'redis'}://{who}{host}:{self.port}{database}"

    def endpoint(self, reactor: Any, timeout: float = 5.0) -> IStreamClientEndpoint:
        """
        Make the endpoint that connects to the server.

        Args:
            reactor: The reactor.
            timeout: How many seconds an attempt to connect may take.

        Raises:
            ValueError: A file for TLS cannot be used, or TLS cannot check the name of the host. The text says
                why.
        """
        if self.path:
            return UNIXClientEndpoint(reactor, self.path, timeout)
        # HostnameEndpoint rejects names with an underscore, which containers often have.
        kind = TCP4ClientEndpoint if "_" in self.host else HostnameEndpoint
        endpoint: IStreamClientEndpoint = kind(reactor, self.host, self.port, timeout)
        return wrapClientTLS(self._tls(), endpoint) if self.isTLS else endpoint

    def _tls(self) -> Any:
        trusted = _trusted(self.authorities) if self.authorities else platformTrust()
        client = _clientCertificate(self.certificate, self.key) if self.certificate else None
        try:
            return optionsForClientTLS(self.host, trusted, client)
        except ValueError as error:
            raise _wrong(f"has a host whose name TLS cannot check ({error})") from None


def _wrong(why: str) -> ValueError:
    return ValueError(f"the URL of Redis {why}")


# -- the parts of a URL


def _credentials(who: str) -> tuple[str, str | None]:
    if not who or who == ":":
        return "default", None
    name, separator, password = who.partition(":")
    if not separator:
        raise _wrong("has a user without a password; write redis://:password@host for the default user")
    try:
        return unquote(name, errors="strict") or "default", unquote(password, errors="strict")
    except UnicodeDecodeError:
        raise _wrong("has a user or password that is not UTF-8") from None


def _hostAndPort(where: str) -> tuple[str, int]:
    if where.startswith("["):
        host, bracket, rest = where[1:].partition("]")
        isGood = bool(bracket) and rest[:1] in ("", ":")
        port = rest[1:]
    else:
        host, _, port = where.partition(":")
        isGood = ":" not in port
    if not host or not isGood:
        raise _wrong(f"has no valid host; the form is {_FORM}, and {_ESCAPED}")
    if not port:
        return host, DEFAULT_PORT
    number = _number(port)
    if number is None or not 0 < number < 65536:
        raise _wrong(f"must have a port from 1 to 65535; {_ESCAPED}")
    return host, number


def _socket(where: str, path: str) -> str:
    if where or path in ("", "/"):
        raise _wrong("must have the absolute path of a socket, such as unix:///run/redis/redis.sock")
    return unquote(path)


def _database(text: str) -> int:
    number = _number(text)
    if number is None:
        raise _wrong(f"must have a number as its database; {_ESCAPED}")
    return number


def _number(text: str) -> int | None:
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 10 else None


def _parameters(query: str, scheme: str) -> dict[str, str]:
    allowed = PARAMETERS if scheme == "rediss" else PARAMETERS[:1]
    try:
        pairs = parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), errors="strict")
    except ValueError:
        pairs = [("", "")]
    given = dict(pairs)
    if len(given) < len(pairs) or not all(name in allowed and value for name, value in pairs):
        raise _wrong(f"may have these parameters, once each: {', '.join(allowed)}; {_ESCAPED}")
    return given


# -- TLS


def _trusted(file: str) -> Any:
    try:
        found = load_pem_x509_certificates(Path(file).read_bytes())
    except (OSError, ValueError) as error:
        raise ValueError(f"cacert: {file} has no certificates that can be read ({error})") from None
    return trustRootFromCertificates([Certificate(X509.from_cryptography(each)) for each in found])


def _clientCertificate(certificate: str, key: str) -> Any:
    try:
        pem = Path(certificate).read_bytes()
        if key:
            pem += b"\n" + Path(key).read_bytes()
        return PrivateCertificate.loadPEM(pem)
    except OSError as error:
        raise ValueError(f"cert, key: {error}") from None
    except OpenSSLError:
        raise ValueError(f"cert: {certificate} has no certificate with its key that can be read") from None
