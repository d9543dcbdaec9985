"""
Handing over: a node that leaves the cluster gives its rooms to other nodes.

A room is prepared by its owner (`RoomHost.move`), and then its journal is handed over. Redis then says which
node has to claim it, so clients that ask for the room wait for that node, which is told by `Take`.

Each member of a room that has moved resumes, which costs all processes some time. So only the rooms of a few
members move at a time, and the next ones follow when these have come back; those that have not moved yet go
on meanwhile. Members that don't come back only slow down the pace: there are bounds for the rooms that are
being prepared, and for those that other nodes are opening, but none for those whose members are waited for.

Of the rooms of each name one is handed over first, since the others may have the same fault. If a node can't
open a room, this node takes that room back and hands over no more. If a node refuses a room because it leaves
too, this node takes the room back and gives it to another one (see `takers`).
"""

from __future__ import annotations

import secrets
from collections import deque
from collections.abc import Mapping, Sequence

from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from ...core.codes import ErrorCode
from ...core.pace import STEP, Pace
from ...protocol.errors import RoomError
from ...rooms.contract.ports import HandoverFailed, NoTakers
from .adoption import Adoption
from .announcing import Announcing
from .here import Here, Owned
from .journals import Journals
from .lease import Lease, NodeState
from .locating import AtNode, Locator, Orphan, Where
from .outgoing import ElsewhereError
from .owning import Owning
from .packets import Take
from .peers import Peers
from .takers import KNOWN, PAUSE, Takers
from .waiting import Waits

#: How many rooms are prepared at the same time, and how many are opened by other nodes.
PREPARING, AT_ONCE = 100, 20
#: The most seconds after which the last room is handed over. For how many seconds the members of a room that
#: has moved are waited for, and the seconds between two looks.
LONGEST, RETURN, LOOK = 30.0, 1.0, 0.02
#: The most seconds that another node may take to open a room.
OPENED = 20.0
#: For how many seconds this node tries to take a room back.
TAKEN_BACK = 10.0
#: The most seconds for the preparation of all rooms when this node stops, and for how many seconds it goes on
#: when they have been handed over.
PREPARED, TOLD = 2.0, 0.5


#: In the details of the error of a node that refuses a room: whether that is because it leaves too.
LEAVES = "isLeaving"


class TakerLeaves(Exception):
    """The node that should get a room leaves too."""


