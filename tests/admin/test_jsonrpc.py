"""The RPC interface in JSON-RPC 2.0."""

from __future__ import annotations

import json
from typing import Any

from tests.admin.rpccase import READ, RpcCase
from txroom import RoomError
from txroom.admin import rpcrooms, sockets, watches
from txroom.admin.jsonrpc import MOST_BATCH
from txroom.admin.reserve import mostFor
from txroom.admin.rpc import BURST, MOST_CALLS
from txroom.admin.secrets import Role
from txroom.admin.sockets import MOST_OF_ADDRESS
from txroom.protocol.limits import JSON_PROTOCOL
from txroom.testing import Client


class JsonRpcCase(RpcCase):
    def setUp(self) -> None:
        self.start()

    def error(self, client: Client, text: str) -> tuple[int, Any]:
        """The number and the id of the error that a message gets."""
        client.send(text)
        (answer,) = self.answers(client)
        self.assertEqual(set(answer), {"jsonrpc", "error", "id"})
        return answer["error"]["code"], answer["id"]

    def call(self, client: Client, method: str, params: Any = None) -> Any:
        """Make a call, and return the result."""
        return self.rpc(client, method, params)["result"]


class TestRequests(JsonRpcCase):
    def test_calls(self) -> None:
        """A request gets an answer with its id; parameters by name, in order, or none."""
        client = self.jsonRpc()
        self.assertEqual(client.protocolInUse, "jsonrpc")
        self.assertEqual(
            self.rpc(client, "sample.count"), {"jsonrpc": "2.0", "result": {"count": 0}, "id": 1}
        )
        self.assertEqual(self.rpc(client, "sample.add", {"by": 2}, "a")["id"], "a")
        self.assertEqual(self.rpc(client, "sample.add", [3], 1.5), {"jsonrpc": "2.0", "result": 5, "id": 1.5})
        self.assertEqual(self.rpc(client, "unwatch", [9], None)["id"], None)

    def test_protocols(self) -> None:
        """A client may offer no sub-protocol; one that offers others is refused."""
        client = self.jsonRpc(protocols=())
        self.assertEqual((client.protocolInUse, self.call(client, "sample.count")), (None, {"count": 0}))
        self.assertEqual(self.jsonRpc(protocols=("wamp", JSON_PROTOCOL, "jsonrpc")).protocolInUse, "jsonrpc")
        refused = self.jsonRpc(protocols=("wamp",)).response
        assert refused is not None
        self.assertEqual(refused.status, 400)

    def test_notification(self) -> None:
        """A request without an id is carried out, and gets no answer, not even an error."""
        client = self.jsonRpc()
        for method in ("sample.add", "sample.none", "sample.fail"):
            client.send(json.dumps({"jsonrpc": "2.0", "method": method}))
        self.assertEqual((self.answers(client), self.sample.count), ([], 1))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_batch(self) -> None:
        """The answers of a batch come together, when all are there."""
        client = self.jsonRpc()
        batch: list[Any] = [
            {"jsonrpc": "2.0", "method": "sample.add", "id": 1},
            {"jsonrpc": "2.0", "method": "sample.add"},
            {"jsonrpc": "2.0", "method": "sample.hang", "id": 2},
            {"jsonrpc": "2.0", "method": "sample.none", "id": 3},
            5,
        ]
        client.send(json.dumps(batch))
        self.assertEqual(self.answers(client), [])
        self.sample.waiting[0].callback("done")
        ((*answers,),) = self.answers(client)
        self.assertEqual([each.get("result") for each in answers], [1, "done", None, None])
        self.assertEqual([each.get("error", {}).get("code") for each in answers[2:]], [-32601, -32600])
        client.send(json.dumps([{"jsonrpc": "2.0", "method": "sample.add"}]))
        self.assertEqual(self.answers(client), [])

    def test_budget(self) -> None:
        """The calls of a client are counted, also those of batches; after a while it has some again."""
        client = self.jsonRpc()
        batch = [{"jsonrpc": "2.0", "method": "sample.count", "id": each} for each in range(MOST_BATCH)]
        errors = 0
        while not errors:
            client.send(json.dumps(batch))
            (answers,) = self.answers(client)
            errors = sum("error" in each for each in answers)
        self.assertEqual(self.sample.asked, BURST)
        self.harness.advance(1.0)
        self.assertEqual(self.call(client, "sample.count"), {"count": 0})

    def test_concurrent(self) -> None:
        """A call that takes long doesn't keep others waiting; there are no more than so many at a time."""
        client = self.jsonRpc()
        for number in range(MOST_CALLS):
            client.send(json.dumps({"jsonrpc": "2.0", "method": "sample.hang", "id": number}))
        answer = self.rpc(client, "sample.count")
        self.assertEqual(answer["error"]["data"]["code"], "rateLimited")
        self.sample.waiting[5].callback("x")
        self.assertEqual(self.answers(client), [{"jsonrpc": "2.0", "result": "x", "id": 5}])
        self.assertEqual(self.call(client, "sample.count"), {"count": 0})

    def test_watch(self) -> None:
        """Changes are notifications."""
        client = self.jsonRpc()
        begun = self.call(client, "watch", {"call": "sample.count"})
        self.assertEqual(begun, {"watch": 1, "answer": {"count": 0}})
        self.sample.count = 1
        self.harness.advance(1.0)
        change = {"watch": 1, "answer": {"count": 1}}
        self.assertEqual(self.answers(client), [{"jsonrpc": "2.0", "method": "watch", "params": change}])
        client.drop()
        self.assertEqual(len(self.admin._rpc.watches), 0)

    def test_slow(self) -> None:
        """A client that reads slowly gets only the newest answer, and each part of what goes on."""
        client = self.jsonRpc()
        self.call(client, "watch", {"call": "sample.count"})
        self.sample.entries = ["a"]
        self.call(client, "watch", {"call": "sample.log"})
        client.stall()
        client.send(json.dumps({"jsonrpc": "2.0", "method": "sample.long", "params": [900_000], "id": 1}))
        for count in range(1, 5):
            self.sample.count = count
            self.sample.entries += ["b", "c", "d"]
            self.harness.advance(1.0)
        client.unstall()
        self.harness.advance(10.0)
        changes = [each["params"] for each in self.answers(client) if "params" in each]
        self.assertEqual([each["answer"]["count"] for each in changes if each["watch"] == 1], [4])
        entries = [entry for each in changes if each["watch"] == 2 for entry in each["answer"]["entries"]]
        self.assertEqual(entries, ["b", "c", "d"] * 4)

    def test_unread(self) -> None:
        """A client that doesn't read its answers at all is disconnected."""
        client = self.jsonRpc()
        client.stall()
        for number in range(12):
            client.send(
                json.dumps({"jsonrpc": "2.0", "method": "sample.long", "params": [1_000_000], "id": number})
            )
        client.unstall()
        self.assertEqual(client.closeCode, 1013)


