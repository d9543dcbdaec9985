from twisted.trial.unittest import SynchronousTestCase

from chat import makeServer
from txroom.testing import RoomHarness


class ChatTests(SynchronousTestCase):
    def setUp(self):
        self.harness = RoomHarness(makeServer)
        self.addCleanup(self.harness.stop)

    def connect(self, name):
        return self.harness.connect(f"/chat?name={name}")

    def test_everybodyHears(self):
        """All clients get a message, also the sender."""
        alice, bob = self.connect("alice"), self.connect("bob")
        alice.send('{"text": "hello"}')
        self.assertEqual(
            alice.received, ["alice came in", "bob came in", "alice: hello"]
        )
        self.assertEqual(bob.received[-1], "alice: hello")

    def test_history(self):
        """A new client gets the messages that were sent before."""
        self.connect("alice").send('{"text": "hello"}')
        self.assertIn("alice: hello", self.connect("bob").received)

    def test_nameTaken(self):
        """Two connected clients cannot have the same name."""
        alice = self.connect("alice")
        self.assertEqual(self.connect("alice").response.status, 409)
        alice.close()
        self.assertEqual(self.connect("alice").response.status, 101)

    def test_wrongMessage(self):
        """Wrong data gets an error; anything but JSON closes the connection."""
        alice = self.connect("alice")
        alice.send('{"text": 5}')
        self.assertEqual(
            alice.received[-1], "! Expected `str`, got `int` - at `$.text`"
        )
        alice.send("hello")
        self.assertEqual(alice.closeCode, 1003)

    def test_lostConnection(self):
        """The server notices a client that is gone without closing."""
        alice, bob = self.connect("alice"), self.connect("bob")
        bob.freeze()
        self.harness.advance(45)
        self.assertEqual(alice.received[-1], "bob left")
