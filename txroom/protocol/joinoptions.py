"""
The secret options of a join, which are never shown to other clients.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

#: Credentials of the client. Only `canJoin` and `onAuth` get them.
AUTH = "auth"
#: The token of a reserved seat. No hook gets it.
SEAT = "seat"


def without(options: Mapping[str, Any], *names: str) -> dict[str, Any]:
    """Return the options without those of the given names."""
    return {name: value for name, value in options.items() if name not in names}
