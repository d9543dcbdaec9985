"""
The state machine of one room's life.

Each state with the events that may happen in it, and the next state:

=========  ======  =========  =============================================================================
state      event   next       what the host does
=========  ======  =========  =============================================================================
CREATING   OPENED  OPEN       publishes the room; clients may join, timers and ticks run
CREATING   LOST    LOST       as in OPEN; creation fails when `onCreate` is over
OPEN       CLOSED  DISPOSING  stops the timers; all members leave
OPEN       LOST    LOST       sends nothing more; detaches the members, which another owner has
OPEN       MOVES   MOVING     handles no new frames and lets nobody join; what is running may end
MOVING     CLOSED  DISPOSING  as in OPEN
MOVING     CUT     CUT        cancels what is still running, and stops the timers; the journal is handed over
MOVING     LOST    LOST       as in OPEN
CUT        LOST    LOST       as in OPEN
DISPOSING  LOST    LOST       as in OPEN
DISPOSING  EMPTY   ENDING     calls `onDispose`, waits for the journal, and releases it
LOST       EMPTY   ENDING     calls `onDispose`; the journal belongs to another owner
any above  FAILED  ENDING     sends nothing more; calls `onDispose` if `onCreate` had succeeded
ENDING     ENDED   DISPOSED   breaks reference cycles, and fires the Deferreds of `dispose`
=========  ======  =========  =============================================================================

Any other event is an error of the host. A room that is asked to close while it is CREATING closes as soon as
it is OPEN; in the later states it is closing already.
"""

from __future__ import annotations

from enum import Enum, auto

from ...core.codes import ErrorCode
from ...protocol.errors import RoomError
from ..contract.asks import unanswered


class Stage(Enum):
    """The states of a room."""

    #: `onCreate` runs. No client can join; messages are logged.
    CREATING = auto()
    OPEN = auto()
    #: The room is about to get its next owner. Handlers and joins that are running may end.
    MOVING = auto()
    #: What was still running has been cancelled, and nothing more is handled or logged.
    CUT = auto()
    #: All members leave, and `onLeave` runs for them.
    DISPOSING = auto()
    #: Another owner has the room; `onLeave` and handlers that are running here finish.
    LOST = auto()
    #: `onDispose` runs.
    ENDING = auto()
    #: The room has ended; users may still hold the `Room`.
    DISPOSED = auto()


class Event(Enum):
    """The events in a room's life."""

    #: `onCreate` has succeeded, and the settings are valid.
    OPENED = auto()
    #: The room can't be created.
    FAILED = auto()
    #: The room is to be handed over to its next owner.
    MOVES = auto()
    #: What was running has ended, or takes too long.
    CUT = auto()
    #: The room is asked to end.
    CLOSED = auto()
    #: The journal reports that the room has another owner or is handed over to the next one, or that its
    #: records are lost or can't be written.
    LOST = auto()
    #: The last member has left, and its `onLeave` is over.
    EMPTY = auto()
    #: `onDispose` is over, and the journal is released.
    ENDED = auto()


TRANSITIONS: dict[tuple[Stage, Event], Stage] = {
    (Stage.CREATING, Event.OPENED): Stage.OPEN,
    (Stage.CREATING, Event.LOST): Stage.LOST,
    (Stage.CREATING, Event.FAILED): Stage.ENDING,
    (Stage.OPEN, Event.CLOSED): Stage.DISPOSING,
    (Stage.OPEN, Event.LOST): Stage.LOST,
    (Stage.OPEN, Event.MOVES): Stage.MOVING,
    (Stage.OPEN, Event.FAILED): Stage.ENDING,
    (Stage.MOVING, Event.CLOSED): Stage.DISPOSING,
    (Stage.MOVING, Event.CUT): Stage.CUT,
    (Stage.MOVING, Event.LOST): Stage.LOST,
    (Stage.CUT, Event.LOST): Stage.LOST,
    (Stage.DISPOSING, Event.LOST): Stage.LOST,
    (Stage.DISPOSING, Event.EMPTY): Stage.ENDING,
    (Stage.DISPOSING, Event.FAILED): Stage.ENDING,
    (Stage.LOST, Event.EMPTY): Stage.ENDING,
    (Stage.LOST, Event.FAILED): Stage.ENDING,
    (Stage.ENDING, Event.ENDED): Stage.DISPOSED,
}

_SPEAKING = frozenset({Stage.CREATING, Stage.OPEN, Stage.MOVING, Stage.DISPOSING})
_RUNNING = frozenset({Stage.OPEN, Stage.MOVING, Stage.CUT})
_LISTED = _RUNNING | {Stage.DISPOSING}
_MOVING = frozenset({Stage.MOVING, Stage.CUT})
_GOING_ON = _MOVING | {Stage.LOST}


class RoomLife:
    """The state of one room; see the module. Only the host and `moving` change it; all parts read it."""

    __slots__ = (
        "goesOn",
        "isListed",
        "isLost",
        "isOpen",
        "isReleased",
        "isRunning",
        "isSpeaking",
        "isTaking",
        "stage",
    )

    def __init__(self) -> None:
        #: Whether another owner has the room, or its records are lost.
        self.isLost = False
        #: Whether the room goes on without this owner: it is lost, or is left to the next owner.
        self.goesOn = False
        #: Whether the room has ended, and its records are deleted, so that no later owner can have it.
        self.isReleased = False
        self._enter(Stage.CREATING)

    def _enter(self, stage: Stage) -> None:
        self.stage = stage
        if stage is Stage.LOST:
            self.isLost = True
        if stage in _GOING_ON:
            self.goesOn = True
        elif stage is Stage.DISPOSING:
            self.goesOn = False
        #: Whether clients may join and resume.
        self.isOpen = stage is Stage.OPEN
        #: Whether it has begun, and neither ends nor is lost.
        self.isRunning = stage in _RUNNING
        #: Whether messages of clients are taken. From MOVING on, clients keep them for the next owner.
        self.isTaking = stage not in _MOVING
        #: Whether messages are logged and sent.
        self.isSpeaking = stage in _SPEAKING
        #: Whether it is listed in matchmaking.
        self.isListed = stage in _LISTED

    @property
    def isOver(self) -> bool:
        """Whether the room has ended, and its parts are gone."""
        return self.stage is Stage.DISPOSED

    @property
    def closedCode(self) -> ErrorCode:
        """The error for requests while the room isn't open: to try again, or that there is no such room."""
        return ErrorCode.UNAVAILABLE if self.goesOn else ErrorCode.NO_SUCH_ROOM

    def may(self, event: Event) -> bool:
        """Return whether an event may happen now."""
        return (self.stage, event) in TRANSITIONS

    def follows(self, event: Event) -> bool:
        """Enter the state that follows an event, if it may happen now. Returns whether it may."""
        may = self.may(event)
        if may:
            self.follow(event)
        return may

    def follow(self, event: Event) -> None:
        """Enter the state that follows an event. Raises `RuntimeError` if the event may not happen now."""
        stage = TRANSITIONS.get((self.stage, event))
        if stage is None:
            raise RuntimeError(f"{event.name} can't happen to a room that is {self.stage.name}")
        self._enter(stage)


def closedError(life: RoomLife) -> RoomError:
    """Return the error for a command while the room isn't open."""
    return unanswered(False) if life.goesOn else RoomError(life.closedCode)
