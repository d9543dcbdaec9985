"""
The journal of a room in Redis.

**Batches.** The records of one turn are one batch, one command, which names the number of records before and
after it. So it can be sent again without harm, and a batch is never written after a gap. The batches of all
rooms are sent without waiting for replies.

**Fencing.** Redis takes a batch only with the token of the room's owner. Whatever a node believes, another
owner makes its records void, and it sends nothing that depends on them.

**Healing.** A Redis that is started again may have lost what it confirmed last. Batches that were confirmed
a short time ago are kept, and if Redis turns out not to have them, they are written again; if it doesn't
even know that the room has this owner, that is written again first. If it has lost more, the room is founded
again with the state of its owner and a new epoch. All that needs a lease of the node that has never lapsed:
then no other node can have become the owner. Otherwise the room's state is lost (4104), or the room has
another owner (4101).

**Stalls.** If a batch isn't confirmed for too long, or too many bytes are not, the owner gives up the room
(4103). The room stays in Redis for the next one.
"""

from __future__ import annotations

import secrets
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.logger import Logger

from ...core.codes import CloseCode
from ...rooms.contract.ports import RoomHost
from ...rooms.contract.records import Loaded, Record
from .answers import Answer, answerOf, holeOf
from .arguments import sizeOf, toAppend, toFound
from .batches import Batch, Batches
from .ending import Ending
from .journalport import JournalPort, Ownership
from .keys import RoomKeys
from .reclaiming import reclaim
from .scripts import Argument
from .stored import Changes, RoomForm
from .trimming import Trimming


