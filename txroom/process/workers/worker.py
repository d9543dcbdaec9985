"""
A worker: a process that serves on sockets that its parent has opened.

The parent starts `main` in a process with a session of its own, and sends it what to serve.
"""

from __future__ import annotations

import gc
import os
import sys
from importlib import import_module

from .pipe import FROM_PARENT, TO_PARENT, Down, Messages, Start


def main() -> None:
    """Serve until the parent says otherwise, or is gone."""
    gc.disable()  # until it serves: the imports make hardly any garbage, but the collector looks for it
    messages: Messages[Down] = Messages(Down)
    start, *more = firstMessages(messages, FROM_PARENT)
    assert isinstance(start, Start)
    sockets = [each.descriptor for each in start.sockets]
    for descriptor in (FROM_PARENT, TO_PARENT, *sockets, *start.kept):
        os.set_inheritable(descriptor, False)
    import_module(start.reactor).install()
    # Not before: these modules are most of the time of a start, and need the reactor.
    from .workerserver import serve

    serve(start, messages, more)


def firstMessages(messages: Messages[Down], descriptor: int) -> list[Down]:
    """Wait for the first message, and return it and those that came with it."""
    while True:
        data = os.read(descriptor, 65536)
        if not data:
            sys.exit("txroom: the parent of this worker has ended")
        if received := messages.feed(data):
            return received
