"""Tests for the calls that are about the server, its connections and its users."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.logger import capturedLogs, formatEvent

from tests.admin.builtin.case import READER, CallsTestCase
from txroom.admin.calls import MOST_ANSWER
from txroom.protocol import payload
from txroom.service.health import Stall
from txroom.service.nodecalls import MAX_ANSWER
from txroom.service.operating import connections as operated


class ServerCallsTests(CallsTestCase):
    """Two servers."""

    def setUp(self) -> None:
        super().setUp()
        self.first, self.second = self.startPair()

    def test_stats(self) -> None:
        """What a server has and has done, and the same of all servers."""
        client = self.first.join()
        client.send("say", "hello")
        self.advance(3)
        stats = self.call("server.stats", caller=READER)
        self.assertEqual((stats["node"], stats["status"]), (self.nodeId(self.first), "ok"))
        self.assertEqual((stats["connections"], stats["rooms"], stats["members"]), (1, 1, 1))
        self.assertGreaterEqual(stats["messagesReceived"], 2)
        self.assertGreater(stats["bytesSent"], 0)
        self.assertGreaterEqual(stats["uptime"], 3.0)
        self.assertGreater(stats["rss"], 1 << 20)
        self.assertGreater(stats["cpuSeconds"], 0.0)
        self.assertEqual((stats["isDraining"], stats["slot"], stats["lagP99"]), (False, None, 0.0))
        found = self.call("nodes.list", caller=READER)
        self.assertEqual(
            [each["node"] for each in found["nodes"]], [self.nodeId(each) for each in self.nodes]
        )
        self.assertEqual([each["rooms"] for each in found["nodes"]], [1, 0])
        self.assertEqual(found["unanswered"], [])

    def test_dead(self) -> None:
        """A server that doesn't answer is named."""
        dead = self.nodeId(self.second)
        self.second.kill()
        found = self.call("nodes.list")
        self.assertEqual([each["node"] for each in found["nodes"]], [self.nodeId(self.first)])
        self.assertEqual(found["unanswered"], [dead])

    def test_options(self) -> None:
        """All options, and which differ from the default."""
        self.first.harness.server.options = self.first.harness.server.options.override({"maxPayload": 4096})
        answer = self.call("server.options", caller=READER)
        self.assertEqual((answer["options"]["maxPayload"], answer["changed"]), (4096, ["maxPayload"]))
        self.assertEqual(answer["applications"]["/rooms"]["messageRate"], 100.0)

    def test_optionsAsTexts(self) -> None:
        """Options that are no plain data are shown as texts."""
        options = {"trustedProxies": ("10.0.0.0/8", "::1"), "allowedOrigins": ("https://a.example",)}
        self.first.harness.server.options = self.first.harness.server.options.override(options)
        answer = self.call("server.options", caller=READER)["options"]
        self.assertEqual(answer["trustedProxies"], ["10.0.0.0/8", "::1/128"])
        self.assertEqual(answer["allowedOrigins"], ["https://a.example"])

    def test_health(self) -> None:
        """What the health page says."""
        self.assertEqual(self.call("server.health", caller=READER), {"status": "ok"})

    def test_drain(self) -> None:
        """A server gives its rooms to the others, and refuses clients, until it stays."""
        client = self.second.join()
        node = self.nodeId(self.second)
        self.assertIsNone(self.call("server.drain", node=node))
        self.advance(2)
        self.assertEqual(self.whereIs(client.id), [self.first])
        stats = self.call("nodes.list")["nodes"][1]
        self.assertEqual((stats["isDraining"], stats["status"], stats["rooms"]), (True, "draining", 0))
        raw = self.second.harness.connect("/rooms", to=self.second.harness.server.factory())
        self.assertEqual(raw.response.status if raw.response else None, 503)
        client.send("say", "still here")
        self.settle()
        self.assertIsNone(self.call("server.drain", node=node))
        self.assertIsNone(self.call("server.stay", node=node))
        self.assertFalse(self.call("nodes.list")["nodes"][1]["isDraining"])
        self.assertEqual(self.second.join(mode="x").name, "chat")
        self.assertEqual(self.call("server.drain", caller=READER)[0], "forbidden")
        self.assertEqual(self.call("server.drain", node="nix")[0], "unavailable")

    def test_reload(self) -> None:
        """Without another program, the certificates are reloaded."""
        calls: list[int] = []
        self.first.harness.server.operations.manager.onReload = lambda: calls.append(1)  # type: ignore[attr-defined]
        self.assertIsNone(self.call("server.reload"))
        self.assertEqual(calls, [1])

    def test_reloadFails(self) -> None:
        """An error is logged, and told."""

        def fail() -> None:
            raise OSError("no certificate")

        self.first.harness.server.operations.manager.onReload = fail  # type: ignore[attr-defined]
        self.assertEqual(self.call("server.reload")[0], "unavailable")
        self.assertEqual(len(self.flushLoggedErrors(OSError)), 1)

    def test_workers(self) -> None:
        """There are none."""
        self.assertEqual(self.call("workers.list", caller=READER), [])

    def test_stalls(self) -> None:
        """The stalls of all nodes, the newest first, or of one."""
        for index, node in enumerate(self.nodes):
            stack = "x" * 9000 + str(index)
            node.harness.server.stallDetector.stalls.append(Stall(100.0 + index, 2.5, stack))
        found = self.call("stalls.list", caller=READER)
        self.assertEqual([each["at"] for each in found["stalls"]], [101.0, 100.0])
        first = found["stalls"][0]
        self.assertEqual((first["node"], first["seconds"]), (self.nodeId(self.second), 2.5))
        self.assertEqual((len(first["stack"]), first["stack"][-1]), (8192, "1"))
        one = self.call("stalls.list", node=self.nodeId(self.first))
        self.assertEqual(one["stalls"], found["stalls"][1:])
        self.assertEqual(self.call("stalls.list", node="nix")[0], "unavailable")

    def test_manyStalls(self) -> None:
        """Of very many, the newest are told."""
        for node in self.nodes:
            stalls = [Stall(float(number), 2.5, "😀" * 8192) for number in range(20)]
            node.harness.server.stallDetector.stalls.extend(stalls)
        found = self.call("stalls.list", caller=READER)
        self.assertEqual(
            ([each["at"] for each in found["stalls"][:2]], found["unanswered"]), ([19.0] * 2, [])
        )
        self.assertLess(len(found["stalls"]), 20)

    def test_logLevel(self) -> None:
        """The level is told, and set on all nodes by the role manage, which is logged."""
        levels: list[Any] = []
        for node in self.nodes:
            node.harness.server.operations.logLevels.change = levels.append
        self.assertEqual(self.call("server.logLevel", caller=READER), {"level": "", "unanswered": []})
        self.assertEqual(self.call("server.logLevel", caller=READER, level="warn")[0], "forbidden")
        self.assertEqual(self.call("server.logLevel", level="loud"), ("badRequest", "level"))
        self.assertEqual(levels, [])
        with capturedLogs() as logs:
            answer = self.call("server.logLevel", level="warn")
        self.assertEqual(answer, {"level": "warn", "unanswered": []})
        self.assertEqual(levels, ["warn", "warn"])
        self.assertIn(
            "admin: manage from 192.0.2.2: server.logLevel level=warn", [formatEvent(each) for each in logs]
        )
        self.assertEqual(self.call("server.logLevel", at=self.second)["level"], "warn")

    def test_logLevelUnknown(self) -> None:
        """A server whose program filters the log itself says so."""
        self.first.harness.server.operations.logLevels.change = lambda level: None
        answer = self.call("server.logLevel", level="warn")
        self.assertEqual(answer["unanswered"], [self.nodeId(self.second)])