class RedisJournal:
    """
    The journal of one room; see `txroom.rooms.contract.ports.Journal`.

    Args:
        port: The node.
        room: The room's id.
        keys: The room's keys.
        owner: The room's owner.
        own: What the node got when it claimed the room.
        records: The number of records of earlier owners, of which `loaded` is left.
        form: Translates records; it has read `loaded`.
    """

    __slots__ = (
        "_attempt", "_batch", "_batches", "_claimedAt", "_committed", "_ending", "_first", "_form",
        "_formers", "_hole", "_isCut", "_isFounding", "_isVerified", "_keys", "_offset", "_own", "_port",
        "_run", "_seq", "_token", "_trimming", "epoch", "generation", "isOver", "loaded", "owner", "room",
    )  # fmt: skip

    isKept = True
    _log = Logger()

    def __init__(
        self,
        port: JournalPort,
        room: str,
        keys: RoomKeys,
        owner: RoomHost,
        own: Ownership,
        records: int,
        loaded: Loaded,
        form: RoomForm,
    ) -> None:
        self.room = room
        #: Its owner, until it is over; then there is none.
        self.owner = owner
        self.loaded = loaded
        self.epoch = own.epoch
        self.generation = own.generation
        #: Whether the owner is done with it.
        self.isOver = False
        self._port = port
        self._keys = keys
        self._own = own
        self._form = form
        self._token = own.token
        #: The tokens that the room may have in an older copy of Redis's data.
        self._formers = [own.seen] if own.seen else []
        self._claimedAt = port.clock.seconds()
        #: The number of records: of earlier owners, when all batches have arrived, and of confirmed ones.
        self._first = self._seq = self._committed = records
        self._offset = loaded.offset
        self._batch: list[Record] = []
        self._batches = Batches(port.weight)
        #: Counts how often the unconfirmed batches were sent. Errors of earlier attempts mean nothing.
        self._attempt = 0
        #: Whether the unconfirmed batches have to be sent again, and new ones wait for that.
        self._isCut = False
        #: Whether this Redis is known to have the confirmed batches.
        self._isVerified = True
        self._isFounding = False
        #: How many records Redis had when it was healed last.
        self._hole = -1
        self._trimming = Trimming()
        #: The Redis that was asked last.
        self._run = port.run
        self._ending: Ending | None = None

    # -- for the owner

    def write(self, record: Record) -> None:
        """Commit `record` after all earlier ones. Called for every message."""
        if self.isOver or self._ending is not None:
            return
        if self._isFounding:
            self._seq += 1  # it is a part of what the room is founded with
            return
        if not self._batch:
            self._port.dirty(self)
        self._batch.append(record)

    def forget(self, offset: int) -> None:
        """The entries up to this offset aren't needed any more; they are deleted later."""
        if not self.isOver:
            self._trimming.forget(offset, self._port.clock.seconds())
            self._port.active(self)

    def release(self) -> Deferred[bool]:
        """Delete the room; see `Journal.release`. `False` also if that takes too long."""
        if self.isOver or self._ending is not None:
            return succeed(False)
        ending = self._end("release", self._keys, (self._token, *self._form.grave), isOurs=True)
        self.isOver = True
        self._batches.clear()
        self._port.ended(self, True)
        del self.owner
        ending.ask()
        return ending.done

    def handOver(self, node: str = "", token: str = "") -> Deferred[Any]:
        """
        Give the room to a node, or to the next one that asks for it, after all records have been committed.
        `token` is the one that the room gets; by default it is random.

        The Deferred fires when that is done, or takes too long; the owner has got `lost` with 4101 then.
        """
        self.flush()
        if self.isOver or self._ending is not None:
            return succeed(None)
        args = (self._token, token or secrets.token_urlsafe(16), node)
        ending = self._end("handover", self._keys[:1], args, isOurs=False)
        if self._batches.areConfirmed:
            ending.ask()
        return ending.done

    # -- for the node

    def flush(self) -> None:
        """The turn is over: send what was written, as one command."""
        if self.isOver or not self._batch:
            return
        records, self._batch = self._batch, []
        before, self._seq = self._seq, self._seq + len(records)
        changes = Changes(self._port.shift)
        now = self._port.clock.seconds() + self._port.shift
        try:
            for record in records:
                self._form.add(changes, record, now)
            if changes.entries:
                self._offset = changes.entries[-1][1]
            batch = self._appended(before, self._seq, changes)
        except Exception:
            self._unstorable(CloseCode.ENGINE_UNAVAILABLE)
            return
        self._dispatch(batch)

    def _unstorable(self, code: CloseCode) -> None:
        """The state of the room can't be written any more, so what depends on it must not be sent."""
        self._log.failure("room {room} can't be stored", room=self.room)
        self._over(code)

    def look(self) -> bool:
        """Look after old batches, and return whether to look again in a second."""
        now = self._port.clock.seconds()
        ending = self._ending
        if ending is not None and ending.isStalled(now):
            self._concluded(False)
        if self.isOver:
            return self._ending is not None
        if self._batches.isStalled(now):
            self._log.error("room {room}: Redis confirms nothing", room=self.room)
            self._over(CloseCode.ENGINE_UNAVAILABLE)
        elif not self._isTooMuch(now):
            self._trim(now)
            if self._trimming.isDue(now) and ending is None and not self._batch:
                self._dispatch(self._appended(self._seq, self._seq, Changes(0.0)))
        isWaiting = bool(self._batches or self._ending) or self._trimming.isWaiting
        return isWaiting and not self.isOver

    def verify(self) -> None:
        """
        Find out whether the room is still this node's, and send again what isn't confirmed.

        The node calls this when it is connected again, and when its lease had lapsed.
        """
        ending = self._ending
        if ending is not None and ending.isOurs:
            ending.ask()
        if self.isOver:
            return
        port = self._port
        if port.run != self._run and not (port.isDurable or self._isSole):
            # This Redis may have lost that another node was the owner meanwhile.
            self._over(CloseCode.ROOM_MOVED)
            return
        self._run = port.run
        if self._isCut:
            self._resend()
        self._isVerified = False
        args = (self._token, self._seq, port.run)
        command = port.scripts.command("check", self._keys[:1], args)
        port.send(partial(self._checked, self._attempt), *command)
        if ending is not None and self._batches.areConfirmed:
            ending.ask()

    def replaced(self) -> None:
        """This node has another owner of the room now."""
        self._over(CloseCode.ROOM_MOVED)

    def shed(self) -> None:
        """Forget the confirmed batches, because memory is short."""
        self._batches.shed()

    # -- batches

    def _appended(self, before: int, after: int, changes: Changes) -> Batch:
        """Make the command for a batch."""
        least = self._trimming.least()
        args = toAppend(self._token, before, after, least, self._offset, changes)
        return self._made("append", self._keys[:2], before, after, args)

    def _made(
        self, script: str, keys: tuple[bytes, ...], before: int, after: int, args: list[Argument]
    ) -> Batch:
        command = self._port.scripts.command(script, keys, args)
        return Batch(before, after, command, sizeOf(args), self._port.clock.seconds())

    def _dispatch(self, batch: Batch) -> None:
        """Send a batch after the earlier ones."""
        if not self._batches.areConfirmed and self._isTooMuch(batch.at):
            return
        self._batches.add(batch)
        self._port.active(self)
        if not self._isCut:
            self._port.send(partial(self._answered, self._attempt, batch.after), *batch.command)

    def _resend(self) -> None:
        """Send all unconfirmed batches again."""
        self._isCut = False
        self._attempt += 1
        for batch in self._batches.unconfirmed:
            self._port.send(partial(self._answered, self._attempt, batch.after), *batch.command)

    def _isTooMuch(self, now: float) -> bool:
        """Give up the room if too many bytes wait, and return whether that is so."""
        port, batches = self._port, self._batches
        if batches.areTooMuch(now, port.isUp) and port.weight.isTooMuch:
            port.shed()
        if not batches.areTooMuch(now, port.isUp):
            return False
        self._log.error("room {room}: too many bytes wait for Redis", room=self.room)
        self._over(CloseCode.ENGINE_UNAVAILABLE)
        return True

    def _trim(self, now: float) -> None:
        self._batches.trim(now, self._isVerified and self._port.isUp)

    def _answered(self, attempt: int, after: int, reply: Any) -> None:
        """Redis's reply to a batch. Called for every turn of a room."""
        if self.isOver:
            return
        if type(reply) is not int:
            self._failed(attempt, reply)
            return
        now = self._port.clock.seconds()
        self._batches.confirm(after, now)
        self._trim(now)
        if after > self._committed:
            self._hole = -1
            self._committed = after
            self.owner.committed(after - self._first)
        if self._ending is not None and self._batches.areConfirmed:
            self._ending.ask()

    def _checked(self, attempt: int, reply: Any) -> None:
        """Redis's reply to `verify`."""
        if self.isOver:
            return
        if type(reply) is not int:
            self._failed(attempt, reply)
        elif attempt == self._attempt and not self._isCut:
            self._isVerified = True
            self._hole = -1
            self._port.verified(self)

    def _failed(self, attempt: int, error: Any) -> None:
        """Redis's error for a batch, or for `verify`."""
        answer = answerOf(error) if isinstance(error, Exception) else Answer.FAILED
        if answer is Answer.LOST:
            self._isVerified = False
        if attempt != self._attempt or self._isCut:
            return  # everything is sent again already, or soon
        if answer in (Answer.LOST, Answer.AGAIN, Answer.LOAD):
            self._again(answer)
        elif answer is Answer.FENCED:
            self._fenced()
        elif answer is Answer.HOLE:
            self._heal(holeOf(error))
        elif answer is Answer.NO_ROOM:
            self._foundAgain()
        elif answer is Answer.STOP:
            self._isCut = True
            self._port.refused(error)
        else:
            self._log.error("room {room}: Redis's reply is {reply!r}", room=self.room, reply=error)
            self._over(CloseCode.ENGINE_UNAVAILABLE)

    def _again(self, answer: Answer) -> None:
        """Send everything again a little later."""
        self._isCut = True
        if answer is Answer.LOAD:
            self._port.reload()
        self._port.retry(self)

    # -- a Redis that has lost something

    @property
    def _isSole(self) -> bool:
        """Whether no other node can have become the owner, however much Redis has lost."""
        return self._port.heldSince <= self._claimedAt

    def _heal(self, have: int) -> None:
        """Redis has only `have` records: write again what it lacks, if it is still known."""
        if have == self._hole or not self._batches.heal(have, self._port.clock.seconds()):
            self._foundAgain()
            return
        self._port.verified(self)
        self._hole = have
        self._log.warn("room {room}: Redis has lost records; they are written again", room=self.room)
        self._isCut = True
        self.verify()

    def _fenced(self) -> None:
        """The room has another token: another owner's or, in an older copy of the data, an older one."""
        if self._isSole and self._formers and self._ending is None:
            self._isCut = True
            reclaim(self._port, self._keys, self._formers, self._token, self.epoch, self._reclaimed)
        else:
            self._over(CloseCode.ROOM_MOVED)

    def _reclaimed(self, isOurs: bool | None, records: int) -> None:
        if self.isOver:
            return
        if isOurs is None:
            self._attempt += 1
            self._again(Answer.AGAIN)
        elif not isOurs:
            self._over(CloseCode.ROOM_MOVED)
        elif self._token == self._own.token and records <= self._first:
            self.verify()
        else:  # the state in Redis is of an earlier epoch, or an earlier owner has gone on
            self._foundAgain()

    def _foundAgain(self) -> None:
        """Redis has lost the room, or too much of it: found it again with the state of the owner."""
        port, own, former = self._port, self._own, self._token
        if not self._isSole:
            self._log.error("room {room}: Redis has lost its state", room=self.room)
            self._over(CloseCode.STATE_LOST)
            return
        self._log.warn("room {room}: Redis has lost it; it is founded again", room=self.room)
        self._token = secrets.token_urlsafe(16)
        self._formers.append(former)
        self.epoch = secrets.token_urlsafe(9)
        now = port.clock.seconds() + port.shift
        try:
            loaded = self._everything()
            changes = self._form.everything(loaded, port.shift, now)
        except Exception:
            self._unstorable(CloseCode.STATE_LOST)
            return
        if self.isOver:
            return
        self._offset = loaded.offset
        self._trimming.reset()
        tokens = (former, self._token)
        args = toFound(own, tokens, port.node, self.epoch, port.run, self._seq, self._offset, now, changes)
        self._isCut, self._isVerified = False, True
        self._attempt += 1
        port.verified(self)
        self._dispatch(self._made("found", self._keys, -1, self._seq, args))

    def _everything(self) -> Loaded:
        """Let the owner begin a new epoch, and return its state, which contains all records."""
        self._batches.clear()
        self._seq += len(self._batch)
        self._batch = []
        self._isFounding = True
        try:
            self.owner.refounded(self.epoch)
            return self.owner.everything()
        finally:
            self._isFounding = False

    # -- its end

    def _end(self, script: str, keys: tuple[bytes, ...], args: tuple[Argument, ...], isOurs: bool) -> Ending:
        """Write nothing more, and end the room by a script, once all batches are confirmed."""
        port = self._port
        command = port.scripts.command(script, keys, args)
        self._ending = Ending(port, command, isOurs, lambda: port.retry(self), self._concluded)
        port.active(self)
        return self._ending

    def _concluded(self, isDone: bool) -> None:
        """The room has been released or handed over, or (not `isDone`) that is refused or takes too long."""
        ending, self._ending = self._ending, None
        self._over(CloseCode.ROOM_MOVED, "handed over")
        if ending is not None:
            ending.done.callback(isDone)

    def _over(self, code: CloseCode, reason: str = "") -> None:
        """The room is lost to this node."""
        if self.isOver:
            return
        self.isOver = True
        self._batch = []
        self._batches.clear()
        self._port.ended(self, False)
        owner = self.owner
        del self.owner
        owner.lost(code, reason)
        if self._ending is not None:
            self._concluded(False)
