"""
Replaying: many earlier messages for one client, in few writes.
"""

from __future__ import annotations

from ...core.codes import SendStatus
from ...core.connection import Connection
from ...core.message import Prepared
from ..contract.items import Replay
from .ports import Dialect

#: The most bytes of missed messages in one write.
REPLAY_PART = 512 << 10


def sendReplay(connection: Connection, dialect: Dialect, replay: Replay) -> SendStatus:
    """
    Send many messages in few writes.

    They are split, so that a client that can't take all of them gets a part each time that it resumes.
    """
    status, size = SendStatus.SENT, 0
    part: list[Prepared] = []
    for each in replay.messages:
        message = each.prepared(dialect)
        if message is None:
            continue
        part.append(message)
        size += len(message.payload)
        if size >= REPLAY_PART:
            status, size = connection.sendFrames(part), 0
            part = []
            if status is SendStatus.DROPPED:
                return status
    return connection.sendFrames(part) if part else status
