"""
Saving: what a room saves of its own fields, so that its next owner can load them.

Only a class that has the hooks `save` and `load`, or declares a state, is saved, and only if the journal is
kept. A checkpoint is a record in the journal, so it is committed together with everything else that the room
writes in the same turn. It is taken

- when a new room is opened, so that each room has one;
- when a message handler that has called `Room.checkpoint` ends, or any message handler if the room is
  `exact`, before the message is recorded as handled;
- after `onJoin`, `onDrop`, `onResume` and `onLeave`, if the room is `exact`;
- at once, if other code calls `Room.checkpoint`;
- `saveSeconds` after something was called in the room;
- before the room is handed over, when nothing in it is running any more.

If `save` fails, the previous checkpoint stays. Before a reload stops anything, it checks whether the room can
be saved. If the room can't, the reload is given up.
"""

from __future__ import annotations

from collections.abc import Callable
from contextvars import ContextVar, Token
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from ...core.awaitables import isAsync
from ...core.codes import ErrorCode
from ...protocol import payload
from ...protocol.errors import RoomError
from ...protocol.payload import NIL
from .. import hooks
from ..api.roomhooks import isSaved
from ..contract.records import Checkpoint
from .context import RoomContext
from .member import Member
from .states import States

#: The member whose message is handled. Coroutines that a handler starts keep it.
_handledMember: ContextVar[Member | None] = ContextVar("handledMember", default=None)


class Saving:
    """Takes the checkpoints of one room."""

    __slots__ = ("_context", "_due", "_hasHooks", "_running", "_states", "canSave", "last")

    def __init__(self, context: RoomContext, states: States) -> None:
        self._context = context
        self._states = states
        #: Whether the class of the room has the hooks for it.
        self._hasHooks = isSaved(type(context.room))
        #: Whether there is something to save.
        self.canSave = self._hasHooks or states.isDeclared
        #: The newest checkpoint.
        self.last: Checkpoint | None = None
        #: The members whose handlers are running, and whether these have called `checkpoint`.
        self._running: dict[Member, bool] = {}
        self._due: IDelayedCall | None = None
        if self.canSave:
            context.runner.onCall = self.touch

    # -- the beginning and the end of the room

    async def load(self, onCreate: Callable[[], Deferred[Any]]) -> None:
        """
        Call `Room.load` with the checkpoint of an earlier owner, or `onCreate` if there is none or the class
        has no such hook.

        The saved state is there before `load`. After `onCreate` it takes the place of the one that this made.

        Raises:
            RoomError: `load` has raised an exception, which is reported, or the state can't be loaded.
            Exception: `onCreate` has failed.
        """
        if self.last is None or not self._hasHooks:
            await onCreate()
            if self.last is not None:
                self._states.restore(self.last.state)
            return
        self._states.restore(self.last.state)
        runner, room = self._context.runner, self._context.room
        try:
            await runner.call(room.load, payload.decode(self.last.data), self.last.version)
        except Exception:
            runner.report(Failure(), hook="load")
            raise RoomError(ErrorCode.INTERNAL, "the room can't be loaded") from None

    def begin(self) -> None:
        """The room is about to open: take its first checkpoint. Raises `RoomError` if that fails."""
        if self.last is None and not self._try():
            raise RoomError(ErrorCode.INTERNAL, "the room can't be saved")

    def stop(self) -> None:
        """Take no more checkpoints by time."""
        due, self._due = self._due, None
        if due is not None and due.active():
            due.cancel()

    # -- by time

    def touch(self) -> None:
        """Take a checkpoint in `saveSeconds`, since something was called that may have changed the room."""
        context = self._context
        if self._due is None and self._isKept and context.life.isOpen and context.room.saveSeconds > 0:
            self._due = context.clock.callLater(context.room.saveSeconds, self._dueNow)

    def _dueNow(self) -> None:
        self._due = None
        self._try()

    # -- for handlers and hooks

    def handling(self, member: Member) -> Token[Member | None]:
        """A handler of a message begins. Returns the token for `handlerLeft`."""
        self._running[member] = False
        return _handledMember.set(member)

    def handlerLeft(self, token: Token[Member | None]) -> None:
        """The handler has returned, or waits for something."""
        _handledMember.reset(token)

    def handled(self, member: Member, result: Any) -> Any:
        """
        A handler has ended: take a checkpoint if it wants one.

        Returns:
            The result of the handler, or the error `internal` if the room could not be saved.
        """
        if self._running.pop(member, False) or self._context.room.exact:
            return result if self._try(member) else RoomError(ErrorCode.INTERNAL)
        self.touch()
        return result

    def hookEnded(self, member: Member) -> None:
        """A hook about a member has ended."""
        if self.canSave and self._context.room.exact:
            self._try(member)

    def moving(self) -> bool:
        """The room is about to be handed over: take a checkpoint, and return whether that has succeeded."""
        return self._try()

    def tellLoss(self) -> None:
        """Log, while debugging is on, which fields the next owner of the room will not have."""
        room, runner = self._context.room, self._context.runner
        if self._hasHooks or not runner.tellsErrors:
            return
        kept = {*room.SETTINGS, *(["state"] if self.canSave else [])}
        fields = [name for name in vars(room) if name[0] != "_" and name not in kept]
        if fields:
            runner.warn(f"has no save() and load(), so these fields are not kept: {', '.join(fields)}")

    def checkpoint(self) -> None:
        """See `Room.checkpoint`."""
        if not self.canSave:
            name = type(self._context.room).__name__
            raise TypeError(f"{name}.checkpoint(): the class must have the hooks save and load, or a state")
        member = _handledMember.get()
        if member in self._running:
            self._running[member] = True
        else:
            self._take()

    # -- taking a checkpoint

    @property
    def _isKept(self) -> bool:
        return self.canSave and self._context.outbox.isRecording

    def _try(self, member: Member | None = None) -> bool:
        """Take a checkpoint, and return whether that has succeeded. An error is reported."""
        try:
            self._take()
        except BaseException:
            self._context.runner.report(hooks.asException(Failure()), member, "save")
            self.touch()
            return False
        return True

    def _take(self) -> None:
        if not self._isKept:
            return
        checkpoint = self.now()
        self.stop()
        if checkpoint != self.last:
            self.last = checkpoint
            self._context.outbox.record(checkpoint)

    def now(self) -> Checkpoint:
        """Return a checkpoint of the room as it is now. Raises what `save` raises."""
        room = self._context.room
        data = NIL
        if self._hasHooks:
            saved = room.save()
            if isAsync(saved):
                raise TypeError(f"{type(room).__name__}.save() can't be async: its data is needed at once")
            data = payload.encode(saved, True, "save()")
        state = self._states.save()
        for what, size in (("save() returned", len(data)), ("the state has", len(state))):
            if 0 < room.maxSave < size:
                raise ValueError(f"{what} {size} bytes: must be at most maxSave={room.maxSave}")
        return Checkpoint(room.saveVersion, data, state)
