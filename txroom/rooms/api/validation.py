"""
What may be registered as a room: mistakes that are noticed there, and not by the first client.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from inspect import getattr_static, iscoroutinefunction, isfunction, signature
from typing import Any

from ...core.validation import definedBelow, meantName, misspeltHooks, warnOfCall, warnOfClass
from ..contract.listing import Order
from .handlers import Handler
from .room import Room
from .settings import settingMeant

#: Hooks whose answer is needed at once.
_AT_ONCE = ("snapshot", "userId", "onRoomError")

#: Hooks that nobody names a method of his own like.
_HOOKS = frozenset({"canJoin", *(name for name in vars(Room) if name.startswith("on"))})

#: All that a room is asked or told, with the names of what it is called with.
_CALLED_WITH = {
    hook: tuple(signature(getattr(Room, hook)).parameters)[1:] for hook in sorted({*_HOOKS, *_AT_ONCE})
}

#: What other frameworks (Colyseus, Socket.IO, ws) call what are hooks and settings here.
_ELSEWHERE = {
    "onInit": ("onCreate",),
    "requestJoin": ("canJoin",),
    "onAuthenticate": ("onAuth",),
    "onConnect": ("onJoin",),
    "onConnection": ("onJoin",),
    "onDisconnect": ("onDrop", "onLeave"),
    "onDisconnecting": ("onDrop", "onLeave"),
    "onLeft": ("onLeave",),
    "onClose": ("onLeave", "onDispose"),
    "onReconnect": ("onResume",),
    "onUpdate": ("onTick",),
    "onUncaughtException": ("onRoomError",),
    "onError": ("onRoomError",),
}


def checkRegistered(name: object, roomClass: object) -> None:
    """Raise `TypeError` or `ValueError` for what is no name or no class of rooms."""
    if not isinstance(name, str):
        raise TypeError(f"name={name!r}: must be a text; the class comes second: register('chat', ChatRoom)")
    if not name or "/" in name or len(name) > 128:
        raise ValueError(f"name={name!r}: must be 1 to 128 characters, without '/'")
    if isinstance(roomClass, Room):
        kind = type(roomClass).__name__
        raise TypeError(f"a room of class {kind}: register the class itself, {kind}; rooms are made of it")
    if not (isinstance(roomClass, type) and issubclass(roomClass, Room)):
        raise TypeError(f"{roomClass!r} is not a subclass of Room")
    for hook in _AT_ONCE:
        if iscoroutinefunction(getattr(roomClass, hook)):
            raise TypeError(f"{roomClass.__name__}.{hook} can't be async: its answer is needed at once")
    for hook, names in _CALLED_WITH.items():
        if not _takes(roomClass, hook, names):
            wanted = ", ".join(("self", *names))
            raise TypeError(
                f"{roomClass.__name__}.{hook} can't be called as it will be: def {hook}({wanted})"
            )


#: What rooms have of their own, but for hooks: methods and properties.
_OWN = frozenset(
    name for name in vars(Room) if not name.startswith("_") and name not in {*Room.SETTINGS, *_CALLED_WITH}
) - {"SETTINGS"}
_PROPERTIES = frozenset(name for name in _OWN if isinstance(vars(Room)[name], property))


def checkNames(roomClass: type[Room], handlers: Mapping[str, Handler]) -> None:
    """Raise `TypeError` for a handler or an attribute in the place of what all rooms have."""
    kinds = {handler.function: kind for kind, handler in handlers.items()}
    for owner, name, value in definedBelow(roomClass, Room):
        kind = kinds.get(value) if isfunction(value) else None
        if kind is not None and (name in _OWN or name in _CALLED_WITH or name in Room.SETTINGS):
            better = f"on{kind[:1].upper()}{kind[1:]}" if kind.isidentifier() else "another"
            raise TypeError(
                f"{owner}.{name} hides Room.{name}, which rooms have already: "
                f"@message({kind!r}) may be a method of any name, such as {better}"
            )
        if name in _CALLED_WITH and not _isMethod(value):
            raise TypeError(
                f"{owner}.{name}={value!r} hides Room.{name}, which is a hook: def {name}(self, ...)"
            )
        if name in _PROPERTIES and (isfunction(value) or not hasattr(type(value), "__get__")):
            raise TypeError(f"{owner}.{name} hides Room.{name}, which rooms have already; call it otherwise")
        if name in _OWN and not _isMethod(value):
            raise TypeError(f"{owner}.{name}={value!r} hides Room.{name}(), which rooms have already")


def _isMethod(value: object) -> bool:
    return callable(value) or hasattr(type(value), "__get__")


def _takes(roomClass: type[Room], hook: str, names: tuple[str, ...]) -> bool:
    """Whether a hook can be called with so many arguments; `True` if that can't be known."""
    isMethod = isfunction(getattr_static(roomClass, hook))
    return canBeCalled(getattr(roomClass, hook), (*("self",) * isMethod, *names))


def canBeCalled(function: Callable[..., Any], names: Iterable[str]) -> bool:
    """Whether a function can be called with so many arguments; `True` if that can't be known."""
    try:
        taken = signature(function)
    except (TypeError, ValueError):
        return True
    try:
        taken.bind(*names)
    except TypeError:
        return False
    return True


def warnOfMistakes(roomClass: type[Room], handlers: Mapping[str, Handler]) -> None:
    """Warn of methods and attributes that are never used, but look like hooks and settings."""
    own = {handler.function for handler in handlers.values()}

    def isSet(hook: str) -> bool:
        return getattr(roomClass, hook) is not getattr(Room, hook)

    said = misspeltHooks(roomClass, Room, _HOOKS, isSet, own)
    for owner, name, value in definedBelow(roomClass, Room):
        if name in _ELSEWHERE and value not in own and not any(map(isSet, _ELSEWHERE[name])):
            said.append(f"{owner}.{name} is never called: the hook is {' or '.join(_ELSEWHERE[name])}")
        elif not (callable(value) or name.startswith("_")):
            setting = settingMeant(name)
            if setting is not None:
                said.append(f"{owner}.{name} is never read: the setting is {setting}")
    warnOfClass(roomClass, said)


def warnOfOptions(name: str, options: Iterable[str]) -> None:
    """Warn of options of a registration that look like settings: they are but told to `onCreate`."""
    for option in options:
        setting = settingMeant(option)
        if setting is not None:
            warnOfCall(f"register({name!r}, {option}=...) is an option of your own: the setting is {setting}")
        elif option in _METHODS:
            warnOfCall(
                f"register({name!r}, {option}=...) is an option of your own: register(...).{option}(...)"
            )


#: What is said of a registration after it.
_METHODS = ("filterBy", "sortBy", "on")


#: What every room can be sorted by.
_SORTABLE = ("clients", "maxClients", "age")


def warnOfFields(order: Order) -> None:
    """Warn of fields to sort by that are almost those of every room: no metadata has them, perhaps."""
    for field, direction in order:
        meant = None if field in _SORTABLE else meantName(field, _SORTABLE)
        if meant is not None:
            warnOfCall(f"sortBy({field}={direction}) is a field of the metadata: every room has {meant}")
