"""The frames of Colyseus."""

from __future__ import annotations

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from txroom.compat.colyseus.codes import Kind, closeCode, errorCode
from txroom.compat.colyseus.dialect import DIALECT
from txroom.core.codes import CloseCode
from txroom.protocol.errors import BadFrame
from txroom.rooms.contract.commands import Call, Send
from txroom.rooms.contract.items import (
    Ack,
    Bye,
    Error,
    Joined,
    Left,
    Message,
    PresenceChange,
    Reply,
    RoomCall,
    StateFull,
    StatePatch,
)

encode = msgspec.msgpack.encode


class DecodeTests(SynchronousTestCase):
    """What clients send."""

    def test_frames(self) -> None:
        """Messages, bytes, requests, and frames of one byte."""
        for frame, command in (
            (b"\x0d\xa3say\xa2hi", Send("say", b"\xa2hi")),
            (b"\x0d\x07", Send("7", b"\xc0")),
            (b"\x0d\xa3say\xd4\x72\x40\x91\xa1x\x01", Send("say", b"\x81\xa1x\x01")),
            (b"\x11\xa3raw\x00\xff", Send("raw", b"\xc4\x02\x00\xff")),
            (b"\x15\xcd\x2c\x01\xa3add\x05", Call(300, "add", b"\x05")),
            (b"\x15\x00\x07", Call(0, "7", b"\xc0")),
            (b"\x0a", Kind.JOIN_ROOM),
            (b"\x0c", Kind.LEAVE_ROOM),
            (b"\x12", Kind.PING),
        ):
            self.assertEqual(DIALECT.decode(frame), command, frame)

    def test_wrong(self) -> None:
        """Text, unknown frames, and frames that are incomplete."""
        for frame in ("text", b"", b"\x00", b"\x0e", b"\x13\x01", b"\x0d", b"\x0d\xa3sa", b"\x15\xff\xa1a"):
            self.assertRaises(BadFrame, DIALECT.decode, frame)

    def test_ref(self) -> None:
        """The error for a request has its number."""
        for frame in (b"\x15\x05", b"\x15\x05\xa3add\xd4\x72"):
            self.assertEqual(self.assertRaises(BadFrame, DIALECT.decode, frame).ref, 5)

    @given(st.binary(max_size=30))
    def test_anything(self, frame: bytes) -> None:
        """Whatever comes is a command, or `BadFrame`."""
        for each in (frame, b"\x0d" + frame, b"\x15\x01" + frame):
            try:
                DIALECT.decode(each)
            except BadFrame:
                pass


class FrameTests(SynchronousTestCase):
    """What clients get."""

    def frame(self, item: Any) -> bytes | None:
        """The frame for an item."""
        message = DIALECT.frame(item)
        return None if message is None else bytes(message.payload)

    def test_frames(self) -> None:
        """Messages, bytes, answers, errors and state."""
        fault = {"name": "invalidData", "message": "no number", "code": 4217}
        inField = {"name": "invalidData", "message": "x: no", "code": 4217}
        told = b"\x0b\xcd\x79\x10"
        for item, frame in (
            (Message("r", 1, "said", encode("hi")), b"\x0d\xa4said\xa2hi"),
            (Message("r", None, "7", b"\xc0"), b"\x0d\x07"),
            (Message("r", 1, "at", encode(2**40)), b"\x0d\xa2at" + encode(float(2**40))),
            (Message("r", 1, "raw", encode(b"\x00\xff")), b"\x11\xa3raw\x00\xff"),
            (Reply(300, encode(5)), b"\x16\xcd\x2c\x01\x00\x05"),
            (Reply(-1, b"\xc0"), None),
            (Error(-1, "r", "rateLimited"), None),
            (Error(5, "r", "invalidData", "no number"), b"\x16\x05\x02" + encode(fault)),
            (Error(5, "r", "notNow", "later"), b"\x16\x05\x01\xa5later"),
            (Error(5, "r", "notNow"), b"\x16\x05\x01\xa6notNow"),
            (Error(5, "r", "notNow", "later", {"in": 5}), b"\x16\x05\x01" + encode({"in": 5})),
            (Error(None, "r", "unknownType", "no", {"field": "type"}), b"\x0b\xcd\x79\x10\xa2no"),
            (Error(None, "r", "invalidData", "no", {"field": "x", "type": "go"}), told + b"\xa9go: x: no"),
            (Error(None, "r", "invalidData", "no", {"field": "", "type": "go"}), told + b"\xa6go: no"),
            (Error(None, "r", "invalidData", "no", "x"), told + b"\xa2no"),
            (Error(None, "r", "invalidData", "no", {"field": 1}), told + b"\xa2no"),
            (Error(5, "r", "invalidData", "no", {"field": "x"}), b"\x16\x05\x02" + encode(inField)),
            (StateFull("r", 3, b"full"), b"\x0efull"),
            (StatePatch("r", 3, 4, b"patch"), b"\x0fpatch"),
        ):
            self.assertEqual(self.frame(item), frame, item)

    def test_nothing(self) -> None:
        """Colyseus has nothing for acknowledgements, presence, calls and ends."""
        call = RoomCall(1, "r", "ask", b"\xc0")
        for item in (Ack("r", 1), PresenceChange("r", (), (), 0), call, Left("r", 4003, ""), Bye(4100, 1.0)):
            self.assertIsNone(DIALECT.frame(item))

    def test_once(self) -> None:
        """A message for many is framed once."""
        message = Message("r", 1, "said", encode("hi"))
        self.assertIs(message.prepared(DIALECT), message.prepared(DIALECT))

    def test_joined(self) -> None:
        """The token, the kind of state and its description, which is left out if the client has it."""
        joined = Joined(None, "r", "chat", "m", "m.token", "e", 0, False, 0)
        head = b"\x0a\x07m.token"
        self.assertEqual(bytes(DIALECT.joined(joined, False).payload), head + b"\x04none\x00")
        self.assertEqual(bytes(DIALECT.joined(joined, True).payload), head + b"\x04none")
        joined = msgspec.structs.replace(joined, stateVersion=3, schema=b"\xff\x00" * 100)
        described = head + b"\x06schema\xcc\xc8" + b"\xff\x00" * 100
        self.assertEqual(bytes(DIALECT.joined(joined, False).payload), described)
        self.assertEqual(bytes(DIALECT.joined(joined, True).payload), head + b"\x06schema")


class CodeTests(SynchronousTestCase):
    """Errors and close codes."""

    def test_closeCodes(self) -> None:
        """Clients reconnect where they may resume; the others are told why they left."""
        reconnecting = {code for code in CloseCode if closeCode(code) == 4010}
        self.assertEqual(reconnecting, {code for code in CloseCode if 4100 <= code <= 4199})
        found = [closeCode(code) for code in (1000, 4003, 4008, 4010, 4029, 4001, 1013, 1009, 1001)]
        self.assertEqual(found, [4000, 4000, 4000, 4002, 4002, 4002, 4002, 1009, 1001])

    def test_errors(self) -> None:
        """Errors of a room are those of the application."""
        codes = ("noSuchRoom", "full", "forbidden", "invalidData", "internal", "expired", "notNow")
        self.assertEqual([errorCode(code) for code in codes], [522, 522, 525, 4217, 523, 524, 526])
