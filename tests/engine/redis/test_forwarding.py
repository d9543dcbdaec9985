"""Tests for what clients send while their room moves to another node, and that they don't send again."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.defer import Deferred, succeed

from tests.case import fired
from tests.engine.redis.nodes import TestNode
from tests.engine.redis.test_handingover import Slow, SlowRoomsTestCase
from txroom import LeaveReason
from txroom.engine.redis.lease import RENEW
from txroom.rooms.owner.moving import PATIENCE


class Plain:
    """A client without txroom's library, which numbers nothing."""

    def __init__(self, node: TestNode, room: str = "", path: str = "/rooms") -> None:
        self.client = node.harness.connect(path, to=node.harness.server.factory())
        self.room: str | None = None
        if path == "/rooms":
            self.write("joinById" if room else "join", 1, room or "chat", {})

    def write(self, *frame: Any) -> None:
        """Send a frame."""
        self.client.send(json.dumps(frame))

    def say(self, *values: Any) -> None:
        """Send messages."""
        for value in values:
            self.write("send", self.id if self.room is None else self.room, "say", value)

    def frames(self, kind: str) -> list[Any]:
        """What has come, of one kind."""
        return [frame for frame in map(json.loads, self.client.received) if frame[0] == kind]

    @property
    def id(self) -> str:
        """The id of its room."""
        return str(self.frames("joined")[-1][2])

    def resume(self) -> None:
        """Resume on the same connection."""
        *_, room, joined = self.frames("joined")[-1]
        offset = max([joined["offset"], *(frame[2] for frame in self.frames("msg"))])
        self.write("resume", 2, room, joined["token"], joined["epoch"], offset)

    @property
    def heard(self) -> list[Any]:
        """The data of the messages."""
        return [frame[4] for frame in self.frames("msg")]


