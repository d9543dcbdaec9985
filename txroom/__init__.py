"""
txroom: a WebSocket room server for Twisted.

A twistd plugin (`twistd txroom`), a service to compose into other services, and a library.
"""

from importlib.metadata import version

from .application import Application, Refusal
from .checks import OptionError
from .codes import CloseCode, ErrorCode, ReadyState, SendStatus
from .connection import Connection, Prepared
from .handshake import Accept, Deny, Handshake, UpgradeError
from .options import ServerOptions
from .rooms.application import RoomApplication
from .rooms.errors import CallError, RoomError
from .rooms.history import History
from .rooms.member import Client, LeaveReason
from .rooms.messages import message
from .rooms.registry import Registration
from .rooms.room import Room
from .roster import Stats
from .server import Server

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
