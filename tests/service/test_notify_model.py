"""
A model of notifications: pages of several devices come, go and acknowledge, at nodes that die, over a Redis
that is cut off and restarted. Each page gets everything once and in order, or is told how many are lost.
"""

from __future__ import annotations

import os
from random import Random
from typing import Any

from tests.case import fired
from tests.engine.redis.nodes import NodesTestCase
from tests.service.test_users import Page, verify
from txroom.rooms.contract.asks import Once

RUNS = int(os.environ.get("TXROOM_MODEL_RUNS", "3"))
STEPS = 40


class ModelPage:
    """A page of a device: what it has, over all its connections."""

    def __init__(self, model: NotifyModel, device: str) -> None:
        self.model = model
        self.device = device
        self.connection: Page | None = None
        self.epoch: str | None = None
        #: The number that it has handled; `None`: it was never answered.
        self.at: int | None = None
        self.acknowledged = 0
        self._isAnswered = False

    @property
    def isOpen(self) -> bool:
        return self.connection is not None and self.connection.client.isOpen

    def connect(self, node: Any) -> None:
        """Connect to a node, and ask for what follows."""
        self.connection = Page(self.model.case, node.harness, "ann")
        self._isAnswered = False
        if self.at is not None:
            self.model.mayKnow(self.device, self.at)
        self.connection.client.send(self._frame())

    def _frame(self) -> str:
        epoch = "null" if self.epoch is None else f'"{self.epoch}"'
        return f'["notify","{self.device}",{epoch},{self.at or 0}]'

    def close(self) -> None:
        if self.connection is not None:
            self.connection.client.close()
            self.connection = None

    def acknowledge(self) -> None:
        """Acknowledge everything."""
        if self.isOpen and self._isAnswered and self.at is not None and self.connection is not None:
            self.model.mayKnow(self.device, self.at)
            self.acknowledged = self.at
            self.connection.client.send(self._frame())

    def receive(self) -> None:
        """Check what has come."""
        for frame in self.connection.take() if self.connection is not None else ():
            if frame[0] == "notified":
                self._isAnswered = True
                begin = frame[2] - frame[3]
                least, most = (self.at, self.at) if self.at is not None else self.model.cursor(self.device)
                assert least <= begin <= most, (frame, least, most)
                self.model.opened(self.device, begin)
            else:
                assert frame[0] == "notify" and self._isAnswered and self.at is not None, frame
                assert frame[2] == self.at + 1 + frame[5], (frame, self.at)
                assert frame[4] == self.model.sent[frame[2]], frame
            self.epoch, self.at = frame[1], frame[2]


