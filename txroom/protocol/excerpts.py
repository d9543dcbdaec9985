"""
Excerpts: as much of a text or of a list as may be sent.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from .payload import encodeMessagePack

_T = TypeVar("_T")


def shortened(text: str, size: int) -> str:
    """Return the beginning of a text, of at most so many bytes, as it can be sent."""
    return text.encode(errors="replace")[:size].decode(errors="ignore")


def fitting(elements: Iterable[_T], size: int) -> list[_T]:
    """
    Return the first elements, as many as have at most so many bytes together when they are encoded; one at
    least, if there is one. No more than one is taken from an iterator besides.
    """
    found: list[_T] = []
    for element in elements:
        size -= len(encodeMessagePack(element))
        if size < 0 and found:
            break
        found.append(element)
    return found
