"""The end of a journal: the script that releases the room or hands it over, until Redis has run it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred

from .answers import Answer, answerOf
from .batches import STALL_SECONDS
from .journalport import JournalPort
from .scripts import Argument

#: For how many milliseconds an ended room can't be created again by a command that comes late. If it was
#: never open, a request with a key may create it again, with another token than that in the grave.
GRAVE_MILLISECONDS = 120_000
#: For how many seconds an owner may found its room again after it has decided to. If another node has had the
#: room and has ended it meanwhile, its grave lasts for longer.
FOUND_SECONDS = 60.0
#: The same for a room that was created by a request with a key; and what its grave says, so that a request
#: that is repeated is told that the room has ended.
KEYED_MILLISECONDS, ENDED = 86_400_000, b"ended"


class Ending:
    """
    A script that is the last one for a journal.

    Args:
        port: The node.
        command: The script.
        isOurs: Whether the room ends, so that its journal isn't used any more.
        retry: Called to have `ask` called again after a moment.
        concluded: Called when Redis has run the script, with `True`, or has refused it, with `False`.
    """

    __slots__ = ("_command", "_concluded", "_isAsked", "_port", "_retry", "_since", "done", "isOurs")

    def __init__(
        self,
        port: JournalPort,
        command: tuple[Argument, ...],
        isOurs: bool,
        retry: Callable[[], None],
        concluded: Callable[[bool], None],
    ) -> None:
        self.isOurs = isOurs
        #: Fires when it is over, with whether Redis has run the script.
        self.done: Deferred[bool] = Deferred()
        self._port = port
        self._command = command
        self._retry = retry
        self._concluded = concluded
        self._since = port.clock.seconds()
        self._isAsked = False

    def isStalled(self, now: float) -> bool:
        """Return whether it takes too long."""
        return now - self._since >= STALL_SECONDS

    def ask(self) -> None:
        """Run the script, unless that is under way."""
        if not self._isAsked:
            self._isAsked = True
            self._port.send(self._answered, *self._command)

    def _answered(self, reply: Any) -> None:
        if self.done.called:
            return
        answer = answerOf(reply) if isinstance(reply, Exception) else None
        if answer in (Answer.LOST, Answer.AGAIN, Answer.LOAD):
            self._isAsked = False
            if answer is Answer.LOAD:
                self._port.reload()
            self._retry()
        else:
            self._concluded(answer is None)