class ForwardingTests(SlowRoomsTestCase):
    """Frames without a number, and requests to leave."""

    def gate(self, node: TestNode) -> Deferred[None]:
        """Let the handover of the node's rooms wait."""
        gate: Deferred[None] = Deferred()
        handOver = node.node.journals.handOver
        self.patch(node.node.journals, "handOver", lambda *a: gate.addCallback(lambda _: handOver(*a)))
        return gate

    def plain(self, node: TestNode, room: str = "", path: str = "/rooms") -> Plain:
        """A client that has joined."""
        plain = Plain(node, room, path)
        self.settle()
        return plain

    def test_steps(self) -> None:
        """What is sent at any step of the move is handled once and in order, on each edge."""
        first, second, third = self.start(3)
        watcher = first.join()
        for node in (first, second, third):
            gate = self.gate(owner := self.whereIs(watcher.id)[0])
            target = second if owner is not second else first
            ada = self.plain(node, watcher.id)
            ada.say(0)
            left = self.leave(owner, target)
            ada.say(1)
            self.settle()
            ada.say(2)
            self.settle()
            gate.callback(None)
            number = 3
            while not left:
                if number < 100:  # the server stops reading from clients that send too fast
                    ada.say(number)
                    number += 1
                self.clock.advance(0.0003)
            ada.say(number)
            self.settle()
            self.assertEqual([frame[2] for frame in ada.frames("left")], [4101])
            ada.resume()
            self.settle()
            self.assertEqual(ada.heard, list(range(number + 1)))
            self.assertGreater(number, 10)
            ada.say("again")
            self.settle()
            self.assertEqual(ada.heard[number + 1 :], ["again"])
            ada.client.close()
            self.settle()
            owner.engine.stay()

    def test_handlers(self) -> None:
        """So is a message whose handler was cancelled, before those that were queued behind it."""
        first, second = self.start()
        watcher = first.join()
        ada = self.plain(first, watcher.id)
        Slow.gates["work"] = Deferred()
        ada.write("send", ada.id, "work", 1)
        ada.write("send", ada.id, "work", 2)
        ada.say(3)
        left = self.leave(first, second)
        self.settle()
        ada.say(4)
        self.advance(PATIENCE + 2)
        self.assertEqual(left, [1])
        ada.resume()
        self.settle()
        self.assertEqual(ada.heard, [1, 2, 3, 4])
        works = [event for event in Slow.events if event[1] == "work"]
        self.assertEqual(works, [("begin", "work"), ("CancelledError", "work")])

    def test_byPath(self) -> None:
        """The room of the path is meant if a client names no room."""
        first, second = self.start()
        ada = self.plain(first, path="/rooms/chat")
        gate = self.gate(first)
        left = self.leave(first, second)
        for step in range(2):
            ada.write("send", None, "say", step)
            self.settle()
            gate.callback(None) if not gate.called else None
        self.settle()
        ada.write("send", None, "say", 2)
        self.settle()
        ada.resume()
        self.settle()
        self.advance(1)
        self.assertEqual((left, ada.heard, ada.client.isOpen), ([1], [0, 1, 2], True))
        ada.write("send", None, "say", 3)
        self.settle()
        self.assertEqual(ada.heard, [0, 1, 2, 3])

    def test_byPathAndOther(self) -> None:
        """When the client resumes another room, frames to the room of its path still go to the next owner."""
        first, second = self.start()
        other = first.join(mode="other")
        ada = self.plain(first, path="/rooms/chat")
        ada.write("joinById", 1, other.id, {})
        self.settle()
        byPath, byFrame = ada.frames("joined")
        left = self.leave(first, second)
        self.advance(4)
        self.assertEqual((left, len(ada.frames("left"))), ([2], 2))

        def resume(joined: list[Any], ref: int) -> None:
            ada.write("resume", ref, joined[2], joined[3]["token"], joined[3]["epoch"], 0)
            self.settle()

        resume(byFrame, 2)
        ada.write("send", None, "say", "to the path")
        ada.write("call", 3, None, "say", "not passed on")
        self.settle()
        self.assertEqual([frame[1:4] for frame in ada.frames("error")], [[3, None, "unavailable"]])
        resume(byPath, 4)
        self.assertEqual(
            [frame[1:2] + frame[4:5] for frame in ada.frames("msg")], [[byPath[2], "to the path"]]
        )

    def test_left(self) -> None:
        """A client leaves that asks to, or closes its connection, before it resumes a room that has moved."""
        first, second, third = self.start(3)
        gone: list[Any] = []
        self.patch(Slow, "onLeave", lambda room, client, reason: gone.append(client.options.get("who")))
        watcher = first.join(who="watcher")
        owner = self.whereIs(watcher.id)[0]
        others = [self.plain(node, watcher.id) for node in (first, first, third, third)]
        left = self.leave(owner, second)
        while not all(each.frames("left") for each in others):
            self.clock.advance(0.001)
        for each in others[::2]:
            each.write("leave", 7, each.id)
        for each in others[1::2]:
            each.client.close()
        self.advance(2)
        self.assertEqual((left, len(gone)), ([1], 4))
        self.assertEqual(len(second.app.rooms[watcher.id].clients), 1)

    def test_stopping(self) -> None:
        """
        So it is if the node of the room stops without `leave`: what clients of other nodes send until they
        resume is handled once and in order, and those that leave have left.
        """
        self.stopping(0.0)

    def test_stoppingLater(self) -> None:
        """Nobody needs to resume for that."""
        self.stopping(4.0)

    def stopping(self, seconds: float) -> None:
        """The node of a room stops; a client resumes after so many seconds."""
        first, second = self.start()
        self.advance(RENEW + 1)  # so that they know each other
        gone: list[Any] = []
        self.patch(Slow, "onLeave", lambda room, client, reason: gone.append((client.id, reason)))
        watcher = first.join()
        ada, bob, carol = (self.plain(second, watcher.id) for _ in range(3))
        Slow.gates["work"] = Deferred()
        ada.write("send", ada.id, "work", 0)
        self.settle()
        stopped = fired(first.harness.server.stopService())
        bob.write("leave", 7, bob.id)
        number = 1
        while not ada.frames("left"):
            ada.say(number)
            number += 1
            self.advance(0.02)
        carol.client.close()
        for _ in range(5):
            ada.say(number)
            number += 1
            self.advance(0.01)
        self.advance(seconds)
        ada.resume()
        self.advance(3)
        self.assertEqual((self.whereIs(ada.id), len(stopped)), ([second], 1))
        self.assertEqual(ada.heard, list(range(number)))
        left = [(each.frames("joined")[0][3]["member"], LeaveReason.LEFT) for each in (bob, carol)]
        self.assertEqual(gone, left)

    def test_stoppingAlone(self) -> None:
        """A node that stops doesn't wait if nobody takes its rooms."""
        (first,) = self.start(1)
        ada = self.plain(first)
        Slow.gates["work"] = Deferred()
        ada.write("send", ada.id, "work", 0)
        self.settle()
        stopped = fired(first.harness.server.stopService())
        self.advance(PATIENCE + 0.3)
        self.assertEqual(len(stopped), 1)

    def test_calls(self) -> None:
        """A call without a number is refused at once, since another node can't answer it."""
        first, second = self.start()
        ada = self.plain(first)
        Slow.gates["work"] = Deferred()
        ada.write("call", 4, ada.id, "work", 1)
        gate = self.gate(first)
        left = self.leave(first, second)
        self.settle()
        ada.write("call", 5, ada.id, "say", "during")
        self.advance(PATIENCE)
        ada.write("call", 6, ada.id, "say", "cut")
        gate.callback(None)
        self.settle()
        ada.write("call", 7, ada.id, "say", "moved")
        self.advance(2)
        refused = [(frame[1], frame[3]) for frame in ada.frames("error")]
        self.assertEqual((left, sorted(refused)), ([1], [(ref, "unavailable") for ref in (4, 5, 6, 7)]))
        ada.resume()
        self.settle()
        self.assertEqual(ada.heard, [])

    def test_tooMuch(self) -> None:
        """A client can't make the server keep any amount; it is told what is refused."""
        first, second = self.start()
        ada, bob = self.plain(first), self.plain(first)
        gate = self.gate(first)
        self.leave(first, second)
        self.advance(1)  # the node tells the others first that it leaves
        ada.say(*("x" * 900_000 for _ in range(3)))
        bob.say("bob")
        self.settle()
        errors = [(frame[1:4]) for frame in ada.frames("error")]
        self.assertEqual(errors, [[None, ada.id, "rateLimited"]])
        gate.callback(None)
        self.advance(1)
        bob.resume()
        self.settle()
        self.assertEqual(bob.frames("joined")[-1][3]["offset"], 3)

    def test_callsOnTheirWay(self) -> None:
        """Each call without a number is answered once, at whatever moment of the move it is made."""
        first, second, third = self.start(3)
        watcher = first.join()
        for node in (first, second, third):
            (owner,) = self.whereIs(watcher.id)
            target = second if owner is not second else first
            ada = self.plain(node, watcher.id)
            count = 20
            for ref in range(count):
                ada.write("call", ref, ada.id, "say", ref)
                self.advance(0.0007)
            left = self.leave(owner, target)
            while not ada.frames("left") or count < 40:
                ada.write("call", count, ada.id, "say", count)
                self.advance(0.0007)
                count += 1
            self.advance(2)
            answers = [frame[1] for frame in (*ada.frames("reply"), *ada.frames("error"))]
            self.assertEqual((left, sorted(answers)), ([1], list(range(count))))
            self.assertTrue(ada.frames("reply"))
            self.assertEqual({frame[3] for frame in ada.frames("error")}, {"unavailable"})
            owner.engine.stay()

    def test_callsOwnerDies(self) -> None:
        """A call without a number that was not answered when the owner died gets an error."""
        first, second, third = self.start(3)
        ada = self.plain(third)
        (owner,) = self.whereIs(ada.id)
        if owner is third:
            self.leave(third, first)
            self.advance(2)
            ada.resume()
            self.settle()
            third.engine.stay()
            (owner,) = self.whereIs(ada.id)
        Slow.gates["work"] = Deferred()
        ada.write("call", 10, ada.id, "work", 1)
        ada.write("call", 11, ada.id, "say", 2)
        self.settle()
        owner.kill()
        (second if owner is first else first).engine.nodeEnded(owner.node.id)
        self.advance(2)
        answers = [(frame[1], frame[3], frame[5]) for frame in ada.frames("error")]
        self.assertEqual(answers, [(ref, "unavailable", {"mayHaveHappened": True}) for ref in (10, 11)])
        self.assertEqual(ada.frames("left")[-1][2], 4101)

    def test_callsEnded(self) -> None:
        """If the membership ends for good, only that is told."""
        (first,) = self.start(1)
        ada = self.plain(first)
        Slow.gates["work"] = Deferred()
        ada.write("call", 10, ada.id, "work", 1)
        self.settle()
        first.app.rooms[ada.id].clients[0].kick()
        self.settle()
        self.assertEqual([frame[3] for frame in ada.frames("error") if frame[3] == "unavailable"], [])

    def test_unreadable(self) -> None:
        """A message with a value that can't be read is refused at once."""
        first, second = self.start()
        ada = self.plain(first)
        self.gate(first)
        self.leave(first, second)
        self.settle()
        ada.client.send(f'["send","{ada.id}","say","\\ud800"]')
        self.settle()
        self.assertEqual([frame[3] for frame in ada.frames("error")], ["invalidData"])

    def test_twoJoins(self) -> None:
        """Two requests to join on one connection are both answered, if the room moves meanwhile."""
        first, second = self.start()
        watcher = first.join()
        for node in (first, second):
            owner = self.whereIs(watcher.id)[0]
            target = second if owner is first else first
            Slow.gates = {"join": Deferred()}
            plain = node.harness.connect("/rooms", to=node.harness.server.factory())
            for ref in (1, 2, 3):
                plain.send(json.dumps(["joinById", ref, watcher.id, {"wait": True}]))
            self.settle()
            left = self.leave(owner, target)
            self.settle()
            Slow.gates = {"join": succeed(None)}
            self.advance(PATIENCE + 2)
            joined = [frame[1] for frame in map(json.loads, plain.received) if frame[0] == "joined"]
            self.assertEqual((left, sorted(joined)), ([1], [1, 2, 3]))
            owner.engine.stay()
            self.assertEqual(len(target.app.rooms[watcher.id].clients), 2)
            plain.close()
            self.settle()
