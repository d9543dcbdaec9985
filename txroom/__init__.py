"""
txroom: a WebSocket room server for Twisted.

A twistd plugin (`twistd txroom`), a service to compose into other services, and a library.
"""

from .core.application import Application, Refusal
from .core.codes import CloseCode, ErrorCode, ReadyState, SendStatus, isSendable
from .core.connection import Connection
from .core.handshake import Accept, Deny, Handshake, UpgradeError
from .core.headers import Headers, MultiDict
from .core.hooks import CONNECTION_HOOKS
from .core.message import Prepared
from .core.moved import keepMovedModules as _keepMovedModules
from .core.options import ServerOptions
from .core.validation import OptionError
from .protocol.errors import CallError, RoomError
from .rooms.api.client import Client
from .rooms.api.clock import RoomClock, Timer
from .rooms.api.handlers import message
from .rooms.api.history import History, HistoryEntry
from .rooms.api.ports import LeaveReason, RoomServices
from .rooms.api.room import Room
from .rooms.application import RoomApplication
from .rooms.contract.listing import Listing
from .rooms.contract.ports import HandoverFailed
from .rooms.owner.directory import Rooms
from .rooms.registration import Registration
from .service.connections import Stats
from .service.health import HealthPage
from .service.server import Server

#: The version of the installed package.
__version__: str

_keepMovedModules()

__all__ = [
    "CONNECTION_HOOKS",
    "Accept",
    "Application",
    "CallError",
    "Client",
    "CloseCode",
    "Connection",
    "Deny",
    "ErrorCode",
    "HandoverFailed",
    "Handshake",
    "Headers",
    "HealthPage",
    "History",
    "HistoryEntry",
    "LeaveReason",
    "Listing",
    "MultiDict",
    "OptionError",
    "Prepared",
    "ReadyState",
    "Refusal",
    "Registration",
    "Room",
    "RoomApplication",
    "RoomClock",
    "RoomError",
    "RoomServices",
    "Rooms",
    "SendStatus",
    "Server",
    "ServerOptions",
    "Stats",
    "Timer",
    "UpgradeError",
    "isSendable",
    "message",
]


def __getattr__(name: str) -> str:
    """Look up `__version__` on demand, because that takes a tenth of the time of the whole import."""
    if name == "__version__":
        from importlib.metadata import version

        return version("txroom")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
