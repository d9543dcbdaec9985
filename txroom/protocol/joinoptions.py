"""
The options of a join by which a client shows something, and which are nobody else's to know.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Who it is; only `canJoin` and `onAuth` get it.
AUTH = "auth"
#: That a seat is reserved for it; no hook gets it.
SEAT = "seat"


def without(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """The options but for those of these names."""
    return {name: value for name, value in options.items() if name not in names}
