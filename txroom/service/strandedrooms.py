"""
The rooms that no node has, because none could open them, as the nodes tell one another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from twisted.internet.defer import Deferred

from ..protocol.excerpts import fitting, shortened
from ..rooms.contract.nodes import StrandedRoom
from .nodecalls import NodeAnswers, NodeFunctions

#: The most rooms that a node names, their most bytes, and the most bytes of why it could not open one.
MAX_STRANDED, MAX_SIZE, MAX_WHY = 1000, 512 << 10, 500
#: The name of the question.
_STRANDED = "txroom.stranded"


class ClusterStrandedRoom(NamedTuple):
    """A room that a node could not open, and that no node has."""

    room: str
    #: The name that it is registered under, and the key of its application.
    name: str
    application: str
    #: Why the node could not open it. The log of the node has more.
    why: str
    #: In how many seconds the node tries again.
    retrySeconds: float
    #: The id of the node.
    node: str


class FoundStranded(NamedTuple):
    """The rooms that no node has, because none could open them."""

    #: The rooms. Each is there once for each node that could not open it; at most 1000, and 512 KiB of them,
    #: for a node.
    rooms: list[ClusterStrandedRoom]
    #: The nodes that have not answered.
    unanswered: tuple[str, ...]


class StrandedQuestion:
    """
    Asks all nodes, and answers them.

    Args:
        functions: What nodes may ask one another.
        own: Returns the rooms that this node could not open.
    """

    def __init__(self, functions: NodeFunctions, own: Callable[[], list[StrandedRoom]]) -> None:
        self._functions = functions
        self._own = own
        functions.answerNode(_STRANDED, self._answer)

    def ask(self) -> Deferred[FoundStranded]:
        """Ask all nodes."""
        return self._functions.askNodes(_STRANDED).addCallback(_found)

    def _answer(self, args: None) -> list[Any]:
        """Return the rooms as plain data."""
        return fitting(
            (
                (each.room, each.name, each.application, shortened(each.why, MAX_WHY), each.retrySeconds)
                for each in self._own()[:MAX_STRANDED]
            ),
            MAX_SIZE,
        )


def _found(answers: NodeAnswers) -> FoundStranded:
    rooms = [
        ClusterStrandedRoom._make([*each, node]) for node, those in answers.done.items() for each in those
    ]
    return FoundStranded(rooms, answers.unanswered)
