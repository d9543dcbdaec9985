"""
The settings of rooms, in one table: the attributes of `RoomSettings`.

Each row is an attribute with its type, its default and its meaning. `Room` inherits the attributes, so that
type checkers and the reference show them as attributes of rooms. `SETTINGS` is made of them, and has the
allowed values of each. A class and the options of its registration are checked at `register`; a room is
checked whenever a setting is assigned to it, and once more when `onCreate` has finished.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, get_type_hints

from ...core.validation import isAmount, isCount, nearestName
from .history import History


class RoomSettings:
    """The settings of a room, and their defaults."""

    #: The maximum number of members and reserved seats together; 0: no limit.
    maxClients: int = 0
    #: Whether the room ends when it has been empty for `linger` seconds.
    autoDispose: bool = True
    #: How long an empty room waits for a new member before it ends, in seconds.
    linger: float = 1.0
    #: How long a new room waits for its first member (at least `linger`), and how long a reserved seat is
    #: kept, in seconds.
    seatSeconds: float = 15.0
    #: The messages that the room keeps for new members; `None`: it keeps none.
    history: History | None = None
    #: How long a client that has lost its connection may resume, in seconds; 0: it leaves at once.
    resumeSeconds: float = 30.0
    #: The maximum number of messages that are kept for clients that resume.
    recoveryLimit: int = 10_000
    #: The maximum size of the data of these messages together, in bytes. With their frames they take about
    #: three times as much memory, and 768 bytes for each message; the option `totalRecoverySize` of
    #: `RoomApplication` limits it for all rooms together. A client also receives the messages that are sent
    #: while its `onJoin` runs. For these the room keeps up to four times this size and this number; if there
    #: are more, the client is asked to join again.
    recoverySize: int = 1 << 20
    #: Whether the members receive the list of members, and its changes.
    presence: bool = False
    #: How long changes of presence are collected before they are sent together, in seconds; 0: each change is
    #: sent at once.
    presenceSeconds: float = 0.1
    #: The maximum number of members that a client is told of when it joins; 0: no limit. In a room with more
    #: members, it is told their number, and can fetch the others.
    presenceLimit: int = 500
    #: How long a hook or handler may take, in seconds. After this time it is cancelled.
    handlerTimeout: float = 10.0
    #: How many messages per second the room accepts from each member; 0: no limit. More messages are refused
    #: with `rateLimited`, and a member that exceeds the rate for ten seconds is removed.
    messageRate: float = 0.0
    #: How many messages the room accepts from a member at once; 0: twice `messageRate`.
    messageBurst: int = 0
    #: Whether messages may contain bytes. Clients that use the JSON sub-protocol cannot join such a room.
    binary: bool = False
    #: How many times per second `onTick` is called; 0: never.
    tickRate: float = 0.0
    #: How many times per second the members receive what has changed in the `state` of the room; 0: only when
    #: the room calls `patch`. If it is the same as `tickRate`, they receive it directly after each `onTick`.
    patchRate: float = 20.0
    #: The maximum size of the whole state that a client receives, in bytes when it is encoded; 0: no limit. A
    #: client that would receive more cannot join. It is sent whatever `maxBackpressure` is.
    maxState: int = 1 << 20
    #: The version of the data that `save` returns. `load` gets it with the data, so that a new class can tell
    #: what an earlier one has saved.
    saveVersion: int = 0
    #: After how many seconds at most the room is saved, if a hook, handler or timer was called; 0: only when
    #: the room calls `checkpoint`, and when it moves to another process in a planned way.
    saveSeconds: float = 5.0
    #: The maximum size of the data that `save` returns, and of the saved `state`, in bytes when they are
    #: encoded; 0: no limit. Saving more fails.
    maxSave: int = 1 << 20
    #: Whether the room is saved after each handler of a message, and after `onJoin`, `onDrop`, `onResume` and
    #: `onLeave`. See `Room.checkpoint`.
    exact: bool = False


class Kind(NamedTuple):
    """The allowed values of a setting, as a function and in words."""

    allows: Callable[[Any], bool]
    allowed: str


_KINDS: Mapping[Any, Kind] = {
    int: Kind(isCount, "a whole number, 0 or more"),
    float: Kind(isAmount, "a number, 0 or more"),
    bool: Kind(lambda value: isinstance(value, bool), "True or False"),
    History | None: Kind(lambda value: value is None or isinstance(value, History), "a History or None"),
}

#: The allowed values of each setting, by its name.
SETTINGS: Mapping[str, Kind] = {name: _KINDS[type] for name, type in get_type_hints(RoomSettings).items()}


def checkSetting(owner: str, name: str, value: Any) -> None:
    """
    Check the value of a setting.

    Args:
        owner: The name of the room class.
        name: The name of the setting, one of `SETTINGS`.
        value: The value.

    Raises:
        ValueError: The value is not allowed. The message names the class, the setting and the value.
    """
    kind = SETTINGS[name]
    if not kind.allows(value):
        raise ValueError(f"{owner}.{name}={value!r}: must be {kind.allowed}")


def checkSettings(owner: str, valueOf: Callable[[str], Any]) -> None:
    """Check all settings; `valueOf` returns the value of each. Raises `ValueError`."""
    for name in SETTINGS:
        checkSetting(owner, name, valueOf(name))


# -- misspelt settings

#: Settings by their names in other frameworks, such as Colyseus.
_ELSEWHERE = {
    "maxPlayers": "maxClients",
    "seatReservationTime": "seatSeconds",
    "maxMessagesPerSecond": "messageRate",
    "reconnectionTime": "resumeSeconds",
    "maxDisconnectionDuration": "resumeSeconds",
}

#: Keywords of `register` that are not settings.
_OF_REGISTER = ("maxRooms", "clientsMayCreate")


def settingMeant(name: str) -> str | None:
    """
    Return the setting that a misspelt name probably means.

    Returns:
        The name of the setting; `None` if there is no similar one, or the name is right.
    """
    if name in SETTINGS:
        return None
    return _ELSEWHERE.get(name) or nearestName(name, (*SETTINGS, *_OF_REGISTER))
