"""
What the nodes of a cluster ask one another, apart from what concerns a room.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.internet.defer import Deferred, fail
from twisted.python.failure import Failure

from ...rooms.contract.asks import Unanswered
from ...rooms.contract.nodecalls import noAnswerer, nodeUnanswered
from ...rooms.contract.nodes import NodeInfo
from .packets import CallNode
from .peers import Peers


class CallingNode(Protocol):
    """The node, as its questions to other nodes use it."""

    id: str
    peers: Peers
    #: Answers a question of another node.
    onCall: Callable[[str, bytes], Deferred[bytes]]

    def nodes(self) -> list[NodeInfo]: ...


class RedisNodeCalls:
    """The questions of this node, and those to it; its `NodeCalls`."""

    def __init__(self) -> None:
        #: See `NodeCalls.answerer`.
        self.answerer: Callable[[str, bytes], Deferred[bytes]] = noAnswerer
        self._node: CallingNode | None = None

    def begin(self, node: CallingNode) -> None:
        """The node has started."""
        self._node = node
        node.onCall = lambda name, args: self.answerer(name, args)

    def end(self) -> None:
        """The node has stopped."""
        self._node = None

    def ask(self, node: str, name: str, args: bytes) -> Deferred[bytes]:
        """Ask a node; see `NodeCalls.ask`."""
        this = self._node
        if this is None or not any(each.id == node for each in this.nodes()):
            return fail(nodeUnanswered(False))
        if node == this.id:
            return self.answerer(name, args)
        return this.peers.ask(node, "", CallNode(name, args)).addErrback(_unanswered)


def _unanswered(failure: Failure) -> Any:
    """Name the node, and not a room, in the error of a question that was not answered."""
    error = failure.value
    if isinstance(error, Unanswered):
        raise nodeUnanswered(error.mayHaveHappened) from None
    return failure
