"""
Validation of room classes, so that mistakes are found when a class is registered and not by the first client.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from inspect import getattr_static, iscoroutinefunction, isfunction, signature

from ...core.validation import definedBelow, misspeltHooks, warnOfCall, warnOfClass
from ...protocol.limits import MAX_NAME
from .handlers import Handler
from .room import Room
from .roomhooks import RoomHooks, isSaved
from .settings import SETTINGS, settingMeant
from .signatures import canBeCalled

#: Hooks that cannot be asynchronous, since their result is needed at once.
_SYNCHRONOUS = ("snapshot", "userId", "onRoomError", "save")

#: All hooks, with the names of their parameters.
_HOOK_PARAMETERS = {
    hook: tuple(signature(function).parameters)[1:]
    for hook, function in sorted(vars(RoomHooks).items())
    if isfunction(function)
}

#: Hooks whose names are only used for hooks.
_HOOKS = frozenset(name for name in _HOOK_PARAMETERS if name.startswith("on") or name == "canJoin")

#: Hooks by the names of similar ones in other frameworks (Colyseus, Socket.IO, ws).
_HOOKS_ELSEWHERE = {
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


#: Methods of registrations, which are often given as options.
_OF_REGISTRATIONS = ("filterBy", "sortBy", "on")


def checkRegistered(name: object, roomClass: object) -> None:
    """
    Check the arguments of `register`.

    Raises:
        TypeError: The name is not a string, the class is not a room class, or a hook cannot be called with
            its arguments.
        ValueError: The name cannot be part of a path.
    """
    if not isinstance(name, str):
        raise TypeError(
            f"name={name!r}: must be a string; the class comes second: register('chat', ChatRoom)"
        )
    if not name or "/" in name or len(name) > MAX_NAME:
        raise ValueError(f"name={name!r}: must be 1 to {MAX_NAME} characters, without '/'")
    if isinstance(roomClass, Room):
        kind = type(roomClass).__name__
        raise TypeError(f"a room of class {kind}: register the class itself, {kind}; rooms are made of it")
    if not (isinstance(roomClass, type) and issubclass(roomClass, Room)):
        raise TypeError(f"{roomClass!r} is not a subclass of Room")
    for hook in _SYNCHRONOUS:
        if iscoroutinefunction(getattr(roomClass, hook)):
            raise TypeError(f"{roomClass.__name__}.{hook} can't be async: its answer is needed at once")
    if isSaved(roomClass) is (roomClass.load is RoomHooks.load):
        raise TypeError(f"{roomClass.__name__}: must have both save() and load(), or neither of them")
    for hook, names in _HOOK_PARAMETERS.items():
        if not _takes(roomClass, hook, names):
            wanted = ", ".join(("self", *names))
            raise TypeError(
                f"{roomClass.__name__}.{hook} can't be called as it will be: def {hook}({wanted})"
            )


#: The methods and properties of rooms that are not hooks.
_RESERVED = frozenset(
    name for name in vars(Room) if not name.startswith("_") and name not in {*SETTINGS, *_HOOK_PARAMETERS}
) - {"SETTINGS"}
_PROPERTIES = frozenset(name for name in _RESERVED if isinstance(vars(Room)[name], property))


def checkNames(roomClass: type[Room], handlers: Mapping[str, Handler]) -> None:
    """Raise `TypeError` for a handler or attribute that hides a method or property of `Room`."""
    messages = {handler.function: message for message, handler in handlers.items()}
    for owner, name, value in definedBelow(roomClass, Room):
        message = messages.get(value) if isfunction(value) else None
        if message is not None and (name in _RESERVED or name in _HOOK_PARAMETERS or name in SETTINGS):
            better = f"on{message[:1].upper()}{message[1:]}" if message.isidentifier() else "another"
            raise TypeError(
                f"{owner}.{name} hides Room.{name}, which rooms have already: "
                f"@message({message!r}) may be a method of any name, such as {better}"
            )
        if name in _HOOK_PARAMETERS and not _isMethod(value):
            raise TypeError(
                f"{owner}.{name}={value!r} hides Room.{name}, which is a hook: def {name}(self, ...)"
            )
        if name in _PROPERTIES and (isfunction(value) or not hasattr(type(value), "__get__")):
            raise TypeError(f"{owner}.{name} hides Room.{name}, which rooms have; choose another name")
        if name in _RESERVED and not _isMethod(value):
            raise TypeError(f"{owner}.{name}={value!r} hides Room.{name}(), which rooms have already")


def _isMethod(value: object) -> bool:
    return callable(value) or hasattr(type(value), "__get__")


def _takes(roomClass: type[Room], hook: str, names: tuple[str, ...]) -> bool:
    """Return whether a hook can be called with these arguments; `True` if that is not known."""
    isMethod = isfunction(getattr_static(roomClass, hook))
    return canBeCalled(getattr(roomClass, hook), (*("self",) * isMethod, *names))


def warnOfMistakes(roomClass: type[Room], handlers: Mapping[str, Handler]) -> None:
    """Warn of methods and attributes that look like hooks or settings, but are not."""
    own = {handler.function for handler in handlers.values()}

    def isSet(hook: str) -> bool:
        return getattr(roomClass, hook) is not getattr(Room, hook)

    said = misspeltHooks(roomClass, Room, _HOOKS, isSet, own)
    for owner, name, value in definedBelow(roomClass, Room):
        if name in _HOOKS_ELSEWHERE and value not in own and not any(map(isSet, _HOOKS_ELSEWHERE[name])):
            said.append(f"{owner}.{name} is never called: the hook is {' or '.join(_HOOKS_ELSEWHERE[name])}")
        elif not (callable(value) or name.startswith("_")):
            setting = settingMeant(name)
            if setting is not None:
                said.append(f"{owner}.{name} is never read: the setting is {setting}")
    warnOfClass(roomClass, said)


def warnOfOptions(name: str, options: Iterable[str]) -> None:
    """Warn of options of a registration that look like settings. Only `onCreate` receives such options."""
    for option in options:
        setting = settingMeant(option)
        if setting is not None:
            warnOfCall(f"register({name!r}, {option}=...) is an option of your own: the setting is {setting}")
        elif option in _OF_REGISTRATIONS:
            warnOfCall(
                f"register({name!r}, {option}=...) is an option of your own: register(...).{option}(...)"
            )
