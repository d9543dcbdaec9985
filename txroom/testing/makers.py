"""
The argument `serves` of a harness: functions that make a server are called, and mistakes are explained.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from .. import Application, Room, Server


def calledWithClock(makeServer: Callable[..., Any], name: str, clock: Any) -> Any:
    """Call `makeServer` with the clock as its only argument, by position or by name."""
    try:
        signature = inspect.signature(makeServer)
    except (TypeError, ValueError):  # a callable without a signature
        return makeServer(clock)
    for args, keywords in (((clock,), {}), ((), {"clock": clock})):
        try:
            signature.bind(*args, **keywords)
        except TypeError:
            continue
        return makeServer(*args, **keywords)
    raise TypeError(
        f"{name}{signature} must take the clock of the harness, and no other argument: "
        f"def {name}(clock): return Server(clock=clock)"
    )


def refuseMistakes(served: Any) -> None:
    """Raise an error that explains what to pass instead, for values that are nearly right."""
    kind = served if isinstance(served, type) else type(served)
    if issubclass(kind, Room):
        raise TypeError(f"pass a room class with a name: RoomHarness({{'chat': {kind.__name__}}})")
    if issubclass(kind, Application) and kind is served:
        raise TypeError(f"pass an application, not its class: RoomHarness({kind.__name__}())")
    if issubclass(kind, Server) and (kind is not served or kind is Server):
        raise TypeError(
            "pass a function that makes the server: RoomHarness(lambda clock: Server(clock=clock))"
        )
