"""
Who may come in: the checks that precede every request to the admin listener.
"""

from __future__ import annotations

from collections import OrderedDict
from ipaddress import ip_address
from math import ceil
from typing import NamedTuple

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.server import Request

from ..core.origin import isAllowedHost, isLocalHost, isSameOrigin, splitHost
from ..core.refusallog import RefusalLog, shown
from ..core.tokenbucket import TokenBucket
from ..http.forwarded import networkOf
from .endedsessions import EndedSessions
from .headers import valuesOf
from .problems import Problem
from .secrets import Role, Secrets
from .session import Session
from .sessions import Sessions

#: How many wrong secrets of one address per second are answered, and how many at once without a wait.
WRONG_RATE, WRONG_BURST = 1.0, 5.0
#: The longest wait of an answer to a wrong secret, in seconds.
LONGEST_WAIT = 10.0
#: How many answers to wrong secrets wait at a time. Others who send one are disconnected.
MOST_WAITING = 64
#: The requests per second of one address, and how many at once.
RATE, BURST = 1000.0, 2000.0
#: How many addresses are remembered.
MOST_ADDRESSES = 10_000

#: What clients that come through a UNIX socket are called.
UNIX = "unix"


class Caller(NamedTuple):
    """The sender of a request."""

    role: Role
    #: The address, or `UNIX`.
    address: str


class Refused(Problem):
    """
    A request without the right secret.

    Args:
        detail: What is wrong.
        wait: The seconds after which it is answered; `None`: not at all, the connection is dropped.
    """

    def __init__(self, detail: str, wait: float | None) -> None:
        super().__init__(401, detail, headers={"WWW-Authenticate": 'Bearer realm="txroom"'})
        self.wait = wait


