"""
The secrets of the admin listener, and the roles of those who know them.
"""

from __future__ import annotations

import re
from enum import IntEnum
from hmac import compare_digest, digest

#: The fewest bytes of a secret.
SHORTEST = 32

_VISIBLE = re.compile(r"[\x21-\x7e]*")


class Role(IntEnum):
    """What somebody may do. A higher role may do what a lower one may."""

    #: Read what is there, and change nothing.
    READ = 1
    #: Change everything that the API can change.
    MANAGE = 2

    def __str__(self) -> str:
        return self.name.lower()


class Secrets:
    """
    The secrets of the roles. They appear in no text about this object.

    Args:
        token: The secret of `Role.MANAGE`; `None`: nobody has the role.
        readToken: The secret of `Role.READ`; `None`: nobody has only that role.

    Raises:
        TypeError: A secret is no text.
        ValueError: A secret is too short, or has characters that can't be sent in a header, or both are the
            same. The text doesn't show it.
    """

    def __init__(self, token: str | None = None, readToken: str | None = None) -> None:
        self._secrets = [
            (role, _checked(name, secret))
            for role, name, secret in ((Role.MANAGE, "token", token), (Role.READ, "readToken", readToken))
            if secret is not None
        ]
        if token is not None and token == readToken:
            raise ValueError("readToken: must be another secret than token")

    def __bool__(self) -> bool:
        return bool(self._secrets)

    def roleOf(self, secret: bytes) -> Role | None:
        """
        Return the role of who knows this secret; `None` for a wrong one.

        It takes the same time wherever the secret differs from the right ones.
        """
        found: Role | None = None
        for role, right in self._secrets:
            if compare_digest(right, secret):
                found = role
        return found

    def derived(self, role: Role, purpose: bytes) -> bytes | None:
        """
        Return a key that only who has the secret of this role can compute; `None` if the role has none.

        Args:
            role: The role.
            purpose: What the key is for. Other purposes have other keys.
        """
        for each, secret in self._secrets:
            if each == role:
                return digest(secret, purpose, "sha256")
        return None


def _checked(name: str, secret: object) -> bytes:
    if not isinstance(secret, str):
        raise TypeError(f"{name}: must be a text of at least {SHORTEST} characters")
    if not _VISIBLE.fullmatch(secret):
        raise ValueError(f"{name}: must have only visible ASCII characters, and no spaces")
    if len(secret) < SHORTEST:
        raise ValueError(f"{name}: must have at least {SHORTEST} characters; it has {len(secret)}")
    return secret.encode()