class TestErrors(JsonRpcCase):
    def test_wrong(self) -> None:
        """What is no request gets the errors of JSON-RPC."""
        client = self.jsonRpc()
        for text, number, id in (
            ("{", -32700, None),
            ('{"a": 1' + "0" * 30 + "}", -32700, None),
            ("[" * 5000 + "]" * 5000, -32700, None),
            ("[]", -32600, None),
            ("1", -32600, None),
            ('{"jsonrpc": "2.0", "id": 4}', -32600, 4),
            ('{"jsonrpc": "1.0", "method": "sample.count", "id": 5}', -32600, 5),
            ('{"jsonrpc": "2.0", "method": 7, "id": true}', -32600, None),
            ('{"jsonrpc": "2.0", "method": "sample.count", "params": 3, "id": 6}', -32600, 6),
            ('{"jsonrpc": "2.0", "method": "sample.none", "id": 7}', -32601, 7),
            ('{"jsonrpc": "2.0", "method": "sample.count", "params": [1], "id": 8}', -32602, 8),
            ('{"jsonrpc": "2.0", "method": "sample.fail", "id": 9}', -32603, 9),
            ('{"jsonrpc": "2.0", "method": "sample.long", "id": 10}', -32000, 10),
            (json.dumps([5] * (MOST_BATCH + 1)), -32600, None),
        ):
            self.assertEqual(self.error(client, text), (number, id), text[:60])
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(self.call(client, "sample.count"), {"count": 0})

    def test_data(self) -> None:
        """The data of an error has txroom's code and details."""
        client = self.jsonRpc()
        error = self.rpc(client, "sample.count", {"in": 1})["error"]
        self.assertEqual(error["data"], {"code": "badRequest", "details": {"field": "in"}})
        self.assertEqual(self.rpc(client, "sample.long")["error"]["data"], {"code": "tooLarge"})
        self.assertEqual(self.rpc(self.jsonRpc(READ), "sample.add")["error"]["data"], {"code": "forbidden"})

    def test_binary(self) -> None:
        """JSON-RPC is text."""
        client = self.jsonRpc()
        client.send(b"{}")
        self.assertEqual(client.closeCode, 1003)


