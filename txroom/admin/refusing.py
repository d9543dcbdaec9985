"""
Answers to requests without the right secret, which take time.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.interfaces import IReactorTime
from twisted.web.server import Request

from .guard import Guard, Refused


def refuse(
    guard: Guard,
    clock: IReactorTime,
    request: Request,
    refused: Refused,
    answer: Callable[[Request, Refused], None],
) -> None:
    """
    Answer a request without the right secret, or drop its connection, so that guessing takes time.

    Args:
        guard: What has refused it.
        clock: The clock.
        request: The request.
        refused: Why, and the time to wait.
        answer: Writes the answer.
    """
    channel: Any = request.channel
    if refused.wait is None:
        channel.transport.abortConnection()
        return
    request.setHeader(b"Connection", b"close")
    channel.persistent = False
    if not refused.wait:
        answer(request, refused)
        return
    guard.waiting += 1
    waiting = clock.callLater(refused.wait, answer, request, refused)

    def done(_: object) -> None:
        guard.waiting -= 1
        if waiting.active():
            waiting.cancel()

    request.notifyFinish().addBoth(done)
