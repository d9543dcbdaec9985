"""
What the servers that share rooms ask one another, apart from what concerns a room; a part of the engine.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from twisted.internet.defer import Deferred, fail

from ...core.codes import ErrorCode
from ...protocol.errors import RoomError


class NodeCalls(Protocol):
    """The questions of nodes to nodes. Arguments and answers are payloads."""

    #: Answers a question of a node, which may be this one; the server sets it. It takes the name of the
    #: question and the argument, and returns a Deferred of the answer, which fails with `RoomError` only.
    answerer: Callable[[str, bytes], Deferred[bytes]]

    def ask(self, node: str, name: str, args: bytes) -> Deferred[bytes]:
        """
        Let the `answerer` of a node answer a question.

        Args:
            node: The id of the node.
            name: The name of the question.
            args: The argument.

        Returns:
            A Deferred of the answer, which fires within `ASK_SECONDS`. It fails with the error of the
            answerer, or with `nodeUnanswered`.
        """


def noAnswerer(name: str, args: bytes) -> Deferred[bytes]:
    """Fail: the `answerer` until the server has set one."""
    return fail(nodeUnanswered(False))


def nodeUnanswered(mayHaveHappened: bool) -> RoomError:
    """Return the error for a question that a node has not answered; see `asks.unanswered`."""
    text = "the node didn't answer in time" if mayHaveHappened else "the node can't be reached"
    return RoomError(ErrorCode.UNAVAILABLE, text, {"mayHaveHappened": mayHaveHappened})
