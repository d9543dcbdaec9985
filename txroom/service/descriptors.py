"""
How many connections the limit on open files allows.
"""

from __future__ import annotations

import resource

from twisted.logger import Logger

from ..http.admission import Admission

#: Descriptors that are kept for the rest of the process: listeners, log, threads, what applications open.
MIN_SPARE, MAX_SPARE = 24, 500


def openFiles() -> int | None:
    """The limit on open files (``ulimit -n``, ``LimitNOFILE``); `None` if there is none."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return None if limit == resource.RLIM_INFINITY else limit


def socketsOf(limit: int) -> int:
    """The most sockets of clients, whatever they are for: a twentieth of the limit stays for the rest."""
    return max(1, limit - _clamped(limit))


def connectionsOf(limit: int) -> int:
    """The most WebSockets: another twentieth stays for handshakes, pages and refusals."""
    return max(1, limit - 2 * _clamped(limit))


def _clamped(limit: int) -> int:
    return min(max(limit // 20, MIN_SPARE), MAX_SPARE)


def limitConnections(admission: Admission, wanted: int, limit: int | None, log: Logger) -> None:
    """
    Accept no more connections than a `limit` on open files allows; `None` is no limit.

    `log` tells, once, that there can't be as many WebSockets as are `wanted` by the option `maxConnections`.
    """
    if limit is None:
        return
    most = connectionsOf(limit)
    if wanted > most != admission.mostConnections:
        log.warn(
            "maxConnections={wanted}, but the limit on open files ({limit}) allows {most}: raise it "
            "(ulimit -n, LimitNOFILE)",
            wanted=wanted,
            limit=limit,
            most=most,
        )
    admission.mostConnections, admission.mostSockets = most, socketsOf(limit)