class Guard:
    """
    Checks who sends a request.

    Args:
        secrets: The secrets. Without any, everybody has the role `MANAGE`.
        allowedHosts: The names of this listener, besides localhost and addresses, as in the option
            `allowedHosts`. Pages of other names could be those of an attacker (DNS rebinding).
        isUnix: Whether clients come through a UNIX socket, for which any name will do; but not with a port or
            an Origin, since a browser may have come through a tunnel.
        clock: The clock.
        ended: The sessions of browsers that have ended, and the time of day.
        seed: Differs between listeners that must not accept one another's sessions of browsers, and between
            starts of a listener.
    """

    _log = Logger()

    def __init__(
        self,
        secrets: Secrets,
        allowedHosts: tuple[str, ...],
        isUnix: bool,
        clock: IReactorTime,
        ended: EndedSessions,
        seed: bytes = b"",
    ) -> None:
        self._secrets = secrets
        self._allowedHosts = allowedHosts
        self._isUnix = isUnix
        self._clock = clock
        self._refusals = RefusalLog("admin request", self._log, clock)
        # A log of their own, by address, so that other refusals and many paths can't hide them.
        self._guesses = RefusalLog("admin request", self._log, clock, isByAddress=True)
        self._wrong = Buckets(WRONG_RATE, WRONG_BURST)
        self._requests = Buckets(RATE, BURST)
        #: How many answers to wrong secrets wait.
        self.waiting = 0
        #: The sessions of those who have logged in on the page.
        self.sessions = Sessions(secrets, seed, ended)

    @property
    def needsSecret(self) -> bool:
        """Whether one needs a secret here."""
        return bool(self._secrets)

    def admit(self, request: Request, takesSession: bool = False) -> Caller:
        """
        Return who has sent a request.

        Args:
            request: The request.
            takesSession: Whether the cookie of the page will do instead of the secret. The page that sends it
                must say so with the header Origin.

        Raises:
            Problem: 400, a header isn't ASCII; 421, the host isn't one of this listener; 403, a page of
                another site has sent it; 429, too many requests.
            Refused: It has no secret, or a wrong one.
        """
        address = self._addressOf(request)
        self._checkSite(request, address)
        role = None
        if takesSession and valuesOf(request.requestHeaders, "Origin"):
            role = self._sessionRole(request)
        if role is None:
            role = self._roleOf(request, address)
        self._take(address)
        return Caller(role, address)

    def visitor(self, request: Request) -> Caller | None:
        """
        Return who asks for the page; `None` for somebody who has to log in first.

        Raises:
            Problem: As `admit`.
        """
        address = self._addressOf(request)
        self._checkSite(request, address)
        self._take(address)
        role = self._sessionRole(request)
        return None if role is None else Caller(role, address)

    def probe(self, request: Request) -> Caller | None:
        """
        Return who asks whether the server is well; `None` for somebody without a secret, who may know that.

        Raises:
            Problem: As `admit`.
            Refused: The secret is wrong.
        """
        if not self._secrets or request.requestHeaders.hasHeader(b"Authorization"):
            return self.admit(request)
        address = self._addressOf(request)
        self._checkSite(request, address)
        self._take(address)
        return None

    def login(self, request: Request, secret: bytes) -> Caller:
        """
        Return who has sent this secret with the form of the page.

        Raises:
            Problem: As `admit`.
            Refused: The secret is wrong. Attempts count like those with a wrong header.
        """
        address = self._addressOf(request)
        self._checkSite(request, address)
        self._take(address)
        return Caller(self._knower(secret, request, address), address)

    def _addressOf(self, request: Request) -> str:
        return UNIX if self._isUnix else networkOf(getattr(request.getClientAddress(), "host", ""))

    def _take(self, address: str) -> None:
        bucket = self._requests.of(address, now := self._clock.seconds())
        if not bucket.take(now):
            raise Problem(429, "too many requests", headers={"Retry-After": str(ceil(bucket.wait(1.0)))})

    def sessionOf(self, request: Request) -> Session | None:
        """Return the session of a request that was admitted, or of a visitor; `None`: it has none."""
        return self.sessions.find(request) if self._secrets else None

    def _sessionRole(self, request: Request) -> Role | None:
        if not self._secrets:
            return Role.MANAGE
        session = self.sessionOf(request)
        return None if session is None else session.role

    def _checkSite(self, request: Request, address: str) -> None:
        hosts = valuesOf(request.requestHeaders, "Host")
        host = hosts[0] if len(hosts) == 1 else ""
        origins = valuesOf(request.requestHeaders, "Origin")
        name, port = splitHost(host)
        isAny = self._isUnix and port is None and "." not in name and not origins
        if not isAny and not self._isOurs(host):
            self._note("host", request, address)
            raise Problem(
                421, "this name of the listener isn't in its allowedHosts (--admin-host)", field="Host"
            )
        for origin in origins:
            isSecure = not request.isSecure() or origin.lower().startswith("https:")
            if not isSecure or not isSameOrigin(origin, host):
                self._note("origin", request, address)
                raise Problem(403, "a page of another site must not send requests", field="Origin")

    def _isOurs(self, host: str) -> bool:
        name = splitHost(host)[0]
        return isLocalHost(host) or _isAddress(name) or isAllowedHost(host, self._allowedHosts)

    def _roleOf(self, request: Request, address: str) -> Role:
        if not self._secrets:
            return Role.MANAGE
        given = request.requestHeaders.getRawHeaders(b"Authorization", [])
        scheme, _, secret = given[0].partition(b" ") if len(given) == 1 else (b"", b"", b"")
        if scheme.lower() != b"bearer":
            self._note("no secret", request, address)
            raise Refused("needs the header Authorization: Bearer, with a secret", 0.0)
        return self._knower(secret.strip(), request, address)

    def _knower(self, secret: bytes, request: Request, address: str) -> Role:
        if not self._secrets:
            return Role.MANAGE
        role = self._secrets.roleOf(secret)
        if role is None:
            self._note("wrong secret", request, address, self._guesses)
            bucket = self._wrong.of(address, now := self._clock.seconds())
            wait = bucket.spend(1.0, now)
            if wait > LONGEST_WAIT:
                bucket.spend(-1.0, now)
            isCrowded = wait > 0.0 and self.waiting >= MOST_WAITING
            raise Refused("wrong secret", None if isCrowded else min(wait, LONGEST_WAIT))
        return role

    def _note(self, cause: str, request: Request, address: str, log: RefusalLog | None = None) -> None:
        (log or self._refusals).note(cause, shown(request.path.decode("latin-1")), shown(address))

    def stop(self) -> None:
        """Log what was only counted so far."""
        self._refusals.sumUp()
        self._guesses.sumUp()


class Buckets:
    """A token bucket for each address. The addresses that were silent for the longest time are forgotten."""

    def __init__(self, rate: float, burst: float) -> None:
        self._rate = rate
        self._burst = burst
        self._buckets: OrderedDict[str, TokenBucket] = OrderedDict()

    def __len__(self) -> int:
        return len(self._buckets)

    def of(self, address: str, now: float) -> TokenBucket:
        """Return the bucket of an address."""
        bucket = self._buckets.get(address)
        if bucket is None:
            bucket = self._buckets[address] = TokenBucket(self._rate, self._burst, now)
            if len(self._buckets) > MOST_ADDRESSES:
                self._buckets.popitem(last=False)
        else:
            self._buckets.move_to_end(address)
        return bucket


def _isAddress(name: str) -> bool:
    try:
        ip_address(name.removeprefix("[").removesuffix("]"))
    except ValueError:
        return False
    return True
