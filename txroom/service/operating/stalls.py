"""
The times in which the reactors of the nodes were blocked, for operators.
"""

from __future__ import annotations

from typing import Any

from msgspec import Struct

from ...protocol.excerpts import fitting
from ..cluster import Cluster
from ..health import StallDetector
from ..nodecalls import NodeAnswers

#: The most characters of a stack; of more, the last ones, where the code was.
MOST_STACK = 8192
#: The most bytes of a list of stalls.
MOST_SIZE = 512 << 10

_STALLS = "txroom.stalls"


class ShownStall(Struct):
    """A time in which the reactor of a node was blocked, so that nothing was served."""

    node: str
    #: When it ended, in seconds since 1970.
    at: float
    seconds: float
    #: Where the reactor's thread was meanwhile; empty: it is not known, since it was too short.
    stack: str


class Stalls(Struct):
    """The last stalls of the nodes, the newest first; at most 20 of each, and 512 KiB of them."""

    stalls: list[ShownStall]
    #: The nodes that have not answered.
    unanswered: list[str]


class NodeStalls:
    """
    Tells the stalls, of this node and of others.

    Args:
        cluster: The cluster.
        detector: Detects those of this node.
    """

    def __init__(self, cluster: Cluster, detector: StallDetector) -> None:
        self._cluster = cluster
        self._detector = detector
        cluster.answerNode(_STALLS, self._own)

    async def find(self, node: str | None) -> Stalls:
        """Tell the stalls of a node; `None`: of all. Raises `RoomError` (``unavailable``)."""
        if node is None:
            answers = await self._cluster.askNodes(_STALLS)
        else:
            answers = NodeAnswers({node: await self._cluster.askNode(node, _STALLS)}, ())
        found = [ShownStall(id, *each) for id, those in answers.done.items() for each in those]
        found.sort(key=lambda stall: -stall.at)
        return Stalls(fitting(found, MOST_SIZE), list(answers.unanswered))

    def _own(self, args: None) -> list[Any]:
        """Return those of this node, as plain data."""
        return [
            [round(each.at, 3), round(each.seconds, 3), _sendable(each.stack[-MOST_STACK:])]
            for each in self._detector.stalls
        ]


def _sendable(text: str) -> str:
    return text.encode(errors="replace").decode()
