"""
What may be assigned to a room: settings as they may be, and nothing that hides what rooms have.

Only the names of `checksOf` are looked at, whatever else somebody assigns is his own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import isfunction
from re import sub
from typing import Any

from ...core.validation import warnOfCall
from .settings import SETTINGS, checkSetting

#: Looks at what is assigned: the room, the name of the attribute, and the value.
Check = Callable[[object, str, Any], None]

#: The settings as other languages would spell them, by that.
_MISSPELT = {
    spelt: name
    for name in SETTINGS
    for spelt in (name.lower(), sub("([A-Z])", r"_\1", name).lower())
    if spelt != name
}


def checksOf(roomClass: type) -> Mapping[str, Check]:
    """
    The names that are looked at when somebody assigns to a room, and what does it.

    Args:
        roomClass: `Room`, whose methods no attribute may hide.
    """
    methods = [name for name, value in vars(roomClass).items() if isfunction(value) and name[0] != "_"]
    return {
        **dict.fromkeys(SETTINGS, _checkSetting),
        **dict.fromkeys(_MISSPELT, _checkMisspelt),
        **dict.fromkeys(methods, _checkMethod),
        "_host": _checkPort,
    }


def _checkSetting(room: object, name: str, value: Any) -> None:
    """Refuse what a setting can't be."""
    checkSetting(type(room).__name__, name, value)


def _checkMisspelt(room: object, name: str, value: Any) -> None:
    """Warn of what may be meant for a setting, unless the class has an attribute of that name."""
    if not hasattr(type(room), name):
        warnOfCall(f"{type(room).__name__}.{name} is never read: the setting is {_MISSPELT[name]}")


def _checkMethod(room: object, name: str, value: Any) -> None:
    """Refuse what would hide a method, and can't be called in its place."""
    if not callable(value):
        what = f"{type(room).__name__}.{name}={value!r}"
        raise TypeError(f"{what} hides Room.{name}(), which rooms have; call it otherwise")


def _checkPort(room: object, name: str, value: Any) -> None:
    """Refuse another port: who writes a game may want to call the host of a party so, too."""
    if name in vars(room):
        raise TypeError(f"{type(room).__name__}.{name}={value!r}: is txroom's own; call it otherwise")
