"""The RPC interface for txroom's own clients."""

from __future__ import annotations

from typing import Any

from twisted.logger import LogLevel, capturedLogs

from tests.admin.rpccase import READ, TOKEN, RpcCase
from txroom import RoomError
from txroom.admin.calls import TIMEOUT, RpcCall
from txroom.admin.discovery import Discovery
from txroom.admin.guard import Caller
from txroom.admin.rpc import MOST_WATCHES
from txroom.admin.secrets import Role
from txroom.admin.sockets import MOST_RECEIVED
from txroom.protocol.limits import MSGPACK_PROTOCOL
from txroom.testing import JoinedRoom


class RoomsCase(RpcCase):
    def setUp(self) -> None:
        self.start()

    def join(self, token: str = TOKEN, **options: Any) -> JoinedRoom:
        return self.client(token, **options).join("rpc")

    def refusal(self, room: JoinedRoom, name: str, args: Any = None) -> tuple[str, Any]:  # type: ignore[override]
        """The code and the details of the error of a call."""
        with self.assertRaises(RoomError) as caught:
            room.call(name, args)
        return caught.exception.code, caught.exception.details


class TestCalls(RoomsCase):
    def test_calls(self) -> None:
        """Clients of rooms make calls, in both dialects; arguments by name, or in order, or none."""
        for protocol in ({}, {"protocol": MSGPACK_PROTOCOL}):
            room = self.join(**protocol)
            self.sample.count = 0
            self.assertEqual(room.call("sample.count"), {"count": 0})
            self.assertEqual(room.call("sample.add", {"by": 5}), 5)
            self.assertEqual(room.call("sample.add", [2]), 7)
        self.assertEqual(self.sample.callers, [Caller(Role.MANAGE, "127.0.0.1")] * 4)

    def test_discover(self) -> None:
        """Everything that a client can call is described."""
        methods = {each["name"]: each for each in self.join(READ).call("rpc.discover")["methods"]}
        self.assertGreaterEqual(set(methods), {"sample.count", "rpc.discover", "watch", "unwatch"})
        self.assertEqual([each["name"] for each in methods["watch"]["params"]], ["call", "args", "every"])

    def test_describedOnce(self) -> None:
        """The description is made once, and again when there are more calls."""
        calls = [RpcCall(name="a.b", function=lambda: 1)]
        discovery = Discovery(lambda: calls)
        first = discovery.discover()
        self.assertIs(discovery.discover(), first)
        calls.append(RpcCall(name="a.c", function=lambda: 2))
        self.assertEqual([each["name"] for each in discovery.discover()["methods"]], ["a.b", "a.c"])

    def test_apart(self) -> None:
        """Clients of the RPC interface are not among the server's connections, and its rooms are no rooms."""
        self.join()
        server = self.harness.server
        self.assertEqual((server.connections, self.harness.rooms, server.stats().total), ([], [], 0))
        self.assertEqual(self.ask("GET", "/api/v1/rooms").json["rooms"], [])

    def test_quiet(self) -> None:
        """Their lives are logged at the level debug, so that they don't bury what operators change."""
        with capturedLogs() as logged:
            self.join().leave()
            self.harness.flush()
        lives = [each for each in logged if each["log_namespace"] == "txroom.rooms"]
        self.assertEqual([each["life"] for each in lives][:2], ["create", "join"])
        self.assertEqual({each["log_level"] for each in lives}, {LogLevel.debug})

    def test_alone(self) -> None:
        """Each client has a room of its own."""
        first, second = self.join(), self.join()
        self.assertNotEqual(first.id, second.id)
        self.assertEqual(self.admin._sockets._rooms.rooms[first.id].presence, False)

    def test_mistakes(self) -> None:
        """Errors say what is wrong, and the client goes on."""
        room = self.join()
        self.assertEqual(self.refusal(room, "sample.add", {"to": 1}), ("badRequest", {"field": "to"}))
        self.assertEqual(self.refusal(room, "sample.add", "five"), ("badRequest", None))
        for _ in range(5):
            self.assertEqual(self.refusal(room, "sample.subtract"), ("unknownType", None))
        self.assertEqual(self.refusal(room, "sample.fail"), ("internal", None))
        self.assertEqual(self.refusal(room, "sample.long"), ("tooLarge", None))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.assertEqual(room.call("sample.add"), 1)

    def test_hangs(self) -> None:
        """A call that hangs ends by itself; other clients don't notice."""
        room, other = self.join(callTimeout=60.0), self.join()
        hanging = room.room.call("sample.hang")
        self.assertEqual(other.call("sample.count"), {"count": 0})
        self.harness.advance(TIMEOUT)
        self.assertEqual(self.failureResultOf(hanging, RoomError).value.code, "timeout")
        self.assertEqual(room.call("sample.count"), {"count": 0})

    def test_tooMuch(self) -> None:
        """A message that is too long closes the connection."""
        room = self.join()
        sending = room.room.call("sample.count", {"of": "x" * MOST_RECEIVED})
        self.harness.flush()
        self.assertEqual(self.failureResultOf(sending, RoomError).value.code, "roomGone")


