"""
The numbers of a pair: what this node and another one have sent each other, and whether any of it was lost.

The channel between nodes may lose packets, deliver them late, or twice. So each node numbers its packets, and
each packet names the pair that it belongs to: the sender's own random number, and the receiver's as soon as
the sender knows it. A pair that has lost a packet is not repaired. It ends, with all its links, and both
nodes begin a new one, with new numbers.

The states of a pair, the packets that may arrive, and what they mean (`Verdict`):

========  =======================================================  ========  =====
state     packet                                                   verdict   next
========  =======================================================  ========  =====
any       to a former number of ours, or of a pair that has ended  FORMER    same
OPENING   the first one of the other node                          TAKEN     OPEN
OPENING   any other                                                LOST      ended
OPEN      the next one                                             TAKEN     OPEN
OPEN      one that was received already                            REPEATED  OPEN
OPEN      a beat with the number of the last one                   REPEATED  OPEN
OPEN      a beat with a greater number, or a packet after a gap    LOST      ended
OPEN      the first one of another pair of the other node          ANEW      ended
OPEN      any other one of another pair                            LOST      ended
========  =======================================================  ========  =====

In the state OPENING nothing has been received from the other node; it becomes OPEN with its first packet.
After FORMER, the other node is told by `Reset` that its pair has ended, in case that it doesn't know. After
LOST it is told too, and after ANEW it knows.
"""

from __future__ import annotations

import secrets
from collections.abc import Container
from enum import Enum, auto

from .packets import Packet


class Verdict(Enum):
    """What to do with a packet that has arrived."""

    #: It is the next one. Its messages count.
    TAKEN = auto()
    #: It has no news.
    REPEATED = auto()
    #: It belongs to a pair that has ended.
    FORMER = auto()
    #: The other node has begun a new pair, and this is its first packet.
    ANEW = auto()
    #: A packet before it was lost.
    LOST = auto()


class Pair:
    """The numbers of one pair, as one of the two nodes knows them."""

    __slots__ = ("number", "received", "sent", "theirs")

    def __init__(self) -> None:
        #: This node's number of the pair; random, and not 0.
        self.number = secrets.randbits(52) + 1
        #: The other node's number; 0 while the pair is OPENING.
        self.theirs = 0
        #: The numbers of the last packets that were sent and received.
        self.sent = 0
        self.received = 0

    def judge(self, packet: Packet, ended: Container[int]) -> Verdict:
        """
        Return what a packet means, and count it if it is `TAKEN`. Called for every packet.

        Args:
            packet: The packet.
            ended: The numbers of the other node's pairs that have ended.
        """
        if packet.to not in (0, self.number) or packet.pair in ended:
            return Verdict.FORMER
        isBeat = not packet.messages
        if packet.pair == self.theirs:
            if packet.seq <= self.received:
                return Verdict.REPEATED
            if isBeat or packet.seq != self.received + 1:
                return Verdict.LOST
            self.received = packet.seq
            return Verdict.TAKEN
        if isBeat or packet.seq != 1:
            return Verdict.LOST
        if self.theirs:
            return Verdict.ANEW
        self.open(packet)
        return Verdict.TAKEN

    def open(self, packet: Packet) -> None:
        """The pair is OPEN from now on: `packet` is the first of the other node."""
        self.theirs = packet.pair
        self.received = packet.seq
