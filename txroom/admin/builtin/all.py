"""
All built-in calls.
"""

from __future__ import annotations

from ..calls import RpcCall
from ..ports import AdminServer
from .connections import ConnectionCalls
from .registered import RegisteredCalls
from .rooms import RoomCalls
from .server import ServerCalls
from .simulate import SimulateCalls
from .users import UserCalls


def builtInCalls(server: AdminServer) -> list[RpcCall]:
    """Return the calls that every server has."""
    groups = (RoomCalls, RegisteredCalls, ServerCalls, ConnectionCalls, UserCalls, SimulateCalls)
    return [call for group in groups for call in group(server).calls()]