class TestRoles(RoomsCase):
    def test_read(self) -> None:
        """Who may read can't change anything."""
        room = self.join(READ)
        self.assertEqual(self.refusal(room, "sample.add"), ("forbidden", None))
        self.assertEqual(self.sample.count, 0)
        self.assertEqual(room.call("sample.mine"), "read from 127.0.0.1")

    def test_logged(self) -> None:
        """Changes are logged with the role and the address of the caller."""
        room = self.join(peer="127.0.0.7")
        with capturedLogs() as logged:
            room.call("sample.add")
            room.call("sample.count")
        lines = [each["log_format"].format(**each) for each in logged if "address" in each]
        self.assertEqual(lines, ["admin: manage from 127.0.0.7: sample.add by=1 done"])

    def test_noSecret(self) -> None:
        """Without the right secret there is no connection."""
        client = self.client("wrong" * 10)
        joining = client.joining("rpc")
        self.harness.flush()
        self.assertEqual(self.failureResultOf(joining, RoomError).value.code, "unauthorized")

    def test_resumesAsOther(self) -> None:
        """Somebody with the other secret can't resume."""
        client = self.client()
        room = client.join("rpc")
        client._connector._request.headers["Authorization"] = f"Bearer {READ}"
        client.drop()
        self.harness.advance(2.0)
        self.assertEqual(self.refusal(room, "sample.add"), ("roomGone", None))


