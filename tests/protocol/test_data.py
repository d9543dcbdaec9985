"""What data may be: what a client sends costs an error at most, never the order, a room or a traceback."""

from __future__ import annotations

import json
import tracemalloc
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from unittest import mock

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.rooms.case import MSGPACK, NotingRoom, Player, RoomTestCase, onBothEngines
from txroom import CallError, Client, RoomError, message
from txroom.protocol import payload, plaindata, received

packed = msgspec.msgpack.encode


class Point(msgspec.Struct):
    """Data whose type says all of it."""

    x: float
    y: int = 0


class Loose(msgspec.Struct):
    """Data of which a part may be anything."""

    any: Any


class DataRoom(NotingRoom):
    """Handlers that take data in every way."""

    @message("point")
    def point(self, client: Client, data: Point) -> Any:
        self.broadcast("point", data)
        return data

    @message("loose")
    def loose(self, client: Client, data: Loose) -> Any:
        self.broadcast("loose", data)
        return data

    @message("nothing")
    def nothing(self, client: Client) -> None:
        return None

    @message("meta")
    def setMeta(self, client: Client, data: dict[str, Any]) -> None:
        client.meta = data

    @message("metadata")
    def metadataOf(self, client: Client, data: dict[str, Any]) -> None:
        self.setMetadata(data)

    @message("details")
    def detailsOf(self, client: Client, data: Any) -> None:
        raise RoomError("mine", "as asked", data)

    def onMessage(self, client: Client, type: str, data: Any) -> Any:
        return self.broadcast(type, data)


TYPES = ("say", "point", "loose", "nothing", "meta", "metadata", "details", "other")
CODES = {"badRequest", "invalidData", "mine"}


def array(parts: list[bytes]) -> bytes:
    return b"\xdc" + len(parts).to_bytes(2, "big") + b"".join(parts)


def mapping(entries: list[tuple[bytes, bytes]]) -> bytes:
    return b"\xde" + len(entries).to_bytes(2, "big") + b"".join(key + value for key, value in entries)


def extension(parts: tuple[int, bytes]) -> bytes:
    code, data = parts
    sizes = {1: 0xD4, 2: 0xD5, 4: 0xD6, 8: 0xD7, 16: 0xD8}
    if len(data) in sizes:
        return bytes([sizes[len(data)], code]) + data
    return bytes([0xC7, len(data), code]) + data


#: Everything that JSON can say, and what Python's `json` writes besides.
texts = st.text('a😀\x00"\\\ud83d\udc00é', max_size=4).map(json.dumps)
numbers = st.sampled_from(
    ["0", "-0", "1e20", "1e400", "-1e400", "0.1e-400", "1.5", "NaN", "-Infinity", "Infinity"]
    + [str(each) for each in (10**20, 2**64 - 1, 2**64, -(2**63), -(2**63) - 1, 10**300)]
    + ["9" * 5000]
)
ofJSON = st.recursive(
    texts | numbers | st.sampled_from(["null", "true", "[" * 70 + "]" * 70, "[" * 1100 + "]" * 1100]),
    lambda inner: (
        st.lists(inner, max_size=4).map(lambda each: f"[{', '.join(each)}]")
        | st.lists(st.tuples(texts | st.sampled_from(['"x"', '"any"', '"y"']), inner), max_size=4).map(
            lambda each: "{" + ",".join(f"{key}:{value}" for key, value in each) + "}"
        )
    ),
    max_leaves=8,
)
#: Everything that MessagePack can say.
ofMessagePack = st.recursive(
    st.sampled_from(
        [b"\xc0", b"\xc2", b"\xa3\xed\xa0\xbd", b"\xa1\xff", b"\x91" * 70 + b"\x00", b"\x91" * 1100 + b"\x00"]
    )
    | st.binary(min_size=8, max_size=8).map(lambda data: b"\xcb" + data)
    | st.sampled_from(["nan", "inf", "-inf", "1.5"]).map(lambda text: packed(float(text)))
    | st.sampled_from([b"\xca\x7f\x80\x00\x00", b"\xca\xff\xc0\x00\x01"])
    | st.integers(-(2**63), 2**64 - 1).map(packed)
    | st.text(max_size=3).map(packed)
    | st.binary(max_size=3).map(packed)
    | st.tuples(
        st.sampled_from([255, 0, 5]),
        st.sampled_from([1, 4, 8, 12]).flatmap(lambda n: st.binary(min_size=n, max_size=n)),
    ).map(extension)
    | st.sampled_from(
        [
            extension((255, b"\x00" * 4 + (10**12).to_bytes(8, "big"))),
            packed(datetime(2026, 1, 1, tzinfo=UTC)),
        ]
    ),
    lambda inner: (
        st.lists(inner, max_size=4).map(array)
        | st.lists(
            st.tuples(st.sampled_from([b"\xa1x", b"\xa3any", b"\xa1y"]) | inner, inner), max_size=4
        ).map(mapping)
    ),
    max_leaves=8,
)
many = settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))


