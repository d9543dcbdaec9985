"""The desk for code that blocks, in a process without a reactor."""

import threading

from twisted.internet import reactor
from twisted.internet.threads import blockingCallFromThread

from txroom.client import Client

_lock = threading.Lock()


def startReactor():
    """Run the reactor in a thread of its own, once in each process."""
    with _lock:
        if not reactor.running:
            isRunning = threading.Event()
            reactor.callWhenRunning(isRunning.set)
            arguments = {"installSignalHandlers": False}
            threading.Thread(
                target=reactor.run, kwargs=arguments, daemon=True
            ).start()
            isRunning.wait()


class BlockingDesk:
    """
    The room "desk".

    Its methods may be called in any thread but the reactor's. They block until
    the room has answered, and raise `RoomError`.
    """

    def __init__(self, url, **options):
        startReactor()
        self.client = blockingCallFromThread(reactor, Client, url, **options)
        self.room = blockingCallFromThread(
            reactor, self.client.joinOrCreate, "desk"
        )

    def ask(self, question):
        return blockingCallFromThread(reactor, self.room.call, "ask", question)

    def announce(self, text):
        return blockingCallFromThread(reactor, self.room.call, "announce", text)

    def close(self):
        blockingCallFromThread(reactor, self.client.close)
