"""
What the memberships and joins of one client share.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.python.failure import Failure

from ..protocol.serverframes import Joined
from .callqueue import CallQueue
from .codec import Codec
from .connection import Connection
from .options import ClientOptions
from .requests import PendingRequests


@attrs.frozen(eq=False)
class ClientContext:
    """The connection of a client, its requests, and what else its memberships and joins need."""

    options: ClientOptions
    queue: CallQueue
    codec: Codec
    connection: Connection
    requests: PendingRequests
    #: Whether a pending join could be answered with the room of that name and id.
    mayBeJoined: Callable[[str, str], bool]
    #: Whether the client is a member of the room of that id.
    isMember: Callable[[str], bool]
    #: Reports an error that no Deferred and no listener of a room receives.
    report: Callable[[Failure], None]

    def decline(self, joined: Joined) -> None:
        """
        Leave a room that the server has let the client into, but that no join waits for any more.

        Do nothing if the client is a member of that room by another join.
        """
        if not self.isMember(joined.room):
            self.requests.leave(joined.room)