class NotifyModel:
    """The actions, and what is known of the queue."""

    #: The class of the pages.
    page: type[ModelPage] = ModelPage

    def __init__(self, case: Any, seed: int) -> None:
        self.case = case
        self.random = Random(seed)
        #: The data of all notifications, by their numbers.
        self.sent: dict[int, int] = {}
        self.pages: list[ModelPage] = []
        #: What the queue knows at least of each device, and what it may know.
        self.known: dict[str, int] = {}
        self.mayBeKnown: dict[str, int] = {}
        self._keys = 0

    @property
    def nodes(self) -> list[Any]:
        return [node for node in self.case.nodes if node.isRunning]

    def mayKnow(self, device: str, n: int) -> None:
        self.mayBeKnown[device] = max(n, self.mayBeKnown.get(device, 0))

    def opened(self, device: str, n: int) -> None:
        """The queue has answered a page, and knows its device from now on."""
        self.mayKnow(device, n)
        self.known[device] = max(n, self.known.get(device, 0))

    def cursor(self, device: str) -> tuple[int, int]:
        """Where a new page of a device begins, at least and at most."""
        # Until it is known that the queue has the device, it may be new: after the highest of all.
        least = self.known.get(device, max(self.known.values(), default=0))
        most = self.mayBeKnown.get(device, 0)
        if device not in self.known:
            most = max(self.mayBeKnown.values(), default=0)
        return least, most

    def calm(self) -> None:
        """Let everything happen that is under way; then the queue knows what pages have acknowledged."""
        self.case.redis.heal()
        self.case.advance(4)
        for page in self.pages:
            acknowledged = page.acknowledged  # what it acknowledges now is under way
            page.receive()
            if page.isOpen and page.at is not None and page._isAnswered:
                self.known[page.device] = max(acknowledged, self.known.get(page.device, 0))

    def step(self) -> None:
        actions = (self.send, self.send, self.send, self.open, self.open, self.acknowledge, self.acknowledge,
                   self.close, self.kill, self.cut, self.calm)  # fmt: skip
        self.random.choice(actions)()
        self.case.advance(self.random.choice((0, 0.001, 0.01, 0.3)))
        for page in self.pages:
            page.receive()

    def send(self) -> None:
        """Send some, until each is confirmed, with keys; some queues are short."""
        for _ in range(self.random.choice((1, 1, 2, 5, 90))):
            self._keys += 1
            data, limit = self._keys, self.random.choice((3, 100, 100, 100))
            for _ in range(10):
                node, once = self.random.choice(self.nodes), Once(f"k{data}", b"digest")
                results = fired(node.harness.server.notify("ann", "n", data, limit=limit, once=once))
                while not results:
                    self.case.advance(0.05)
                if hasattr(results[0], "n"):
                    break
            assert results[0].n == len(self.sent) + 1, results
            self.sent[results[0].n] = data

    def open(self) -> None:
        """Open a page, or let one come back."""
        away = [page for page in self.pages if not page.isOpen]
        if away and self.random.random() < 0.6:
            page = self.random.choice(away)
        elif len(self.pages) < 8:
            page = self.page(self, self.random.choice(("phone", "phone", "laptop", "watch")))
            self.pages.append(page)
        else:
            return
        page.connect(self.random.choice(self.nodes))

    def acknowledge(self) -> None:
        if self.pages:
            self.random.choice(self.pages).acknowledge()

    def close(self) -> None:
        if self.pages:
            self.random.choice(self.pages).close()

    def kill(self) -> None:
        """A node dies, and another one comes."""
        if self.random.random() < 0.3:
            self.random.choice(self.nodes).kill()
            self.startNode()

    def startNode(self) -> None:
        self.case.start(1)
        self.case.nodes[-1].app.verifyClient = verify
        while self.case.nodes[-1].engine.node is None or not self.case.nodes[-1].node.lease.isFresh:
            self.case.advance(0.1)
        self.case.advance(0.5)

    def cut(self) -> None:
        """Connections to Redis are lost, or Redis is restarted, without losing anything."""
        if self.random.random() < 0.5:
            self.case.redis.cut(self.random.choice((0, 0, 1, 2)))
        else:
            self.case.redis.restart()

    def finish(self) -> None:
        """All pages that are open get everything, if they acknowledge; then new ones get nothing."""
        for _ in range(12):
            self.calm()
            for page in self.pages:
                page.acknowledge()
        for page in self.pages:
            if page.isOpen:
                assert page.at == len(self.sent), (page.at, len(self.sent))
        for device in ("phone", "laptop", "watch", "new"):
            page = self.page(self, device)
            self.pages.append(page)
            page.connect(self.nodes[0])
        for _ in range(12):
            self.calm()
            for page in self.pages:
                page.acknowledge()
        assert all(page.at == len(self.sent) for page in self.pages if page.isOpen)
        assert all(page.isOpen for page in self.pages[-4:])


class NotifyModelTests(NodesTestCase):
    """Random actions on two nodes."""

    model: type[NotifyModel] = NotifyModel

    def run_(self, seed: int) -> None:
        self.setUp()
        model = self.model(self, seed)
        try:
            for _ in range(2):
                model.startNode()
            for _ in range(STEPS):
                model.step()
            model.finish()
        except AssertionError as error:
            raise AssertionError(f"seed {seed}: {error}") from error
        finally:
            super().tearDown()
            self.nodes = []

    def test_seeds(self) -> None:
        """The same actions each time."""
        for seed in range(RUNS):
            self.run_(seed)

    def test_random(self) -> None:
        """Other actions each time; a failure tells the seed."""
        self.run_(Random().randrange(1 << 32))
