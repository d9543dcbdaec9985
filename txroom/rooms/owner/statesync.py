"""
The state of a room, and how its clients are kept in step with it.

A *patch* has what has changed since the last one. It is made right after `onTick`, if the room ticks as often
as it is patched, and otherwise by a timer of its own; and when the room asks for it. Before it all
acknowledgements are sent that are due. So a client knows which of its frames are in a patch. When a client
joins, what has changed is committed, so that the client begins at a version. The others get it with the next
patch.

Each version that clients know is made of the owner's `Journal.generation` and the version of the tree. So the
versions of two owners are never taken for each other: if the room has another owner, a client gets all of the
state.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from twisted.internet.interfaces import IDelayedCall
from twisted.python.failure import Failure

from ...core.codes import CloseCode, ErrorCode
from ...protocol.errors import RoomError
from ...state import NativeEncoding, State, StateTree, View
from ...state.changes import Changes
from ...state.encoding import Encoding
from ...state.excerpts import Excerpt, excerptOf
from ...state.schema import SchemaEncoding
from .. import hooks
from ..contract.items import StateFull, StatePatch
from .broadcaster import Broadcaster
from .context import RoomContext
from .member import JOINED, Member
from .stateclients import StateClients
from .states import NOTHING, Shown, States

#: The generation of an owner is above so many bits of a version, and has at most so many itself, since
#: versions are exact in JavaScript.
VERSION_BITS, GENERATION_BITS = 32, 20
#: Each owner gives its objects other numbers, so that a client of Colyseus that comes back, and keeps what it
#: has, never takes one object for another: the first one from 1 on, and the others above what has been saved,
#: see `StateTree.load`; and if no number was saved, from so many bits on.
ID_BITS, ID_GENERATION_BITS = 20, 10


class StateSync(States):
    """
    Keeps the clients of one room in step with its state.

    Args:
        context: The objects that all parts use.
        broadcaster: Sends items to single members.
        stateClass: The class of the state.
    """

    __slots__ = (
        "_base", "_broadcaster", "_clients", "_context", "_due", "_dueAt", "_firstId", "_stateClass", "_tree",
        "flushAcks",
    )  # fmt: skip

    isDeclared = True

    def __init__(self, context: RoomContext, broadcaster: Broadcaster, stateClass: type[State]) -> None:
        self._context = context
        self._broadcaster = broadcaster
        self._stateClass = stateClass
        #: Sends the acknowledgements that are due; the host sets it.
        self.flushAcks: Callable[[], None]
        self._tree: StateTree | None = None
        self._base = 0
        self._firstId = 1
        self._clients: dict[str, StateClients] = {}
        self._due: IDelayedCall | None = None
        self._dueAt = 0.0

    # -- the state

    def begin(self, generation: int) -> None:
        """Make the state of a new room, before `onCreate`."""
        room = self._context.room
        self._base = generation % (1 << GENERATION_BITS) << VERSION_BITS
        self._firstId = max(1, max(generation - 1, 0) % (1 << ID_GENERATION_BITS) << ID_BITS)
        root = vars(room).get("state")
        if root is None:
            room.state = self._stateClass()
        else:
            self.use(root)

    def use(self, root: Any) -> None:
        """Use another object as the state; see `States.use`."""
        stateClass, name = self._stateClass, type(self._context.room).__name__
        if self._tree is not None and self._tree.root is root:
            return
        if type(root) is not stateClass:
            raise TypeError(f"{name}.state={root!r}: must be a {stateClass.__name__}, as declared")
        if self._context.life.isRunning:
            raise RuntimeError(f"{name}.state can't be replaced when the room is open: change its fields")
        self._follow(StateTree(root, self._failed, self._firstId))

    def _follow(self, tree: StateTree) -> None:
        self._tree = tree
        self._clients = {}

    def _failed(self, error: Exception) -> None:
        """Report a value that can't be encoded."""
        self._context.runner.report(Failure(error), hook="state")

    def view(self, member: Member) -> View:
        """Return the view of a member; see `Client.view`."""
        tree = self._tree
        if tree is None:
            raise RuntimeError("there is no state before onCreate")
        isNew = member.id not in tree.views
        if isNew and self._isHolding:
            self.patch()
        view = tree.view(member.id)
        if isNew:
            clients = self._clients.get(member.stateFormat)
            if clients is not None:
                clients.forget()
                self._broadcaster.say(member, clients.got(self._base + tree.version))
        return view

    def excerpt(self, size: int, withPrivate: bool) -> Excerpt:
        """Return as much of the state as has so many bytes."""
        return NOTHING if self._tree is None else excerptOf(self._tree.root, size, withPrivate)

    # -- patches

    def start(self) -> None:
        """Send patches from now on, because the room is about to open."""
        room = self._context.room
        if self._tree is not None and room.patchRate > 0 and room.patchRate != room.tickRate:
            self._dueAt = self._context.clock.seconds()
            self._wait()

    def _wait(self) -> None:
        clock, interval = self._context.clock, 1.0 / self._context.room.patchRate
        now = clock.seconds()
        self._dueAt = max(self._dueAt + interval, now)
        self._due = clock.callLater(self._dueAt - now, self._isDue)

    def _isDue(self) -> None:
        self._due = None
        self.tick()
        if self._context.life.isRunning and self._context.room.patchRate > 0:
            self._wait()

    def stop(self) -> None:
        """Send no more patches by time."""
        due, self._due = self._due, None
        if due is not None and due.active():
            due.cancel()

    def close(self) -> None:
        """Break the reference cycles with the rest of the owner; the state itself stays as it is."""
        self.stop()
        if self._tree is not None:
            self._tree.onError = _ignored
        self._tree = None
        self._clients = {}
        self.flushAcks = _nothing

    def tick(self) -> None:
        """Send a patch, unless records have waited long for their commit: patches would wait, too."""
        if not self._context.outbox.isStalled:
            self.patch()

    def ask(self) -> None:
        """See `Room.patch`."""
        self.patch()

    def patch(self) -> None:
        """Send a patch if something has changed. Never raises."""
        try:
            self._patch()
        except BaseException:
            self._context.runner.report(hooks.asException(Failure()), hook="patch")

    def _patch(self, isHeld: bool = False) -> None:
        """Commit what has changed, and send it; `isHeld`: with the next patch, if that is possible."""
        tree, context = self._tree, self._context
        if tree is None or not context.life.isSpeaking:
            return
        if not tree.isChanged and (isHeld or not self._isHolding):
            return
        if not isHeld or tree.views:  # with views nothing is held
            self.flushAcks()
        try:
            self._send(tree.commit(), isHeld)
        except BaseException:
            for clients in self._clients.values():
                context.outbox.emit(*clients.skip())
            raise

    def _send(self, changes: Changes | None, isHeld: bool) -> None:
        for clients in self._clients.values():
            if isHeld and (changes is None or clients.hold(changes)):
                continue
            for item, audience in clients.patches(changes):
                self._context.outbox.emit(item, audience)

    @property
    def _isHolding(self) -> bool:
        return any(clients.isHolding for clients in self._clients.values())

    # -- single clients

    def show(self, member: Member, format: str, known: int | None) -> Shown | None:
        """Return what a client is shown that joins or resumes; see `States.show`."""
        if self._tree is None or format not in _ENCODINGS:
            return None
        self._patch(isHeld=True)
        self._forgetViews(self._tree)
        clients = self._clientsOf(format, self._tree)
        item = self._limited(clients.missed(member, known))
        clients.shown(member)
        schema = clients.schema() if isinstance(item, StateFull) else b""
        return Shown(self._base + self._tree.version, schema, item)

    def kept(self, member: Member) -> Shown | None:
        """Return what a client is shown that keeps what it has of the state; see `States.kept`."""
        if self._tree is None or member.stateFormat not in _ENCODINGS:
            return None
        return Shown(self._base + self._tree.version, b"", None)

    def mark(self, format: str) -> str:
        """Return what tokens tell of the classes of the state; see `States.mark`."""
        if self._tree is None or format not in _ENCODINGS:
            return ""
        return self._clientsOf(format, self._tree).mark

    def want(self, member: Member, known: int | None, isReceived: bool) -> None:
        """Send a client what it has missed; see `WantState`."""
        if isReceived:
            if known is not None and known >= self._base:
                member.mayHaveFormerState = False
            return
        if self._tree is None or member.stateFormat not in _ENCODINGS or member.state is not JOINED:
            return
        try:
            self._patch()
            item = self._limited(self._clientsOf(member.stateFormat, self._tree).missed(member, known))
        except BaseException:
            self._context.runner.report(hooks.asException(Failure()), member, "state")
            self._context.outbox.end(member.audience, CloseCode.STATE_LOST)
        else:
            if item is not None:
                self._broadcaster.say(member, item)

    def _clientsOf(self, format: str, tree: StateTree) -> StateClients:
        clients = self._clients.get(format)
        if clients is None:
            context = self._context
            encoding = _ENCODINGS[format](tree, context.runner.tellsErrors)
            clients = StateClients(context.id, format, encoding, tree, self._base, context.roster)
            self._clients[format] = clients
        return clients

    def _limited(self, item: StatePatch | StateFull | None) -> StatePatch | StateFull | None:
        room = self._context.room
        if item is not None and 0 < room.maxState < len(item.data):
            size = len(item.data)
            raise ValueError(
                f"{type(room).__name__}.state has {size} bytes: must be at most maxState={room.maxState}"
            )
        return item

    def _forgetViews(self, tree: StateTree) -> None:
        """Forget the views of members that have left."""
        members = self._context.roster.members
        for key in [key for key in tree.views if key not in members]:
            tree.dropView(key)

    # -- saving

    def save(self) -> bytes:
        """Return the state as it is now, for a checkpoint; empty if there is none."""
        return b"" if self._tree is None else msgspec.msgpack.encode(self._tree.save())

    def restore(self, data: bytes) -> None:
        """Go on with the state of an earlier owner; see `States.restore`."""
        if not data:
            return
        try:
            saved = msgspec.msgpack.decode(data)
            tree = StateTree.load(self._stateClass, saved, self._failed, self._firstId)
        except Exception:
            self._context.runner.report(Failure(), hook="state")
            raise RoomError(ErrorCode.INTERNAL, "the state of the room can't be loaded") from None
        vars(self._context.room)["state"] = tree.root  # not by assignment, which would make another tree
        self._follow(tree)


def _nothing() -> None:
    """Do nothing, in place of a part of a room that has ended."""


def _ignored(error: Exception) -> None:
    """Ignore an error in the state of a room that has ended."""


def _native(tree: StateTree, tellsErrors: bool) -> Encoding:
    """Return the encoding for txroom's own clients. With `tellsErrors` they check the state by its hash."""
    return NativeEncoding(tree, hasHashes=tellsErrors)


def _schema(tree: StateTree, tellsErrors: bool) -> Encoding:
    """Return the encoding for Colyseus's clients, which know no hash of a state."""
    return SchemaEncoding(tree)


#: Makes the encoding of each format; see `Join.stateFormat`.
_ENCODINGS: Mapping[str, Callable[[StateTree, bool], Encoding]] = {"native": _native, "schema": _schema}
