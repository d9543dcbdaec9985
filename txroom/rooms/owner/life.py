"""
The life of one room, as a machine.

Each state, what may happen in it, and the state that follows:

=========  ======  =========  =============================================================================
state      event   next       what the host does
=========  ======  =========  =============================================================================
CREATING   OPENED  OPEN       publishes the room; clients may join, timers and ticks run
CREATING   LOST    LOST       as in OPEN; it fails when `onCreate` is over
OPEN       CLOSED  DISPOSING  stops the timers; all members leave
OPEN       LOST    LOST       lets nothing leave any more; detaches the members, whom another owner has
DISPOSING  LOST    LOST       as in OPEN
DISPOSING  EMPTY   ENDING     calls `onDispose`, waits for the journal, and releases it
LOST       EMPTY   ENDING     calls `onDispose`; the journal is somebody else's
any above  FAILED  ENDING     lets nothing leave any more; calls `onDispose` if `onCreate` had succeeded
ENDING     ENDED   DISPOSED   cuts what refers in a circle, and tells those who wait for the end
=========  ======  =========  =============================================================================

Anything else is an error of the host. A room that is asked to close while it is CREATING is closed as soon as
it is OPEN; one that is asked to later is closing already.
"""

from __future__ import annotations

from enum import Enum, auto


class Stage(Enum):
    """Where a room is in its life."""

    #: `onCreate` runs. Nobody can join; what is said is logged.
    CREATING = auto()
    OPEN = auto()
    #: All leave, and `onLeave` runs for them.
    DISPOSING = auto()
    #: Another owner has the room; `onLeave` and handlers that run here come to their end.
    LOST = auto()
    #: `onDispose` runs.
    ENDING = auto()
    #: It is over; nothing of it is left, but for those who have the `Room` still.
    DISPOSED = auto()


class Event(Enum):
    """What can happen to a room."""

    #: `onCreate` has succeeded, and the settings are right.
    OPENED = auto()
    #: The room can't be made.
    FAILED = auto()
    #: The room is to end.
    CLOSED = auto()
    #: The journal says that the room has another owner, or that its state is lost.
    LOST = auto()
    #: The last member has left, `onLeave` and all.
    EMPTY = auto()
    #: `onDispose` is over, and the journal is released.
    ENDED = auto()


TRANSITIONS: dict[tuple[Stage, Event], Stage] = {
    (Stage.CREATING, Event.OPENED): Stage.OPEN,
    (Stage.CREATING, Event.LOST): Stage.LOST,
    (Stage.CREATING, Event.FAILED): Stage.ENDING,
    (Stage.OPEN, Event.CLOSED): Stage.DISPOSING,
    (Stage.OPEN, Event.LOST): Stage.LOST,
    (Stage.OPEN, Event.FAILED): Stage.ENDING,
    (Stage.DISPOSING, Event.LOST): Stage.LOST,
    (Stage.DISPOSING, Event.EMPTY): Stage.ENDING,
    (Stage.DISPOSING, Event.FAILED): Stage.ENDING,
    (Stage.LOST, Event.EMPTY): Stage.ENDING,
    (Stage.LOST, Event.FAILED): Stage.ENDING,
    (Stage.ENDING, Event.ENDED): Stage.DISPOSED,
}

_SPEAKING = frozenset({Stage.CREATING, Stage.OPEN, Stage.DISPOSING})
_LISTED = frozenset({Stage.OPEN, Stage.DISPOSING})


class RoomLife:
    """The state of one room; see the module. Only its host moves it on, and all its parts look at it."""

    __slots__ = ("isListed", "isOpen", "isSpeaking", "stage")

    def __init__(self) -> None:
        self._enter(Stage.CREATING)

    def _enter(self, stage: Stage) -> None:
        self.stage = stage
        #: Whether clients may join and resume.
        self.isOpen = stage is Stage.OPEN
        #: Whether what is said is logged and leaves.
        self.isSpeaking = stage in _SPEAKING
        #: Whether matchmaking knows of it.
        self.isListed = stage in _LISTED

    def may(self, event: Event) -> bool:
        """Whether an event can happen now."""
        return (self.stage, event) in TRANSITIONS

    def follow(self, event: Event) -> None:
        """Something has happened. Raises `RuntimeError` for what can't happen now."""
        stage = TRANSITIONS.get((self.stage, event))
        if stage is None:
            raise RuntimeError(f"{event.name} can't happen to a room that is {self.stage.name}")
        self._enter(stage)
