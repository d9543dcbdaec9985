"""
Tokens with which clients resume, or take a reserved seat. The owner keeps only their digests.

`Member.accepts` checks the token of a client that resumes, `Seats.refusal` that of a reserved seat.
"""

from __future__ import annotations

import secrets
from hashlib import sha256

#: The random bytes of a token.
SIZE = 24
#: The random bytes of a member's id.
ID_SIZE = 12


def newId() -> str:
    """Return a new, unguessable id for a member."""
    return secrets.token_urlsafe(ID_SIZE)


def newToken() -> str:
    """Return a new, unguessable token."""
    return secrets.token_urlsafe(SIZE)


def resumeToken(member: str, mark: str = "") -> str:
    """
    Return a new token with which a member may resume.

    Args:
        member: The id of the member.
        mark: What the token tells of the state that the client has; see `States.mark`.
    """
    token = f"{member}.{newToken()}"
    return f"{token}.{mark}" if mark else token


def memberOf(token: str) -> str:
    """Return the id of the member that a resume token is for."""
    return token.partition(".")[0]


def markOf(token: str) -> str:
    """Return the mark of a resume token; empty if it has none."""
    return "".join(token.split(".")[2:3])


def digest(token: str) -> bytes:
    """Return the digest of a token. It is enough to recognize the token, but not to find it out."""
    return sha256(token.encode("utf-8", "surrogatepass")).digest()
