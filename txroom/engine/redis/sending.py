"""
What this node sends to another one in one talk: in packets of a limited size, and no faster than it is read.

Redis keeps what it has for a node until the node has read it. If that becomes too much, Redis closes the
connection (`client-output-buffer-limit pubsub`, 32 MiB by default), and all of it is lost, although Redis has
confirmed it. Therefore at most `WINDOW` bytes are under way. The other node says with `Read` how much it has
read; what comes after that waits here. Messages for clients that join or resume, which may be many and large,
are encoded only when they are sent: until then they share their data with the log of the room.

If too much waits, the talk ends, and the clients of both nodes lose their links. Answers to questions, which
somebody may ask as often as it likes, must not bring that about: they are refused before.

If the channel fails to confirm a packet, everything waits until it is connected again. Then the unconfirmed
packets are sent again, in order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, Protocol

from msgspec import Raw

from ...core.codes import ErrorCode
from ...rooms.contract.arrivals import Refused
from ...rooms.contract.items import Joined, Message, Replay
from .packets import Deliver, Packet, PacketMessage, Read, Told, encode
from .pair import Pair

#: The most bytes of the messages in one packet, unless it has only one message.
PACKET_SIZE = 256 << 10
#: So many bytes may be under way until the next packet waits.
WINDOW = 2 << 20
#: After so many bytes the other node is told that they were read; much less than `WINDOW`.
READ_SIZE = 512 << 10
#: The most bytes of packets and messages that are kept, because they are unconfirmed or wait.
KEPT_SIZE = 16 << 20
#: If more than this is kept, answers to questions are refused, except for those of up to `SMALL` bytes.
ANSWERS_SIZE, SMALL = 8 << 20, 1 << 10
#: What a message that waits takes besides its data.
MESSAGE_COST = 128


#: The error for an answer when too much is kept. What was asked for may have been done.
_TOO_MUCH = Refused(
    ErrorCode.UNAVAILABLE, "too much waits to be sent to the node that asks", {"mayHaveHappened": True}
)


class SendingTalk(Protocol):
    """The part of a `Talk` that sending uses."""

    pair: Pair
    queue: list[PacketMessage]

    def encodable(self, message: PacketMessage) -> Sequence[PacketMessage]: ...


class Sending:
    """
    See the module.

    Args:
        talk: The talk.
        packetOf: Makes a packet of a number and messages.
        publish: Sends the packet with that number.
    """

    def __init__(
        self,
        talk: SendingTalk,
        packetOf: Callable[[int, Sequence[Any]], Packet],
        publish: Callable[[int, bytes], None],
    ) -> None:
        self._talk = talk
        self._packetOf = packetOf
        self._publish = publish
        #: Whether the channel has failed to confirm a packet.
        self.hasFailed = False
        #: The packets that the channel has not confirmed, and their size.
        self._unconfirmed: dict[int, bytes] = {}
        self._unconfirmedSize = 0
        #: The numbers and sizes of the packets that the other node has perhaps not read, and their total.
        self._unread: deque[tuple[int, int]] = deque()
        self._unreadSize = 0
        #: The messages that wait, encoded or not, and what they take.
        self._waiting: deque[bytes | Deliver] = deque()
        self._waitingSize = 0
        #: How many bytes were read of which the other node was not told.
        self._readSize = 0

    @property
    def isIdle(self) -> bool:
        """Whether nothing is kept."""
        return not (self._unconfirmed or self._waiting)

    @property
    def _keptSize(self) -> int:
        return self._unconfirmedSize + self._waitingSize

    @property
    def isTooMuch(self) -> bool:
        """Whether more is kept than may be."""
        return self._keptSize > KEPT_SIZE

    @property
    def _mayGo(self) -> bool:
        return self._unreadSize < WINDOW and not self.hasFailed

    # -- to the other node

    def flush(self) -> None:
        """Send what the talk has queued in this turn, as far as it may go now."""
        talk = self._talk
        messages, talk.queue = talk.queue, []
        self._tellRead()
        if messages and (self._waiting or not self._mayGo or not self._sendAtOnce(messages)):
            self._keep(messages)
        if self._waiting:
            self._sendWaiting()

    def _tellRead(self) -> None:
        """
        Tell how far this node has read.

        That waits for nothing but the channel: otherwise two nodes that both have much to send would wait
        for each other.
        """
        if self._readSize >= READ_SIZE and not self.hasFailed:
            self._readSize = 0
            pair = self._talk.pair
            self._sendPacket(pair.sent + 1, encode(self._packetOf(pair.sent + 1, (Read(pair.received),))))

    def _sendAtOnce(self, messages: Sequence[PacketMessage]) -> bool:
        """Send messages in one packet. Returns whether they fit into one, and can be encoded."""
        if any(type(each) is Deliver and type(each.item) is Replay for each in messages):
            return False
        number = self._talk.pair.sent + 1
        try:
            data = encode(self._packetOf(number, messages))
        except Exception:
            return False
        if len(data) > PACKET_SIZE and len(messages) > 1:
            return False
        self._sendPacket(number, data)
        return True

    def _keep(self, messages: Iterable[PacketMessage]) -> None:
        for message in messages:
            for part in _parts(message):
                if type(part) is Deliver and isinstance(part.item, Replay | Joined):
                    self._waiting.append(part)
                    self._waitingSize += MESSAGE_COST
                else:
                    self._waiting += self._encoded(part)

    def _encoded(self, message: PacketMessage) -> list[bytes]:
        """Encode a message, or what is sent in its place, and count the size."""
        encoded = [encode(each) for each in self._talk.encodable(message)]
        if type(message) is Told and len(encoded[0]) > SMALL and self._keptSize > ANSWERS_SIZE:
            encoded = [encode(Told(message.id, error=_TOO_MUCH))]
        self._waitingSize += sum(MESSAGE_COST + len(data) for data in encoded)
        return encoded

    def _next(self) -> bytes | None:
        """Return the first message that waits, encoded."""
        while self._waiting:
            first = self._waiting[0]
            if isinstance(first, bytes):
                return first
            del self._waiting[0]
            self._waitingSize -= MESSAGE_COST
            self._waiting.extendleft(reversed(self._encoded(first)))
        return None

    def _sendWaiting(self) -> None:
        while self._mayGo:
            part: list[Raw] = []
            size = 0
            while (data := self._next()) is not None and (not part or size + len(data) <= PACKET_SIZE):
                del self._waiting[0]
                self._waitingSize -= MESSAGE_COST + len(data)
                part.append(Raw(data))
                size += len(data)
            if not part:
                return
            number = self._talk.pair.sent + 1
            self._sendPacket(number, encode(self._packetOf(number, part)))

    def _sendPacket(self, number: int, data: bytes) -> None:
        size = len(data)
        self._talk.pair.sent = number
        self._unconfirmed[number] = data
        self._unconfirmedSize += size
        self._unread.append((number, size))
        self._unreadSize += size
        self._publish(number, data)

    def resend(self) -> None:
        """The channel is connected again: send the unconfirmed packets again, then the queued messages."""
        self.hasFailed = False
        for number, data in self._unconfirmed.items():
            self._publish(number, data)
        self._tellRead()
        self._sendWaiting()

    def wasRead(self, size: int) -> bool:
        """A packet of the other node was handled. Returns whether the node has to be told, by `flush`."""
        self._readSize += size
        return self._readSize >= READ_SIZE

    # -- from the channel, and from the other node

    def confirmed(self, number: int) -> None:
        """The channel has confirmed a packet."""
        data = self._unconfirmed.pop(number, None)
        if data is not None:
            self._unconfirmedSize -= len(data)

    def read(self, number: int) -> bool:
        """The other node has read the packets up to that number. Returns whether anything waits for that."""
        while self._unread and self._unread[0][0] <= number:
            self._unreadSize -= self._unread.popleft()[1]
        return bool(self._waiting)


def _parts(message: PacketMessage) -> Iterator[PacketMessage]:
    """Split a long `Replay`, which edges may get in parts."""
    if not (type(message) is Deliver and type(message.item) is Replay):
        yield message
        return
    part: list[Message] = []
    size = 0
    for each in message.item.messages:
        if part and size + len(each.data) > PACKET_SIZE:
            yield Deliver(Replay(tuple(part)), message.links, message.generation)
            part, size = [], 0
        part.append(each)
        size += len(each.data)
    yield Deliver(Replay(tuple(part)), message.links, message.generation)
