"""
All other nodes that this one talks with.

It is given a function to publish packets, and is called with those that arrive. It knows nothing of Redis.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ...rooms.contract.arrivals import Join, Refused, Resume
from ...rooms.contract.asks import Command
from ...rooms.contract.ports import ASK_SECONDS, Link, Outlet
from .incoming import PeersSide
from .node import Guard
from .packets import NodeCommand, UnreadablePacket, UnsupportedVersion, decode
from .peer import BEAT_SECONDS, Peer, Publish
from .remote import Unreached
from .talk import Shared

#: For so many seconds a node that is gone is remembered. It may be alive, and send again what this node has
#: received already.
MEMORY_SECONDS = 600.0


class Peers:
    """
    See the module.

    Args:
        clock: The clock.
        node: The id of this node.
        side: The node.
        publish: Sends a packet to a node.
        guard: The guard of this node, for what its rooms send to other nodes.
        turn: Called when there is something to send. `flush` must be called at the end of the turn.
        now: Returns the time by Redis's clock, in seconds; `None`: not known.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        node: str,
        side: PeersSide,
        publish: Publish,
        guard: Guard,
        turn: Callable[[], None],
        now: Callable[[], float | None],
    ) -> None:
        self._clock = clock
        self._node = node
        self._publish = publish
        self._turn = turn
        self._shared = Shared(clock, side, guard, now)
        self._peers: dict[str, Peer] = {}
        self._waking: list[Peer] = []
        self._gone: dict[str, float] = {}
        self._refused: set[str] = set()
        self._timer: IDelayedCall | None = None
        self._isStopped = False
        self._packets = 0
        self._resets = 0

    # -- what this node asks of others

    def attach(
        self, node: str, outlet: Outlet, arrival: Join | Resume
    ) -> Deferred[Link | Refused | Unreached]:
        """
        Join a room on another node, or resume; see `Engine.attach`.

        It takes as long as the room takes to answer, up to `outgoing.ATTACH_SECONDS`. It ends with
        `Unreached` after that, if the room isn't there, or if the other node is lost.
        """
        return self._peer(node).talk.outgoing.attach(outlet, arrival)

    def ask(
        self, node: str, room: str, command: Command | NodeCommand, seconds: float = ASK_SECONDS
    ) -> Deferred[Any]:
        """
        Let a room on another node carry out a command; see `Engine.ask`.

        Raises:
            ElsewhereError: The room is not there; nothing has happened.
            RoomError: The command failed or was not answered; see `txroom.rooms.contract.asks`.
        """
        return self._peer(node).talk.outgoing.ask(room, command, seconds)

    # -- packets

    def received(self, data: bytes) -> None:
        """Handle a packet that has arrived. Called for every packet."""
        if self._isStopped:
            return
        try:
            packet = decode(data)
        except UnreadablePacket as error:
            self._unreadable(error)
            return
        if packet.node != self._node:
            self._peer(packet.node).received(packet, len(data))

    def flush(self) -> None:
        """The turn is over: send one packet to each node that there are messages for."""
        waking, self._waking = self._waking, []
        for peer in waking:
            peer.flush()

    def resend(self) -> None:
        """The channel is connected again."""
        for peer in list(self._peers.values()):
            peer.resend()

    def beat(self) -> None:
        """Send beats, and forget the nodes that are gone."""
        for peer in list(self._peers.values()):
            peer.beat()
        now = self._clock.seconds()
        for node, since in list(self._gone.items()):
            if now - since >= MEMORY_SECONDS and self._peers[node].isIdle:
                del self._gone[node]
                peer = self._peers.pop(node)
                self._packets += peer.packets
                self._resets += peer.resets

    def start(self) -> None:
        """Send beats until `stop`."""
        self._timer = self._clock.callLater(BEAT_SECONDS, self._beat)

    def stop(self) -> None:
        """End all that this node shares with others; nothing more is sent or received."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._isStopped = True
        for peer in list(self._peers.values()):
            peer.stop()

    def _beat(self) -> None:
        self.start()
        self.beat()

    # -- other nodes

    def gone(self, node: str) -> None:
        """A node is gone: end what this one shares with it."""
        peer = self._peers.get(node)
        if peer is not None:
            peer.reset()
            self._gone[node] = self._clock.seconds()
        self._refused.discard(node)

    @property
    def packets(self) -> int:
        """The number of packets and beats that were sent."""
        return self._packets + sum(peer.packets for peer in self._peers.values())

    @property
    def resets(self) -> int:
        """The number of talks that have ended while links or questions depended on them."""
        return self._resets + sum(peer.resets for peer in self._peers.values())

    @property
    def links(self) -> dict[str, tuple[int, int]]:
        """By node: the number of links of our clients to its rooms, and of its clients to ours."""
        return {node: peer.talk.links for node, peer in self._peers.items()}

    def _peer(self, node: str) -> Peer:
        peer = self._peers.get(node)
        if peer is None:
            peer = Peer(self._shared, self._node, node, self._publish, self._wake)
            self._peers[node] = peer
        return peer

    def _wake(self, peer: Peer) -> None:
        self._waking.append(peer)
        if len(self._waking) == 1:
            self._turn()

    def _unreadable(self, error: UnreadablePacket) -> None:
        head = error.head
        if head is None:
            self._log.warn("a packet can't be read: {reason}", reason=str(error))
            return
        if isinstance(error, UnsupportedVersion):
            if head.node not in self._refused:
                self._refused.add(head.node)
                self._log.error(
                    "the packets of node {node} are refused: {reason}", node=head.node, reason=str(error)
                )
            return
        self._log.error("a packet of node {node} can't be read: {reason}", node=head.node, reason=str(error))
        if head.node != self._node:
            self._peer(head.node).lost(head)
