"""
A reactor for many small messages: Twisted's epoll reactor with fewer calls for each read of a WebSocket.

    twistd --reactor=leanepoll -n txroom --port 8080

Twisted handles each event in a logging context, so that log events have the name of the connection as their
"system", and checks for all types of descriptors. Both are skipped for an event that only means "readable",
if the class of the transport's protocol has the attribute `isLean`. The protocol of a WebSocket has it,
unless the WebSocket uses TLS or is below another protocol. All other events are handled as by Twisted's
reactor. Log events that are emitted while a message is handled have no "system".

The reactor also has the method `callAfterEvents`, by which `txroom.wire.turn` writes the messages of one
turn.

Private names of the superclass are used here and not in `core.twistedinternet`, because one more call for
each read would be too slow.
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
    """Twisted's `EPollReactor` with fewer calls between the poll and `doRead`."""

    _selectables: dict[int, Any]

    def __init__(self) -> None:
        self._afterEvents: list[Callable[[], None]] = []
        super().__init__()

    def callAfterEvents(self, function: Callable[[], None]) -> None:
        """Call `function` once, after the current events or delayed calls."""
        self._afterEvents.append(function)

    def runUntilCurrent(self) -> None:
        """Run the calls from threads and the delayed calls that are due."""
        super().runUntilCurrent()
        if self._afterEvents:
            self._callAfterEvents()

    def doPoll(self, timeout: float | None) -> None:
        """Wait for events and deliver them."""
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
                continue  # removed by an earlier event of the same poll
            try:
                # The attribute of the class, because TLS passes other attributes on to the transport below.
                isLean = event == EPOLLIN and getattr(type(selectable.protocol), "isLean", False)
            except AttributeError:
                isLean = False  # a port, or another object without a protocol
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

    # The superclass runs `doIteration`, which it has bound to its own `doPoll`.
    doIteration = doPoll


def install() -> None:
    """Install it as the reactor of this process; the reactor must not have been imported before."""
    installReactor(LeanEPollReactor())
