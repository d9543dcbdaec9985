"""
The way into rooms, wherever they are: requests to attach, and commands.

An owner that was suspended may not know that its room has another one now, which has given a client a new
token. It would refuse this client, since it doesn't know the token, and the client would give up its
membership. So while the lease of the node isn't fresh, the answer to each resume that is refused is
`unavailable`, and the client tries again. What such an owner sends, `Guard` holds.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from msgspec.structs import replace
from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from ...core.codes import ErrorCode
from ...protocol.errors import RoomError
from ...rooms.contract.arrivals import Join, Refused, Resume
from ...rooms.contract.asks import CheckResume, Command, TakeLate, Unanswered, unanswered
from ...rooms.contract.ports import ASK_SECONDS, NO_SUCH_ID, Link, Outlet
from .here import Here, Owned
from .lease import Lease
from .locating import AtNode, Locator, Orphan, Place, Where
from .outgoing import ElsewhereError
from .owning import Owning
from .peers import Peers
from .remote import Unreached
from .waiting import InOrder, Waits

#: For how many seconds a client waits for a room whose node may be gone.
PATIENCE = 20.0
#: For how many seconds a command looks for its room. It has more of them, so that it can still say that
#: nothing has happened.
FIND_SECONDS = ASK_SECONDS - 0.5
#: The seconds between two attempts to find the node of a room; each pause is longer, up to `LONGEST`.
SHORTEST, GROWTH, LONGEST = 0.05, 1.5, 0.5


class Attempts:
    """The attempts to reach a room for one request: its deadline, and the pauses between them."""

    def __init__(self, waits: Waits, seconds: float) -> None:
        self._waits = waits
        self._until = waits.seconds() + seconds
        self._pause = SHORTEST

    @property
    def left(self) -> float:
        """The seconds that are left."""
        return self._until - self._waits.seconds()

    @property
    def areOver(self) -> bool:
        """Whether the time is over, or the node has stopped."""
        return self._waits.isStopped or self.left <= 0

    async def again(self) -> None:
        """Wait for the next attempt."""
        seconds, self._pause = self._pause, min(LONGEST, self._pause * GROWTH)
        await self._waits.pause(max(0.0, min(seconds, self.left)))


class Missed(NamedTuple):
    """A room was not reached at the node where it was looked for."""

    #: The node, if it has said that it doesn't have the room; else empty.
    notAt: str
    #: Whether the room may have got the request, and only its answer was lost.
    mayHaveHappened: bool = False


def _orMissed(result: Link | Refused | Unreached, node: str) -> Link | Refused | Missed:
    if not isinstance(result, Unreached):
        return result
    return Missed(node if result.isElsewhere else "", result.mayHaveHappened)


def _unlessMoved(result: Link | Refused, owned: Owned) -> Link | Refused | Missed:
    """Replace the refusal of a room that leaves this node: its next owner has to be asked."""
    if owned.isMoving and isinstance(result, Refused) and result.code == ErrorCode.UNAVAILABLE:
        return Missed("")
    return result


def _elsewhereIfMoved(failure: Failure, owned: Owned) -> Failure:
    """Replace the error of a command that a room of this node has not carried out because it leaves."""
    error = failure.value
    if owned.isMoving and isinstance(error, Unanswered) and not error.mayHaveHappened:
        return Failure(ElsewhereError())
    return failure


class Entrance:
    """
    Passes requests on to the rooms of this node and of others. It takes over rooms that no node has.

    Args:
        waits: The waits of this node.
        here: The rooms of this node.
        locator: Finds the nodes of rooms.
        owning: Takes rooms over.
        peers: The other nodes.
        guarded: Returns the guarded outlet for an outlet of this node.
        lease: The lease of this node.
    """

    _log = Logger()

    def __init__(
        self,
        waits: Waits,
        here: Here,
        locator: Locator,
        owning: Owning,
        peers: Peers,
        guarded: Callable[[Outlet], Outlet],
        lease: Lease,
    ) -> None:
        self._waits = waits
        self._here = here
        self._locator = locator
        self._owning = owning
        self._peers = peers
        self._guarded = guarded
        self._lease = lease
        self._requests = InOrder()
        #: How many times something is being passed on to a room that has left this node; see `TakeLate`.
        self._passing = 0

    # -- attaching

    def attach(self, outlet: Outlet, arrival: Join | Resume) -> Deferred[Link | Refused]:
        """Join or resume; see `Engine.attach`."""
        asked = None
        if not self._requests.isWaiting(arrival.room):
            asked = self._attachHere(self._guarded(outlet), arrival)
        return Deferred.fromCoroutine(self._attach(outlet, arrival, asked))

    def attachFrom(self, outlet: Outlet, arrival: Join | Resume) -> Deferred[Link | Refused | None] | None:
        """A client of another node joins or resumes; `None`: the room isn't here, or is about to leave."""
        asked = self._attachHere(outlet, arrival)
        if asked is None:
            self._takeOwn(arrival.room)
            return None
        return asked.addCallback(lambda result: None if isinstance(result, Missed) else result)

    def _attachHere(self, outlet: Outlet, arrival: Join | Resume) -> Deferred[Link | Refused | Missed] | None:
        """Pass a request on to a room of this node; `None`: it isn't ready here."""
        owned = self._ready(arrival.room)
        if owned is None:
            return None
        asked: Deferred[Any] = owned.host.attach(outlet, arrival)
        if isinstance(arrival, Resume):
            asked.addCallback(self._unlessDoubtful)
        return asked.addCallback(_unlessMoved, owned)

    def _unlessDoubtful(self, result: Link | Refused) -> Link | Refused:
        """Let a client try again that a room has refused which may have another owner; see the module."""
        if isinstance(result, Refused) and not self._lease.isFresh:
            return Refused(ErrorCode.UNAVAILABLE)
        return result

    def _ready(self, room: str) -> Owned | None:
        """Return a room of this node that requests may be passed on to."""
        return None if self._owning.isTaking(room) else self._here.ready(room)

    def _takeOwn(self, room: str) -> None:
        """Take a room that was handed over to this node, if it was not told so."""
        Deferred.fromCoroutine(self._takeIfOwn(room)).addErrback(
            lambda failure: self._log.failure("room {room} could not be taken", failure, room=room)
        )

    async def _takeIfOwn(self, room: str) -> None:
        place = await self._locator.ask(room)
        if isinstance(place, Orphan) and not place.isDead:
            await self._owning.take(room, place)

    async def _attach(
        self,
        outlet: Outlet,
        arrival: Join | Resume,
        asked: Deferred[Link | Refused | Missed] | None,
    ) -> Link | Refused:
        """
        Attach; find the room again if another node doesn't have it, or is lost. `asked` is the first attempt,
        if it has begun.
        """
        attempts = Attempts(self._waits, PATIENCE)
        place: Place | None = None
        while True:  # and not by recursion: a client may have to wait for many attempts
            result = await (asked or self._attachOnce(outlet, arrival, attempts, place))
            if not isinstance(result, Missed):
                return result
            if attempts.areOver:
                return Refused(ErrorCode.UNAVAILABLE)
            if result.mayHaveHappened and isinstance(arrival, Join):
                arrival = replace(arrival, isAgain=True)
            asked = None
            place = await self._locator.ask(arrival.room, result.notAt)
            if isinstance(place, AtNode) or place in (Where.UNKNOWN, Where.HERE):
                await attempts.again()
            if isinstance(place, Where):
                place = None

    def _attachOnce(
        self, outlet: Outlet, arrival: Join | Resume, attempts: Attempts, place: Place | None
    ) -> Deferred[Link | Refused | Missed]:
        async def passOn() -> list[Deferred[Any]]:
            found = place if isinstance(place, AtNode) else await self._find(arrival.room, attempts, place)
            if isinstance(found, AtNode):
                asked = self._peers.attach(found.node, outlet, arrival)
                return [asked.addCallback(_orMissed, found.node)]
            if found is Where.NOWHERE:
                return [succeed(Refused(ErrorCode.NO_SUCH_ROOM, NO_SUCH_ID))]
            if found is not Where.HERE:
                return [succeed(Refused(ErrorCode.UNAVAILABLE))]
            return [self._attachHere(self._guarded(outlet), arrival) or succeed(Missed(""))]

        return self._requests.add(arrival.room, passOn)

    async def _find(self, room: str, attempts: Attempts, place: Place | None) -> Place:
        """
        Return where a room is, after it was taken over if no node had it. `place` is where it was last, if
        Redis was asked just now: the listing of a room that was handed over may still name a node.
        """
        place = place or self._locator.guess(room) or await self._locator.ask(room)
        while not attempts.areOver:
            if self._owning.isTaking(room) or isinstance(place, Orphan):
                if await self._owning.take(room, place):
                    return Where.HERE
                if self._owning.isQuarantined(room):
                    return Where.UNKNOWN
            elif place is not Where.UNKNOWN:
                return place
            await attempts.again()
            place = await self._locator.ask(room)
        return Where.UNKNOWN

    # -- commands

    def ask(self, room: str, command: Command) -> Deferred[Any]:
        """Let a room carry out a command; see `Engine.ask`."""
        owned, attempts = self._ready(room), Attempts(self._waits, FIND_SECONDS)
        if owned is not None:
            asked = self._askHere(owned, command, ASK_SECONDS)
            asked.addErrback(self._askNext, room, command, attempts)
        else:
            asked = Deferred.fromCoroutine(self._ask(room, command, attempts))
        asked = self._waits.within(ASK_SECONDS, asked)
        if isinstance(command, TakeLate):
            self._passing += 1
            asked.addBoth(self._passed)
        return asked

    def _passed(self, result: Any) -> Any:
        self._passing -= 1
        return result

    async def passedOn(self, seconds: float) -> None:
        """Wait until rooms that have left have got what clients have sent them here, for so long at most."""
        until = self._waits.seconds() + seconds
        while self._passing and self._waits.seconds() < until:
            await self._waits.pause(SHORTEST)

    def askFrom(self, room: str, command: Command, seconds: float) -> Deferred[Any] | None:
        """
        Another node asks for a command within so many seconds; `None`: the room isn't here. The Deferred
        fails with `ElsewhereError` if the room leaves before it has carried out the command.
        """
        owned = self._ready(room)
        return None if owned is None else self._askHere(owned, command, seconds)

    def _askHere(self, owned: Owned, command: Command, seconds: float) -> Deferred[Any]:
        """Let a room of this node carry out a command, as for `askFrom`."""
        asked = owned.host.ask(command, seconds)
        if isinstance(command, CheckResume):
            asked.addErrback(self._refused)
        return asked.addErrback(_elsewhereIfMoved, owned)

    def _askNext(self, failure: Failure, room: str, command: Command, attempts: Attempts) -> Deferred[Any]:
        """Ask the next owner of a room that has left this node."""
        failure.trap(ElsewhereError)
        return Deferred.fromCoroutine(self._ask(room, command, attempts))

    def _refused(self, failure: Failure) -> Failure:
        """Replace a refusal by a room that may have another owner; see the module."""
        return failure if self._lease.isFresh else Failure(unanswered(False))

    async def _ask(self, room: str, command: Command, attempts: Attempts) -> Any:
        place: Place | None = None
        notAt = ""
        while not attempts.areOver:
            if not isinstance(place, AtNode):
                place = await self._findInTime(room, attempts, place)
            if place is None:
                break
            if place is Where.NOWHERE:
                raise RoomError(ErrorCode.NO_SUCH_ROOM, NO_SUCH_ID)
            owned = self._ready(room) if place is Where.HERE else None
            try:
                if owned is not None:
                    return await self._askHere(owned, command, attempts.left)
                if isinstance(place, AtNode):
                    return await self._peers.ask(place.node, room, command, attempts.left)
            except ElsewhereError:
                notAt = place.node if isinstance(place, AtNode) else ""
            await attempts.again()
            place = await self._locator.ask(room, notAt)
            if isinstance(place, Where):
                place = None
        raise unanswered(False)

    async def _findInTime(self, room: str, attempts: Attempts, place: Place | None) -> Place | None:
        """
        Return where a room is, or `None` if a takeover takes longer than the attempts. Whoever asks is told
        then that nothing has happened, so nothing may happen when the room opens.
        """
        found: list[Place] = []
        finding = Deferred.fromCoroutine(self._find(room, attempts, place)).addCallback(found.append)
        await self._waits.either(finding, max(0.0, attempts.left))
        return found[0] if found and not attempts.areOver else None
