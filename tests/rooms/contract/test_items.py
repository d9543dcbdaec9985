"""What crosses between edges and owners, and what does not."""

from __future__ import annotations

import gc
import sys
import weakref

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from txroom import Prepared
from txroom.rooms.contract.items import Ack, Item, Message, PresenceChange, Reply
from txroom.rooms.contract.records import Entry


class Plain:
    """A dialect that counts, and has nothing to say of an `Ack`."""

    def __init__(self) -> None:
        self.asked = 0

    def frame(self, item: Item) -> Prepared | None:
        self.asked += 1
        return None if type(item) in (Ack, PresenceChange) else Prepared(repr(item))


class FrameTests(SynchronousTestCase):
    """`Item.prepared`."""

    def test_once(self) -> None:
        """One frame for each dialect, in whichever order they are asked for."""
        dialects = [Plain() for _ in range(3)]
        item = Message("room", 1, "said", b"\xa1x")
        first = [item.prepared(each) for each in dialects]
        again = [item.prepared(each) for each in reversed(dialects)]
        self.assertEqual(again, first[::-1])
        self.assertEqual(len({id(each) for each in first}), 3)
        self.assertEqual([each.asked for each in dialects], [1, 1, 1])

    def test_nothing(self) -> None:
        """That there is none is known as well."""
        dialect, item = Plain(), PresenceChange("room", (), (), 0)
        self.assertEqual([item.prepared(dialect), item.prepared(dialect), dialect.asked], [None, None, 1])

    def test_toOne(self) -> None:
        """An item for one client is framed each time that it is sent, and keeps no frames."""
        dialect, item = Plain(), Reply(1, b"\xc0")
        self.assertIsNot(item.prepared(dialect), item.prepared(dialect))
        self.assertIs(Ack("room", 1).prepared(dialect), None)
        self.assertFalse(hasattr(item, "frames"))

    def test_noField(self) -> None:
        """Frames are neither compared nor encoded, nor taken over by a copy."""
        item, same = Message("room", 1, "said", b"\xa1x"), Message("room", 1, "said", b"\xa1x")
        encoded = msgspec.msgpack.encode(item)
        item.prepared(Plain())
        self.assertEqual((item, hash(item), repr(item)), (same, hash(same), repr(same)))
        self.assertEqual(msgspec.msgpack.encode(item), encoded)
        self.assertEqual(msgspec.msgpack.decode(encoded, type=Message).frames, None)
        self.assertEqual(msgspec.structs.replace(item, offset=2).frames, None)

    def test_frozen(self) -> None:
        """An item can't be changed, and has no room for anything else."""
        item = Reply(1, b"\xc0")
        for name in ("ref", "frames", "other"):
            self.assertRaises(AttributeError, setattr, item, name, 2)
        self.assertFalse(hasattr(item, "__dict__"))

    def test_freed(self) -> None:
        """Frames go with their item."""

        class Noted(Prepared):
            pass

        frames: list[weakref.ref[Noted]] = []

        class Dialect:
            def frame(self, item: Item) -> Prepared:
                frame = Noted("x")
                frames.append(weakref.ref(frame))
                return frame

        items = [Message("room", each, "said", b"\xc0") for each in range(10)]
        for item in items:
            item.prepared(Dialect())
        self.assertEqual([each() for each in frames].count(None), 0)
        del item, items
        gc.collect()
        self.assertEqual([each() for each in frames], [None] * 10)


class EntryTests(SynchronousTestCase):
    """The message of a logged entry."""

    def test_message(self) -> None:
        """It is one and the same, so that it is framed once, and it is no field."""
        entry, same = Entry(7, "said", b"\xa1x", ("ada",)), Entry(7, "said", b"\xa1x", ("ada",))
        encoded = msgspec.msgpack.encode(entry)
        message = entry.messageOf("room")
        self.assertEqual(message, Message("room", 7, "said", b"\xa1x"))
        self.assertIs(entry.messageOf("room"), message)
        self.assertEqual((entry, hash(entry)), (same, hash(same)))
        self.assertEqual(msgspec.msgpack.encode(entry), encoded)
        self.assertEqual(msgspec.msgpack.decode(encoded, type=Entry).message, None)

    def test_size(self) -> None:
        """An entry and its message are as large as their fields, and a slot each."""
        entry = Entry(7, "said", b"\xa1x")
        fields = len(Entry.__struct_fields__) + len(Message.__struct_fields__) + 2
        most = object.__sizeof__(object()) * 2 + 8 * fields + 2 * 16  # the collector's part
        self.assertLessEqual(sys.getsizeof(entry) + sys.getsizeof(entry.messageOf("room")), most)
