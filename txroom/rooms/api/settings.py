"""
The settings of rooms, in one table: the attributes of `RoomSettings`.

A row of it is an attribute with its type, its default and what it is for. `Room` inherits them, so that
type checkers and the reference see them as attributes of rooms; and `SETTINGS`, which is made of them, says
for each what it may be. It holds wherever a setting comes from: a class and the options of its registration
are checked at `register`, a room whenever one is assigned to it, and once more when `onCreate` is over.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple, get_type_hints

from ...core.validation import isAmount, isCount, nearestName
from .history import History


class RoomSettings:
    """The settings of a room, and their defaults."""

    #: Most members and reserved seats together; 0: any number.
    maxClients: int = 0
    #: Whether the room ends when the last member has left and nobody came for `linger` seconds.
    autoDispose: bool = True
    #: Seconds that an empty room waits for somebody before it ends.
    linger: float = 1.0
    #: Seconds that a room waits for its first member, and that a reserved seat is kept.
    seatSeconds: float = 15.0
    #: What newcomers are shown; `None`: nothing.
    history: History | None = None
    #: Seconds in which a client that has lost its connection may resume; 0: it leaves at once.
    resumeSeconds: float = 30.0
    #: Messages that are kept at most for those who resume.
    recoveryLimit: int = 10_000
    #: Bytes that the data of those messages may have together; with their frames they take about three times
    #: as much memory, which `totalRecoverySize` counts. While `onJoin` runs for somebody, who is to get all
    #: that is said meanwhile, four times as much may be kept; then that client is told to try again.
    recoverySize: int = 1 << 20
    #: Whether the members are told of one another.
    presence: bool = False
    #: Seconds for which changes of presence are collected, and then told together; 0: each is told at once.
    presenceSeconds: float = 0.1
    #: The most members that a client is shown when it joins; it is told how many there are, and asks for the
    #: others. 0: any number.
    presenceLimit: int = 500
    #: Seconds that a hook or a handler may take.
    handlerTimeout: float = 10.0
    #: Messages a second taken from one member; over it they are refused (`rateLimited`), and for longer
    #: than ten seconds it costs the membership. 0: any number.
    messageRate: float = 0.0
    #: Messages taken from one member at once; 0: twice the rate.
    messageBurst: int = 0
    #: Whether messages may have bytes in them; clients that speak JSON can't join such a room.
    binary: bool = False
    #: Calls of `onTick` a second; 0: none.
    tickRate: float = 0.0


class Kind(NamedTuple):
    """What the settings of a type may be, as a test and in words."""

    allows: Callable[[Any], bool]
    allowed: str


_KINDS: Mapping[Any, Kind] = {
    int: Kind(isCount, "a whole number, 0 or more"),
    float: Kind(isAmount, "a number, 0 or more"),
    bool: Kind(lambda value: isinstance(value, bool), "True or False"),
    History | None: Kind(lambda value: value is None or isinstance(value, History), "a History or None"),
}

#: What each setting may be, by its name.
SETTINGS: Mapping[str, Kind] = {name: _KINDS[type] for name, type in get_type_hints(RoomSettings).items()}


def checkSetting(owner: str, name: str, value: Any) -> None:
    """
    Check what a setting is to be.

    Args:
        owner: The name of the class of rooms.
        name: One of `SETTINGS`.
        value: What it is to be.

    Raises:
        ValueError: It can't be so; the text names all three.
    """
    kind = SETTINGS[name]
    if not kind.allows(value):
        raise ValueError(f"{owner}.{name}={value!r}: must be {kind.allowed}")


def checkSettings(owner: str, valueOf: Callable[[str], Any]) -> None:
    """Check all of them; `valueOf` says what each is. Raises `ValueError`."""
    for name in SETTINGS:
        checkSetting(owner, name, valueOf(name))


# -- names that are almost those of settings

#: What other frameworks, such as Colyseus, call them.
_ELSEWHERE = {
    "maxPlayers": "maxClients",
    "seatReservationTime": "seatSeconds",
    "maxMessagesPerSecond": "messageRate",
    "reconnectionTime": "resumeSeconds",
    "maxDisconnectionDuration": "resumeSeconds",
}

#: What is said at `register` besides settings.
_OF_REGISTER = ("maxRooms", "clientsMayCreate")


def settingMeant(name: str) -> str | None:
    """The setting that a name is almost that of; `None` if there is none, or it is a setting itself."""
    if name in SETTINGS:
        return None
    return _ELSEWHERE.get(name) or nearestName(name, (*SETTINGS, *_OF_REGISTER))
