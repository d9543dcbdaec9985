"""
Commands whose refusal ends the node: without the right to them it would run, and be of no use.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from .answers import Answer, answerOf
from .resp import Argument, Commands, Reply


class Watched:
    """
    The `Commands` of a connection.

    Args:
        redis: The connection.
        refused: Called with an error that says that Redis refuses this node.
    """

    def __init__(self, redis: Commands, refused: Callable[[Exception], None]) -> None:
        self._redis = redis
        self._refused = refused

    def send(self, reply: Reply, *args: Argument) -> None:
        """Send a command; see `Commands.send`."""
        self._redis.send(partial(self._answered, reply), *args)

    def ask(self, *args: Argument) -> Deferred[Any]:
        """Send a command; see `Commands.ask`."""
        return self._redis.ask(*args).addErrback(self._failed)

    def subscribe(self, channel: str | bytes) -> Deferred[Any]:
        """Subscribe to a channel; see `Commands.subscribe`."""
        return self._redis.subscribe(channel).addErrback(self._failed)

    def unsubscribe(self, channel: str | bytes) -> Deferred[Any]:
        """Unsubscribe from a channel; see `Commands.unsubscribe`."""
        return self._redis.unsubscribe(channel).addErrback(self._failed)

    def _answered(self, reply: Reply, answer: Any) -> None:
        """Called for every packet."""
        if isinstance(answer, Exception):
            self._look(answer)
        reply(answer)

    def _failed(self, failure: Failure) -> Failure:
        if isinstance(failure.value, Exception):
            self._look(failure.value)
        return failure

    def _look(self, error: Exception) -> None:
        if answerOf(error) is Answer.STOP:
            self._refused(error)
