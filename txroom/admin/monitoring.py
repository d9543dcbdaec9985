"""
The pages for programs that watch a server: ``/metrics``, ``/livez`` and ``/readyz``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from ..protocol.errors import SEE_LOG
from ..service.health import HealthPage
from .api import writeProblem
from .families import Family
from .guard import Guard, Refused
from .metrics import Metrics, checkAvailable, render
from .problems import Problem
from .refusing import refuse


class Monitoring(Resource):
    """
    Answers the requests for these pages, and hands on all others.

    ``/metrics`` needs a secret of the role `read`. ``/livez`` and ``/readyz`` are answered without one, but
    then say no more than whether the process answers, and whether it should get clients.

    Args:
        guard: Who may come in.
        others: What answers the other requests.
        metrics: The metrics.
        health: Says how the server is.
        clock: The clock.
    """

    isLeaf = True
    _log = Logger()

    def __init__(
        self, guard: Guard, others: Resource, metrics: Metrics, health: HealthPage, clock: IReactorTime
    ) -> None:
        super().__init__()
        self._guard = guard
        self._others = others
        self._metrics = metrics
        self._health = health
        self._clock = clock
        self._pages: dict[bytes, Callable[[Request], Any]] = {
            b"/metrics": self._renderMetrics,
            b"/livez": self._renderLive,
            b"/readyz": self._renderReady,
        }

    def render(self, request: Request) -> Any:
        """Answer a request."""
        page = self._pages.get(request.path)
        if page is None:
            return self._others.render(request)
        try:
            if request.method not in (b"GET", b"HEAD"):
                raise Problem(405, "there is no such method here", headers={"Allow": "GET, HEAD"})
            return page(request)
        except Refused as refused:
            refuse(self._guard, self._clock, request, refused, writeProblem)
        except Problem as problem:
            writeProblem(request, problem)
        return NOT_DONE_YET

    def _renderMetrics(self, request: Request) -> Any:
        self._guard.admit(request)
        checkAvailable()
        isGone: list[object] = []
        request.notifyFinish().addErrback(isGone.append)

        def answer(families: list[Family]) -> None:
            if not isGone:
                accept = request.getHeader("Accept") or ""
                body, kind = render(families, accept)
                _finish(request, body, kind)

        def failed(failure: Failure) -> None:
            self._log.failure("the metrics could not be collected", failure)
            if not isGone:
                writeProblem(request, Problem(500, SEE_LOG))

        collected: Deferred[Any] = self._metrics.collect()
        collected.addCallback(answer).addErrback(failed)
        return NOT_DONE_YET

    def _renderLive(self, request: Request) -> Any:
        self._guard.probe(request)
        _finish(request, b"ok\n", "text/plain; charset=utf-8")
        return NOT_DONE_YET

    def _renderReady(self, request: Request) -> Any:
        caller = self._guard.probe(request)
        report, isReady = self._health.whole()
        request.setResponseCode(200 if isReady else 503)
        if caller is None:
            _finish(request, b"ok\n" if isReady else b"not ready\n", "text/plain; charset=utf-8")
        else:
            _finish(request, json.dumps(report).encode(), "application/json")
        return NOT_DONE_YET


def _finish(request: Request, body: bytes, kind: str) -> None:
    request.setHeader("Content-Type", kind)
    request.setHeader("Cache-Control", "no-store")
    request.setHeader("Content-Length", str(len(body)))
    request.write(body)
    request.finish()
