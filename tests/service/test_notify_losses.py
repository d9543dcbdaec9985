"""
A model of notifications over a Redis that loses data: its newest changes, or everything. No page is left
without a word: what it has not got is counted as dropped, or the epoch is another one since.
"""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from tests.case import fired
from tests.service import test_notify_model as model
from txroom.rooms.contract.asks import Once


class LossyPage(model.ModelPage):
    """A page that knows what it got in each epoch, and what it was told to be lost."""

    model: LossyModel

    def __init__(self, owner: LossyModel, device: str) -> None:
        super().__init__(owner, device)
        #: The numbers that it got or was told to be lost; and where it began, by epoch.
        self.accounted: dict[str, set[int]] = defaultdict(set)
        self.begun: dict[str, int] = {}

    def receive(self) -> None:
        for frame in self.connection.take() if self.connection is not None else ():
            kind, epoch, n, *_ = frame
            dropped = frame[3] if kind == "notified" else frame[5]
            if kind == "notified":
                self._isAnswered = True
                last = n
            else:
                assert kind == "notify" and self._isAnswered, frame
                data = self.model.got.setdefault((epoch, n), frame[4])
                assert data == frame[4], (frame, data)  # no number is used twice in an epoch
                last = n - 1
                self.accounted[epoch].add(n)
            if epoch == self.epoch:
                assert last == self.at + dropped if self.at is not None else True, (frame, self.at)
            elif self.epoch is not None:
                assert dropped or self.epoch not in self.model.lost, (frame, self.epoch)
            begun = self.begun.setdefault(epoch, last - dropped)
            # If the queue doesn't know the epoch of the page any more, it can't say how many are lost.
            first = begun if dropped and epoch != self.epoch else last - dropped
            self.accounted[epoch].update(range(first + 1, last + 1))
            self.epoch, self.at = epoch, n

    def check(self) -> None:
        """It has got everything that was sent in its epochs after it began, or knows that it is lost."""
        for (epoch, n), data in self.model.confirmed.items():
            if epoch in self.begun and n > self.begun[epoch] and n not in self.accounted[epoch]:
                # Then it was lost with the end of its epoch, and the page has another one, or will ask later.
                assert not (self.isOpen and epoch == self.epoch) and n > max(
                    self.accounted[epoch], default=0
                ), (epoch, n, data)


class LossyModel(model.NotifyModel):
    """The actions, with losses."""

    page = LossyPage
    pages: list[LossyPage]  # type: ignore[assignment]

    def __init__(self, case: Any, seed: int) -> None:
        super().__init__(case, seed)
        #: The data of notifications, by their places: of those that were confirmed, and that any page got.
        self.confirmed: dict[tuple[str, int], int] = {}
        self.got: dict[tuple[str, int], int] = {}
        #: The epochs that Redis knows nothing of any more.
        self.lost: set[str] = set()

    def send(self) -> None:
        for _ in range(self.random.choice((1, 1, 2, 5, 90))):
            self._keys += 1
            data, limit = self._keys, self.random.choice((3, 100, 100, 100))
            for _ in range(10):
                node, once = self.random.choice(self.nodes), Once(f"k{data}", b"digest")
                results = fired(node.harness.server.notify("ann", "n", data, limit=limit, once=once))
                while not results:
                    self.case.advance(0.05)
                if hasattr(results[0], "n"):
                    place = (results[0].epoch, results[0].n)
                    # A number is free again if its notification was lost, but not in its epoch.
                    assert self.confirmed.setdefault(place, data) == data, results
                    break

    def step(self) -> None:
        super().step()
        if self.random.random() < 0.15:
            self.cut()

    def cut(self) -> None:
        """Redis is restarted without its newest changes, or loses everything, or connections are lost."""
        what = self.random.choice(("cut", "restart", "forget", "forget", "flush"))
        if what == "flush":
            self.lost |= {epoch for epoch, _ in self.confirmed} | {page.epoch or "" for page in self.pages}
            self.case.redis.store.flush()
            self.case.redis.store._history.clear()  # no restart brings it back
        elif what == "forget":
            self.case.redis.restart(forgotten=self.random.choice((1, 2, 5, 20)))
            self.case.advance(self.random.choice((0, 0.5, 5)))
        else:
            super().cut()

    def finish(self) -> None:
        """All pages that are open come to the same place, and each knows of everything that it lacks."""
        for _ in range(3):
            self.send()  # what a page may have missed shows with the next notification
            for _ in range(12):
                self.calm()
                for page in self.pages:
                    page.acknowledge()
        places = {(page.epoch, page.at) for page in self.pages if page.isOpen}
        assert len(places) <= 1, places
        for page in self.pages:
            page.check()


class LossyModelTests(model.NotifyModelTests):
    """Random actions on two nodes."""

    model = LossyModel
