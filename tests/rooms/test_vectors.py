"""The test vectors of the protocol, which clients in other languages run too."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from tests.rooms.case import MSGPACK, Player, RoomTestCase, onBothEngines
from txroom import CallError, Client, Room, RoomError, message
from txroom.protocol import payload
from txroom.protocol.errors import BadFrame
from txroom.protocol.limits import JSON_PROTOCOL
from txroom.rooms.contract.items import (
    Ack,
    Bye,
    Error,
    Item,
    Joined,
    Left,
    Message,
    Notified,
    Notify,
    PresenceChange,
    Reply,
    RoomCall,
    SharedItem,
    StateFull,
    StatePatch,
)
from txroom.rooms.edge.dialect import DIALECTS, FrameDialect

VECTORS = json.loads((Path(__file__).parents[1] / "vectors/protocol-v1.json").read_text())
JSON, BINARY = DIALECTS[JSON_PROTOCOL], DIALECTS[MSGPACK]


def itemOf(frame: list[Any]) -> Item:
    """The item that is told by a server's frame."""
    kind, rest = frame[0], frame[1:]
    encode = payload.encode
    if kind == "msg":
        return Message(rest[0], rest[1], rest[2], encode(rest[3]))
    if kind == "joined":
        known = dict(rest[2])
        known["snapshot"] = encode(known["snapshot"])
        if known["members"] is not None:
            known["members"] = tuple(map(encode, known["members"]))
        return Joined(rest[0], rest[1], **known)
    if kind == "reply":
        return Reply(rest[0], encode(rest[1]))
    if kind == "call":
        return RoomCall(rest[0], rest[1], rest[2], encode(rest[3]))
    if kind == "presence":
        return PresenceChange(rest[0], tuple(map(encode, rest[1])), tuple(map(encode, rest[2])), *rest[3:])
    if kind == "notify":
        epoch, n, name, data, dropped = rest
        return Notify(epoch, n, name, encode(data), dropped)
    kinds: dict[str, type[Item]] = {
        "notified": Notified,
        "left": Left,
        "ack": Ack,
        "error": Error,
        "bye": Bye,
    }
    return kinds[kind](*rest)


def stateItemOf(frame: list[Any]) -> Item:
    """The item that is told by a frame that concerns the state."""
    kind, rest = frame[0], frame[1:]
    if kind == "joined":
        known = dict(rest[2])
        schema = payload.encode(known.pop("schema")) if "schema" in known else b""
        return Joined(rest[0], rest[1], **known | {"snapshot": payload.encode(None), "schema": schema})
    return StateFull(*rest) if kind == "state" else StatePatch(*rest)


class FrameTests(SynchronousTestCase):
    """One frame at a time."""

    def test_client(self) -> None:
        """Both dialects read the same."""
        for vector in VECTORS["client"]:
            binary = bytes.fromhex(vector["msgpack"])
            self.assertEqual(msgspec.msgpack.decode(binary), json.loads(vector["json"]))
            frames = []
            for dialect, data in ((JSON, vector["json"]), (BINARY, binary)):
                frame = msgspec.to_builtins(dialect.decode(data), builtin_types=(msgspec.Raw,))
                decode: Any = json.loads if dialect.isJSON else msgspec.msgpack.decode
                frames.append(
                    [decode(bytes(x)) if isinstance(x, msgspec.Raw) and bytes(x) else x for x in frame]
                )
            if len(json.loads(vector["json"])) > 3:
                self.assertEqual(frames[0], frames[1])

    def test_refused(self) -> None:
        """What is no frame is refused, with the ref if there is one, and nothing else happens."""
        for vector in VECTORS["refused"]:
            dialect: FrameDialect = JSON if "json" in vector else BINARY
            data = vector["json"] if "json" in vector else bytes.fromhex(vector["msgpack"])
            error = self.assertRaises(BadFrame, dialect.decode, data)
            self.assertEqual((error.ref, error.code), (vector["ref"], "badRequest"), vector)

    def test_server(self) -> None:
        """Both dialects write the same."""
        for vector in VECTORS["server"]:
            item = itemOf(vector["frame"])
            text: Any = item.prepared(JSON)
            binary: Any = item.prepared(BINARY)
            self.assertEqual((text.isBinary, binary.isBinary), (False, True))
            self.assertEqual(json.loads(text.payload), vector["frame"])
            self.assertEqual(msgspec.msgpack.decode(binary.payload), vector["frame"])
            self.assertEqual(
                item.prepared(JSON) is text, isinstance(item, SharedItem), "framed once for many"
            )

    def test_state(self) -> None:
        """The frames of the state have bytes in MessagePack, and base64 text in JSON."""
        for vector in VECTORS["state"]:
            binary = msgspec.msgpack.decode(bytes.fromhex(vector["msgpack"]))
            item: Any = stateItemOf(binary)
            self.assertEqual(json.loads(item.prepared(JSON).payload), vector["frame"], vector["about"])
            self.assertEqual(msgspec.msgpack.decode(item.prepared(BINARY).payload), binary, vector["about"])


