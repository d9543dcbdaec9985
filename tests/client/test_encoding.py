"""
Data that cannot be sent is refused before its frame has a number, and the error names the place in the
data.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as some
from twisted.internet.defer import Deferred, succeed
from twisted.trial.unittest import SynchronousTestCase

from tests.client.case import ClientTestCase
from txroom import RoomError
from txroom.client import JSON_PROTOCOL, MSGPACK_PROTOCOL
from txroom.client.encoding import Encoding

HALF = "hello \ud83d"
_SAID = "half of a surrogate pair (U+D83D at index 6), which is no character"


def nested(depth: int) -> Any:
    """A list in a list in a list, and so on."""
    data: Any = []
    for _ in range(depth - 1):
        data = [data]
    return data


class Point(msgspec.Struct):
    x: Any


@dataclass
class Pair:
    left: Any
    right: Any


_EXTENSION = msgspec.msgpack.Ext(5, b"x")
_NO_TEXT = "a key: the key None is not a string"
_ITSELF: list[Any] = []
_ITSELF.append(_ITSELF)

#: Data that cannot be sent in JSON: the place and the text of the error; then whether MessagePack cannot send
#: it either, or the text of its error.
WRONG: list[tuple[Any, str, str, bool | str]] = [
    (HALF, "data", _SAID, True),
    ({"list": [1, {"text": HALF}]}, "data.list[1].text", _SAID, True),
    ({"odd key": HALF}, "data['odd key']", _SAID, True),
    ({HALF: 1}, "data", f"a key: {_SAID}", True),
    (Point(Pair(1, [HALF])), "data.x.right[0]", _SAID, True),
    (float("nan"), "data", "nan does not exist in JSON", False),
    ([1.5, float("-inf")], "data[1]", "-inf does not exist in JSON", False),
    (2**64, "data", "18446744073709551616 is an integer of more than 64 bits", True),
    ({"n": -(2**63) - 1}, "data.n", "-9223372036854775809 is an integer of more than 64 bits", True),
    (b"raw", "data", "bytes do not exist in JSON", False),
    ({"file": [bytearray(b"raw")]}, "data.file[0]", "bytes do not exist in JSON", False),
    (nested(65), "data" + "[0]" * 64, "nested deeper than 64", True),
    ({"a": nested(64)}, "data.a" + "[0]" * 63, "nested deeper than 64", True),
    (nested(5000), "data" + "[0]" * 64, "nested deeper than 64", True),
    (_ITSELF, "data" + "[0]" * 64, "nested deeper than 64", True),
    ({1: "a", "1": "b"}, "data", "two keys are '1' in JSON", "a key: the key 1 is not a string"),
    ({None: 1}, "data", "a key: the key None is neither a string nor a number", _NO_TEXT),
    ({"score": Deferred()}, "data.score", "a Deferred: await it, so that its result can be sent", True),
    ({"board": [object()]}, "data.board[0]", "Encoding objects of type object is unsupported", True),
    (_EXTENSION, "data", "Encoding objects of type msgspec.msgpack.Ext is unsupported", False),
]  # fmt: skip


class EncodingTests(SynchronousTestCase):
    """Which data can be encoded."""

    def test_wrong(self) -> None:
        """The error and its `details` name the place; MessagePack encodes what it has a type for."""
        for data, place, why, isWrongAnyway in WRONG:
            error = self.assertRaises(RoomError, Encoding(isJSON=True).encode, data)
            self.assertEqual((error.code, error.message), ("invalidData", f"{place}: {why}"))
            self.assertEqual(error.details, {"field": place.removeprefix("data").lstrip(".")})
            packed = Encoding(isJSON=False)
            if isWrongAnyway:
                error = self.assertRaises(RoomError, packed.encode, data, "answer")
                said = isWrongAnyway if isinstance(isWrongAnyway, str) else why
                self.assertEqual(error.message, f"{place.replace('data', 'answer', 1)}: {said}")
            else:
                packed.encode(data)

    def test_forgottenAwait(self) -> None:
        """A coroutine or a Deferred is refused, and the error says where `await` is missing."""
        error = self.assertRaises(RoomError, Encoding(isJSON=True).encode, {"user": Deferred()})
        self.assertTrue(error.message.startswith("data.user: "), error.message)

    def test_right(self) -> None:
        """Data that both sub-protocols can encode is decoded unchanged."""
        data: Any
        for data in (
            None, True, 0, 2**64 - 1, -(2**63), 1.5, "", "😀", [], {}, nested(64), {"a": nested(63)},
            {"list": [1, {"text": "x" * 5000}]}, "[" * 100, [{}] * 5000,
        ):  # fmt: skip
            for isJSON, read in ((True, msgspec.json.decode), (False, msgspec.msgpack.decode)):
                self.assertEqual(read(Encoding(isJSON).encode(data)), data)

    def test_likeData(self) -> None:
        """
        Structs, dataclasses, tuples, sets and dates are encoded as plain data; number keys become strings.
        """
        when = datetime(2026, 11, 29, tzinfo=UTC)
        for data, expected in (
            (Point(Pair(1, (2,))), {"x": {"left": 1, "right": [2]}}),
            ({1: "a", 2.5: "b"}, {"1": "a", "2.5": "b"}),
            ([when, {3}], ["2026-11-29T00:00:00Z", [3]]),
        ):
            self.assertEqual(msgspec.json.decode(Encoding(isJSON=True).encode(data)), expected)

    @settings(deadline=None, suppress_health_check=list(HealthCheck))
    @given(
        some.recursive(
            some.one_of(
                some.none(), some.booleans(), some.integers(-(2**70), 2**70), some.floats(),
                some.text(some.characters(codec=None, categories=None)), some.binary(max_size=3),
            ),
            lambda inner: some.one_of(
                some.lists(inner, max_size=4),
                some.dictionaries(some.one_of(some.text(max_size=2), some.integers(0, 3)), inner, max_size=4),
            ),
            max_leaves=12,
        )
    )  # fmt: skip
    def test_anything(self, data: Any) -> None:
        """Any data is either decoded as it was encoded, or refused with a `RoomError`."""
        try:
            encoded = Encoding(isJSON=True).encode(data)
        except RoomError as error:
            self.assertEqual(error.code, "invalidData")
        else:
            self.assertEqual(msgspec.json.decode(encoded), textKeys(data))


def textKeys(data: Any) -> Any:
    """The data with keys as JSON has them."""
    if isinstance(data, dict):
        return {str(key): textKeys(value) for key, value in data.items()}
    return [textKeys(value) for value in data] if isinstance(data, list) else data


class RefusalTests(ClientTestCase):
    """Everything that a client sends is checked, and a refused message uses no number."""

    def test_messages(self) -> None:
        """A message that cannot be sent leaves no gap in the numbers, with any method."""
        for protocol in (JSON_PROTOCOL, MSGPACK_PROTOCOL):
            self.begin(protocol=protocol)
            room = self.joinIn(protocol)
            error = self.assertRaises(RoomError, room.send, "say", {"text": HALF})
            self.assertEqual(str(error), f"invalidData: data.text: {_SAID}")
            self.assertRaises(RoomError, room.send, "say", HALF, volatile=True)
            self.assertRaises(RoomError, room.send, HALF)
            self.assertEqual(self.codeOf(room.call("say", [HALF])), "invalidData")
            self.assertEqual(self.wire.take(), [])
            room.send("say", "whole")
            self.assertEqual(self.wire.take(), [["send", "r1", "say", "whole", 1]])

    def joinIn(self, protocol: str) -> Any:
        joining = self.client.join("chat")
        self.wire.open(protocol)
        frame = ["joined", 1, "r1", {"member": "m", "token": "t", "epoch": "e", "offset": 0, "handled": 0}]
        encode = msgspec.json.encode if protocol == JSON_PROTOCOL else msgspec.msgpack.encode
        self.wire.attempt.received(encode(frame), protocol != JSON_PROTOCOL)
        self.clock.advance(0)
        self.wire.take()
        return self.successResultOf(joining)

    def test_options(self) -> None:
        """
        Wrong options and filters are refused before the client connects, the same in MessagePack as in
        JSON.
        """
        for protocol in (JSON_PROTOCOL, MSGPACK_PROTOCOL):
            for options, message in (
                ({"name": HALF}, f"options.name: {_SAID}"),
                ({"level": float("inf")}, "options.level: inf does not exist in JSON"),
                ({"key": b"raw"}, "options.key: bytes do not exist in JSON"),
                ({"id": 2**64}, "options.id: 18446744073709551616 is an integer of more than 64 bits"),
                ({"big": "x" * 20_000}, "options: 20010 bytes; at most 16384 are allowed"),
            ):
                self.begin(protocol=protocol)
                for method in (self.client.joinOrCreate, self.client.create, self.client.joinById):
                    error = self.failureResultOf(method("chat", options), RoomError).value
                    self.assertEqual((error.code, error.message), ("invalidData", message))
                error = self.failureResultOf(self.client.query("chat", options), RoomError).value
                self.assertEqual(error.message, message.replace("options", "filter", 1))
                self.assertEqual((self.wires, self.clock.getDelayedCalls()), ([], []))

    def test_names(self) -> None:
        """Names must be strings of 1 to 128 characters, and options must be mappings with string keys."""
        for name in ("", "x" * 129, HALF, 5, None, object):
            for method in (self.client.joinOrCreate, self.client.join, self.client.create):
                error = self.failureResultOf(method(name), RoomError).value  # type: ignore[arg-type]
                self.assertEqual(error.code, "badRequest")
                self.assertRegex(error.message, "^name=.*: must be a string of 1 to 128 characters$")
            error = self.failureResultOf(self.client.joinById(name), RoomError).value  # type: ignore[arg-type]
            self.assertRegex(error.message, "^id=.*: must be a string of 1 to 128 characters$")
        for options, message in (
            ("ada", "options='ada': must be a mapping of names to values"),
            ({1: 2}, "options: the name 1 must be a string"),
        ):
            error = self.failureResultOf(self.client.join("chat", options), RoomError).value  # type: ignore[arg-type]
            self.assertEqual((error.code, error.message), ("badRequest", message))

    def test_answers(self) -> None:
        """If an answer cannot be sent, the server receives an error at once, and the user is told why."""
        self.begin(maxPayload=1000)
        room = self.join()
        room.handle("half", lambda data: {"text": HALF})
        room.handle("later", lambda data: succeed([float("nan")]))
        room.handle("large", lambda data: "x" * 1000)
        for ref, (kind, message) in enumerate(
            (
                ("half", f"answer.text: {_SAID}"),
                ("later", "answer[0]: nan does not exist in JSON"),
                ("large", "answer: 1019 bytes; at most 1000 (maxPayload) are allowed"),
            )
        ):
            self.wire.receive("call", ref, "r1", kind, None)
            self.assertEqual(self.wire.take(), [["error", "r1", ref, "invalidData", message]])
            self.assertEqual(self.errors.pop().message, message)

    def test_largeVolatile(self) -> None:
        """
        Volatile messages have the same size limit: otherwise the server would close the connection with
        1009.
        """
        self.begin(maxPayload=1000)
        room = self.join()
        error = self.assertRaises(RoomError, room.send, "blob", "x" * 1000, volatile=True)
        self.assertEqual(error.message, "the message of type 'blob' is larger than 1000 bytes (maxPayload)")
        self.assertEqual(self.wire.take(), [])

    def test_errorTexts(self) -> None:
        """The text of a handler's error is cut between characters."""
        room = self.join()

        def refuse(data: Any) -> None:
            raise RoomError("x" * 100, "😀" * 1500)

        room.handle("refuse", refuse)
        self.wire.receive("call", 1, "r1", "refuse", None)
        self.assertEqual(self.wire.take(), [["error", "r1", 1, "x" * 64, "😀" * 1024]])
