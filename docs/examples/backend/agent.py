"""A service that answers the questions of the desk."""

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, fail
from twisted.internet.task import deferLater
from twisted.logger import Logger

from txroom.client import Client, RoomError

ANSWERS = {"when do you open?": "at nine"}


class Agent(Service):
    """
    A member of the room "desk" for as long as the service runs.

    Args:
        url: The URL of the rooms.
        token: The token that `Room.onAuth` checks.
        reactor: The network and the clock.
        options: Further options of the client.
    """

    log = Logger()
    room = None

    def __init__(self, url, token, reactor, **options):
        self.url = url
        self.reactor = reactor
        self.options = {"auth": token, **options}

    def startService(self):
        super().startService()
        self.client = Client(self.url, reactor=self.reactor, **self.options)
        self.working = Deferred.fromCoroutine(self.work())
        self.working.addErrback(lambda failure: failure.trap(CancelledError))
        self.working.addErrback(
            lambda failure: self.log.failure("the agent has given up", failure)
        )

    def stopService(self):
        super().stopService()
        self.working.cancel()
        return self.client.close()

    async def work(self):
        """Join, and join again whenever the membership has ended."""
        while True:
            try:
                await self.serve(await self.client.joinOrCreate("desk"))
            except RoomError as error:
                if error.code not in ("unavailable", "timeout"):
                    raise  # such as "unauthorized": it would fail again
                self.log.warn("the desk cannot be joined: {error}", error=error)
            await deferLater(self.reactor, 5)

    async def serve(self, room):
        """Answer questions until the membership ends."""
        left = Deferred()
        room.handle("answer", self.answer)
        room.once("left", lambda code, reason: left.callback(None))
        self.room = room
        try:
            await left
        finally:
            self.room = None

    def answer(self, question):
        if question.lower() not in ANSWERS:
            raise RoomError("unknown", "ask something else")
        return ANSWERS[question.lower()]

    def announce(self, text):
        """
        Tell all members something.

        Returns:
            A Deferred that fires when the room has done it, or fails with
            a `RoomError`.
        """
        if self.room is None:
            return fail(RoomError("unavailable", "the agent is not at the desk"))
        return self.room.call("announce", text)
