"""The journals of a node: claiming rooms, the end of a turn, and looking after stalls and retries."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, Protocol

from twisted.internet.defer import Deferred, DeferredList, gatherResults, maybeDeferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from ...core.codes import ErrorCode
from ...protocol.errors import RoomError
from ...rooms.contract.ports import RoomHost
from .answers import UNREACHABLE, Answer, answerOf
from .batches import Weight
from .ending import GRAVE_MILLISECONDS
from .holding import Holding
from .journal import RedisJournal
from .journalport import NodeJournal, Ownership
from .keys import Keys, RoomKeys
from .resp import Commands
from .scripts import Argument, Scripts
from .stored import VERSION, RoomForm

#: After how many seconds a command that Redis has refused for the moment is sent again.
RETRY_SECONDS = 0.2
#: How often stalls are looked for, in seconds.
LOOK_SECONDS = 1.0

#: Why a room can't be claimed.
NOT_CLAIMED = "another node has the room, or it has just ended; try again later"


class Client(Commands, Protocol):
    """The client of Redis."""

    @property
    def isUp(self) -> bool:
        """Whether commands are sent at once."""
        ...


class JournalsPort(Protocol):
    """What the journals use of the engine."""

    def scheduleFlush(self) -> None:
        """Call `Journals.flush` at the end of the turn."""

    def journalEnded(self, journal: RedisJournal, isOurs: bool) -> None:
        """The journal has ended: the room has ended, if `isOurs`, or is lost to this node."""

    def refused(self, error: Exception) -> None:
        """Redis refuses this node's user, or can't be used: the node has to stop."""


class Claim(NamedTuple):
    """Which room is claimed, and what the node knows of it."""

    room: str
    #: The application and name of a new room, and its age.
    application: str
    name: str
    age: int
    #: The token that the room has; empty: it is a new room.
    seen: str = ""
    #: Whether its owner has died, and didn't hand the room over.
    isDead: bool = False
    #: Whether a request with a key creates the room.
    isKeyed: bool = False


class Quarantined(RoomError):
    """
    The owners of the room have died too often in a short time, so that it has to wait.

    Args:
        seconds: For how long.
    """

    def __init__(self, seconds: float) -> None:
        super().__init__(ErrorCode.UNAVAILABLE, "the room is not available for some time")
        self.seconds = seconds


class Unreadable(RoomError):
    """
    The data of the room can't be read by this node.

    Args:
        why: The reason, for the log.
    """

    def __init__(self, why: str) -> None:
        super().__init__(ErrorCode.UNAVAILABLE, "the room is not available for some time")
        self.why = why


class Journals:
    """
    The journals of a node. It is their `JournalPort`.

    Args:
        clock: The reactor.
        client: Redis.
        scripts: The scripts.
        keys: The names of keys.
        node: The id of the node.
        port: The engine.
        isDurable: Whether Redis never loses what it has confirmed, so that epochs go on after its restart.
    """

    _log = Logger()

    def __init__(
        self,
        clock: IReactorTime,
        client: Client,
        scripts: Scripts,
        keys: Keys,
        node: str,
        port: JournalsPort,
        isDurable: bool = False,
    ) -> None:
        self.clock = clock
        self.scripts = scripts
        self.node = node
        #: The bytes of the batches of all journals.
        self.weight = Weight()
        #: The identity of the data in the Redis to which the node is connected; see `up`.
        self.run = ""
        self._holding = Holding()
        #: The journals of the rooms of this node, by the rooms' ids.
        self.journals: dict[str, RedisJournal] = {}
        self._client = client
        self._keys = keys
        self._port = port
        self.isDurable = isDurable
        self._dirty: list[NodeJournal] = []
        self._active: dict[NodeJournal, None] = {}
        self._retries: dict[NodeJournal, None] = {}
        #: The journals of which it isn't known whether their rooms are still this node's.
        self._doubted: dict[NodeJournal, None] = {}
        self._waiting: list[Deferred[None]] = []
        self._lookCall: IDelayedCall | None = None
        self._retryCall: IDelayedCall | None = None
        self._isLoading = self._isStopped = False
        #: Commands that give rooms back, until Redis has answered them.
        self._givenBack: list[tuple[Argument, ...]] = []

    # -- for the engine

    def claim(self, claim: Claim, owner: RoomHost) -> Deferred[RedisJournal]:
        """
        Become the owner of a room.

        Returns:
            A Deferred that fires with its journal. It fails with `RoomError`: `Quarantined`, `Unreadable`, or
            `unavailable` if there is another owner, or if Redis doesn't answer.
        """
        return Deferred.fromCoroutine(self._claim(claim, owner))

    def flush(self) -> None:
        """The turn is over: send what was written, one command for each room."""
        dirty, self._dirty = self._dirty, []
        for journal in dirty:
            self._safely(journal.flush)

    def renewed(self, redisNow: float, began: float) -> None:
        """
        The lease of the node has been renewed.

        Args:
            redisNow: Redis's clock, in seconds.
            began: When the renewal was asked for.
        """
        self._holding.renewed(redisNow, began, self.clock.seconds())

    def up(self, run: str, leases: Sequence[int], isRestarted: bool) -> None:
        """
        The client is connected, and the scripts are loaded.

        Args:
            run: The identity of the data in this Redis.
            leases: The reply of the script `restarted`: the lease of this node and the newest of all, as they
                were when the former Redis was stopped, and Redis's clock.
            isRestarted: Whether this Redis was started after the former connection.
        """
        self._holding.connected(leases, self.clock.seconds(), isRestarted)
        self.run = run
        givenBack, self._givenBack = self._givenBack, []
        for command in givenBack:
            self._giveBack(command)
        self.verify()

    def verify(self) -> Deferred[None]:
        """
        Find out which rooms are still this node's: its lease had lapsed, or Redis was started again.

        Returns:
            A Deferred that fires when that is known of all rooms.
        """
        self._retries.clear()
        for journal in [*self.journals.values(), *self._active]:
            if isinstance(journal, RedisJournal) and not journal.isOver:
                self._doubted[journal] = None
        for journal in dict.fromkeys([*self._doubted, *self._active]):
            self._safely(journal.verify)
        done: Deferred[None] = Deferred()
        self._waiting.append(done)
        self._settle()
        return done

    def doubt(self, room: str) -> None:
        """Find out whether a room is still this node's: another node says that it has it."""
        journal = self.journals.get(room)
        if journal is not None:
            journal.verify()

    def handOver(self, room: str, node: str, token: str) -> Deferred[None]:
        """Hand over a room to a node; see `RedisJournal.handOver`."""
        journal = self.journals.get(room)
        return succeed(None) if journal is None else journal.handOver(node, token)

    def handOverAll(self) -> Deferred[None]:
        """Hand over all rooms to any nodes."""
        over: Deferred[Any] = DeferredList(
            [maybeDeferred(journal.handOver) for journal in list(self.journals.values())], consumeErrors=True
        )
        return over.addCallback(lambda _: None)

    def stop(self) -> None:
        """Do nothing more."""
        self._isStopped = True
        for call in (self._lookCall, self._retryCall):
            if call is not None and call.active():
                call.cancel()
        self._active.clear()
        self._retries.clear()

    # -- for journals

    @property
    def heldSince(self) -> float:
        """Since when the node's lease has not lapsed, by `clock`; infinite if it has."""
        return self._holding.since(self.clock.seconds())

    @property
    def shift(self) -> float:
        """Redis's clock minus `clock`, in seconds."""
        return self._holding.shift

    @property
    def isUp(self) -> bool:
        """Whether the node is connected to Redis."""
        return self._client.isUp

    def send(self, reply: Callable[[Any], object], *args: Argument) -> None:
        """Send a command."""
        self._client.send(reply, *args)

    def dirty(self, journal: NodeJournal) -> None:
        """Flush the journal at the end of the turn."""
        if not self._dirty:
            self._port.scheduleFlush()
        self._dirty.append(journal)

    def active(self, journal: NodeJournal) -> None:
        """Look after the journal every second as long as it has something to look after."""
        if self._isStopped:
            return
        self._active[journal] = None
        if self._lookCall is None:
            self._lookCall = self.clock.callLater(LOOK_SECONDS, self._look)

    def retry(self, journal: NodeJournal) -> None:
        """Verify the journal after a moment; if the client isn't connected, `up` does it."""
        if self._isStopped:
            return
        self._retries[journal] = None
        if self._retryCall is None:
            self._retryCall = self.clock.callLater(RETRY_SECONDS, self._retry)

    def verified(self, journal: NodeJournal) -> None:
        """It is known whether the room of the journal is still this node's."""
        if self._doubted.pop(journal, self) is None:
            self._settle()

    def _settle(self) -> None:
        if not self._doubted:
            waiting, self._waiting = self._waiting, []
            for done in waiting:
                done.callback(None)

    def reload(self) -> None:
        """Load the scripts again."""
        if self._isLoading:
            return
        self._isLoading = True

        def loaded(result: Any) -> None:
            self._isLoading = False

        self.scripts.load(self._client).addBoth(loaded)

    def shed(self) -> None:
        """Forget the confirmed batches of all rooms, because memory is short."""
        for journal in self.journals.values():
            journal.shed()

    def ended(self, journal: NodeJournal, isOurs: bool) -> None:
        """A journal has ended."""
        if self.journals.get(journal.room) is journal:
            del self.journals[journal.room]
        self._retries.pop(journal, None)
        if not isOurs:
            self._active.pop(journal, None)
        assert isinstance(journal, RedisJournal)
        self._port.journalEnded(journal, isOurs)
        self.verified(journal)

    def refused(self, error: Exception) -> None:
        """Redis refuses this node."""
        self._port.refused(error)

    # -- inside

    def _safely(self, call: Callable[[], Any]) -> Any:
        """Call a method of a journal; an error of one room must not cost others anything."""
        try:
            return call()
        except Exception:
            self._log.failure("a journal has failed")
            return None

    def _look(self) -> None:
        self._lookCall = None
        active, self._active = self._active, {}
        for journal in active:
            if self._safely(journal.look):
                self.active(journal)

    def _retry(self) -> None:
        self._retryCall = None
        if self.isUp:
            retries, self._retries = self._retries, {}
            for journal in retries:
                self._safely(journal.verify)

    async def _claim(self, claim: Claim, owner: RoomHost) -> RedisJournal:
        keys = self._keys.room(claim.room)
        token = secrets.token_urlsafe(16)
        try:
            own = await self._owned(claim, keys, token)
            records, loaded, form = await self._load(claim, keys, own)
        except RoomError:
            raise
        except Exception as error:
            if not isinstance(error, ValueError):
                self._log.warn("room {room} can't be claimed: {error}", room=claim.room, error=error)
            give = self.scripts.command("handover", keys[:1], (token, secrets.token_urlsafe(16), ""))
            if not claim.seen:  # nobody else knows of it
                give = self.scripts.command("release", keys, (token, GRAVE_MILLISECONDS))
            self._giveBack(give)
            if isinstance(error, ValueError):
                raise Unreadable(str(error)) from None
            raise RoomError(ErrorCode.UNAVAILABLE, UNREACHABLE) from None
        journal = RedisJournal(self, claim.room, keys, owner, own, records, loaded, form)
        former = self.journals.get(claim.room)
        self.journals[claim.room] = journal
        if former is not None:  # of this node too, without knowing that it has lost the room
            former.replaced()
        return journal

    async def _owned(self, claim: Claim, keys: RoomKeys, token: str) -> Ownership:
        """Become the owner in Redis."""
        args: tuple[Argument, ...] = (
            claim.seen,
            token,
            self.node,
            secrets.token_urlsafe(9),
            self.run,
            int(self.isDurable),
            int(claim.isDead),
            claim.application,
            claim.name,
            claim.age,
            VERSION,
            int(claim.isKeyed),
        )
        if not self.isUp:  # later it might be another Redis than that with this `run`
            raise RoomError(ErrorCode.UNAVAILABLE, UNREACHABLE)
        command = self.scripts.command("claim", (keys.fields, keys.grave), args)
        try:
            reply = await self._client.ask(*command)
        except Exception as error:
            if answerOf(error) is Answer.LOAD:
                self.reload()
            elif answerOf(error) is Answer.STOP:
                self._port.refused(error)
            raise
        if reply[0] == -1:
            raise Quarantined(reply[1] / 1000)
        if reply[0] == -2:
            raise Unreadable(f"its data has version {reply[1]}, and this node writes version {VERSION}")
        if reply[0] == 0:
            raise RoomError(ErrorCode.UNAVAILABLE, NOT_CLAIMED)
        return Ownership(
            claim.application, claim.name, claim.age, claim.seen, token, reply[1], reply[2].decode()
        )

    def _giveBack(self, command: tuple[Argument, ...]) -> None:
        """The node may own a room that it can't run: hand it over, so that any node may have it."""

        def answered(reply: Any) -> None:
            if isinstance(reply, Exception) and answerOf(reply) in (Answer.LOST, Answer.AGAIN):
                self._givenBack.append(command)

        self._client.send(answered, *command)

    async def _load(self, claim: Claim, keys: RoomKeys, own: Ownership) -> Any:
        """Read the room; nobody else can write to it now."""
        form = RoomForm()
        asked = [self._client.ask("HGETALL", keys.fields), self._client.ask("XRANGE", keys.log, "-", "+")]
        fields, entries = await gatherResults(asked, consumeErrors=True)
        now = self.clock.seconds() + self.shift
        if fields.get(b"tok") != own.token.encode():
            raise RoomError(ErrorCode.UNAVAILABLE, NOT_CLAIMED)
        loaded = form.load(fields, entries, self.shift, now)
        return int(fields.get(b"seq", b"")), loaded, form
