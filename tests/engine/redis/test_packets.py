"""What nodes send one another, as bytes."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
from twisted.trial.unittest import SynchronousTestCase

from txroom.engine.redis import packets
from txroom.engine.redis.packets import (
    Ask,
    Attach,
    Attached,
    Deliver,
    Detach,
    Drop,
    Group,
    Packet,
    PacketMessage,
    Read,
    Reset,
    Submit,
    Told,
    UnreadablePacket,
    UnsupportedVersion,
    decode,
    encode,
    isNeighbour,
    readCommand,
)
from txroom.protocol.errors import RoomError
from txroom.rooms.contract import asks, commands, items
from txroom.rooms.contract.arrivals import Join, Refused, Request, Resume
from txroom.rooms.contract.asks import Command

VECTORS = Path(__file__).parents[2] / "vectors" / "cluster-v1.json"
#: What other nodes send that work together with this one: earlier states of version 1, and a version 2.
NEIGHBOURS = VECTORS.with_name("cluster-neighbours.json")

REQUEST = Request("/rooms/chat?x=1", (("Host", "a"),), "192.0.2.1", 4000, True, b"der")
JOIN = Join(
    link="l1",
    session="s1",
    room="r1",
    ref=7,
    user={"name": "anna"},
    isJSON=False,
    options={"mode": "duel", "level": 3},
    request=REQUEST,
    isCreator=True,
)
RESUME = Resume(link="l2", session="s2", room="r1", token="t", epoch="e", offset=9, attempt=12)
MESSAGE = items.Message("r1", 5, "said", b"\xa2hi")


def askOf(command: Command | packets.NodeCommand, room: str = "r1", until: float = 0.0) -> Ask:
    """A question with a command."""
    return Ask(1, room, msgspec.Raw(encode(command)), until)


#: A message of each kind, with each kind of frame, item and command. Recorded in the file of VECTORS.
MESSAGES: dict[str, PacketMessage] = {
    "attach.join": Attach(1, JOIN),
    "attach.resume": Attach(2, RESUME),
    "attached.link": Attached(1, "l1"),
    "attached.refused": Attached(2, None, Refused("full", "no seat", {"retryAfter": 3})),
    "attached.elsewhere": Attached(3),
    "submit.send": Submit("l1", commands.Send("say", b"\xc0", 4)),
    "submit.call": Submit("l1", commands.Call(8, "add", b"\x01", None)),
    "submit.unreadable": Submit("l1", commands.Unreadable(8, 5, True, "wrong", "data")),
    "submit.reply": Submit("l1", commands.CallReply(1 << 32, b"\x01")),
    "submit.failed": Submit("l1", commands.CallFailed(3, "timeout", "late")),
    "submit.leave": Submit("l1", commands.Leave(9)),
    "submit.state": Submit("l1", commands.WantState(7, True)),
    "submit.members": Submit("l1", commands.ListMembers(9, 100)),
    "drop": Drop("l1", False),
    "drop.left": Drop("l1", True),
    "deliver.message": Deliver(MESSAGE, ("l1", "l2")),
    "deliver.group": Deliver(MESSAGE, 3),
    "deliver.volatile": Deliver(items.Message("r1", None, "moved", b"\x02"), ("l1",), 2),
    "deliver.replay": Deliver(items.Replay((MESSAGE,)), ("l1",)),
    "deliver.call": Deliver(items.RoomCall(1 << 32, "r1", "ask", b"\x03"), ("l1",)),
    "deliver.reply": Deliver(items.Reply(8, b"\x02"), ("l1",)),
    "deliver.error": Deliver(items.Error(8, "r1", "invalidData", "no", {"field": "x"}), ("l1",)),
    "deliver.joined": Deliver(
        items.Joined(7, "r1", "chat", "m", "t", "e", 5, True, 3, b"\x80", 4, (b"\x81",), b"\x82", 9, 1),
        ("l1",),
    ),
    "deliver.presence": Deliver(items.PresenceChange("r1", (b"\x81",), (b"\x82",), 2, 1), 3),
    "deliver.members": Deliver(items.MembersPage(9, (b"\x81",), 2, 1), ("l1",)),
    "deliver.state": Deliver(items.StateFull("r1", 7, b"\x01"), ("l1",)),
    "deliver.patch": Deliver(items.StatePatch("r1", 7, 8, b"\x02"), 3),
    "deliver.patches": Deliver(items.StatePatches("r1", 7, 8, b"\x02", {"l1": b"\x03"}), ("l1", "l2")),
    "deliver.ack": Deliver(items.Ack("r1", 4), ("l1",)),
    "group": Group(3, ("l1", "l2")),
    "group.none": Group(3, ()),
    "detach": Detach(("l1",), 4101, "moved"),
    "reset": Reset(77),
    "read": Read(5),
    "ask.inspect": askOf(asks.Inspect(5, "ada"), until=1000.5),
    "ask.examine": askOf(asks.Examine(False, True)),
    "ask.members": askOf(asks.ShowMembers("m", 5)),
    "ask.kick": askOf(asks.Kick("m", None, "bye")),
    "ask.lock": askOf(asks.Lock(False)),
    "ask.dispose": askOf(asks.Dispose(4008, "over")),
    "ask.hide": askOf(asks.SetPrivate(False)),
    "ask.metadata": askOf(asks.SetMetadata({"mode": "duel"})),
    "ask.send": askOf(asks.SendTo("said", b"\xc0", ("m",), ("u",), True, ("red",))),
    "ask.log": askOf(asks.ReadLog(5, 10, 2.0, "e")),
    "ask.keyed": askOf(asks.Keyed(asks.Once("k", b"\x04"), asks.Lock())),
    "ask.created": askOf(asks.Created(b"\x04")),
    "ask.late": askOf(
        asks.TakeLate((asks.LateFrame("m", True, commands.Send("say", b"{}")), asks.LateFrame("m", False)))
    ),
    "ask.reserve": askOf(asks.Reserve({"id": 1}, 5.0)),
    "ask.tell": askOf(asks.TellSeat({"mode": "duel"}, {"id": 1}, True)),
    "ask.resume": askOf(asks.CheckResume("m.token")),
    "ask.take": askOf(packets.Take(12)),
    "ask.node": askOf(packets.CallNode("find", b"\xa4anna"), room=""),
    "told": Told(1, {"members": 2}),
    "told.error": Told(1, None, Refused("unavailable", "", {"mayHaveHappened": False})),
    "told.elsewhere": Told(1, isElsewhere=True),
}


def neighbouring(name: str) -> bytes:
    """A packet of another node."""
    return bytes.fromhex(json.loads(NEIGHBOURS.read_text())[name])


def packetOf(*messages: PacketMessage, seq: int = 3) -> Packet:
    return Packet(1, "1.node", 11, 22, seq, messages)


class CodecTests(SynchronousTestCase):
    """Encoding and decoding."""

    def test_roundTrip(self) -> None:
        """Each message comes back as it was, also several in one packet."""
        for name, message in MESSAGES.items():
            self.assertEqual(decode(encode(packetOf(message))), packetOf(message), name)
        everything = packetOf(*MESSAGES.values())
        self.assertEqual(decode(encode(everything)), everything)

    def test_beat(self) -> None:
        """A packet without messages is a beat."""
        self.assertEqual(decode(encode(packetOf())).messages, ())

    def test_complete(self) -> None:
        """The recorded messages cover each kind of message, frame, item and command."""

        def kindsOf(union: object) -> set[type]:
            return set(union.__args__)  # type: ignore[attr-defined]

        seen = {type(message) for message in MESSAGES.values()}
        inner = {
            type(value)
            for message in MESSAGES.values()
            for value in (getattr(message, name) for name in message.__struct_fields__)
        }
        inner |= {type(readCommand(each.command)) for each in MESSAGES.values() if isinstance(each, Ask)}
        self.assertEqual(kindsOf(packets.PacketMessage), seen)
        wanted = kindsOf(packets.CrossingItem) | kindsOf(commands.Frame)
        wanted |= kindsOf(asks.Command) | kindsOf(packets.NodeCommand)
        self.assertEqual(wanted - inner, set())


class VersionTests(SynchronousTestCase):
    """Nodes of neighbouring versions understand each other; others are refused."""

    def test_recorded(self) -> None:
        """
        The bytes of version 1 are understood, and version 1 is written as it was.

        If this fails, nodes of two releases can't work together. A change of `VERSION` needs a new file, and
        this one stays as long as version 1 is a neighbour.
        """
        recorded = {name: bytes.fromhex(text) for name, text in json.loads(VECTORS.read_text()).items()}
        self.assertEqual(set(recorded), set(MESSAGES))
        for name, message in MESSAGES.items():
            self.assertEqual(decode(recorded[name]), packetOf(message), name)
            self.assertEqual(encode(packetOf(message)), recorded[name], name)

    def test_neighbouringPackets(self) -> None:
        """
        The bytes that other nodes have sent are understood: those of earlier states of version 1, which lack
        the last fields of some structs, and those of a version 2, which has more of them.
        """
        expected: dict[str, PacketMessage] = {
            "attach.join without isAgain and firstLink": Attach(1, JOIN),
            "attach.join without firstLink": Attach(1, JOIN),
            "ask.take without clients": askOf(packets.Take()),
            "ask.inspect without userId": askOf(asks.Inspect(5), until=1000.5),
            "ask.inspect without after and isBrief": askOf(asks.Inspect(5, "ada"), until=1000.5),
            "ask.examine without withPrivate": askOf(asks.Examine(False)),
            "ask.log without history": askOf(asks.ReadLog(5, 10, 2.0, "e")),
            "ask.send without groups": askOf(asks.SendTo("said", b"\xc0", ("m",), ("u",), isVolatile=True)),
            "submit.state without isReceived": Submit("l1", commands.WantState(7)),
            "drop with more fields": Drop("l1", True),
            "ask.lock with more fields": askOf(asks.Lock(False)),
        }
        for name, message in expected.items():
            (found,) = decode(neighbouring(name)).messages
            if isinstance(found, Ask):
                found = askOf(readCommand(found.command), found.room, found.until)
            self.assertEqual(found, message, name)

    def test_unknownCommand(self) -> None:
        """
        A command that this node doesn't know is an error of its own; the other messages of its packet can be
        read. One command has been removed from version 1, and others come with version 2.
        """
        for name in ("ask.findUser", "ask with a new command", "ask.keyed with a new command"):
            first, ask, last = decode(neighbouring(name)).messages
            self.assertEqual((first, last), (Drop("l1", True), Read(5)))
            assert isinstance(ask, Ask)
            error = self.assertRaises(RoomError, readCommand, ask.command)
            self.assertEqual((error.code, error.details), ("unavailable", {"mayHaveHappened": False}))
        for garbage in (b"\x91\xa1\xff", b"\x05", b"\x92\xa4lock\xa1x"):
            self.assertRaises(RoomError, readCommand, msgspec.Raw(garbage))

    def test_neighbours(self) -> None:
        """Versions that differ by one work together."""
        self.assertEqual(
            [isNeighbour(version) for version in (-1, 0, 1, 2, 3)], [False, True, True, True, False]
        )

    def test_newerFields(self) -> None:
        """Fields that a neighbour has added at the end are ignored."""
        data = msgspec.msgpack.encode([2, "2.node", 11, 22, 3, [[4, "l1", True, "new"]], "also new"])
        self.assertEqual(decode(data).messages, (Drop("l1", True),))

    def test_newerVersion(self) -> None:
        """A packet of a version that is no neighbour is refused, and the sender is known."""
        for messages in ([[4, "l1", True]], [[99, "unknown"]]):
            data = msgspec.msgpack.encode([3, "3.node", 11, 22, 3, messages])
            error = self.assertRaises(UnsupportedVersion, decode, data)
            self.assertEqual(error.head, packets.Head(3, "3.node", 11, 22, 3))
            self.assertIn("version 3", str(error))

    def test_unknownMessage(self) -> None:
        """A message that this version doesn't know makes the packet unreadable; its head can be read."""
        data = msgspec.msgpack.encode([2, "2.node", 11, 22, 3, [[99, "unknown"]]])
        error = self.assertRaises(UnreadablePacket, decode, data)
        self.assertEqual(error.head, packets.Head(2, "2.node", 11, 22, 3))

    def test_malformed(self) -> None:
        """What is no packet is unreadable, and nothing else."""
        good = encode(packetOf(*MESSAGES.values()))
        for data in (
            b"",
            b"\xc1",
            b"\x80",
            b"\x95\x01",
            b"\x00" * 20,
            good[:-1],
            good + b"\x00",
            b"\x93\x01\xa1\xff\x01",
        ):
            error = self.assertRaises(UnreadablePacket, decode, data)
            self.assertNotIsInstance(error, UnsupportedVersion)
        for index in range(len(good)):
            try:
                decode(good[:index] + b"\xc1" + good[index + 1 :])
            except UnreadablePacket:
                pass
