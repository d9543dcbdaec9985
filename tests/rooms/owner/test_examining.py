"""What operators are shown of a room."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.rooms.case import NotingRoom, RoomTestCase, hostOf, onBothEngines
from txroom import Client, RoomError, message
from txroom.rooms.contract.asks import INSPECT_SECONDS, INSPECT_SIZE, SHOWN_STATE, Examine, ShowMembers
from txroom.rooms.owner import examining
from txroom.state import List, Map, State, private


@onBothEngines
class ExamineTests(RoomTestCase):
    """The description of a room."""

    def ask(self, command: Any = None) -> Any:
        """What the room answers."""
        return self.result(self.engine.ask(self.room().id, command or Examine()))

    def inspecting(self, inspect: Any) -> Any:
        """The description of a room with this hook."""

        class Inspected(NotingRoom):
            pass

        Inspected.inspect = inspect  # type: ignore[method-assign]
        self.rooms(Inspected, autoDispose=False)
        self.result(self.app.createRoom("chat"))
        return self.ask()

    def test_open(self) -> None:
        """An open room with nothing special."""
        self.rooms()
        ada, bob = self.joined(), self.joined()
        ada.send("say", 1)
        bob.client.drop()
        self.settle()
        found = self.ask()
        room = self.room()
        self.assertEqual((found["listing"]["room"], found["listing"]["clients"]), (room.id, 2))
        self.assertEqual((found["epoch"], found["offset"], found["stage"]), (room.epoch, 1, "open"))
        self.assertEqual(found["node"], self.engine.nodeId)
        self.assertEqual((found["members"], found["connected"]), (2, 1))
        self.assertEqual((found["running"], found["runningCount"], found["waiting"]), ([], 0, 0))
        self.assertEqual((found["inspect"], found["inspectError"], found["commitSeconds"]), (None, "", 0.0))

    def test_stuck(self) -> None:
        """A handler that waits, with its member, its time, and the messages behind it."""
        gate = self.waitingRooms("wait")
        ada, bob = self.joined(), self.joined()
        ada.send("wait")
        self.advance(3)
        bob.send("wait")
        for _ in range(2):
            ada.send("say", 1)
        found = self.ask(Examine(False))
        first, second = found["running"]
        self.assertEqual((first["name"], first["member"]), ("wait", ada.joined["member"]))
        self.assertGreaterEqual(first["seconds"], 3.0)
        self.assertEqual((first["waiting"], found["waiting"]), (2, 2))
        self.assertEqual((second["member"], second["waiting"]), (bob.joined["member"], 0))
        self.assertLess(second["seconds"], 3.0)
        gate.callback(None)
        self.settle()
        found = self.ask()
        self.assertEqual((found["running"], found["waiting"]), ([], 0))

    def test_hooks(self) -> None:
        """A hook for a member, and a timer."""
        gate: Deferred[Any] = Deferred()

        class Slow(NotingRoom):
            def onCreate(self, options: Any) -> None:
                self.clock.callLater(0, self.tidy)

            def tidy(self) -> Any:
                return gate

            def onLeave(self, client: Client, reason: Any) -> Any:
                return gate

        self.rooms(Slow, autoDispose=False)
        ada = self.joined()
        self.room().clients[0].kick()
        self.advance(0.1)
        names = [(each["name"], each["member"]) for each in self.ask()["running"]]
        self.assertEqual(sorted(names), [("onLeave", ada.joined["member"]), ("tidy", "")])
        gate.callback(None)
        self.settle()
        self.assertEqual(self.ask()["running"], [])

    def test_creating(self) -> None:
        """A room whose `onCreate` doesn't end."""
        gate: Deferred[Any] = Deferred()

        class Late(NotingRoom):
            def onCreate(self, options: Any) -> Any:
                return gate

            def inspect(self) -> Any:
                raise AssertionError("it isn't called before the room is created")

        self.rooms(Late, autoDispose=False)
        self.app.createRoom("chat")
        self.settle()
        found = self.ask()
        self.assertEqual((found["stage"], found["running"][0]["name"]), ("creating", "onCreate"))
        self.assertEqual(found["inspectError"], "")
        gate.callback(None)
        self.settle()

    def test_ending(self) -> None:
        """A room that doesn't end, because `onDispose` waits."""
        gate: Deferred[Any] = Deferred()

        class Lingering(NotingRoom):
            def onDispose(self) -> Any:
                return gate

        self.rooms(Lingering, autoDispose=False)
        self.result(self.app.createRoom("chat"))
        self.room().disconnect()
        self.settle()
        found = self.ask()
        self.assertEqual((found["stage"], found["running"][0]["name"]), ("ending", "onDispose"))
        gate.callback(None)
        self.settle()

    def test_inspect(self) -> None:
        """What `inspect` returns, at once or later; nothing if it isn't asked for."""
        found = self.inspecting(lambda room: {"id": room.id, "scores": (1, 2)})
        self.assertEqual(found["inspect"], {"id": self.room().id, "scores": [1, 2]})

        async def later(room: Any) -> Any:
            await room.clock.sleep(0.1)
            return 7

        type(self.room()).inspect = later
        answers: list[Any] = []
        self.engine.ask(self.room().id, Examine()).addBoth(answers.append)
        self.advance(0.2)
        self.assertEqual(answers[0]["inspect"], 7)
        self.assertIsNone(self.ask(Examine(False))["inspect"])

    def test_state(self) -> None:
        """
        The declared state as it is now, with its private parts for those who may see them; nothing of it if
        somebody asks only whether the room is stuck. It doesn't change for being looked at.
        """

        class Hand(State):
            cards: List[int]

        class Game(State):
            turn: str = "white"
            hands: Map[Hand] = private()
            board: List[str]

        class Stated(NotingRoom):
            state: Game

        self.rooms(Stated, autoDispose=False)
        self.result(self.app.createRoom("chat"))
        state: Any = self.room().state
        state.board.append("e4")
        state.hands["ada"] = Hand(cards=[7])
        for _ in range(2):
            found = self.ask()
            self.assertEqual(found["state"], {"turn": "white", "board": ["e4"]})
        found = self.ask(Examine(withPrivate=True))
        self.assertEqual(found["state"], {"turn": "white", "hands": {"ada": {"cards": [7]}}, "board": ["e4"]})
        self.assertFalse(found["isStateCut"])
        self.assertIsNone(self.ask(Examine(False, True))["state"])
        state.board.extend(["x" * 900] * 1000)
        found = self.ask()
        self.assertTrue(found["isStateCut"])
        self.assertEqual(len(found["state"]["board"]), 1 + SHOWN_STATE // 903)

    def test_noState(self) -> None:
        """A room that declares none has null in its place."""
        found = self.inspecting(lambda room: None)
        self.assertEqual((found["state"], found["isStateCut"]), (None, False))

    def test_inspectFails(self) -> None:
        """Its errors are told to the operator, and cost the room nothing."""

        def fail(error: Exception) -> Any:
            def inspect(room: Any) -> Any:
                raise error

            return inspect

        cases = (
            (fail(KeyError("x")), "KeyError: 'x'"),
            (fail(RoomError("forbidden", "no")), "forbidden: no"),
            (fail(ValueError("v" * 1000)), "ValueError: " + "v" * 488),
            (lambda room: {"a": b"bytes"}, "TypeError: "),
            (lambda room: {1: 2}, "TypeError: "),
            (lambda room: "x" * INSPECT_SIZE, "ValueError: the answer has "),
        )
        for inspect, error in cases:
            found = self.inspecting(inspect)
            self.assertIsNone(found["inspect"])
            self.assertEqual(found["inspectError"][: len(error)], error)
            self.assertEqual(found["stage"], "open")
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_inspectHangs(self) -> None:
        """After two seconds it is given up."""
        self.inspecting(lambda room: None)
        type(self.room()).inspect = lambda room: Deferred()
        answers: list[Any] = []
        self.engine.ask(self.room().id, Examine()).addBoth(answers.append)
        self.settle()
        self.assertEqual(answers, [])
        self.advance(INSPECT_SECONDS)
        self.assertEqual(answers[0]["inspectError"], "took longer than 2 s")

    def test_members(self) -> None:
        """All members are shown once, page by page."""
        self.rooms(maxClients=0)
        ids = sorted(self.joined().joined["member"] for _ in range(5))
        seen: list[str] = []
        after, isLast = "", False
        while not isLast:
            page = self.ask(ShowMembers(after, 2))
            seen += [each["member"] for each in page["members"]]
            self.assertLessEqual(len(page["members"]), 2)
            after, isLast = seen[-1], page["isLast"]
        self.assertEqual(seen, ids)
        self.assertEqual(len(self.ask(ShowMembers(limit=0))["members"]), 1)
        self.assertEqual(self.ask(ShowMembers(ids[-1])), {"members": [], "isLast": True})
        for id in ids:
            self.room().client(id).meta = {"about": "x" * 300_000}
        large = self.ask(ShowMembers())
        self.assertEqual(([each["member"] for each in large["members"]], large["isLast"]), (ids[:1], False))
        self.assertTrue(self.ask(ShowMembers(ids[-2]))["isLast"])
        first = self.ask(ShowMembers())["members"][0]
        self.assertEqual((first["isBusy"], first["waiting"], first["isConnected"]), (False, 0, True))


class Lines(NotingRoom):
    """A room whose handler waits for nothing."""

    @message("line")
    async def line(self, client: Client) -> int:
        return 1


class RunningTests(RoomTestCase):
    """What is noted."""

    def test_quick(self) -> None:
        """A coroutine that doesn't wait isn't noted, and its answer comes."""
        self.rooms(Lines)
        ada = self.joined()
        self.assertEqual(ada.call("line")[2], 1)
        host = hostOf(self.room())
        self.assertEqual(host.runner.running.waits(host.roomTimers), [])

    def test_many(self) -> None:
        """Of many that wait, the oldest are told, and the number of all."""
        self.patch(examining, "SHOWN_CALLS", 3)
        gate = self.waitingRooms("wait", maxClients=0)
        players = [self.joined() for _ in range(5)]
        for player in players:
            player.send("wait")
        found = self.result(self.engine.ask(self.room().id, Examine()))
        self.assertEqual((len(found["running"]), found["runningCount"]), (3, 5))
        self.assertEqual(found["running"][0]["member"], players[0].joined["member"])
        gate.callback(None)
        self.settle()