class TestUpgrade(JsonRpcCase):
    def status(self, client: Client) -> int:
        assert client.response is not None
        return client.response.status

    def test_guarded(self) -> None:
        """The same checks as everywhere at this listener precede the upgrade."""
        self.assertEqual(self.status(self.jsonRpc(None)), 401)
        self.assertEqual(self.status(self.jsonRpc(host="evil.example")), 421)
        self.assertEqual(self.status(self.jsonRpc(origin="http://evil.example")), 403)
        self.assertEqual(self.status(self.jsonRpc(origin="http://localhost:8080")), 101)

    def test_noSocket(self) -> None:
        """A request for no WebSocket is told so."""
        answer = self.ask("GET", "/rpc")
        self.assertEqual((answer.status, answer.headers["upgrade"]), (426, "websocket"))
        self.assertEqual(self.ask("GET", "/rpc", token=None).status, 401)
        self.assertEqual(self.ask("GET", "/rpc/rpc").status, 404)

    def test_limit(self) -> None:
        """One address has no more than so many sockets, and they don't count as connections of HTTP."""
        clients = [self.jsonRpc() for _ in range(MOST_OF_ADDRESS)]
        self.assertEqual(self.admin._site.channels, set())
        self.assertEqual(self.status(self.jsonRpc()), 429)
        clients[0].drop()
        self.assertEqual(self.status(self.jsonRpc()), 101)

    def test_reserve(self) -> None:
        """Those who may only read can't take all sockets, watches and rooms, so the others still get in."""
        readers = [self.jsonRpc(READ) for _ in range(mostFor(Role.READ, MOST_OF_ADDRESS))]
        self.assertEqual(self.status(self.jsonRpc(READ)), 503)
        self.assertEqual(self.status(self.jsonRpc()), 101)
        for client in readers[1:]:
            client.drop()
        self.patch(sockets, "MOST_SOCKETS", 4)
        for number in range(2):
            self.assertEqual(self.status(self.jsonRpc(READ, peer=f"127.0.0.{number + 2}")), 101)
        self.assertEqual(self.status(self.jsonRpc(READ, peer="127.0.0.9")), 503)
        self.assertEqual(self.status(self.jsonRpc(peer="127.0.0.9")), 101)

        self.patch(watches, "MOST_POLLS", 4)
        for number in range(4):
            args = {"call": "sample.count", "args": {"of": str(number)}}
            answer = self.rpc(readers[0], "watch", args)
            self.assertEqual("error" in answer, number == 3, answer)
        self.assertIn("result", self.rpc(self.jsonRpc(), "watch", {"call": "sample.count"}))

        self.patch(rpcrooms, "MOST_ROOMS", 4)
        one = self.harness.client("/rpc", {"Authorization": f"Bearer {READ}"}, peer="127.0.0.20", to=self.to)
        self.patch(sockets, "MOST_SOCKETS", 40)
        for _ in range(3):
            one.join("rpc")
        with self.assertRaises(RoomError) as caught:
            one.join("rpc")
        self.assertEqual(caught.exception.code, "rateLimited")
        self.client().join("rpc")
        one.close()
        self.harness.advance(60)
        self.client(READ).join("rpc")

    def test_unix(self) -> None:
        """Over a UNIX socket nobody needs a secret."""
        self.harness.stop()
        self.start("unix:/nowhere/admin.sock", token=None, readToken=None)
        client = self.jsonRpc(None, peer="")
        self.assertEqual(self.call(client, "sample.mine"), "manage from unix")