@onBothEngines
class EverythingTests(RoomTestCase):
    """Whatever the two formats can say, through the real session."""

    def write(self, player: Player, *parts: bytes) -> None:
        """Send a frame whose elements are encoded already."""
        if player.isJSON:
            player.client.send((b"[" + b",".join(parts) + b"]").decode())
        else:
            player.client.send(bytes([0x90 + len(parts)]) + b"".join(parts))
        self.settle()

    def encoded(self, player: Player, value: Any) -> bytes:
        return json.dumps(value).encode() if player.isJSON else packed(value)

    def everything(self, protocol: str | None, data: list[tuple[str, bytes]]) -> None:
        """All of it as messages, calls, answers, options and filters of one client."""
        self.rooms(DataRoom)
        ada, bob, cyd = self.joined(protocol=protocol), self.joined(), self.joined(protocol=MSGPACK)
        member = self.room(ada)._host.members[ada.joined["member"]]
        for n, (type, value) in enumerate(data, 1):
            isCall = n % 2
            head = ["call", n, ada.room, type] if isCall else ["send", ada.room, type]
            self.write(ada, *(self.encoded(ada, part) for part in head), value, self.encoded(ada, n))
            self.answered(ada, n if isCall else None)
            self.advance(6)
            self.assertEqual((member.accepted, member.handled), (n, n))
            told = [self.plain(frame[4]) for frame in bob.take("msg")]
            self.assertEqual(told, [self.plain(frame[4]) for frame in cyd.take("msg")])
            self.asAnswer(ada, value)
            for kind, ref in (("join", 1001), ("rooms", 1002)):
                parts = (self.encoded(ada, part) for part in (kind, ref, "nix"))
                self.write(ada, *parts, value)
                (error,) = ada.take("error")
                self.assertIn(error[3], ("badRequest", "noSuchRoom"))
                self.assertEqual(error[1], ref)
                self.advance(6)
        self.assertTrue(ada.client.isOpen)
        self.assertEqual(self.flushLoggedErrors(), [])

    def answered(self, player: Player, ref: int | None) -> None:
        """There is one answer to a call, and an error at most for a message."""
        frames = [frame for frame in player.take() if frame[0] in ("reply", "error")]
        self.assertTrue(all(frame[0] == "reply" or frame[3] in CODES for frame in frames), frames)
        self.assertLessEqual(len(frames), 1)
        if ref is not None:
            (frame,) = frames
            self.assertEqual(frame[1], ref)

    def asAnswer(self, player: Player, value: bytes) -> None:
        """The room gets the data as an answer, or an error, at once."""
        called = self.room(player).client(player.joined["member"]).call("question")
        self.settle()
        ((_, ref, *_),) = player.take("call")
        self.write(player, *(self.encoded(player, part) for part in ("reply", player.room, ref)), value)
        results: list[Any] = []
        called.addBoth(results.append)
        (result,) = results
        if not isinstance(getattr(result, "value", None), CallError):
            self.assertEqual(payload.decode(payload.encode(result)), result)
        self.advance(6)

    def plain(self, value: Any) -> Any:
        """Data as JSON would have it."""
        return json.loads(msgspec.json.encode(value))

    @many
    @given(st.lists(st.tuples(st.sampled_from(TYPES), ofJSON.map(str.encode)), max_size=4))
    def test_json(self, data: list[tuple[str, bytes]]) -> None:
        """Everything that JSON can say."""
        self.everything(None, data)

    @many
    @given(st.lists(st.tuples(st.sampled_from(TYPES), ofMessagePack), max_size=4))
    def test_messagePack(self, data: list[tuple[str, bytes]]) -> None:
        """Everything that MessagePack can say."""
        self.everything(MSGPACK, data)


