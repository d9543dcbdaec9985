"""
The models of notifications with real clients, whose listeners end at once or later: they are told everything
once and in order, also if a listener ends while the client reconnects.
"""

from __future__ import annotations

from tests.service import test_notify_losses as losses
from tests.service import test_notify_model as model
from tests.service.notifyclients import ClientModel, ClientPage


class ClientModelTests(model.NotifyModelTests):
    """Random actions on two nodes."""

    model = ClientModel


class LossyClientPage(ClientPage, losses.LossyPage):
    """A client over a Redis that loses data."""

    model: LossyClientModel

    def isUpTo(self, data: int, epoch: str | None, n: int) -> bool:
        place = self._places[data]
        return place[0] == epoch and place[1] <= n

    def beginsAfter(self, n: int) -> None:
        self.last = ("", 0)

    def passed(self, data: int) -> None:
        """The listeners are told nothing twice in an epoch, and everything in order."""
        place = self._places[data]
        assert place[0] != self.last[0] or place > self.last, (place, self.last)
        self.last = place

    def _dropped(self, count: int) -> None: ...


class LossyClientModel(ClientModel, losses.LossyModel):
    """The actions, with losses."""

    page = LossyClientPage  # type: ignore[assignment]
    pages: list[LossyClientPage]  # type: ignore[assignment]


class LossyClientModelTests(model.NotifyModelTests):
    """Random actions on two nodes."""

    model = LossyClientModel
