"""
A session of a browser.
"""

from __future__ import annotations

from typing import NamedTuple

from .secrets import Role

#: The seconds after which one has to log in again.
SECONDS = 12 * 3600


class Session(NamedTuple):
    """A session of an operator who has logged in on the page."""

    role: Role
    #: 128 random bits, in hexadecimal digits.
    id: str
    #: When it ends by itself, in seconds since 1970.
    until: int

    @property
    def begunAt(self) -> int:
        """When it has begun, in seconds since 1970."""
        return self.until - SECONDS
