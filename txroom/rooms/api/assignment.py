"""
Checks of values that are assigned to a room.

Settings must have allowed values, and nothing may hide a method of `Room`.

Only the names in `checksOf` are checked. A room may assign anything to its other attributes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from inspect import getmembers, isfunction
from re import sub
from typing import Any

from ...core.validation import warnOfCall
from ...state import State
from .settings import SETTINGS, checkSetting
from .stateclass import howToDeclare, stateClassOf

#: A check. It is called with the room, the name of the attribute and the value, and raises an exception or
#: warns.
Check = Callable[[object, str, Any], None]

#: Settings by their names in lower case and with underscores.
_MISSPELT = {
    spelt: name
    for name in SETTINGS
    for spelt in (name.lower(), sub("([A-Z])", r"_\1", name).lower())
    if spelt != name
}


def checksOf(roomClass: type) -> Mapping[str, Check]:
    """
    Return the names that are checked when a room assigns to an attribute, with their checks.

    Args:
        roomClass: `Room`, whose methods no attribute may hide.
    """
    methods = [name for name, value in getmembers(roomClass, isfunction) if name[0] != "_"]
    return {
        **dict.fromkeys(SETTINGS, _checkSetting),
        **dict.fromkeys(_MISSPELT, _checkMisspelt),
        **dict.fromkeys(methods, _checkMethod),
        "_host": _checkPort,
        "state": partial(_checkState, roomClass),
    }


def _checkSetting(room: object, name: str, value: Any) -> None:
    """Raise `ValueError` for a value that a setting does not allow."""
    checkSetting(type(room).__name__, name, value)


def _checkMisspelt(room: object, name: str, value: Any) -> None:
    """Warn of a name that probably means a setting, unless the class has an attribute of that name."""
    if not hasattr(type(room), name):
        warnOfCall(f"{type(room).__name__}.{name} is never read: the setting is {_MISSPELT[name]}")


def _checkMethod(room: object, name: str, value: Any) -> None:
    """Raise `TypeError` for a value that would hide a method and is not callable itself."""
    if not callable(value):
        what = f"{type(room).__name__}.{name}={value!r}"
        raise TypeError(f"{what} hides Room.{name}(), which rooms have; choose another name")


def _checkState(roomClass: type, room: object, name: str, value: Any) -> None:
    """
    Let the owner of the room follow another state. A room may use the name for something else, too.

    Raises:
        TypeError: The value is the state of a room whose class declares none.
    """
    if not isinstance(value, State):
        return
    if stateClassOf(type(room), roomClass) is None:
        raise TypeError(f"{type(room).__name__}.state={value!r}: {howToDeclare(value)}")
    owner = vars(room).get("_host")
    if owner is not None:
        owner.useState(value)


def _checkPort(room: object, name: str, value: Any) -> None:
    """Raise `TypeError` for another value of `_host`: a game may want this name for the host of a party."""
    if name in vars(room):
        raise TypeError(f"{type(room).__name__}.{name}={value!r}: txroom uses this name; choose another one")
