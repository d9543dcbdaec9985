"""
Public names in the modules where earlier versions had them. They work, with a `DeprecationWarning`.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Mapping
from importlib import import_module
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

PACKAGE = __name__.partition(".")[0]

#: The removed modules, and the module from which each of their documented names is imported now.
MOVED: dict[str, dict[str, str]] = {
    "codes": dict.fromkeys(["CloseCode", "ErrorCode", "ReadyState", "SendStatus", "isSendable"], PACKAGE),
    "connection": {"CONNECTION_HOOKS": PACKAGE},
    "garbage": {"relaxCollector": f"{PACKAGE}.process"},
    "handshake": dict.fromkeys(
        ["Accept", "Deny", "Handshake", "Headers", "MultiDict", "UpgradeError"], PACKAGE
    ),
    "health": {"HealthPage": PACKAGE},
    "monotonic": {"useMonotonicClock": f"{PACKAGE}.process"},
    "rooms.errors": dict.fromkeys(["CallError", "RoomError"], PACKAGE),
    "rooms.owned": {"Rooms": PACKAGE},
    "rooms.seam": {"Listing": PACKAGE},
    "rooms.timers": {"RoomClock": PACKAGE, "Timer": PACKAGE},
}


class MovedModule(ModuleType):
    """
    A placeholder for a removed module.

    Args:
        name: The full name of the removed module.
        homes: The module from which each of its names is imported now.
    """

    def __init__(self, name: str, homes: Mapping[str, str]) -> None:
        super().__init__(name, f"Moved: {', '.join(f'{home}.{each}' for each, home in homes.items())}.")
        self.__spec__ = ModuleSpec(name, None)
        self.__all__ = list(homes)  # needed for `from ... import *`
        self._homes = homes

    def __getattr__(self, name: str) -> Any:
        home = self._homes.get(name)
        if home is None:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        text = f"{self.__name__} has moved: from {home} import {name}"
        warnings.warn(text, DeprecationWarning, stacklevel=2)
        return getattr(import_module(home), name)


def keepMovedModules() -> None:
    """Make the removed modules importable, once the package is imported."""
    for name, homes in MOVED.items():
        full = f"{PACKAGE}.{name}"
        parent, _, child = full.rpartition(".")
        module = sys.modules[full] = MovedModule(full, homes)
        setattr(import_module(parent), child, module)
