"""
Our side of what we and one other node say to each other: one talk after another.

The peer sends the messages of a talk, one packet for each turn unless they are large (see `sending`), and
keeps each packet until the channel has confirmed it. After a reconnect of the channel it sends the
unconfirmed packets again; the other node drops those that it had. Every `BEAT_SECONDS` it sends a beat if
anything depends on the talk, so that the loss of a last packet is noticed too.

When the talk ends, and what happens then:

=============================================  ==========================================================
why                                            the other node
=============================================  ==========================================================
a packet was lost, or makes no sense           is told by `Reset` (`Verdict.LOST`)
nobody has received a packet                   will notice, or is gone
too much is unconfirmed, or waits              is told by `Reset`, when it can be reached again
it has begun a new pair (`Verdict.ANEW`)       knows
it has sent `Reset`                            knows
it is gone                                     is told, in case that it is not
=============================================  ==========================================================
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol

from twisted.logger import Logger

from .packets import VERSION, Head, Packet, Reset, encode
from .pair import Verdict
from .sending import Sending
from .talk import Shared, Talk

#: The seconds between beats.
BEAT_SECONDS = 2.0
#: So many pairs of the other node that have ended are remembered, should their packets arrive late.
MAX_ENDED = 64


class Publish(Protocol):
    """
    Sends a packet to a node.

    `done(heard)` is called later, never in the call: with the number of receivers, or with anything else if
    it is not known whether there were any. The calls are in the order of the packets.
    """

    def __call__(self, node: str, data: bytes, done: Callable[[object], None]) -> None: ...


class Peer:
    """See the module. `wake` is called when there is something to send at the end of the turn."""

    _log = Logger()

    def __init__(
        self, shared: Shared, own: str, node: str, publish: Publish, wake: Callable[[Peer], None]
    ) -> None:
        self._shared = shared
        self._own = own
        self.node = node
        self._publish = publish
        self._wake = wake
        self._ended: deque[int] = deque(maxlen=MAX_ENDED)
        #: Whether a beat of the other node has been answered since the last look.
        self._hasAnswered = False
        #: Whether it was logged that nobody receives the packets.
        self._isUnreachable = False
        #: The numbers of packets and beats that were sent, and of talks that have ended.
        self.packets = 0
        self.resets = 0
        self._start()

    @property
    def isIdle(self) -> bool:
        """Whether the peer may be forgotten."""
        return not (self.talk.isBusy or self.talk.queue) and self._sending.isIdle

    def _start(self) -> None:
        """Begin a talk."""
        self.talk = Talk(self._shared, self.node, self._wakeUp, self._read)
        self._sending = Sending(self.talk, self._packet, self._send)

    def _wakeUp(self) -> None:
        self._wake(self)

    # -- to the other node

    def flush(self) -> None:
        """Send the messages of this turn, and those that have waited, as far as they may go."""
        self._sending.flush()
        if self._sending.isTooMuch:
            self._log.warn("too much waits to be sent to node {node}", node=self.node)
            self.reset()

    def _read(self, number: int) -> None:
        """The other node has read the packets up to that number."""
        if self._sending.read(number):
            self._wakeUp()

    def beat(self) -> None:
        """Tell the other node the number of the last packet; or send again what was not confirmed."""
        talk = self.talk
        talk.beat()
        self._hasAnswered = False
        if self._sending.hasFailed:
            self.resend()
        elif talk.isBusy:
            self._sendBeat()

    def _sendBeat(self) -> None:
        talk = self.talk
        if talk.pair.sent:
            self.packets += 1
            data = encode(self._packet(talk.pair.sent, ()))
            self._publish(self.node, data, partial(self._beaten, talk))

    def _answerBeat(self) -> None:
        """
        The other node has something that depends on the talk, and this one has nothing, so that it sends no
        beats. Send one: the other node may have lost the last packet, such as the end of its links.
        """
        if not (self.talk.isBusy or self._hasAnswered or self._sending.hasFailed):
            self._hasAnswered = True
            self._sendBeat()

    def resend(self) -> None:
        """The channel is connected again: send the packets again that it has not confirmed, in order."""
        if self._sending.hasFailed:
            self._sending.resend()

    def _packet(self, number: int, messages: Sequence[Any]) -> Packet:
        pair = self.talk.pair
        return Packet(VERSION, self._own, pair.number, pair.theirs, number, messages)  # type: ignore[arg-type]  # encoded as a list too

    def _send(self, number: int, data: bytes) -> None:
        self.packets += 1
        self._publish(self.node, data, partial(self._published, self.talk, number))

    def _published(self, talk: Talk, number: int, heard: object) -> None:
        if talk is not self.talk:
            return
        if type(heard) is not int:
            self._sending.hasFailed = True
            return
        self._sending.confirmed(number)
        if not heard:
            self._unheard(number)

    def _beaten(self, talk: Talk, heard: object) -> None:
        if talk is self.talk and type(heard) is int and not heard:
            self._unheard(talk.pair.sent + 1)

    def _unheard(self, number: int) -> None:
        """Nobody has received the packet with that number."""
        if self.talk.isBusy and not self._isUnreachable:
            self._isUnreachable = True
            self._log.info("node {node} can't be reached", node=self.node)
        self._begin(unheard=number)

    # -- from the other node

    def received(self, packet: Packet, size: int) -> None:
        """Handle a packet of the other node, of `size` bytes. Called for every packet."""
        self._isUnreachable = False
        messages = packet.messages
        if messages and type(messages[0]) is Reset:
            packet = self._told(packet)
        talk = self.talk
        verdict = talk.pair.judge(packet, self._ended)
        if verdict is Verdict.REPEATED:
            if not messages:
                self._answerBeat()
            return
        if verdict is Verdict.FORMER:
            talk.tellReset(packet.pair)
            return
        if verdict is Verdict.LOST:
            self.lost(packet)
            return
        if verdict is Verdict.ANEW:
            self._begin()
            talk = self.talk
            talk.pair.open(packet)
        for message in messages:
            try:
                talk.take(message)
            except Exception:
                self._log.failure("a message of node {node} makes no sense", node=self.node)
                self.lost(packet)
            if talk.isOver:
                return
        if self._sending.wasRead(size):
            self._wakeUp()

    def lost(self, head: Head) -> None:
        """A packet of that pair was lost, or can't be understood."""
        before = self.talk.pair.theirs
        self._begin()
        for number in {before, head.pair} - {0}:
            self._ended.append(number)
            self.talk.tellReset(number)

    def stop(self) -> None:
        """End the talk; nothing more is sent."""
        self.talk.end(None)

    def reset(self) -> None:
        """End the talk, and tell the other node."""
        before = self.talk.pair.theirs
        self._begin()
        self.talk.tellReset(before)

    def _told(self, packet: Packet) -> Packet:
        """Look at the `Reset` messages, which count whatever pair the packet belongs to."""
        number = self.talk.pair.number
        if not any(type(each) is Reset and each.pair == number for each in packet.messages):
            return packet
        before = self.talk.pair.theirs
        self._begin()
        if before not in (0, packet.pair):
            self.talk.tellReset(before)
        if packet.to != number:
            return packet
        return Packet(packet.version, packet.node, packet.pair, 0, packet.seq, packet.messages)

    def _begin(self, unheard: int | None = None) -> None:
        """End the talk, and begin a new one."""
        before = self.talk
        self._start()
        if before.pair.theirs:
            self._ended.append(before.pair.theirs)
        if before.isBusy:
            self.resets += 1
        before.end(unheard)
