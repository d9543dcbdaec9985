"""
What the tests of the RPC interface share: calls to try, and clients of both protocols.
"""

from __future__ import annotations

import json
from typing import Any

import msgspec
from twisted.internet.defer import Deferred

from tests.admin.case import READ, TOKEN, WHERE, AdminCase
from txroom import RoomError
from txroom.admin.calls import RpcCall
from txroom.admin.guard import Caller
from txroom.admin.secrets import Role
from txroom.testing import Client, RoomClient, RoomHarness


class Counter(msgspec.Struct):
    """What is counted."""

    count: int


class Sample:
    """Calls to try."""

    def __init__(self) -> None:
        self.count = 0
        self.asked = 0
        self.callers: list[Caller] = []
        self.waiting: list[Deferred[Any]] = []
        self.entries: list[str] = []

    def calls(self) -> list[RpcCall]:
        return [
            RpcCall(name="sample.count", function=self.tell),
            RpcCall(name="sample.add", function=self.add, role=Role.MANAGE),
            RpcCall(name="sample.fail", function=self.fail),
            RpcCall(name="sample.hang", function=self.hang),
            RpcCall(name="sample.long", function=self.long),
            RpcCall(name="sample.log", function=self.log, following=following),
            RpcCall(name="sample.mine", function=self.mine),
        ]

    def tell(self, of: str = "") -> Counter:
        """Tell the count."""
        self.asked += 1
        if self.count < 0:
            raise RoomError("unavailable", "below zero", {"count": self.count})
        return Counter(self.count)

    def add(self, caller: Caller, by: int = 1) -> int:
        """Count."""
        self.callers.append(caller)
        self.count += by
        return self.count

    def fail(self) -> None:
        """Fail."""
        raise ValueError("secret")

    def hang(self) -> Deferred[Any]:
        """Answer never."""
        self.waiting.append(Deferred())
        return self.waiting[-1]

    def long(self, size: int = 10_000_000) -> str:
        """Answer with a long text."""
        return "x" * size

    def log(self, after: int = 0) -> dict[str, Any]:
        """Tell what follows."""
        return {"entries": self.entries[after : after + 2], "next": min(after + 2, len(self.entries))}

    def mine(self, caller: Caller) -> str:
        """Tell who calls."""
        return f"{caller.role} from {caller.address}"


def following(args: Any, answer: Any) -> Any:
    """The arguments of the call that asks for what follows."""
    return {**args, "after": answer["next"]} if answer["entries"] else None


class RpcCase(AdminCase):
    """A server with an admin listener and the sample calls."""

    def start(self, where: int | str = WHERE, **options: Any) -> RoomHarness:
        harness = super().start(where, **options)
        self.sample = Sample()
        (self.admin,) = harness.server._admins
        for call in self.sample.calls():
            self.admin.calls.add(call)
        return harness

    @property
    def to(self) -> Any:
        port: Any = self.harness.server.adminPorts[0]
        return port.factory

    def client(self, token: str = TOKEN, peer: str = "127.0.0.1", **options: Any) -> RoomClient:
        """A client of rooms."""
        headers = {"Authorization": f"Bearer {token}"}
        return self.harness.client("/rpc", headers, peer=peer, to=self.to, **options)

    def jsonRpc(
        self, token: str | None = TOKEN, protocols: tuple[str, ...] = ("jsonrpc",), **options: Any
    ) -> Client:
        """A client of JSON-RPC."""
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        options = {"peer": "127.0.0.1", "to": self.to, **options}
        return self.harness.connect("/rpc", headers, protocols, **options)

    def rpc(self, client: Client, method: str, params: Any = None, id: Any = 1) -> Any:
        """Send a request, and return the answer."""
        request = {"jsonrpc": "2.0", "method": method, "id": id}
        if params is not None:
            request["params"] = params
        client.send(json.dumps(request))
        return self.answers(client)[-1]

    def answers(self, client: Client) -> list[Any]:
        """Take what the client has received."""
        self.harness.flush()
        received = [json.loads(each) for each in client.received]
        client.received.clear()
        return received


__all__ = ["READ", "TOKEN", "RpcCase", "Sample"]
