"""
What an engine tells of the nodes, and of the rooms on them.
"""

from __future__ import annotations

from typing import NamedTuple

from .listing import Listing


class NodeInfo(NamedTuple):
    """A node: one of the servers that share rooms."""

    #: Its id, which is new at each start.
    id: str
    #: The name of its host, and the id of its process there; empty and 0: not known yet.
    host: str = ""
    pid: int = 0
    #: Whether it gives its rooms to other nodes, and takes none, as far as is known.
    isLeaving: bool = False


class ListedRoom(NamedTuple):
    """A room, and the node that has it."""

    listing: Listing
    #: The id of the node.
    node: str


class StrandedRoom(NamedTuple):
    """A room that this server could not open, and that no other server has."""

    room: str
    #: The name under which it was registered, and the key of its application.
    name: str
    application: str
    #: Why it could not be opened. The log has more.
    why: str
    #: In how many seconds it tries again.
    retrySeconds: float