@onBothEngines
class OrderTests(RoomTestCase):
    """A frame that is well-formed counts, whatever is wrong with its data."""

    bad = (
        rb'"hello \ud83d"',
        rb'{"\udc00": 1}',
        b"NaN",
        b"[-Infinity]",
        b"[" * 1100 + b"]" * 1100,
        b"100000000000000000000",
        b"1e400",
        b"[" * 65 + b"]" * 65,
        b"[" + b"{}," * 10_000 + b"0]",
    )
    badPacked = (
        b"\x91" * 1100 + b"\xc0",
        extension((255, b"\x00" * 4 + (10**12).to_bytes(8, "big"))),
        packed(float("nan")),
        packed([b"x"]),
        packed({1: "a", "1": "b"}),
        b"\x81\x80\xc0",  # a map as a key
        b"\xa1\xff",
        b"\x91" * 65 + b"\xc0",
        array([b"\x80"] * 10_001),
    )

    def frame(self, player: Player, head: list[Any], data: bytes, *tail: Any) -> None:
        if player.isJSON:
            parts = [json.dumps(part).encode() for part in head], [json.dumps(part).encode() for part in tail]
            player.client.send((b"[" + b",".join([*parts[0], data, *parts[1]]) + b"]").decode())
        else:
            size = bytes([0x90 + len(head) + 1 + len(tail)])
            player.client.send(size + b"".join(map(packed, head)) + data + b"".join(map(packed, tail)))
        self.settle()

    def each(self, check: Callable[[Player, bytes], None]) -> None:
        for protocol, bad in ((None, self.bad), (MSGPACK, self.badPacked)):
            self.rooms(DataRoom)
            ada = self.joined(protocol=protocol)
            for data in bad:
                check(ada, data)
                self.advance(6)
            self.assertTrue(ada.client.isOpen)
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_numbered(self) -> None:
        """An error, and the next number is the next."""

        def check(player: Player, data: bytes) -> None:
            n = self.member(player).accepted
            self.frame(player, ["send", player.room, "say"], data, n + 1)
            self.frame(player, ["call", 7, player.room, "say"], data, n + 2)
            self.frame(player, ["call", 8, player.room, "say"], self.good(player), n + 3)
            first, second, *rest = (frame for frame in player.take() if frame[0] != "ack")
            self.assertEqual(first[:4], ["error", None, player.room, "invalidData"], data[:50])
            self.assertEqual(second[:4], ["error", 7, player.room, "invalidData"], data[:50])
            self.assertEqual([frame[0] for frame in rest], ["msg", "reply"])
            self.advance(6)

        self.each(check)

    def member(self, player: Player) -> Any:
        return self.room(player)._host.members[player.joined["member"]]

    def good(self, player: Player) -> bytes:
        return b'"\\ud83d\\ude00"' if player.isJSON else packed("😀")

    def test_unnumbered(self) -> None:
        """As without a number."""

        def check(player: Player, data: bytes) -> None:
            self.frame(player, ["send", player.room, "say"], data)
            ((_, ref, room, code, *_),) = player.take()
            self.assertEqual((ref, room, code), (None, player.room, "invalidData"))

        self.each(check)

    def test_answers(self) -> None:
        """A room that has asked learns at once that the answer can't be read."""

        def check(player: Player, data: bytes) -> None:
            called = self.room().clients[0].call("question")
            self.settle()
            ref = player.take("call")[0][1]
            self.frame(player, ["reply", player.room, ref], data)
            self.assertEqual(self.failureResultOf(called, CallError).value.code, "invalidData")

        self.each(check)

    def test_options(self) -> None:
        """A request with such options or filters is answered, by its ref."""

        def check(player: Player, data: bytes) -> None:
            options = b'{"a":' + data + b"}" if player.isJSON else b"\x81\xa1a" + data
            for kind in ("join", "create", "joinOnly", "joinById", "rooms"):
                self.frame(player, [kind, 9, "chat"], options)
                ((*error, _, details),) = player.take("error")
                self.assertEqual(error, ["error", 9, None, "badRequest"], (kind, data[:50]))
                self.assertIn(details["field"].partition(".")[0], ("options", "filter"))
                self.advance(6)

        self.each(check)

    def test_strikes(self) -> None:
        """The third in ten seconds is one too many."""
        for wrong in (rb'"\ud83d"', b"100000000000000000000"):
            self.rooms(DataRoom)
            ada = self.joined()
            for n in (1, 2, 3):
                self.frame(ada, ["send", ada.room, "say"], wrong, n)
            self.assertEqual(ada.take("left")[0][2], 4010)

    def test_otherFaults(self) -> None:
        """A message of a wrong type, or with too much in it, counts as well."""
        self.rooms(DataRoom)
        ada = self.joined()
        for n, type in enumerate(("", 17, "x" * 200), 1):
            ada.write("send", ada.room, type, 0, n)
            self.assertEqual(ada.take("error")[0][:4], ["error", None, ada.room, "invalidData"])
            self.advance(11)
        ada.client.send(f'["send","{ada.room}","\\ud83d",0,4]')
        ada.write("send", ada.room, "say", 0, 5, "more")
        self.settle()
        self.assertEqual([frame[3] for frame in ada.take("error")], ["invalidData"] * 2)
        self.advance(11)
        ada.send("say", "hi", 6)
        self.assertEqual(ada.said(), ["hi"])

    def test_waits(self) -> None:
        """What can't be read is refused when its turn has come, not before."""
        gate: Deferred[Any] = self.waitingRooms("slow")
        ada = self.joined()
        ada.send("slow", None, 1)
        ada.client.send(f'["send","{ada.room}","say","\\ud83d",2]')
        self.settle()
        self.assertEqual(ada.take("error"), [])
        gate.callback(None)
        self.settle()
        self.assertEqual(ada.take("error")[0][3], "invalidData")
        self.advance(1)
        self.assertEqual(self.member(ada).acked, 2)

    def test_notWellFormed(self) -> None:
        """What is neither JSON nor MessagePack has no number: that is the end at once."""
        for protocol, wrong in (
            (None, '["send",null,"say",{"a":},1]'),
            (None, "nonsense"),
            (None, '["send",null,"say",1,1'),
            (None, '["send",null,"\\ud83d",01,1]'),
            (None, b"\x91\x01"),
            (MSGPACK, b"\x95\xa4send\xc0\xa3say\xc1\x01"),
            (MSGPACK, b"\x95\xa4send\xc0\xa3say"),
            (MSGPACK, "[]"),
            (MSGPACK, b"\x95\xa4send\xc0\xa3say" + b"\x91" * 1100 + b"\xc1\x01"),
        ):
            self.rooms(DataRoom)
            ada = self.joined(protocol=protocol)
            ada.client.send(wrong)
            self.settle()
            self.assertEqual([frame[3] for frame in ada.take("error")], ["badRequest"], wrong)
            self.assertEqual(ada.client.closeCode, 4010, wrong)

    def test_elsewhere(self) -> None:
        """To a room that the client isn't in it is a bad frame, and a strike."""
        self.rooms(DataRoom)
        ada = self.player()
        for _ in range(3):
            ada.client.send('["send","nowhere","say","\\ud83d",1]')
        self.settle()
        self.assertEqual([frame[3] for frame in ada.take("error")], ["badRequest"] * 3)
        self.assertEqual(ada.client.closeCode, 4010)


