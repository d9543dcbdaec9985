"""What the tests of the built-in calls share: servers over a Redis in memory, and calls to each of them."""

from __future__ import annotations

from typing import Any

from twisted.python.failure import Failure

from tests.case import fired
from tests.engine.redis.nodes import NodesTestCase, TestNode
from txroom import RoomError
from txroom.admin.builtin.all import builtInCalls
from txroom.admin.calls import Calls
from txroom.admin.guard import Caller
from txroom.admin.secrets import Role

READER = Caller(Role.READ, "192.0.2.1")
MANAGER = Caller(Role.MANAGE, "192.0.2.2")


class CallsTestCase(NodesTestCase):
    """Calls to servers that share rooms; by default to the first one."""

    def call(self, name: str, /, *, at: TestNode | None = None, caller: Caller = MANAGER, **args: Any) -> Any:
        """The answer of a call, once all is settled; of an error the code and the field."""
        answers = self.calling(name, at=at, caller=caller, **args)
        for _ in range(60):
            if answers:
                break
            self.settle()
        answer = answers[0]
        if isinstance(answer, Failure):
            error = answer.value
            assert isinstance(error, RoomError), error
            return error.code, (error.details or {}).get("field", "")
        return answer

    def calling(
        self, name: str, /, *, at: TestNode | None = None, caller: Caller = MANAGER, **args: Any
    ) -> list[Any]:
        """A list that gets the answer of a call."""
        server = (at or self.nodes[0]).harness.server
        return fired(Calls(builtInCalls(server), self.clock).dispatch(caller, name, args))

    def startPair(self) -> list[TestNode]:
        """Start two servers that know each other."""
        nodes = self.start()
        self.advance(3)
        return nodes

    def nodeId(self, node: TestNode) -> str:
        """The id of a node."""
        id: str = node.harness.server.operations.stats.node
        return id
