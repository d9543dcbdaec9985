"""
txroom: a WebSocket room server for Twisted.

A twistd plugin (`twistd txroom`), a service to compose into other services, and a library.
"""

from importlib.metadata import version

from .core.application import Application, Refusal
from .core.codes import CloseCode, ErrorCode, ReadyState, SendStatus
from .core.connection import Connection
from .core.handshake import Accept, Deny, Handshake, UpgradeError
from .core.message import Prepared
from .core.options import ServerOptions
from .core.validation import OptionError
from .protocol.errors import CallError, RoomError
from .rooms.api.handlers import message
from .rooms.api.history import History
from .rooms.api.ports import LeaveReason
from .rooms.api.room import Client, Room
from .rooms.application import RoomApplication
from .rooms.registration import Registration
from .service.connections import Stats
from .service.server import Server

__version__ = version("txroom")

__all__ = [
    "Accept",
    "Application",
    "CallError",
    "Client",
    "CloseCode",
    "Connection",
    "Deny",
    "ErrorCode",
    "Handshake",
    "History",
    "LeaveReason",
    "OptionError",
    "Prepared",
    "ReadyState",
    "Refusal",
    "Registration",
    "Room",
    "RoomApplication",
    "RoomError",
    "SendStatus",
    "Server",
    "ServerOptions",
    "Stats",
    "UpgradeError",
    "message",
]
