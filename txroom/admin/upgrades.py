"""
Which requests to the admin listener become WebSockets.
"""

from __future__ import annotations

from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from ..protocol.errors import SEE_LOG
from .api import writeProblem
from .guard import Guard, Refused
from .playground import PATH as PLAY
from .playground import Playground
from .problems import Problem
from .refusing import refuse
from .sockets import PATH, Sockets


class Upgrades(Resource):
    """
    Answers the requests for WebSockets, and hands on all others.

    Args:
        guard: Who may come in.
        sockets: Opens the sockets of the RPC interface.
        playground: Opens sockets of the server.
        others: What answers the other requests.
        clock: The clock.
    """

    isLeaf = True
    _log = Logger()

    def __init__(
        self,
        guard: Guard,
        sockets: Sockets,
        playground: Playground,
        others: Resource,
        clock: IReactorTime,
    ) -> None:
        super().__init__()
        self._guard = guard
        self._sockets = sockets
        self._playground = playground
        self._others = others
        self._clock = clock

    def render(self, request: Request) -> Any:
        """Answer a request."""
        opener: Sockets | Playground
        if request.path == PATH.encode():
            opener = self._sockets
        elif request.path == PLAY.encode() or request.path.startswith(PLAY.encode() + b"/"):
            opener = self._playground
        else:
            return self._others.render(request)
        try:
            return self._open(opener, request)
        except Refused as refused:
            refuse(self._guard, self._clock, request, refused, writeProblem)
        except Problem as problem:
            writeProblem(request, problem)
        except Exception:
            self._log.failure("a request for a WebSocket could not be checked")
            writeProblem(request, Problem(500, SEE_LOG))
        return NOT_DONE_YET

    def _open(self, opener: Sockets | Playground, request: Request) -> Any:
        caller = self._guard.admit(request, takesSession=True)
        channel: Any = request.channel
        body = opener.open(request, caller, self._guard.sessionOf(request))
        if body is NOT_DONE_YET:
            channel.site.remove(channel)  # it is no connection of HTTP any more
        return body
