"""
The protocol of Redis (RESP3) on one connection: commands go out, their replies and pushes come in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import ITCPTransport
from twisted.internet.protocol import Protocol as TwistedProtocol
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure

try:
    from hiredis import ProtocolError, PushNotification, Reader, pack_command
    from hiredis import ReplyError as RedisError
except ImportError:  # pragma: no cover
    raise ImportError("Redis needs the package hiredis: pip install 'txroom[redis]'") from None

__all__ = ["Aging", "Argument", "Commands", "Connection", "Lost", "NotSent", "RedisError", "Reply", "Sender"]

#: An argument of a command; a bool or `None` is not allowed.
Argument = str | bytes | int | float

#: Called with a reply of Redis, or with an exception: `Lost`, `NotSent` or `RedisError`.
Reply = Callable[[Any], object]

_MORE = object()
_CONFIRMATIONS = frozenset({b"subscribe", b"unsubscribe"})


class Lost(Exception):
    """The connection was lost before the reply came: Redis may have run the command or not."""


class NotSent(Exception):
    """The command was not sent, so Redis did not run it."""


def ignored(reply: object) -> None:
    """Take the reply to a command, if nothing depends on it."""


class Commands(Protocol):
    """What sends commands: a client, or one connection of it that is being prepared."""

    def send(self, reply: Reply, *args: Argument) -> None:
        """
        Send a command. `reply` is called with Redis's reply, or with an exception.

        A reply is bytes, an int, a float, a bool, `None`, or a list or dict of those. `reply` is never
        called before `send` returns. An exception that it raises is logged. Commands that block or change
        the protocol, and SUBSCRIBE, must not be sent.

        Raises:
            TypeError: An argument has another type.
        """

    def ask(self, *args: Argument) -> Deferred[Any]:
        """Send a command. The Deferred fires with the reply, or fails with what `send` gives."""
        ...

    def subscribe(self, channel: str | bytes) -> Deferred[Any]:
        """Subscribe to a channel. The Deferred fires when Redis has confirmed it."""
        ...

    def unsubscribe(self, channel: str | bytes) -> Deferred[Any]:
        """Unsubscribe from a channel. The Deferred fires when Redis has confirmed it."""
        ...


class Sender:
    """Makes commands of their arguments, for `write` of a subclass."""

    def write(self, reply: Reply, data: bytes) -> None:
        """Write an encoded command, or keep it until it can be written."""
        raise NotImplementedError

    def send(self, reply: Reply, *args: Argument) -> None:
        """Send a command, as `Commands.send` describes."""
        self.write(reply, pack_command(args))  # type: ignore[arg-type]

    def ask(self, *args: Argument) -> Deferred[Any]:
        """Send a command, as `Commands.ask` describes."""
        answer: Deferred[Any] = Deferred()
        self.send(partial(_settle, answer), *args)
        return answer

    def subscribe(self, channel: str | bytes) -> Deferred[Any]:
        """Subscribe to a channel, as `Commands.subscribe` describes."""
        return self._confirmed("SUBSCRIBE", channel)

    def unsubscribe(self, channel: str | bytes) -> Deferred[Any]:
        """Unsubscribe from a channel, as `Commands.unsubscribe` describes."""
        return self._confirmed("UNSUBSCRIBE", channel)

    def _confirmed(self, command: str, channel: str | bytes) -> Deferred[Any]:
        answer: Deferred[Any] = Deferred()
        self.send(_Confirmation(_settle, answer), command, channel)
        return answer


def _errorOf(text: str) -> RedisError:
    """
    Return an error of Redis, without the arguments of the command.

    Redis repeats them if it doesn't know the command. Those of HELLO have the password, and those of scripts
    data of rooms, and errors are logged.
    """
    return RedisError(text.partition(", with args")[0])


def _settle(answer: Deferred[Any], reply: Any) -> None:
    """Give a reply to the Deferred that waits for it, if it was not cancelled."""
    if answer.called:
        return
    if isinstance(reply, Exception):
        answer.errback(reply)
    else:
        answer.callback(reply)


class _Confirmation(partial[None]):
    """
    The callback of SUBSCRIBE and UNSUBSCRIBE.

    Redis confirms them by a push in the place of a reply, but refuses them by an ordinary error.
    """


class Aging:
    """
    Finds what has waited for too long, among things that end in the order in which they begin.

    It only counts, so that nothing has to be noted for each of them. Something is overdue at the look that
    is `looks` after the first one that saw it.
    """

    def __init__(self, looks: int) -> None:
        self._begun = deque([0] * looks, maxlen=looks)

    def look(self, begun: int, ended: int) -> int:
        """
        Look again.

        Args:
            begun: How many have begun so far, those that have ended included.
            ended: How many have ended so far.

        Returns:
            How many are overdue.
        """
        overdue = self._begun[0] - ended
        self._begun.append(begun)
        return max(overdue, 0)


class Receiver(Protocol):
    """What a connection reports to."""

    def connected(self, connection: Connection) -> None:
        """The connection is open, and commands can be written."""

    def pushed(self, message: list[Any]) -> None:
        """Redis has sent a message without being asked, such as one of a channel."""

    def received(self) -> None:
        """All replies that arrived together have been given to their callbacks."""

    def unsent(self, reply: Reply, why: str) -> None:
        """A command cannot be written: call `reply` with `NotSent`, but not now."""

    def disconnected(self, connection: Connection, why: str) -> None:
        """The connection is lost. The commands in flight get `Lost` after this call."""


class Connection(Sender, TwistedProtocol):
    """
    One connection to Redis. Replies come in the order of the commands.

    Args:
        receiver: What it reports to.
        looks: How many calls of `look` a command may wait for its reply.
    """

    _log = Logger()
    transport: Any

    def __init__(self, receiver: Receiver, looks: int) -> None:
        self._receiver = receiver
        self._reader = Reader(notEnoughData=_MORE, replyError=_errorOf)
        self._waiting: deque[Reply] = deque()
        self._sizes: deque[int] = deque()
        self._aging = Aging(looks)
        self._written = 0
        self._seen = 0
        self._isOpen = False
        self._failure = ""
        #: The bytes of all commands that have no reply yet.
        self.size = 0

    @property
    def count(self) -> int:
        """How many commands have no reply yet."""
        return len(self._waiting)

    def connectionMade(self) -> None:
        if ITCPTransport.providedBy(self.transport):
            self.transport.setTcpNoDelay(True)
        self._isOpen = True
        self._receiver.connected(self)

    def write(self, reply: Reply, data: bytes) -> None:
        """Write an encoded command."""
        if not self._isOpen:
            self._receiver.unsent(reply, "the connection to Redis is lost")
            return
        size = len(data)
        self._waiting.append(reply)
        self._sizes.append(size)
        self.size += size
        self._written += 1
        self.transport.write(data)

    def look(self) -> None:
        """
        Drop the connection if a reply is overdue. If the connection is idle, check whether it still works.

        This is to be called regularly.
        """
        if self._aging.look(self._written, self._written - len(self._waiting)):
            self.fail("Redis does not reply")
        elif not self._waiting and self._seen == self._written:
            self.send(lambda reply: None, "PING")
        self._seen = self._written

    def dataReceived(self, data: bytes) -> None:
        reader = self._reader
        try:
            reader.feed(data)
            while (reply := reader.gets()) is not _MORE:
                if type(reply) is PushNotification:
                    self._pushed(reply)
                else:
                    self._answer(reply)
        except (ProtocolError, TypeError, IndexError) as error:
            # TypeError: a key of a map that cannot be a key of a dict. IndexError: a reply to nothing.
            self.fail(f"it sent what is not RESP3: {error}")
        self._receiver.received()

    def _answer(self, reply: Any) -> None:
        callback = self._waiting.popleft()
        self.size -= self._sizes.popleft()
        try:
            callback(reply)
        except Exception:
            self._log.failure("a reply of Redis could not be used")

    def _pushed(self, message: list[Any]) -> None:
        if message[0] not in _CONFIRMATIONS:
            self._receiver.pushed(message)
        elif self._waiting and type(self._waiting[0]) is _Confirmation:
            self._answer(message)
        else:
            self.fail("a subscription was confirmed that was not made by subscribe()")

    def close(self) -> None:
        """Close the connection, after what was written."""
        self.transport.loseConnection()

    def fail(self, why: str) -> None:
        """Drop the connection. `why` is for the log."""
        if self._isOpen:
            self._failure = self._failure or why
            self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._isOpen = False
        why = self._failure or reason.getErrorMessage()
        self._receiver.disconnected(self, why)
        while self._waiting:
            self._answer(Lost(f"the connection to Redis was lost: {why}"))
        self._receiver.received()
