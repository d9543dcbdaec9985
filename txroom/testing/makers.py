"""
The argument `serves` of a harness: a server is made for it, and mistakes are explained.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet.interfaces import IProtocolFactory

from .. import Application, Room, Server, ServerOptions
from .network import MemoryReactor


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


def serverOf(serves: Any, clock: MemoryReactor, options: dict[str, Any]) -> Server:
    """Return the server of a harness; see `RoomHarness` for the arguments."""
    refuseMistakes(serves)
    if callable(serves):
        if options:
            raise TypeError(
                f"options ({', '.join(options)}) can't be combined with a function that makes the server:"
                " pass them to the Server there"
            )
        return _madeBy(serves, clock)
    server = Server(ServerOptions(**options), clock=clock)
    if isinstance(serves, Mapping):
        for name, served in serves.items():
            if isinstance(served, type) and issubclass(served, Room):
                server.register(name, served)
            else:
                refuseMistakes(served)
                _serve(server, served, name)
    elif serves is not None:
        _serve(server, serves, None)
    return server


def _madeBy(makeServer: Callable[[MemoryReactor], Any], clock: Any) -> Server:
    name = getattr(makeServer, "__name__", repr(makeServer))
    made = calledWithClock(makeServer, name, clock)
    if not isinstance(made, Server):
        raise TypeError(f"{name} must return a Server, not {made!r}")
    if made.clock is not clock:
        raise TypeError(f"{name} must make its server with the clock it is given: Server(clock=clock)")
    return made


def _serve(server: Server, served: Any, path: str | None) -> None:
    """Serve an application, or the protocols of a factory, at a path."""
    if IProtocolFactory.providedBy(served):
        server.addFactory(path, served)
    else:
        server.addApplication(served, path=path)
