"""
txroom: a WebSocket room server for Twisted.

A twistd plugin (`twistd txroom`), a service to compose into other services, and a library.
"""

from .application import Application
from .codes import CloseCode, ReadyState, SendStatus
from .connection import Connection, Prepared
from .handshake import Accept, Deny, Handshake, UpgradeError
from .options import OptionError, ServerOptions
from .server import Server, Stats

__all__ = [
    "Accept",
    "Application",
    "CloseCode",
    "Connection",
    "Deny",
    "Handshake",
    "OptionError",
    "Prepared",
    "ReadyState",
    "SendStatus",
    "Server",
    "ServerOptions",
    "Stats",
    "UpgradeError",
]
