"""
Sessions of browsers. Operators who log in on the page get a signed cookie.

The cookie has the role, the time at which the session ends, a random id, and a signature with a key that is
derived from the secret of that role. So the server only has to remember the sessions of those who have logged
out; see `EndedSessions`. A changed secret, and a new start of the server or of the parent of workers, end all
sessions.
"""

from __future__ import annotations

import re
from hmac import compare_digest, digest
from secrets import token_hex

from twisted.web.server import Request

from ..core.origin import splitHost
from .endedsessions import EndedSessions
from .headers import valuesOf
from .secrets import Role, Secrets
from .session import SECONDS, Session

#: What the names of the cookies begin with.
NAME = "txroom-admin"
_PURPOSE = b"txroom admin session\n"
_VALUE = re.compile(r"(read|manage)\.([0-9]{1,12})\.([0-9a-f]{32})\.([0-9a-f]{64})")
_ROLES = {str(role): role for role in Role}


class Sessions:
    """
    Makes and checks the cookies.

    Args:
        secrets: The secrets of the roles.
        seed: Differs between servers that must not accept one another's cookies, and between starts of a
            server.
        ended: The sessions that have ended before their time, and the time of day.
    """

    def __init__(self, secrets: Secrets, seed: bytes, ended: EndedSessions) -> None:
        self._ended = ended
        keys = {role: secrets.derived(role, _PURPOSE + seed) for role in Role}
        self._keys = {role: key for role, key in keys.items() if key is not None}

    def value(self, role: Role) -> str:
        """
        Return the value of the cookie of a new session.

        Args:
            role: The role, which has a secret.
        """
        claim = f"{role}.{int(self._ended.wallClock()) + SECONDS}.{token_hex(16)}"
        return f"{claim}.{self._signature(role, claim)}"

    def find(self, request: Request) -> Session | None:
        """
        Return the session of a request, or `None` without one that is valid.

        Raises:
            Problem: 400, a header isn't ASCII.
        """
        wanted = cookieName(request)
        for header in valuesOf(request.requestHeaders, "Cookie"):
            for pair in header.split(";"):
                name, _, value = pair.strip(" \t").partition("=")
                if name == wanted and (session := self._checked(value)) is not None:
                    return session
        return None

    def end(self, session: Session) -> None:
        """End a session, so that its cookie is worthless."""
        self._ended.end(session)

    def _checked(self, value: str) -> Session | None:
        found = _VALUE.fullmatch(value)
        if found is None:
            return None
        role = _ROLES[found[1]]
        claim, _, signature = value.rpartition(".")
        if role not in self._keys or not compare_digest(self._signature(role, claim), signature):
            return None
        session, now = Session(role, found[3], int(found[2])), self._ended.wallClock()
        isNow = now < session.until <= now + SECONDS
        return session if isNow and not self._ended.isEnded(session) else None

    def _signature(self, role: Role, claim: str) -> str:
        return digest(self._keys[role], claim.encode(), "sha256").hex()


def cookieName(request: Request) -> str:
    """
    Return the name of the cookie.

    It has the port, since browsers send a cookie to all ports of a host: so one can be logged in on several
    servers of one machine.
    """
    hosts = valuesOf(request.requestHeaders, "Host")
    port = splitHost(hosts[0])[1] if hosts else None
    return NAME if port is None else f"{NAME}-{port}"


def cookie(request: Request, value: str) -> str:
    """
    Return the header `Set-Cookie` that begins a session; with an empty value, the one that ends it.

    Scripts can't read the cookie, and browsers send it only with requests of the page itself. Over TLS, also
    that of a proxy, which the page's Origin tells, they send it only over TLS.
    """
    origins = valuesOf(request.requestHeaders, "Origin")
    isSecure = request.isSecure() or any(each.startswith("https://") for each in origins)
    parts = [f"{cookieName(request)}={value}", "Path=/", "HttpOnly", "SameSite=Strict"]
    parts += [f"Max-Age={SECONDS if value else 0}", *(["Secure"] if isSecure else [])]
    return "; ".join(parts)
