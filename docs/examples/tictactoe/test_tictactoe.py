from twisted.trial.unittest import SynchronousTestCase

from tictactoe import makeServer
from txroom.testing import RoomHarness


class TicTacToeTests(SynchronousTestCase):
    def setUp(self):
        self.harness = RoomHarness(makeServer)
        self.addCleanup(self.harness.stop)
        self.ann = self.harness.client().join("tictactoe")
        self.bob = self.harness.client().join("tictactoe")
        self.game = self.harness.roomOf(self.ann).state

    def test_wins(self):
        """Three in a line win; a move out of turn does nothing."""
        for player, index in (
            (self.bob, 0),
            (self.bob, 1),
            (self.ann, 4),
            (self.bob, 1),
            (self.ann, 5),
            (self.bob, 2),
        ):
            player.send("put", {"index": index})
        self.assertEqual(list(self.game.board), [2, 2, 2, 0, 1, 1, 0, 0, 0])
        self.assertEqual(self.game.winner, self.bob.member)

    def test_time(self):
        """The room moves for a player who takes longer than ten seconds."""
        self.harness.advance(10)
        self.assertEqual(list(self.game.board), [2, 0, 0, 0, 0, 0, 0, 0, 0])
        self.assertEqual(self.game.turn, self.ann.member)

    def test_leaves(self):
        """If a player leaves, the other one wins."""
        self.bob.leave()
        self.assertEqual(self.game.winner, self.ann.member)
