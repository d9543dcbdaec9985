"""
The class of a room's state, from the annotation `state` of the room's class.
"""

from __future__ import annotations

import sys
import typing
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

from ...state import State


def stateClassOf(roomClass: type, base: type) -> type[State] | None:
    """
    Return the class of the state that a class of rooms declares: ``state: Game``.

    Args:
        roomClass: The class of the rooms.
        base: `Room`, where the annotations end that count.

    Returns:
        The class; `None` if there is no annotation of `state`.

    Raises:
        TypeError: The annotation is no `State` class, or the class of the rooms has an instance of one.
    """
    for cls in roomClass.__mro__:
        if cls is base:
            return None
        value = vars(cls).get(ANNOTATED)
        if isinstance(value, State):
            raise TypeError(f"{cls.__name__}.state: all rooms would share it; {howToDeclare(value)}")
        annotations = vars(cls).get("__annotations__", {})
        if ANNOTATED not in annotations:
            continue
        found = vars(cls).get(RESOLVED)
        if found is None:
            module = sys.modules.get(cls.__module__)
            found = resolved(cls, {} if module is None else vars(module), {})
        if isinstance(found, type) and issubclass(found, State):
            return found
        raise TypeError(
            f"{cls.__name__}.state: {annotations[ANNOTATED]!r}: must be a State class, see txroom.state"
        )
    return None


def howToDeclare(state: State) -> str:
    """Say how a class of rooms declares a state that it has used without."""
    return f"declare it in the class of the room: `state: {type(state).__name__}`"


#: The annotation, and the attribute of a class that has it resolved.
ANNOTATED, RESOLVED = "state", "_stateClass"


def resolved(cls: type, globals: Mapping[str, Any], locals: Mapping[str, Any]) -> Any:
    """
    Return the annotation `state` of a class, which may be a string; `None` if there is none, or if it has
    names that can't be found.
    """
    annotation = vars(cls).get("__annotations__", {}).get(ANNOTATED)
    if not isinstance(annotation, str):
        return annotation
    holder: Any = SimpleNamespace(__annotations__={ANNOTATED: annotation})
    try:
        return typing.get_type_hints(holder, dict(globals), dict(locals))[ANNOTATED]
    except (NameError, TypeError, AttributeError, SyntaxError):
        return None