class TestWatch(RoomsCase):
    def test_changes(self) -> None:
        """The first answer comes at once, and the others when they have changed."""
        room = self.join()
        begun = room.call("watch", {"call": "sample.count", "every": 0.5})
        self.assertEqual(begun, {"watch": 1, "answer": {"count": 0}})
        self.harness.advance(5.0)
        room.expectNone("watch")
        self.sample.count = 3
        self.harness.advance(0.5)
        self.assertEqual(room.expect("watch"), {"watch": 1, "answer": {"count": 3}})
        room.call("unwatch", {"watch": 1})
        self.sample.count = 4
        self.harness.advance(5.0)
        room.expectNone("watch")
        self.assertEqual(len(self.admin._rpc.watches), 0)

    def test_shared(self) -> None:
        """What several clients watch is computed once."""
        first, second, third = self.join(), self.join(), self.join(READ)
        watch = {"call": "sample.count", "args": {"of": "a"}}
        for room in (first, second, second):
            room.call("watch", watch)
        third.call("watch", watch)
        third.call("watch", {**watch, "args": {"of": "b"}})
        asked = self.sample.asked
        self.assertEqual(asked, 3)
        self.sample.count = 1
        self.harness.advance(1.0)
        self.assertEqual(self.sample.asked, asked + 3)
        self.assertEqual([second.expect("watch")["watch"] for _ in range(2)], [1, 2])

    def test_caller(self) -> None:
        """What depends on the caller isn't shared."""
        for token in (TOKEN, READ):
            begun = self.join(token).call("watch", {"call": "sample.mine"})
            role = "manage" if token == TOKEN else "read"
            self.assertEqual(begun["answer"], f"{role} from 127.0.0.1")

    def test_errors(self) -> None:
        """An error that comes later is told once, and its end too."""
        room = self.join()
        room.call("watch", {"call": "sample.count"})
        self.sample.count = -1
        self.harness.advance(5.0)
        error = {"code": "unavailable", "message": "below zero", "details": {"count": -1}}
        self.assertEqual(room.expect("watch"), {"watch": 1, "error": error})
        room.expectNone("watch")
        self.sample.count = 0
        self.harness.advance(1.0)
        self.assertEqual(room.expect("watch"), {"watch": 1, "answer": {"count": 0}})

    def test_mistakes(self) -> None:
        """What can't be watched is refused, and nothing is left."""
        room = self.join()
        self.sample.count = -1
        for args, code in (
            ({"call": "sample.count"}, "unavailable"),
            ({"call": "sample.add"}, "badRequest"),
            ({"call": "sample.none"}, "unknownType"),
            ({"call": "sample.count", "args": {"in": 1}}, "badRequest"),
            ({"call": "sample.count", "every": 0.01}, "badRequest"),
            ({"call": "sample.count", "each": 1}, "badRequest"),
            ({"call": "watch", "args": {"call": "sample.count"}}, "unknownType"),
            ({}, "badRequest"),
        ):
            self.assertEqual(self.refusal(room, "watch", args)[0], code, args)
        self.assertEqual(self.refusal(room, "unwatch", {"watch": 7}), ("badRequest", {"field": "watch"}))
        self.assertEqual(self.refusal(self.join(READ), "watch", {"call": "sample.add"})[0], "forbidden")
        self.assertEqual(len(self.admin._rpc.watches), 0)

    def test_tooMany(self) -> None:
        """A client has no more than so many watches."""
        room = self.join()
        for _ in range(MOST_WATCHES):
            room.call("watch", {"call": "sample.count"})
        self.assertEqual(self.refusal(room, "watch", {"call": "sample.count"}), ("rateLimited", None))
        room.call("unwatch", {"watch": 1})
        room.call("watch", {"call": "sample.count"})

    def test_log(self) -> None:
        """A watch of what goes on gets each part once, in order."""
        self.sample.entries = ["a", "b", "c"]
        room = self.join()
        begun = room.call("watch", {"call": "sample.log", "every": 0.1})
        self.assertEqual(begun["answer"]["entries"], ["a", "b"])
        self.harness.advance(0.1)
        self.assertEqual(room.expect("watch")["answer"]["entries"], ["c"])
        self.harness.advance(1.0)
        room.expectNone("watch")
        self.sample.entries += ["d", "e", "f"]
        self.harness.advance(0.2)
        self.assertEqual([room.expect("watch")["answer"]["entries"] for _ in range(2)], [["d", "e"], ["f"]])

    def test_left(self) -> None:
        """A client that leaves, or doesn't come back, watches nothing any more."""
        for leave in (lambda room, client: room.leave(), lambda room, client: client.offline()):
            client = self.client()
            room = client.join("rpc")
            room.call("watch", {"call": "sample.count"})
            self.assertEqual(len(self.admin._rpc.watches), 1)
            leave(room, client)
            self.harness.advance(31.0)
            self.assertEqual(len(self.admin._rpc.watches), 0)

    def test_resumes(self) -> None:
        """A client that loses its connection for a moment gets the changes that it has missed."""
        client = self.client()
        room = client.join("rpc")
        room.call("watch", {"call": "sample.count"})
        client.offline()
        self.sample.count = 1
        self.harness.advance(5.0)
        self.sample.count = 2
        self.harness.advance(5.0)
        client.online()
        self.harness.advance(10.0)
        self.assertEqual([room.expect("watch")["answer"]["count"] for _ in range(2)], [1, 2])

    def test_lost(self) -> None:
        """If they are too many to be kept, the watches end; the client is told so, and watches again."""
        client = self.client()
        room = client.join("rpc")
        room.call("watch", {"call": "sample.mine"})
        room.call("watch", {"call": "sample.long", "args": {"size": 700_000}})
        losses: list[Any] = []
        room.room.on("lost", losses.append)
        client.offline()
        server = self.admin._sockets._rooms.rooms[room.id].clients[0]
        for _ in range(2):
            server.send("watch", "x" * 700_000)
        self.harness.advance(5.0)
        client.online()
        self.harness.advance(10.0)
        self.assertEqual((len(losses), len(self.admin._rpc.watches)), (1, 0))
        self.assertEqual(room.call("watch", {"call": "sample.count"})["watch"], 3)


class TestEnd(RoomsCase):
    def test_stop(self) -> None:
        """When the server stops, clients are told to come again, and nothing is left."""
        client = self.client()
        room = client.join("rpc")
        room.call("watch", {"call": "sample.count"})
        self.harness.server.stopService()
        self.harness.advance(0.1)
        self.assertEqual(client.state.value, "waiting")
        self.assertEqual(len(self.admin._rpc.watches), 0)

    def test_pause(self) -> None:
        """A listener that leaves its socket to other processes sends clients there, and may come back."""
        client = self.client()
        client.join("rpc")
        self.admin.pause()
        self.harness.flush()
        self.assertEqual(client.state.value, "waiting")
        refused = self.jsonRpc().response
        assert refused is not None
        self.assertEqual(refused.status, 503)
        self.admin.resume()
        self.harness.advance(1.0)
        self.assertEqual(client.state.value, "open")
