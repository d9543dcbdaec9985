"""
Idempotency keys: a request that is sent again with the same key is carried out once.
"""

from __future__ import annotations

import re
from hashlib import sha256
from typing import Any

import msgspec
from twisted.web.http_headers import Headers

from ..rooms.contract.asks import Once
from .headers import valuesOf
from .problems import Problem
from .routes import Route

HEADER = "Idempotency-Key"

_KEY = re.compile(r"[\x21-\x7e]{1,255}")


def onceOf(headers: Headers, route: Route, params: tuple[str, ...], query: Any, body: bytes) -> Once | None:
    """
    Return the idempotency key of a request, with a digest of what it asks for; `None` if it has no key.

    Args:
        headers: The headers of the request.
        route: Its route.
        params: The values of the parameters of its path.
        query: Its query, of the type of the route.
        body: Its body.

    Raises:
        Problem: The key is wrong, or the request takes none.
    """
    given = valuesOf(headers, HEADER)
    if not given:
        return None
    if not route.takesKey:
        raise Problem(400, "this request takes no key", field=HEADER)
    if len(given) != 1 or not _KEY.fullmatch(given[0]):
        raise Problem(400, "must be one key of 1 to 255 visible ASCII characters", field=HEADER)
    asked = msgspec.json.encode((route.shortFor or route.name, params, query))
    return Once(given[0], sha256(asked + b"\n" + body).digest())
