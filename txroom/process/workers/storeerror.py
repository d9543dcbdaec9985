"""
The error for a store that can't be used.
"""

from __future__ import annotations

from ..starting import Unusable


class StoreError(Unusable):
    """The bundled store can't be used. The text is one line that says why, and what can be done."""


class DamagedError(StoreError):
    """The data of the store is damaged or incomplete."""
