"""The test kit's notifications."""

from __future__ import annotations

from typing import Any

from tests.case import HarnessTestCase
from txroom import Accept, Room
from txroom.testing import RoomClient


class NotificationTests(HarnessTestCase):
    """Clients of a user who is notified."""

    def setUp(self) -> None:
        self.harness = self.serve({"chat": Room})
        self.harness.server.rooms.verifyClient = lambda handshake: Accept(user=handshake.query.get("user"))

    def client(self, user: str = "ada", **options: Any) -> RoomClient:
        return self.harness.client(f"/rooms?user={user}", **options)

    def test_listen(self) -> None:
        """A client that listens gets what has waited and what comes; others get nothing, other users too."""
        result = self.harness.notify("ada", "friend", {"from": "bob"})
        self.assertEqual((result.n, result.isListening), (1, False))
        ada, deaf, bob = self.client(), self.client(), self.client("bob")
        ada.listen()
        bob.listen()
        deaf.join("chat")
        self.assertTrue(self.harness.notify("ada", "gift", 5).isListening)
        self.harness.notify("ada", "news", queue=False)
        self.assertEqual(ada.notifications, [("friend", {"from": "bob"}), ("gift", 5), ("news", None)])
        self.assertEqual((deaf.notifications, bob.notifications), ([], []))
        self.assertEqual(ada.expectNotification("gift"), 5)
        self.assertEqual(ada.expectNotification("friend"), {"from": "bob"})
        error = self.assertRaises(AssertionError, ada.expectNotification, "gift")
        self.assertEqual(
            str(error),
            "no notification 'gift' has arrived; there is: 'news' None; the client is open",
        )

    def test_acknowledged(self) -> None:
        """The next client of a device goes on after what was acknowledged 0.05 s after it had arrived."""
        first = self.client(device="phone")
        first.listen()
        self.harness.notify("ada", "gift", 1)
        self.harness.advance(0.05)
        self.harness.notify("ada", "gift", 2)
        first.offline()
        second = self.client(device="phone")
        second.listen()
        self.assertEqual([data for _, data in second.notifications], [2])
        first.online()
        self.assertEqual([data for _, data in first.notifications], [1, 2])

    def test_faults(self) -> None:
        """Frames of notifications can be lost; the client gets what was lost over its next connection."""
        ada = self.client()
        ada.incoming.lose("notify", 2)
        ada.listen()
        for number in (1, 2):
            self.harness.notify("ada", "gift", number)
        self.assertEqual(ada.notifications, [])
        ada.drop()
        self.harness.advance(0.25)
        self.assertEqual([data for _, data in ada.notifications], [1, 2])
        ada.outgoing.lose("notify")
        self.harness.advance(0.05)
        self.assertEqual(ada.outgoing.pending, [])

    def test_dropped(self) -> None:
        """A client is told how many notifications were dropped."""
        for number in range(5):
            self.harness.notify("ada", "gift", number, limit=2)
        ada = self.client()
        ada.listen()
        self.assertEqual((ada.droppedNotifications, [data for _, data in ada.notifications]), (3, [3, 4]))
