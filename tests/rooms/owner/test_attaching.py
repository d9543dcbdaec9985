"""Requests to join or to resume that wait."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred

from tests.rooms.case import NotingRoom, RoomTestCase, hostOf, onBothEngines
from txroom import RoomError
from txroom.rooms.contract.arrivals import Join, Refused, Resume
from txroom.rooms.contract.asks import Inspect, Lock


class Edge:
    """An edge that takes notes."""

    def __init__(self) -> None:
        self.seen: list[Any] = []

    def deliver(self, item: Any, links: Any) -> None:
        self.seen.append(item)

    def detach(self, links: Any, code: int, reason: str = "") -> None:
        self.seen.append(code)


@onBothEngines
class WaitingTests(RoomTestCase):
    """While a room begins, and while an edge gets lost."""

    def begin(self, **options: Any) -> tuple[Any, Deferred[None]]:
        """A room that is being created for a client."""
        gate: Deferred[None] = Deferred()

        class Chat(NotingRoom):
            def onCreate(self, options: Any) -> Any:
                super().onCreate(options)
                return gate

        self.rooms(Chat, **options)
        self.ada = self.player()
        self.ada.write("join", 1, "chat", {})
        return hostOf(self.room()), gate

    def join(self, host: Any, edge: Edge, session: str) -> list[Any]:
        results: list[Any] = []
        join = Join(link=f"link of {session}", session=session, room=host.id)
        host.attach(edge, join).addBoth(results.append)
        return results

    def test_open(self) -> None:
        """They wait until the room is open; the client that it was created for is the first."""
        host, gate = self.begin()
        edge = Edge()
        joined = self.join(host, edge, "s1")
        resumed: list[Any] = []
        resume = Resume(link="l", session="s2", room=host.id, token="x", epoch="", offset=0)
        host.attach(edge, resume).addBoth(resumed.append)
        told: list[Any] = []
        host.ask(Inspect()).addBoth(told.append)
        self.settle()
        self.assertEqual((joined, resumed, told), ([], [], []))
        gate.callback(None)
        self.settle()
        self.assertEqual([joined[0].id, resumed[0].code], ["link of s1", "unauthorized"])
        self.assertEqual(told[0]["listing"]["room"], host.id)
        self.assertEqual(len(self.room().clients), 2)
        if not self.isLagging:
            self.assertEqual(self.room().clients[0].id, self.ada.frames[0][3]["member"])
        self.result(self.room().disconnect())

    def test_failed(self) -> None:
        """They are refused if it can't be created."""
        host, gate = self.begin()
        joined = self.join(host, Edge(), "s1")
        told = host.ask(Inspect())
        gate.errback(RoomError("no"))
        self.settle()
        self.assertEqual(joined, [Refused("noSuchRoom")])
        self.assertEqual(self.failureResultOf(told, RoomError).value.code, "noSuchRoom")

    def test_lost(self) -> None:
        """They are told to try again if another owner has the room."""
        if not self.isLagging:
            return
        host, gate = self.begin()
        joined = self.join(host, Edge(), "s1")
        self.engine.loseOwner(host.id, False)
        self.settle()
        self.assertEqual(joined, [Refused("unavailable")])
        gate.callback(None)
        self.settle()
        late = host.attach(Edge(), Join(link="l", session="s", room=host.id))
        self.assertEqual(self.result(late), joined[0])
        self.failureResultOf(host.ask(Inspect()), RoomError)

    def test_askedLongAgo(self) -> None:
        """A command that has waited too long is not carried out, since it was given up."""
        host, gate = self.begin()
        told = [host.ask(command) for command in (Inspect(), Lock())]
        self.advance(5)
        gate.callback(None)
        self.settle()
        for each in told:
            error = self.failureResultOf(each, RoomError).value
            self.assertEqual((error.code, error.details), ("unavailable", {"mayHaveHappened": False}))
        self.assertFalse(self.room().isLocked)

    def test_edgeGone(self) -> None:
        """A request whose edge is lost while it waits has no effect."""
        host, gate = self.begin(autoDispose=False)
        gone, there = Edge(), Edge()
        waiting = [self.join(host, gone, "s1"), self.join(host, there, "s2")]
        host.edgeGone(gone)
        gate.callback(None)
        self.settle()
        self.assertEqual(waiting[0], [Refused("unavailable")])
        self.assertEqual((waiting[1][0].id, gone.seen), ("link of s2", []))
        self.assertEqual(len(self.room().clients), 2)
        self.result(self.room().disconnect())

    def test_edgeGoneInHook(self) -> None:
        """Nor has one whose `canJoin` hasn't answered yet; its seat is free again."""
        gate: Deferred[bool] = Deferred()

        class Chat(NotingRoom):
            def canJoin(self, options: Any, user: Any) -> Any:
                return gate if options.get("wait") else True

        self.rooms(Chat, autoDispose=False)
        self.joined()
        host, gone = hostOf(self.room()), Edge()
        results: list[Any] = []
        join = Join(link="l", session="s", room=host.id, options={"wait": True})
        host.attach(gone, join).addBoth(results.append)
        host.edgeGone(gone)
        gate.callback(True)
        self.advance(1)
        self.assertEqual(results, [Refused("unavailable")])
        self.assertEqual((len(host.members), len(self.named("join"))), (1, 1))

    def test_membersOfAnEdge(self) -> None:
        """Members whose edge is lost may resume; those of other edges notice nothing."""
        self.rooms(autoDispose=False)
        ada = self.joined()
        host, gone = hostOf(self.room()), Edge()
        self.join(host, gone, "s1")
        self.settle()
        bob = gone.seen[0]
        host.edgeGone(gone)
        self.settle()
        self.assertEqual(self.named("drop"), [bob.member])
        self.assertEqual([client.isConnected for client in self.room().clients], [True, False])
        again = self.player()
        self.assertEqual(again.ask("resume", host.id, bob.token, bob.epoch, bob.offset)[0], "joined")
        host.edgeGone(gone)
        ada.send("say", 1)
        self.assertEqual(again.said(), [1])
