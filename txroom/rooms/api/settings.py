"""
The settings of rooms: their names, and what each may be.

One table for all places where a setting comes from: a class and the options of its registration, which are
checked at `register`, and a room itself, which is checked whenever one is assigned, and once more when
`onCreate` is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ...core.validation import isAmount, isCount
from .history import History


class Kind(NamedTuple):
    """What a setting may be, as a test and in words."""

    allows: Callable[[Any], bool]
    allowed: str


COUNT = Kind(isCount, "a whole number, 0 or more")
AMOUNT = Kind(isAmount, "a number, 0 or more")
SWITCH = Kind(lambda value: isinstance(value, bool), "True or False")
HISTORY = Kind(lambda value: value is None or isinstance(value, History), "a History or None")

SETTINGS: Mapping[str, Kind] = {
    "maxClients": COUNT,
    "autoDispose": SWITCH,
    "linger": AMOUNT,
    "seatSeconds": AMOUNT,
    "history": HISTORY,
    "resumeSeconds": AMOUNT,
    "recoveryLimit": COUNT,
    "recoverySize": COUNT,
    "presence": SWITCH,
    "handlerTimeout": AMOUNT,
    "messageRate": AMOUNT,
    "messageBurst": COUNT,
    "binary": SWITCH,
    "tickRate": AMOUNT,
}


def checkSetting(owner: str, name: str, value: Any) -> None:
    """Raise `ValueError`, which names what has the setting, unless that may be its value."""
    kind = SETTINGS[name]
    if not kind.allows(value):
        raise ValueError(f"{owner}.{name}={value!r}: must be {kind.allowed}")


def checkSettings(owner: str, valueOf: Callable[[str], Any]) -> None:
    """Check all of them; `valueOf` says what each is. Raises `ValueError`."""
    for name in SETTINGS:
        checkSetting(owner, name, valueOf(name))
