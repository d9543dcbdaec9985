"""The Python client and the test vectors of the protocol."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unittest import skipUnless

import msgspec
from twisted.internet.defer import Deferred

from tests.client.case import ClientTestCase
from txroom import RoomError
from txroom.client import JSON_PROTOCOL, MSGPACK_PROTOCOL
from txroom.client.codec import Codec

VECTORS = Path(__file__).parents[1] / "vectors" / "protocol-v1.json"


@skipUnless(VECTORS.exists(), "there are no vectors")
class VectorTests(ClientTestCase):
    """The test vectors that concern clients."""

    def test_server(self) -> None:
        """The client reads every frame of the server in both sub-protocols."""
        room = self.join(member="m1")
        for vector in json.loads(VECTORS.read_text())["server"]:
            frame = vector["frame"]
            found = Codec(JSON_PROTOCOL).read(msgspec.json.encode(frame), False)
            self.assertIsNotNone(found)
            self.assertEqual(found, Codec(MSGPACK_PROTOCOL).read(msgspec.msgpack.encode(frame), True))
            self.assertEqual(msgspec.to_builtins(found)[0], frame[0])
            if frame[0] not in (
                "ack",
                "joined",
            ):  # for frames that were not sent, and requests that were not made
                self.wire.receive(*frame)
        self.assertIsNone(self.wire.closed)
        self.assertEqual(room.status, "left" if room.log and room.log[-1][0] == "left" else room.status)

    def test_client(self) -> None:
        """The client writes the frames that the vectors have."""
        vectors = json.loads(VECTORS.read_text())["client"]
        kinds = {json.loads(vector["json"])[0] for vector in vectors}
        room = self.join("r1", {"name": "ada"}, members=[], memberCount=1, membersAfter=0)
        room.handle("double", lambda data: data)
        session = self.client
        asked: list[Deferred[Any]] = [session.join("chat"), session.create("chat"), session.joinById("r1")]
        asked += [session.rooms("chat"), session.ping(), room.send("say").whenHandled(), room.call("say")]
        asked.append(room.fetchMembers())
        for each in asked:
            each.addErrback(lambda failure: failure.trap(RoomError))
        session.on("notify", print)
        self.wire.receive("call", 1, "r1", "double", 1)
        self.wire.receive("call", 1, "r1", "unheard", 1)
        frames = self.wire.take(withPings=True)
        for frame in frames:
            if frame[0] in ("joinOnly", "create", "joinById"):
                self.refuse(frame[1], "noSuchRoom")
        room.leave()
        frames += [*self.wire.take(withPings=True), *self.reconnect(), ["join", 1, "chat", {}]]
        self.assertEqual({frame[0] for frame in frames} - {"resume"}, kinds - {"resume"})
        for frame in frames:
            lengths = [
                len(json.loads(one["json"])) for one in vectors if json.loads(one["json"])[0] == frame[0]
            ]
            self.assertLessEqual(len(frame), max(lengths))

    def test_presence(self) -> None:
        """The client knows the members that the frames tell of, and how many there are."""
        for vector in json.loads(VECTORS.read_text())["presence"]:
            self.begin()
            room = self.join(**vector["joined"])
            known = {"members": vector["members"], "memberCount": vector["memberCount"]}
            for step in vector["steps"]:
                self.assertEqual(self.known(room), known, vector["about"])
                if "presence" in step:
                    self.wire.receive("presence", "r1", *step["presence"])
                else:
                    self.fetch(room, step)
                known.update({name: step[name] for name in known if name in step})
            self.assertEqual(self.known(room), known, vector["about"])

    def known(self, room: Any) -> dict[str, Any]:
        """What a room knows of its members, as plain data."""
        return {"members": msgspec.to_builtins(room.members), "memberCount": room.memberCount}

    def fetch(self, room: Any, step: dict[str, Any]) -> None:
        """Fetch a page, if there is any."""
        told: list[Any] = []
        off = room.onPresence(lambda members, joined, left: told.append((members, joined, left)))
        fetched = room.fetchMembers()
        frames = self.wire.take()
        self.assertEqual([frame[3] for frame in frames], [] if step["fetch"] is None else [step["fetch"]])
        members = []
        for frame in frames:
            self.assertEqual((frame[0], frame[2]), ("members", "r1"))
            self.wire.receive("reply", frame[1], step["reply"])
            members = step["reply"]["members"]
        self.assertEqual(msgspec.to_builtins(self.successResultOf(fetched)), members)
        self.assertEqual(told, [(room.members, [], [])] * len(frames))
        off()

    def test_notifications(self) -> None:
        """What the listeners for notifications are told, and what the client sends."""
        for vector in json.loads(VECTORS.read_text())["notifications"]:
            self.begin(device="d1", pingInterval=0)
            self.join()  # for the room, a client without listeners reconnects, too
            self.sent: list[Any] = []
            self.told: list[Any] = []
            self.held: list[Deferred[None]] = []
            self.client.off("error")
            self.client.on("error", lambda error: self.told.append(["error", error.code]))
            for step in vector["steps"]:
                self.notificationStep(step, f"{vector['about']}: {step}")

    def hold(self, event: list[Any]) -> Deferred[None]:
        """A listener that ends later."""
        self.told.append(event)
        self.held.append(Deferred())
        return self.held[-1]

    def notificationStep(self, step: dict[str, Any], about: str) -> None:
        """Take one step of a vector."""
        ((kind, value),) = step.items()
        if kind == "listen":
            self.client.on(value, lambda *args: self.told.append([value, *args]))
        elif kind == "hold":
            self.client.on(value, lambda *args: self.hold([value, *args]))
        elif kind == "end":
            for _ in range(value):
                self.held.pop(0).callback(None)
        elif kind == "unlisten":
            self.client.off(value)
        elif kind == "receive":
            self.wire.receive(*value)
        elif kind == "wait":
            self.clock.advance(value)
        elif kind == "told":
            told, self.told = self.told, []
            self.assertEqual(told, value, about)
        elif kind == "sent":
            sent, self.sent = [*self.sent, *self.wire.take()], []
            self.assertEqual(sent, value, about)
        elif kind == "burst":
            epoch, first, last = value
            for n in range(first, last + 1):
                self.wire.receive("notify", epoch, n, "gift", n, 0)
        else:
            resume, *self.sent = self.reconnect()
            self.resumed(resume)

    def test_fetchMembers(self) -> None:
        """Fetching fails when the server refuses it, sends something else, or can't be reached."""
        room = self.join(members=[], memberCount=9, membersAfter=0)
        refused, wrong = room.fetchMembers(), room.fetchMembers()
        first, second = self.wire.take()
        self.refuse(first[1], "rateLimited")
        self.wire.receive("reply", second[1], {"members": 5})
        self.assertEqual((self.codeOf(refused), self.codeOf(wrong)), ("rateLimited", "badRequest"))
        lost = room.fetchMembers()
        self.wire.end()
        self.assertEqual((self.codeOf(lost), self.codeOf(room.fetchMembers())), ("unavailable",) * 2)
        self.assertEqual(self.errors, [])


# -- against a server
