"""
Pages of the models of notifications that are real clients: their listeners end at once, or some time later.
"""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import Deferred, succeed

from tests.service.test_notify_model import ModelPage, NotifyModel
from tests.service.test_users import Page
from txroom.client import JSON_PROTOCOL, ClientOptions, Room
from txroom.client.baseclient import BaseClient
from txroom.client.connection import Attempt


class Wire:
    """The WebSocket of a client to a node."""

    url = where = "ws://node/rooms"

    def __init__(self, page: ClientPage) -> None:
        self._page = page

    def send(self, message: bytes, isBinary: bool) -> None:
        try:
            self._page.sent(msgspec.json.decode(message))
        except Exception as error:  # the client would log it
            self._page.errors.append(error)

    def close(self, code: int, reason: str) -> Deferred[None]:
        return succeed(None)

    def abort(self) -> None: ...


class KeptPage(Page):
    """A connection that keeps the frames that were taken last."""

    taken: list[list[Any]]

    def take(self) -> list[list[Any]]:
        self.taken = super().take()
        return self.taken


class ClientPage(ModelPage):
    """
    A page that is a client. `acknowledge` ends its listeners; the client acknowledges what is done.

    What `ModelPage` checks of the frames is checked, too.
    """

    model: ClientModel

    def __init__(self, model: NotifyModel, device: str) -> None:
        super().__init__(model, device)
        options = ClientOptions(device=device, pingInterval=0, retryPolicy=lambda attempt: 1e6)
        self.client = BaseClient(self._opens, model.case.clock, Room, options)
        self._attempt: Attempt | None = None
        self._node: Any = None
        self._isAsked = False
        #: The places that have come over this connection and were not acknowledged.
        self._waiting: list[tuple[str | None, int]] = []
        #: The epoch of the last frame that the client got, and the places of the data.
        self._epoch: str | None = None
        self._places: dict[int, tuple[str, int]] = {}
        #: The notifications whose listeners have not ended; and those of which the server has said since that
        #: they are dropped, or may be.
        self.running: list[tuple[int, Deferred[None]]] = []
        self.orphans: list[Deferred[None]] = []
        #: The notifications that the listeners were told.
        self.told: list[int] = []
        self.errors: list[Exception] = []
        #: How many notifications the listeners know of, dropped ones included.
        self.known: int | None = None

    # -- the connection

    def connect(self, node: Any) -> None:
        self._node = node
        self._isAnswered = self._isAsked = False
        if self._attempt is None:
            self.client.on("error", self.errors.append)
            self.client.on("notifyDropped", self._dropped)
            self.client.on("notify", self._told)
        else:
            self.client.reconnect()
            self.model.case.clock.advance(0)
        assert self._attempt is not None
        self._attempt.opened(JSON_PROTOCOL)
        assert self._isAsked
        if self.model.random.random() < 0.5:
            self.acknowledge()  # before the answer

    def _opens(self, attempt: Attempt) -> Wire:
        self._attempt = attempt
        self.connection = KeptPage(self.model.case, self._node.harness, "ann")
        return Wire(self)

    def close(self) -> None:
        super().close()
        if self._attempt is not None:
            self._attempt.lost(1006)

    def sent(self, frame: list[Any]) -> None:
        """The client has sent a frame."""
        assert self.connection is not None
        kind, device, epoch, n = frame
        assert (kind, device) == ("notify", self.device), frame
        if self._isAsked:  # only what has come over this connection may be acknowledged, and once
            at = self._waiting.index((epoch, n))
            del self._waiting[: at + 1]
            self.acknowledged = n
        else:
            self._isAsked, self._waiting = True, []
            self.epoch, self.at = epoch, None if epoch is None else n
        if epoch is not None:
            self.model.mayKnow(self.device, n)
        for data, _ in self.running:
            assert not self.isUpTo(data, epoch, n), (frame, data)
        if self.connection.client.isOpen:
            self.connection.client.send(msgspec.json.encode(frame).decode())

    def isUpTo(self, data: int, epoch: str | None, n: int) -> bool:
        """Return whether a notification is handled if all up to a place are."""
        return self._places[data][1] <= n  # numbers go on in the next epoch, if nothing is lost

    def receive(self) -> None:
        super().receive()
        if isinstance(self.connection, KeptPage) and self._attempt is not None:
            frames, self.connection.taken = self.connection.taken, []
            for frame in frames:
                self._received(frame)
                self._attempt.received(msgspec.json.encode(frame), False)
                for error in self.errors:
                    raise error
            if not self.isOpen:
                self._attempt.lost(1006)

    def _received(self, frame: list[Any]) -> None:
        kind, epoch, n, *more = frame
        if kind == "notify":
            self._places[more[1]] = (epoch, n)
            self._waiting.append((epoch, n))
        else:
            if more[0]:
                self._waiting.append((epoch, n))
            isOther = epoch != self._epoch  # the client can't compare it with what it got last
            gone = [each for each in self.running if isOther or self.isUpTo(each[0], epoch, n)]
            self.running = [each for each in self.running if each not in gone]
            self.orphans += [ended for _, ended in gone]
            if isOther:
                self.beginsAfter(n - more[0])
        self._epoch = epoch

    # -- the listeners

    def beginsAfter(self, n: int) -> None:
        """The listeners may be told what comes after that number, even if they were told it before."""
        self.known = n

    def _dropped(self, count: int) -> None:
        assert self.known is not None
        self.known += count

    def _told(self, type: str, data: int) -> Deferred[None] | None:
        self.passed(data)
        self.told.append(data)
        if self.model.random.random() < 0.5:
            return None
        self.running.append((data, Deferred()))
        return self.running[-1][1]

    def passed(self, data: int) -> None:
        """The listeners are told each notification once and in order, or that it is dropped."""
        assert self.known is not None and data == self.known + 1, (data, self.known)
        self.known = data

    def acknowledge(self) -> None:
        """End some listeners in any order, or all."""
        ends = [*(ended for _, ended in self.running), *self.orphans]
        self.model.random.shuffle(ends)
        if not self.model.isFinishing:
            ends = ends[: self.model.random.choice((1, 2, len(ends)))]
        self.running = [each for each in self.running if each[1] not in ends]
        self.orphans = [each for each in self.orphans if each not in ends]
        for ended in ends:
            ended.callback(None)


class ClientModel(NotifyModel):
    """The actions, with clients."""

    page: type[ModelPage] = ClientPage
    isFinishing = False

    def finish(self) -> None:
        """At the end all listeners end, and they were told everything that has come."""
        self.isFinishing = True
        super().finish()
        for page in self.pages:
            assert isinstance(page, ClientPage)
            if page.isOpen:
                assert set(page.told) == set(page._places)
                assert not page._waiting and not page.running
