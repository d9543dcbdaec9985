"""
txroom: a WebSocket room server for Twisted.

A twistd plugin (`twistd txroom`), a service to compose into other services, and a library.
"""

from importlib import import_module
from typing import Any

from .core.moved import keepMovedModules as _keepMovedModules

#: The modules that define the public names. Each is imported when one of its names is first used, so that the
#: parent of workers, which serves nothing itself, does not have all of them in its memory. `__init__.pyi` has
#: the same names for type checkers.
_HOMES = {
    "admin.guard": ("Caller",),
    "core.application": ("Application", "Refusal"),
    "core.codes": ("CloseCode", "ErrorCode", "ReadyState", "SendStatus", "isSendable"),
    "core.connection": ("Connection",),
    "core.handshake": ("Accept", "Deny", "Handshake", "UpgradeError"),
    "core.headers": ("Headers", "MultiDict"),
    "core.hooks": ("CONNECTION_HOOKS",),
    "core.message": ("Prepared",),
    "core.options": ("ServerOptions",),
    "core.validation": ("OptionError",),
    "protocol.errors": ("CallError", "RoomError"),
    "rooms.api.client": ("Client",),
    "rooms.api.clock": ("RoomClock", "Timer"),
    "rooms.api.handlers": ("message",),
    "rooms.api.history": ("History", "HistoryEntry"),
    "rooms.api.logger": ("loggerOf",),
    "rooms.api.ports": ("LeaveReason", "RoomServices"),
    "rooms.api.room": ("Room",),
    "rooms.application": ("RoomApplication",),
    "rooms.contract.listing": ("Listing",),
    "rooms.contract.ports": ("HandoverFailed",),
    "rooms.owner.directory": ("Rooms",),
    "rooms.registration": ("Registration",),
    "service.connections": ("Stats",),
    "service.health": ("HealthPage",),
    "server": ("Server",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

#: The version of the installed package.
__version__: str

__all__ = sorted(_HOME_OF)

_keepMovedModules()


def __getattr__(name: str) -> Any:
    """Find a public name when it is first used; `__version__` too, since that takes long."""
    if name == "__version__":
        from importlib.metadata import version

        return version("txroom")
    if name not in _HOME_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(f".{_HOME_OF[name]}", __name__), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *__all__]
