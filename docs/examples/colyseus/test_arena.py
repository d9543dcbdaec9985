from arena import makeServer
from twisted.trial.unittest import SynchronousTestCase

from txroom.testing import RoomHarness


class ArenaTests(SynchronousTestCase):
    def setUp(self):
        self.harness = RoomHarness(makeServer)
        self.addCleanup(self.harness.stop)
        self.ann = self.harness.client(auth="t-1").join("arena", mode="duel")
        self.bob = self.harness.client(auth="t-2").join("arena", mode="duel")

    def test_moves(self):
        """Positions stay inside the arena, and are sent with the next tick."""
        self.bob.send("move", {"x": 300, "y": 4})
        self.harness.advance(0.05)
        self.assertEqual(self.ann.expect("moved"), {self.bob.member: [100, 4]})

    def test_comesBack(self):
        """A player who was away for 20 seconds has missed no message."""
        self.bob.client.offline()
        self.ann.send("say", "are you there?")
        self.harness.advance(20)
        self.bob.client.online()
        self.assertEqual(
            self.bob.expect("said"), {"name": "ann", "text": "are you there?"}
        )

    def test_staysAway(self):
        """A player who does not come back within 30 seconds is gone."""
        self.bob.client.offline()
        self.harness.advance(31)
        self.assertEqual(self.ann.expect("gone"), self.bob.member)
