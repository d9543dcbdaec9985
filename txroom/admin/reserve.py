"""
What is kept for operators who may change something, so that those who may only read can't lock them out.
"""

from __future__ import annotations

from .secrets import Role


def mostFor(role: Role, most: int) -> int:
    """
    Return how many of something all callers of a role may have.

    Args:
        role: The role.
        most: How many there may be; a quarter of them is kept for the role manage.
    """
    return most if role > Role.READ else most * 3 // 4
