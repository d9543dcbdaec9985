"""
What may be registered as a room: mistakes that are noticed there, and not by the first client.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import getattr_static, iscoroutinefunction, isfunction, signature

from ..checks import warnOfMisspelt
from .messages import Handler
from .room import Room

#: Hooks whose answer is needed at once.
_AT_ONCE = ("snapshot", "userId", "onRoomError")

#: Hooks that nobody names a method of his own like.
_HOOKS = frozenset({"canJoin", *(name for name in vars(Room) if name.startswith("on"))})

#: All that a room is asked or told, with the names of what it is called with.
_CALLED_WITH = {
    hook: tuple(signature(getattr(Room, hook)).parameters)[1:] for hook in sorted({*_HOOKS, *_AT_ONCE})
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


def _takes(roomClass: type[Room], hook: str, names: tuple[str, ...]) -> bool:
    """Whether a hook can be called with so many arguments; `True` if that can't be known."""
    isMethod = isfunction(getattr_static(roomClass, hook))
    try:
        taken = signature(getattr(roomClass, hook))
    except (TypeError, ValueError):
        return True
    try:
        taken.bind(*("self",) * isMethod, *names)
    except TypeError:
        return False
    return True


def warnOfHooks(roomClass: type[Room], handlers: Mapping[str, Handler]) -> None:
    """Warn of methods that are neither hooks nor `handlers`, but look like it."""
    own = {handler.function for handler in handlers.values()}

    def isSet(hook: str) -> bool:
        return getattr(roomClass, hook) is not getattr(Room, hook)

    warnOfMisspelt(roomClass, Room, _HOOKS, isSet, own)
