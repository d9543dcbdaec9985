"""
What servers that share rooms ask one another, such as where a user is connected.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import msgspec
from twisted.internet.defer import Deferred, fail, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from ..core.codes import ErrorCode
from ..protocol import payload
from ..protocol.errors import RoomError
from ..rooms.contract.asks import TOO_LARGE
from ..rooms.contract.nodecalls import nodeUnanswered
from ..rooms.contract.ports import ASK_SECONDS, EngineService
from ..rooms.hooks import HookTimeout, call

#: The most characters of the name of a function, and the most bytes of an argument and of an answer.
MAX_NODE_NAME, MAX_ARGS, MAX_ANSWER = 64, 64 << 10, 1 << 20
#: The most questions to one node that wait for their answers.
MAX_WAITING = 100


class NodeAnswers(NamedTuple):
    """The answers of nodes that were asked."""

    #: The answers of the nodes that have answered, by the ids of the nodes.
    done: dict[str, Any]
    #: The nodes that have not answered, or have answered with an error.
    unanswered: tuple[str, ...]


class NodeFunctions:
    """
    The functions of this server that others may call, and its calls of theirs; see `Cluster.askNode`.

    Args:
        clock: The server's clock.
    """

    _log = Logger()

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._engine: EngineService
        self._functions: dict[str, Callable[[Any], Any]] = {}
        #: The number of questions to each node that wait for their answers.
        self._waiting: Counter[str] = Counter()

    def use(self, engine: EngineService) -> None:
        """Reach the nodes of an engine; the server calls this."""
        self._engine = engine
        engine.nodeCalls.answerer = self._answer

    def answerNode(self, name: str, function: Callable[[Any], Any]) -> None:
        """Let nodes call a function; see `Cluster.answerNode`."""
        if self._checkName(name) in self._functions:
            raise ValueError(f"name={name!r}: there is a function of that name")
        self._functions[name] = function

    def askNode(self, node: str, name: str, args: Any = None) -> Deferred[Any]:
        """Call a function of a node; see `Cluster.askNode`."""
        payload.checkText("node", node)
        return self._ask(node, self._checkName(name), self._encode(args))

    def askNodes(self, name: str, args: Any = None) -> Deferred[NodeAnswers]:
        """Call a function of all nodes; see `Cluster.askNodes`."""
        data = self._encode(args)
        self._checkName(name)
        nodes = [each.id for each in self._engine.nodes()]
        done: dict[str, Any] = {}

        def ask(node: str) -> Deferred[None]:
            asked = self._ask(node, name, data)
            return asked.addCallbacks(lambda answer: done.update({node: answer}), self._notAnswered)

        asked = gatherResults([ask(node) for node in nodes])
        return asked.addCallback(
            lambda _: NodeAnswers(
                {node: done[node] for node in nodes if node in done},
                tuple(node for node in nodes if node not in done),
            )
        )

    @staticmethod
    def _notAnswered(failure: Failure) -> None:
        """A node is missing among the answers."""
        failure.trap(RoomError)

    @staticmethod
    def _checkName(name: str) -> str:
        payload.checkText("name", name)
        if not 1 <= len(name) <= MAX_NODE_NAME:
            raise ValueError(f"name={name[:MAX_NODE_NAME]!r}: must have 1 to {MAX_NODE_NAME} characters")
        return name

    @staticmethod
    def _encode(args: Any) -> bytes:
        data = payload.encode(args, name="args")
        if len(data) > MAX_ARGS:
            raise ValueError(f"args: has {len(data)} bytes when it is encoded, and may have {MAX_ARGS}")
        return data

    def _ask(self, node: str, name: str, args: bytes) -> Deferred[Any]:
        if self._waiting[node] >= MAX_WAITING:
            text = f"{MAX_WAITING} questions to that node have not been answered yet"
            return fail(RoomError(ErrorCode.UNAVAILABLE, text, {"mayHaveHappened": False}))
        self._waiting[node] += 1

        def answered(result: Any) -> Any:
            self._waiting[node] -= 1
            if not self._waiting[node]:
                del self._waiting[node]
            return result

        asked = self._engine.nodeCalls.ask(node, name, args).addBoth(answered)
        return asked.addCallback(_decoded)

    # -- the questions of others

    def _answer(self, name: str, args: bytes) -> Deferred[bytes]:
        """Answer a question; see `NodeCalls.answerer`."""
        function = self._functions.get(name)
        if function is None:
            text = f"the node doesn't know {name!r}: it may have another version"
            return fail(RoomError(ErrorCode.UNKNOWN_TYPE, text, {"name": name}))
        called = call(self._clock, ASK_SECONDS, function, payload.decode(args))
        return called.addCallback(self._encodeAnswer, name).addErrback(self._failed, name)

    @staticmethod
    def _encodeAnswer(answer: Any, name: str) -> bytes:
        data = payload.encode(answer, name="the answer")
        if len(data) > MAX_ANSWER:
            text = f"the answer to {name!r} has more than {MAX_ANSWER} bytes"
            raise RoomError(TOO_LARGE, text)
        return data

    def _failed(self, failure: Failure, name: str) -> Failure:
        """Unexpected errors are logged, and don't leave the node."""
        error = failure.value
        if isinstance(error, HookTimeout):
            error = nodeUnanswered(True)
        elif not isinstance(error, RoomError):
            self._log.failure("the question {name!r} of a node could not be answered", failure, name=name)
            error = RoomError(ErrorCode.INTERNAL)
        return Failure(error)


def _decoded(answer: bytes) -> Any:
    """Return an answer as plain data. Raises `RoomError` if it can't be read."""
    try:
        return payload.decode(answer)
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise nodeUnanswered(True) from None
