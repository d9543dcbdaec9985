from chat import makeServer
from twisted.trial.unittest import SynchronousTestCase

from txroom.testing import RoomHarness


class ChatTests(SynchronousTestCase):
    def setUp(self):
        self.harness = RoomHarness(makeServer)
        self.addCleanup(self.harness.stop)

    def connect(self, name):
        return self.harness.connect(f"/chat?name={name}")

    def test_everybodyHears(self):
        """What one says comes to all, the one too."""
        alice, bob = self.connect("alice"), self.connect("bob")
        alice.send('{"text": "hello"}')
        self.assertEqual(alice.received, ["alice came in", "bob came in", "alice: hello"])
        self.assertEqual(bob.received[-1], "alice: hello")

    def test_history(self):
        """Who comes later sees what was said before."""
        self.connect("alice").send('{"text": "hello"}')
        self.assertIn("alice: hello", self.connect("bob").received)

    def test_nameTaken(self):
        """There are no two of the same name at a time."""
        alice = self.connect("alice")
        self.assertEqual(self.connect("alice").response.status, 409)
        alice.close()
        self.assertEqual(self.connect("alice").response.status, 101)

    def test_wrongMessage(self):
        """A message of the wrong shape is answered; one that is no JSON ends the connection."""
        alice = self.connect("alice")
        alice.send('{"text": 5}')
        self.assertEqual(alice.received[-1], "! Expected `str`, got `int` - at `$.text`")
        alice.send("hello")
        self.assertEqual(alice.closeCode, 1003)

    def test_lostConnection(self):
        """A client that is gone without a word is noticed."""
        alice, bob = self.connect("alice"), self.connect("bob")
        bob.freeze()
        self.harness.advance(45)
        self.assertEqual(alice.received[-1], "bob left")
