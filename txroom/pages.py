"""
The pages of a server beside its sockets: how a request for one is logged.
"""

from __future__ import annotations

from twisted.web.http import combinedLogFormatter, datetimeToLogString
from twisted.web.server import Request


def accessLog(timestamp: object, request: Request) -> str:
    """A line of the access log; its time is the wall clock's, which the reactor's may not be."""
    line: str = combinedLogFormatter(datetimeToLogString(), request)
    return line
