"""
Tokens that clients show: to resume, and to take a reserved seat. The owner keeps their digests only.

`Member.accepts` checks the token of a client that resumes, `Seats.refusal` that of a reserved seat.
"""

from __future__ import annotations

import secrets
from hashlib import sha256

#: Random bytes of a token.
SIZE = 24


def newToken() -> str:
    """A token that nobody can guess."""
    return secrets.token_urlsafe(SIZE)


def resumeToken(member: str) -> str:
    """A new token with which that member may resume."""
    return f"{member}.{newToken()}"


def memberOf(token: str) -> str:
    """The id of the member that a resume token is for."""
    return token.partition(".")[0]


def digest(token: str) -> bytes:
    """What is kept of a token: enough to know it again, and of no use to whoever reads it."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
