"""
Taking a room over once more, in a Redis that has lost that it was taken over.

Redis then has the token of an earlier owner. If no other node has claimed the room since then, this node may
have it, as when it claimed the room first.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .journalport import JournalPort
from .keys import RoomKeys
from .stored import VERSION


def reclaim(
    port: JournalPort,
    keys: RoomKeys,
    formers: Sequence[str],
    token: str,
    epoch: str,
    done: Callable[[bool | None, int], None],
) -> None:
    """
    If a room has one of the former tokens, give it its present one again.

    The identity of the data is left empty, so that the epoch ends with this owner unless Redis is healed.

    Args:
        port: The node.
        keys: The keys of the room.
        formers: The tokens that the room may have, the newest one last.
        token: The owner's token.
        epoch: Its epoch.
        done: Called with whether it had one of them (`None`: Redis can't say so now), and with the number of
            records that the room has.
    """
    *earlier, former = formers
    args = (former, token, port.node, epoch, "", 0, 0, "", "", 0, VERSION, 0)

    def answered(reply: Any) -> None:
        if isinstance(reply, Exception):
            done(None, 0)
        elif reply[0] == 1:
            port.send(counted, "HGET", keys.fields, "seq")
        elif earlier:
            reclaim(port, keys, earlier, token, epoch, done)
        else:
            done(False, 0)

    def counted(reply: Any) -> None:
        if isinstance(reply, Exception) or reply is None:
            done(None, 0)
        else:
            done(True, int(reply))

    port.send(answered, *port.scripts.command("claim", (keys.fields, keys.grave), args))
