"""
The notifications of a cluster: the queues are in Redis, where one script adds to them and numbers.

A queue has no owner, so any node may add to it and read it, and none has to be told of another that is lost.
What is published only wakes the nodes that the user is connected to; they read what they have not read yet.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

import attrs
import msgspec
from twisted.internet.defer import Deferred, fail
from twisted.logger import Logger

from ...core.codes import ErrorCode
from ...protocol.errors import RoomError
from ...rooms.contract.asks import Once, reused, unanswered
from ...rooms.contract.notices import (
    FORMER_EPOCHS,
    KEPT_SECONDS,
    KEY_SECONDS,
    MAX_DEVICES,
    MAX_KEYS,
    MAX_KEYS_SIZE,
    OVERHEAD,
    QUEUE_SIZE,
    NewNotice,
    Notice,
    NotifyResult,
    Page,
    Place,
    QueueInfo,
    Watcher,
    waitingOf,
)
from ...rooms.contract.ports import ASK_SECONDS
from ...rooms.hooks import runCoroutine
from ..watchers import Watchers
from .answers import Answer, answerOf
from .channels import Channels, Heard
from .keys import Keys
from .resp import ignored
from .scripts import Scripts, milliseconds
from .waiting import Waits

#: The seconds between two attempts to reach Redis, and for how many seconds they go on. There is some time
#: left then to say that nothing has happened.
AGAIN, TRY_SECONDS = 0.1, ASK_SECONDS - 0.5
#: The queues that are watched are kept in so many parts, with so many seconds between two of them.
KEEP_PARTS, KEEP_SECONDS = 1440, 60.0


class NoticesNode(Protocol):
    """The node, as notifications use it."""

    #: The identity of Redis's data.
    dataIdentity: str


@attrs.define(eq=False)
class NoticeServices:
    """The parts of a running node that notifications use."""

    node: NoticesNode
    waits: Waits
    channels: Channels
    scripts: Scripts
    keys: Keys


class RedisNotices:
    """The queues of a cluster; its `Notices`. They can be reached while the node of this process runs."""

    _log = Logger()

    def __init__(self) -> None:
        self._services: NoticeServices | None = None
        self._watchers = Watchers()
        #: The notifications that were added to queues, and those that were dropped; see `EngineMeters`.
        self.queued = self.dropped = 0
        #: The users whose channels are heard.
        self._heard: set[str] = set()

    def begin(self, services: NoticeServices) -> None:
        """The node has started."""
        self._services = services
        if self._watchers:
            services.channels.listen(services.keys.toAll, self._heardByAll)
        for user in self._watchers.users:
            self._listen(user)
        Deferred.fromCoroutine(self._keep(services))

    def end(self) -> None:
        """The node has stopped."""
        self._services = None
        self._heard.clear()

    # -- sending

    def notify(self, user: str, notice: NewNotice, once: Once | None = None) -> Deferred[NotifyResult]:
        """Send a notification; see `Notices.notify`."""
        return self._within(partial(self._notify, user, notice, once))

    async def _notify(
        self, user: str, notice: NewNotice, once: Once | None, services: NoticeServices
    ) -> NotifyResult:
        keys = services.keys.notices(user)
        if not notice.isQueued and once is None:
            message = _encodeLive((notice.type, notice.data))
            reached = await self._ask(services, ("PUBLISH", keys.queue, message))
            return NotifyResult(None, 0, bool(reached))
        args = (
            keys.queue,
            b"" if notice.isQueued else _encodeLive((notice.type, notice.data)),
            notice.limit if notice.isQueued else 0,
            QUEUE_SIZE,
            milliseconds(notice.seconds),
            notice.type,
            notice.data,
            "" if once is None else once.key,
            "" if once is None else once.digest,
            milliseconds(KEY_SECONDS),
            MAX_KEYS,
            MAX_KEYS_SIZE,
            OVERHEAD,
        )
        answer = await self._run(services, "notify", keys, args, mayRepeat=once is not None)
        if not answer:
            raise reused()
        epoch, n, reached, isRepeated, dropped = answer
        self.queued += bool(n and not isRepeated)
        self.dropped += dropped
        return NotifyResult(epoch.decode() if n else None, n, bool(reached), bool(isRepeated))

    def notifyAll(self, type: str, data: bytes) -> Deferred[None]:
        """Send a notification to all; see `Notices.notifyAll`."""

        async def notify(services: NoticeServices) -> None:
            await self._ask(services, ("PUBLISH", services.keys.toAll, _encodeLive((type, data))))

        return self._within(notify)

    # -- watching

    async def _keep(self, services: NoticeServices) -> None:
        """Keep the queues of the users who are watched: once a day each is used, some at a time."""
        users: list[str] = []
        while True:
            await services.waits.pause(KEEP_SECONDS)
            if services.waits.isStopped or self._services is not services:
                return
            watched = self._watchers.users
            count = len(watched) // KEEP_PARTS + 1
            users = users or watched
            some, users = users[:count], users[count:]
            for user in some:
                if user in self._watchers:
                    for key in services.keys.notices(user)[:3]:
                        services.channels.redis.send(ignored, "PEXPIRE", key, milliseconds(KEPT_SECONDS))

    def watch(self, user: str, watcher: Watcher) -> None:
        """Tell a watcher of notifications, when this node hears of them."""
        isFirst = not self._watchers
        if self._watchers.add(user, watcher):
            if isFirst and self._services is not None:
                self._services.channels.listen(self._services.keys.toAll, self._heardByAll)
            self._listen(user)
        elif user in self._heard:
            watcher.wake()

    def unwatch(self, user: str, watcher: Watcher) -> None:
        """Don't tell a watcher any more."""
        if not self._watchers.remove(user, watcher):
            return
        self._heard.discard(user)
        if self._services is not None:
            self._services.channels.unlisten(self._services.keys.notices(user).queue)
            if not self._watchers:
                self._services.channels.unlisten(self._services.keys.toAll)

    def _listen(self, user: str) -> None:
        if self._services is not None:
            heard: Heard = partial(self._heardOf, user)
            self._services.channels.listen(self._services.keys.notices(user).queue, heard)

    def _heardOf(self, user: str, data: bytes | None) -> None:
        """There is something for a user; `None`: perhaps."""
        if data is None:
            self._heard.add(user)
        if data:
            self._told(partial(self._watchers.tell, user), data)
        else:
            self._watchers.wake(user)

    def _heardByAll(self, data: bytes | None) -> None:
        if data:
            self._told(self._watchers.tellAll, data)

    def _told(self, tell: Callable[[str, bytes], None], data: bytes) -> None:
        try:
            type, payload = _decodeLive(data)
        except msgspec.DecodeError as error:
            self._log.warn("a notification can't be read: {reason}", reason=str(error))
        else:
            tell(type, payload)

    # -- reading

    def open(self, user: str, device: str, place: Place | None, count: int, size: int) -> Deferred[Page]:
        """Begin to read; see `Notices.open`."""
        return self._within(partial(self._read, user, device, place, "open", count, size))

    def read(self, user: str, place: Place, count: int, size: int) -> Deferred[Page]:
        """Read on; see `Notices.read`."""
        return self._within(partial(self._read, user, "", place, "read", count, size))

    def acknowledge(self, user: str, device: str, place: Place) -> Deferred[None]:
        """Acknowledge; see `Notices.acknowledge`."""
        asked = self._within(partial(self._read, user, device, place, "acknowledge", 0, 0))
        return asked.addCallback(lambda page: None)

    async def _read(
        self,
        user: str,
        device: str,
        place: Place | None,
        what: str,
        count: int,
        size: int,
        services: NoticeServices,
    ) -> Page:
        epoch, n = place or ("", 0)
        args = (device, epoch, n, what, count, size, MAX_DEVICES)
        keys = services.keys.notices(user)
        answer = await self._run(services, "notices", keys[:3], args, mayRepeat=True)
        epoch, after, last, isLost, *rest = answer
        found = zip(rest[::3], rest[1::3], rest[2::3], strict=True)
        notices = tuple(Notice(number, type.decode(), data) for number, type, data in found)
        return Page(epoch.decode(), after, last, bool(isLost), notices)

    def describe(self, user: str) -> Deferred[QueueInfo | None]:
        """Describe a queue; see `Notices.describe`."""
        return self._within(partial(self._describe, user))

    async def _describe(self, user: str, services: NoticeServices) -> QueueInfo | None:
        queue, log, devices, *_ = services.keys.notices(user)
        told = await self._ask(services, ("HMGET", queue, "e", "n", "a", "b"), mayRepeat=True)
        if told[0] is None:
            return None
        last, acknowledged, size = (int(each or 0) for each in told[1:])
        count = await self._ask(services, ("XLEN", log), mayRepeat=True)
        known = await self._ask(services, ("HGETALL", devices), mayRepeat=True)
        cursors = [(id, int(its.partition(b" ")[0])) for id, its in known.items()]
        waiting = tuple((id.decode(), waitingOf(count, last, n)) for id, n in cursors)
        return QueueInfo(told[0].decode(), count, size, last, acknowledged, waiting)

    # -- Redis

    def _within(self, ask: Callable[[NoticeServices], Any]) -> Deferred[Any]:
        """Run a coroutine function, within the time that commands may take."""
        services = self._services
        if services is None:
            return fail(unanswered(False))
        return services.waits.within(ASK_SECONDS, runCoroutine(ask(services)))

    async def _run(self, services: NoticeServices, script: str, keys: Any, args: Any, mayRepeat: bool) -> Any:
        """Run a script with its first arguments, which are about the data and the queue."""
        queue = (secrets.token_urlsafe(9), milliseconds(KEPT_SECONDS), FORMER_EPOCHS)
        return await self._ask(services, (script, keys, queue, args), mayRepeat)

    async def _ask(self, services: NoticeServices, command: Any, mayRepeat: bool = False) -> Any:
        """
        Ask Redis, when it is connected: what it says of its data then is true when it runs the command.

        Raises:
            RoomError: Redis has not answered.
        """
        until = services.waits.seconds() + TRY_SECONDS
        redis = services.channels.redis
        mayHaveHappened = False
        while True:
            if services.waits.isStopped or services.waits.seconds() >= until:
                raise unanswered(mayHaveHappened)
            if not redis.isUp:
                await services.waits.pause(AGAIN)
                continue
            try:
                if command[0].isupper():  # no script
                    return await services.channels.watched.ask(*command)
                script, keys, queue, args = command
                allArgs = (services.node.dataIdentity, *queue, *args)
                return await services.scripts.ask(services.channels.watched, script, keys, allArgs)
            except Exception as error:
                answer = answerOf(error)
                if answer is Answer.LOST and not mayRepeat:
                    raise unanswered(True) from None
                if answer not in (Answer.LOST, Answer.AGAIN):
                    self._log.failure("notifications: Redis has refused a command")
                    raise RoomError(ErrorCode.INTERNAL) from None
                mayHaveHappened = mayHaveHappened or answer is Answer.LOST
            await services.waits.pause(AGAIN)


_encodeLive = msgspec.msgpack.Encoder().encode
_decodeLive = msgspec.msgpack.Decoder(tuple[str, bytes]).decode
