"""
Headers of requests as text.
"""

from __future__ import annotations

from twisted.web.http_headers import Headers

from .problems import Problem


def valuesOf(headers: Headers, name: str) -> list[str]:
    """Return the values of a header. Raises `Problem` for one that isn't ASCII."""
    try:
        return [each.decode("ascii") for each in headers.getRawHeaders(name.encode(), [])]
    except UnicodeDecodeError:
        raise Problem(400, "must be ASCII", field=name) from None
