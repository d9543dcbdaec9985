"""
A reactor for many small messages: Twisted's epoll reactor with a shorter way to WebSockets.

    twistd --reactor=leanepoll -n txroom --port 8080

Twisted surrounds each event with a logging context, so that a log line says whose connection caused it
("system"), and with checks for descriptors of all kinds. Both are left out for an event that says nothing
but "there is something to read", of a transport whose protocol's class says `isLean`; a WebSocket's does,
unless it comes over TLS or below somebody else's protocol. All else goes Twisted's way.

It uses private names of the reactor that it is a subclass of, here and not in `core.twistedinternet`: each
read would pay for one more call.

What is lost: lines that are logged while a message is handled have no "system".
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from select import EPOLLIN
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.main import installReactor
from twisted.python import log


class LeanEPollReactor(EPollReactor):
    """Twisted's `EPollReactor`, with fewer calls between the poll and `doRead`."""

    _selectables: dict[int, Any]

    def __init__(self) -> None:
        self._afterEvents: list[Callable[[], None]] = []
        super().__init__()

    def callAfterEvents(self, function: Callable[[], None]) -> None:
        """Call `function` when the events of this poll are delivered, or these delayed calls are run."""
        self._afterEvents.append(function)

    def runUntilCurrent(self) -> None:
        """Run what threads have asked for, and the delayed calls that are due."""
        super().runUntilCurrent()
        if self._afterEvents:
            self._callAfterEvents()

    def doPoll(self, timeout: float | None) -> None:
        """Wait for events, and pass them on."""
        self._deliver(timeout)
        if self._afterEvents:
            self._callAfterEvents()

    def _callAfterEvents(self) -> None:
        functions, self._afterEvents = self._afterEvents, []
        for function in functions:
            try:
                function()
            except BaseException:
                log.err()

    def _deliver(self, timeout: float | None) -> None:
        selectables = self._selectables
        for descriptor, event in self._poller.poll(-1 if timeout is None else timeout, len(selectables)):
            selectable = selectables.get(descriptor)
            if selectable is None:
                continue  # gone, by an event of the same poll
            try:
                # Of the class: TLS, asked itself, would ask the transport below.
                isLean = event == EPOLLIN and getattr(type(selectable.protocol), "isLean", False)
            except AttributeError:
                isLean = False  # a port, or something else without a protocol
            if not isLean:
                log.callWithLogger(selectable, self._doReadOrWrite, selectable, descriptor, event)
                continue
            try:
                why = selectable.doRead()
            except BaseException:
                why = sys.exc_info()[1]
                log.callWithLogger(selectable, log.err)
            if why:
                log.callWithLogger(selectable, self._disconnectSelectable, selectable, why, True)

    # What the superclass runs is the function of this name at the time of its definition.
    doIteration = doPoll


def install() -> None:
    """Make it the reactor of this process; before anything else imports the reactor."""
    installReactor(LeanEPollReactor())