class VectorRoom(Room):
    """The room that the conversations are with."""

    events: list[Any] = []

    class Typed(msgspec.Struct):
        """What `typed` takes."""

        text: str

    @message("say")
    def say(self, client: Client, data: Any) -> Any:
        return self.broadcast("said", data)

    @message("tell")
    def tell(self, client: Client, data: Any) -> Any:
        return client.send("told", data)

    @message("typed")
    def typed(self, client: Client, data: Typed) -> str:
        return data.text

    @message("ask")
    async def ask(self, client: Client, data: Any) -> Any:
        try:
            return await client.call("question", data)
        except CallError as error:
            raise RoomError(error.code, error.message) from None


@onBothEngines
class ConversationTests(RoomTestCase):
    """Whole conversations, in both dialects."""

    def test_json(self) -> None:
        """As text."""
        self.converse(None)

    def test_msgpack(self) -> None:
        """As binary."""
        self.converse(MSGPACK)

    def converse(self, protocol: str | None) -> None:
        for conversation in VECTORS["conversations"]:
            self.rooms(VectorRoom)
            self.known: dict[str, Any] = {}
            player = self.player(conversation["path"], protocol)
            for step in conversation["steps"]:
                player = self.step(player, step, f"{conversation['about']}: {step}", protocol)
            self.assertEqual(player.take(), [], conversation["about"])

    def step(self, player: Player, step: dict[str, Any], about: str, protocol: str | None) -> Player:
        if "send" in step:
            player.write(*self.filled(step["send"]))
        elif "wait" in step:
            self.advance(step["wait"])
        elif "drop" in step:
            player.client.drop()
            self.settle()
            return self.player(protocol=protocol)
        elif "closed" in step:
            self.assertEqual(player.client.closeCode, step["closed"], about)
        else:
            while True:
                frames = player.frames
                self.assertLess(player._seen, len(frames), about)
                frame = frames[player._seen]
                player._seen += 1
                # It takes its time, so an acknowledgement may come anywhere.
                if frame[0] != "ack" or step["expect"][0] == "ack":
                    break
            self.match(step["expect"], frame, about)
        return player

    def filled(self, value: Any) -> Any:
        """With what is known in place of the names."""
        if isinstance(value, list):
            return [self.filled(each) for each in value]
        return self.known.get(value, value) if isinstance(value, str) else value

    def match(self, expected: Any, got: Any, about: str) -> None:
        """Equal, where a name stands for anything the first time, and the same after that."""
        if isinstance(expected, str) and expected.startswith("$"):
            if expected in ("$token", "$text", "$members") and expected in self.known:
                return
            self.assertEqual(self.known.setdefault(expected, got), got, about)
        elif isinstance(expected, list):
            self.assertEqual((type(got), len(got)), (list, len(expected)), about)
            for one, other in zip(expected, got, strict=True):
                self.match(one, other, about)
        elif isinstance(expected, dict):
            self.assertEqual(sorted(expected), sorted(got), about)
            for key in expected:
                self.match(expected[key], got[key], about)
        else:
            self.assertEqual(got, expected, about)