class CostTests(RoomTestCase):
    """What a client's data may cost before it is refused."""

    def spent(self, player: Player, frame: str | bytes) -> int:
        """The most memory that was taken while a frame was looked at."""
        tracemalloc.start()
        try:
            before = tracemalloc.get_traced_memory()[0]
            self.app.sessions[next(iter(self.app.sessions))].received(frame)
            return tracemalloc.get_traced_memory()[1] - before
        finally:
            tracemalloc.stop()

    def test_wide(self) -> None:
        """A frame of a mebibyte of empty maps is refused by its bytes: nothing is built of it."""
        size = 1 << 20
        for protocol, data in (
            (None, '["send",null,"say",[' + "{}," * (size // 3) + "0],1]"),
            (MSGPACK, b"\x95\xa4send\xc0\xa3say\xdd" + size.to_bytes(4, "big") + b"\x80" * size + b"\x01"),
        ):
            self.rooms(DataRoom)
            ada = self.player("/rooms/chat", protocol)
            ada.take()
            self.assertLess(self.spent(ada, data), 8 * size)
            self.settle()
            (error,) = ada.take("error")
            self.assertEqual((error[3], "10000" in error[4]), ("invalidData", True))

    def test_asWideAsMayBe(self) -> None:
        """So many arrays and objects may be in a message, and any number of brackets in a string."""
        self.rooms(DataRoom)
        ada, bob = self.joined(), self.joined(protocol=MSGPACK)
        for player in (ada, bob):
            wide: tuple[Any, ...] = ([[]] * 9_999, "[{" * 20_000, "дж漢字" * 20_000, ["漢" * 3] * 9_000)
            for data in wide:
                self.assertEqual(player.call("say", data)[0], "reply")

    def test_colliding(self) -> None:
        """Numbers that collide are refused as keys before they are hashed."""
        keys = b"".join(
            b"\xcf" + (1 + key * (2**61 - 1) & 2**64 - 1).to_bytes(8, "big") + b"\xc0" for key in range(1000)
        )
        flood = b"\xdf" + (1000).to_bytes(4, "big") + keys
        for frame in (
            b"\x94\xa4join\x01\xa4chat" + flood,
            b"\x94\xa4join\x01\xa4chat\x81\xa1a" + flood,
            b"\x94\xa5rooms\x01\xa4chat" + flood,
            b"\x94\xa4send\xc0\xa3say" + flood,
            b"\x94\xa4send\xc0\xa5loose\x81\xa3any" + flood,
            b"\x94\xa4send\xc0\xa5point\x81\xa1x" + flood,
            b"\x94\xa4send\xc0\x01" + flood,
            b"\x94\xa5shout" + flood * 2 + b"\x01",
            b"\x94\xa5reply\xc0\x01" + flood,
        ):
            self.rooms(DataRoom)
            ada = self.player("/rooms/chat", MSGPACK)
            ada.take()
            with (
                mock.patch.object(received, "decodeMessagePack", side_effect=AssertionError),
                mock.patch.object(payload, "decodeMessagePack", side_effect=AssertionError),
            ):
                ada.client.send(frame)
                self.settle()
            self.assertEqual(
                [each[0] for each in ada.take()][:1], [] if b"reply" in frame else ["error"], frame[:20]
            )
        self.assertEqual(self.flushLoggedErrors(), [])

    def test_once(self) -> None:
        """Data is decoded once, and not at all if nobody asks for it."""
        self.rooms(DataRoom)
        ada = self.player("/rooms/chat", MSGPACK)
        for type, expected in (("say", 1), ("point", 0), ("nothing", 0)):
            sent = packed(["send", None, type, {"x": 1}])
            with (
                mock.patch.object(plaindata, "decodeMost", wraps=plaindata.decodeMost) as decode,
                mock.patch.object(payload, "encodeMessagePack", return_value=b"\x01"),
            ):
                ada.client.send(sent)
                self.settle()
            self.assertEqual(decode.call_count, expected, type)

    def test_options(self) -> None:
        """Options have few values and few bytes; what is larger isn't decoded at all."""
        self.rooms(DataRoom)
        ada = self.player()
        for options, isTaken in (
            ({"a": [0] * 900}, True),
            ({"a": "x" * 16_000}, True),
            ({"a": [0] * 1000}, False),
            ({"a": [{}] * 5000}, False),
            ({"a": "x" * (16 << 10)}, False),
        ):
            for player in (ada, self.player(protocol=MSGPACK)):
                answer = player.ask("join", "chat", options)
                self.assertEqual(answer[0] == "joined", isTaken, str(options)[:30])
            self.advance(11)

    def test_slow(self) -> None:
        """What the decoder doesn't get through is split in few steps, or is the end."""
        self.rooms(DataRoom)
        ada = self.player("/rooms/chat")
        ada.client.send('["send",null,"say",["\\ud83d",' + "[[]," * 20_000 + "0" + "]" * 20_001 + ",1]")
        self.settle()
        self.assertEqual(ada.client.closeCode, 4010)


class Text(str):
    """A text of a class of its own."""


class PlainTests(SynchronousTestCase):
    """What a server says is held to the same."""

    def test_own(self) -> None:
        """Values that do not exist in JSON are refused where they are sent."""
        deep: Any = 0
        for _ in range(65):
            deep = [deep]
        for data, error in (
            ({1: 2}, TypeError),
            ([{"a": {1: 2, "1": 3}}], TypeError),
            (b"x", TypeError),
            ({"a": [msgspec.msgpack.Ext(5, b"x")]}, TypeError),
            (float("nan"), ValueError),
            ([1.5, {"a": float("-inf")}], ValueError),
            ({"a": 1.5, "b": float("nan")}, ValueError),
            ({"a": float("inf")}, ValueError),
            ({"a": float("-inf")}, ValueError),
            (deep, ValueError),
            (2**64, OverflowError),
            ({"a": "\ud83d"}, UnicodeEncodeError),
        ):
            self.assertRaises(error, payload.encode, data)
        for data in (
            deep[0],
            datetime.now(UTC),
            {"a": {"b": [2**64 - 1, -(2**63), 1e308, None]}},
            {"é": "漢" * 99},
            {"x": 1.5, "y": -0.0, "z": 1e308, "t": 5e-324},
        ):
            self.assertEqual(payload.decode(payload.encode(data)), data)
        self.assertRaises(TypeError, payload.encode, {1: 2}, True)
        for data in (b"x", float("inf"), {"a": [b"x", 1.5]}):
            self.assertEqual(payload.decode(payload.encode(data, True)), data)

    def test_details(self) -> None:
        """So are the details of an error."""
        self.assertRaises(ValueError, RoomError, "mine", "", {"a": float("nan")})
        self.assertRaises(TypeError, RoomError, "mine", "", {1: 2})
        self.assertRaises(OverflowError, RoomError, "mine", "", 10**20)
        self.assertRaises(UnicodeEncodeError, RoomError, "mine", "\ud83d")
        error = self.assertRaises(TypeError, RoomError, "mine", "", {"owner": object})
        self.assertIn("details.owner is ", str(error))
        self.assertEqual(type(RoomError("mine", Text("no")).message), str)