class HandingOver:
    """
    Hands over the rooms of a node.

    Args:
        waits: The waits of this node.
        here: The rooms of this node.
        owning: Opens rooms, and takes one back.
        adoption: Takes over rooms of nodes that are gone.
        announcing: What the nodes say of themselves.
        locator: Finds the nodes of rooms.
        journals: The journals of this node.
        peers: The other nodes.
        lease: The lease of this node, which knows the other nodes.
    """

    _log = Logger()

    def __init__(
        self,
        waits: Waits,
        here: Here,
        owning: Owning,
        adoption: Adoption,
        announcing: Announcing,
        locator: Locator,
        journals: Journals,
        peers: Peers,
        lease: Lease,
    ) -> None:
        self._waits = waits
        self._here = here
        self._owning = owning
        self._adoption = adoption
        self._announcing = announcing
        self._locator = locator
        self._journals = journals
        self._peers = peers
        self._lease = lease
        #: Why no more rooms are handed over.
        self._problem: HandoverFailed | None = None
        self._pace = Pace(0, 0.0, 0.0)
        #: How many rooms are being prepared, and opened by other nodes.
        self._preparing = self._opening = 0
        #: The waits for the members of rooms that have moved.
        self._returning: set[Deferred[None]] = set()

    # -- to other nodes

    async def leave(self, nodes: Sequence[str]) -> int:
        """Give all rooms to these nodes; see `EngineService.leave`."""
        self._problem = None
        self._adoption.stop()
        self._owning.leave()
        try:
            await self._meet(nodes)
            await self._announcing.refresh(self._lease.others)
            count = await self._giveAll(Takers(self._waits, self._announcing, self._lease, nodes))
        except Exception as error:
            if isinstance(error, NoTakers):
                self._log.warn("rooms stay at this node: {why}", why=str(error))
            self.stay()
            raise
        if count:
            self._log.info("rooms that this node has handed over: {count}", count=count)
        return count

    def stay(self) -> None:
        """Open and take over rooms again."""
        self._owning.stay()
        if not self._owning.isStopping:
            self._announcing.refresh(self._lease.others)
            self._adoption.start()

    async def _meet(self, nodes: Sequence[str]) -> None:
        """Wait until this node knows the others, which may just have been started."""
        until = self._waits.seconds() + KNOWN
        while not self._lease.isFresh or any(map(self._isUnknown, nodes)):
            if self._waits.seconds() >= until:
                raise HandoverFailed("a node that should get the rooms can't be reached")
            self._lease.renewNow()
            await self._waits.pause(PAUSE)

    def _isUnknown(self, node: str) -> bool:
        return self._lease.stateOf(node) is not NodeState.ALIVE

    async def _giveAll(self, takers: Takers) -> int:
        clients = sum(max(1, owned.host.connected) for owned in self._here)
        self._pace = Pace(clients, LONGEST, self._waits.seconds())
        tried: set[tuple[str, str]] = set()
        count = 0
        while True:
            rooms = [owned for owned in self._here if not owned.isMoving]
            first = {(owned.application, owned.host.name): owned for owned in rooms}
            some = [owned for group, owned in first.items() if group not in tried]
            tried.update(first)
            waiting = deque(some or rooms)
            if not waiting and not self._owning.isBusy:
                if not self._returning:
                    return count
                await gatherResults(list(self._returning))
                continue
            if not await takers.wait():
                raise NoTakers(count)
            count += await self._giveSome(waiting, takers)
            if self._problem is not None:
                raise self._problem
            if not waiting:
                await self._waits.pause(PAUSE)

    async def _giveSome(self, waiting: deque[Owned], takers: Takers) -> int:
        """Hand over one room after another until there are no more; return how many that were."""
        giving: list[Deferred[bool]] = []
        while waiting and self._problem is None and takers.areAny:
            clients = max(1, waiting[0].host.connected)
            isFull = self._preparing >= PREPARING or self._opening >= AT_ONCE
            if isFull or not self._pace.goes(clients, self._waits.seconds()):
                await self._waits.pause(STEP)
            else:
                giving.append(Deferred.fromCoroutine(self._giveAway(waiting.popleft(), clients, takers)))
        return sum(await gatherResults(giving))

    async def _giveAway(self, owned: Owned, clients: int, takers: Takers) -> bool:
        """Hand over a room, or take it back; return whether it was handed over."""
        node, begun = takers.next(), self._waits.seconds()
        room, token = owned.host.id, secrets.token_urlsafe(16)
        away: int | None = None
        try:
            away = await self._give(owned, node, token)
        except TakerLeaves:
            takers.refused(node)
            await self._takeBack(room, token)
        except HandoverFailed as error:
            self._problem = error
            self._log.error("room {room} could not be handed over: {why}", room=room, why=str(error))
            await self._takeBack(room, token)
        finally:
            returned = Deferred.fromCoroutine(self._returned(room, node, away or 0))
            self._returning.add(returned)
            returned.addBoth(lambda _: self._pace.back(clients, self._waits.seconds() - begun))
            returned.addBoth(lambda _: self._returning.discard(returned))
        return away is not None

    async def _give(self, owned: Owned, node: str, token: str) -> int | None:
        """Hand over a room; return how many clients it had, or `None` if there was none to hand over."""
        room = owned.host.id
        self._preparing += 1
        try:
            isPrepared = await self._prepared(owned, mustSave=True)
        finally:
            self._preparing -= 1
        if not isPrepared:
            return None
        clients = owned.host.connected
        self._opening += 1
        try:
            await self._journals.handOver(room, node, token)
            if not await self._isTaken(room, node):
                raise HandoverFailed(f"node {node} can't open room {room}")
        finally:
            self._opening -= 1
        return clients

    async def _returned(self, room: str, node: str, clients: int) -> None:
        """Wait until the clients of a room are back at the node that has opened it, for some time."""
        if clients:
            try:
                await self._peers.ask(node, room, Take(clients), 2 * RETURN)
            except (ElsewhereError, RoomError):
                pass  # it was not answered, or the room has moved on

    async def _prepared(self, owned: Owned, mustSave: bool = False) -> bool:
        """Prepare a room, and return whether it may be handed over."""
        owned.isMoving = True
        try:
            return await owned.host.move(mustSave)
        except HandoverFailed:
            owned.isMoving = False
            raise
        except Exception:
            self._log.failure("room {room} could not be prepared for its next owner", room=owned.host.id)
            return True

    async def _isTaken(self, room: str, node: str) -> bool:
        """
        Let another node open a room, and return whether it has.

        Raises:
            TakerLeaves: That node leaves too.
        """
        until = self._waits.seconds() + OPENED
        while self._waits.seconds() < until and self._lease.stateOf(node) is not NodeState.GONE:
            try:
                taken = await self._peers.ask(node, room, Take(), max(0.0, until - self._waits.seconds()))
                if taken is not None or await self._isOver(room, node):
                    return taken is not False
            except ElsewhereError:
                pass
            except RoomError as error:
                if isinstance(error.details, Mapping) and error.details.get(LEAVES):
                    raise TakerLeaves from None
                # otherwise it was not answered
            await self._waits.pause(PAUSE)
        return False

    async def _isOver(self, room: str, node: str) -> bool:
        """Return whether a room that a node doesn't find has ended, or has another owner than that node."""
        place = await self._locator.ask(room)
        return place is Where.NOWHERE or (isinstance(place, AtNode) and place.node != node)

    async def _takeBack(self, room: str, token: str) -> None:
        """Become the owner of a room again, unless another node has claimed it since it got this token."""
        until = self._waits.seconds() + TAKEN_BACK
        while self._waits.seconds() < until:
            place = await self._locator.ask(room, given=token)
            if not isinstance(place, Orphan) and place is not Where.UNKNOWN:
                return
            if await self._owning.take(room, place, isBack=True):
                return
            await self._waits.pause(PAUSE)

    # -- when this node stops

    async def end(self) -> None:
        """
        Give all rooms that are left to any nodes. If clients of other nodes are in them, go on until these
        clients know it: their nodes pass on here what they send, as long as this one is alive.
        """
        isRemote = any(theirs for _, theirs in self._peers.links.values())
        moved = gatherResults([Deferred.fromCoroutine(self._prepared(owned)) for owned in self._here])
        await self._waits.either(moved, PREPARED)
        await self._journals.handOverAll()
        if isRemote:
            await self._waits.pause(TOLD)

    # -- from other nodes

    async def take(self, room: str, clients: int) -> bool | None:
        """
        Become the owner of a room that was handed over to this node; see `Take`.

        Raises:
            RoomError: That isn't known now, since Redis can't be reached, for example. The other node asks
                again, unless this one leaves (`LEAVES`).
        """
        taken = await self._taken(room)
        until = self._waits.seconds() + RETURN
        while taken and self._waits.seconds() < until and not self._waits.isStopped:
            host = self._here.host(room)
            if host is None or host.connected >= clients:
                break
            await self._waits.pause(LOOK)
        return taken

    async def _taken(self, room: str) -> bool | None:
        place = await self._locator.ask(room)
        if place is Where.HERE:
            return True
        if place is Where.NOWHERE or isinstance(place, AtNode):
            return None
        if isinstance(place, Orphan):
            if await self._owning.take(room, place):
                return True
            if self._owning.isQuarantined(room):
                return False
        isLeaving = self._owning.isLeaving or self._owning.isStopping
        raise RoomError(ErrorCode.UNAVAILABLE, details={LEAVES: isLeaving})
