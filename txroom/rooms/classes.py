"""
What may be registered as a room: mistakes that are noticed there, and not by the first client.
"""

from __future__ import annotations

from collections.abc import Mapping
from inspect import iscoroutinefunction

from ..checks import warnOfMisspelt
from .messages import Handler
from .room import Room

#: Hooks whose answer is needed at once.
_AT_ONCE = ("snapshot", "userId", "onRoomError")

#: Hooks that nobody names a method of his own like.
_HOOKS = frozenset({"canJoin", *(name for name in vars(Room) if name.startswith("on"))})


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


def warnOfHooks(roomClass: type[Room], handlers: Mapping[str, Handler]) -> None:
    """Warn of methods that are neither hooks nor `handlers`, but look like it."""
    own = {handler.function for handler in handlers.values()}

    def isSet(hook: str) -> bool:
        return getattr(roomClass, hook) is not getattr(Room, hook)

    warnOfMisspelt(roomClass, Room, _HOOKS, isSet, own)