class ConnectionCallsTests(CallsTestCase):
    """Connections to two servers."""

    def setUp(self) -> None:
        super().setUp()
        self.first, self.second = self.startPair()
        self.clients = [self.nodes[index % 2].join(name="chat") for index in range(5)]

    def connections(self, **args: Any) -> list[dict[str, Any]]:
        answer = self.call("connections.list", caller=READER, **args)
        self.assertEqual(answer["unanswered"], [])
        found: list[dict[str, Any]] = answer["connections"]
        return found

    def test_list(self) -> None:
        """All connections are listed, the oldest first, page by page and none twice."""
        everyone = self.connections()
        self.assertEqual([each["node"] for each in everyone[:2]], [self.nodeId(each) for each in self.nodes])
        self.assertEqual(len(everyone), 5)
        opened = [each["openedAt"] for each in everyone]
        self.assertEqual(opened, sorted(opened))
        found: list[Any] = []
        cursor: Any = ""
        while cursor is not None:
            page = self.call("connections.list", limit=2, cursor=cursor)
            found += page["connections"]
            cursor = page["next"]
        self.assertEqual([each["id"] for each in found], [each["id"] for each in everyone])
        self.assertEqual(self.call("connections.list", cursor="?"), ("badRequest", "cursor"))

    def test_large(self) -> None:
        """Clients with the longest paths and ids make no answer too large; larger pages than that are cut."""
        for node in self.nodes:
            node.harness.server.userId = lambda user: "😀" * 256  # type: ignore[method-assign]
            for each in node.harness.server.connections:
                each.handshake = attrs.evolve(each.handshake, target="/rooms/" + "é" * 4000)
        everyone = self.connections()
        size = len(payload.encode(everyone[0]))
        self.assertLess(size * (operated.MOST_PAGE + 1), min(MAX_ANSWER, MOST_ANSWER) - 100)
        self.assertEqual((everyone[0]["userId"], len(everyone[0]["path"].encode())), ("😀" * 256, 255))
        self.patch(operated, "MOST_PAGE", 3)
        page = self.call("connections.list", limit=1000)
        rest = self.call("connections.list", limit=1000, cursor=page["next"])
        self.assertEqual([each["id"] for each in page["connections"]], [each["id"] for each in everyone[:3]])
        self.assertEqual([each["id"] for each in rest["connections"]], [each["id"] for each in everyone[3:]])
        self.assertIsNone(rest["next"])

    def test_sameTime(self) -> None:
        """Connections that were opened in the same moment are listed once, too."""
        for _ in range(7):
            self.first.harness.connect("/rooms", to=self.first.harness.server.factory())
        everyone = [each["id"] for each in self.connections()]
        found: list[Any] = []
        cursor: Any = ""
        while cursor is not None:
            page = self.call("connections.list", limit=1, cursor=cursor)
            found += [each["id"] for each in page["connections"]]
            cursor = page["next"]
        self.assertEqual(found, everyone)
        self.assertEqual(len(set(found)), 12)

    def test_find(self) -> None:
        """By a text, and at one node."""
        first = self.connections()[0]
        self.assertEqual(self.connections(text=first["id"][3:12].upper()), [first])
        self.assertEqual(self.connections(text="/nowhere"), [])
        self.assertEqual(len(self.connections(text="/ROOMS")), 5)
        self.assertEqual(len(self.connections(node=self.nodeId(self.second))), 2)
        self.assertEqual(self.call("connections.list", node="nix")[0], "unavailable")

    def test_get(self) -> None:
        """One connection, with its rooms, and without its secrets."""
        id = self.connections()[1]["id"]
        found = self.call("connections.get", connection=id, caller=READER)
        self.assertEqual((found["id"], found["node"]), (id, self.nodeId(self.second)))
        self.assertEqual((found["path"], found["state"]), ("/rooms", "open"))
        self.assertEqual(found["rooms"], [self.clients[1].id])
        self.assertEqual(found["protocol"], "txroom.v1.json")
        self.assertEqual(self.call("connections.get", connection="nix")[0], "noSuchConnection")
        self.second.kill()
        self.assertEqual(self.call("connections.get", connection="nix")[0], "unavailable")

    def test_user(self) -> None:
        """A user that is no plain data, or too long, is shown as a text."""
        connection = self.first.harness.server.connections[0]
        for user, shown in (
            ({"id": "ann"}, {"id": "ann"}),
            (object(), "(an object of type object)"),
            ("x" * 20_000, "(20003 bytes)"),
        ):
            connection.user = user
            found = self.call("connections.get", connection=connection.id)
            self.assertEqual(found["user"], shown)
        connection.user = {"id": "ann"}
        self.assertEqual([each["userId"] for each in self.connections(text="ANN")], ["ann"])

    def test_close(self) -> None:
        """A connection of the other server is closed."""
        id = self.connections()[1]["id"]
        self.assertEqual(self.call("connections.close", connection=id, caller=READER)[0], "forbidden")
        for args, field in (
            ({"code": 1005}, "code"),
            ({"code": 5}, "code"),
            ({"reason": "é" * 70}, "reason"),
        ):
            self.assertEqual(self.call("connections.close", connection=id, **args), ("badRequest", field))
        self.assertIsNone(self.call("connections.close", connection=id, code=1012, reason="go"))
        self.advance(1)
        self.assertNotIn(id, [each["id"] for each in self.connections()])
        self.assertEqual(self.call("connections.close", connection=id)[0], "noSuchConnection")


class UserCallsTests(CallsTestCase):
    """Users of two servers."""

    def test_users(self) -> None:
        """Where a user is, and what is queued for it; it is told and kicked."""
        _, second = self.startPair()
        client = second.join()
        (connection,) = second.harness.server.connections
        connection.user = "ann"
        self.assertEqual(self.call("users.notify", userId="ann", type="t", data=1)["n"], 1)
        found = self.call("users.get", userId="ann", caller=READER)
        self.assertEqual([each["id"] for each in found["connections"]], [connection.id])
        self.assertEqual((found["queue"]["kept"], found["queue"]["devices"]), (1, []))
        self.assertIsNone(self.call("users.get", userId="bob")["queue"])
        self.assertEqual(self.call("users.notify", userId="ann", type="t", data=2**70)[0], "invalidData")
        kicked = self.call("users.kick", userId=client.member)
        self.assertEqual(kicked["rooms"], {client.id: 1})
