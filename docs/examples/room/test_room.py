from server import makeServer
from twisted.trial.unittest import SynchronousTestCase

from txroom import RoomError
from txroom.testing import RoomHarness


def names(members):
    return [member.metas[0]["name"] for member in members]


class ChatRoomTests(SynchronousTestCase):
    def setUp(self):
        self.harness = RoomHarness(makeServer)
        self.addCleanup(self.harness.stop)

    def join(self, name, **options):
        return self.harness.client().join("chat", name=name, **options)

    def test_everybodyHears(self):
        """What one says comes to all, the one too; not to those who talk of something else."""
        alice, bob, carol = self.join("alice"), self.join("bob"), self.join("carol", topic="tea")
        alice.send("say", "hello")
        self.assertEqual(alice.expect("said")["text"], "hello")
        self.assertEqual(bob.expect("said")["text"], "hello")
        carol.expectNone("said")

    def test_history(self):
        """Who comes later sees what was said before."""
        self.join("alice").send("say", "hello")
        self.assertEqual(self.join("bob").expect("said")["text"], "hello")

    def test_presence(self):
        """Everybody knows who is here, and is told who comes."""
        alice, bob = self.join("alice"), self.join("bob")
        self.assertEqual(names(bob.members), ["alice", "bob"])
        came, left = alice.presence[-1]
        self.assertEqual((names(came), names(left)), (["bob"], []))

    def test_wrongMessage(self):
        """A message of the wrong shape is answered, and nobody hears it."""
        alice = self.join("alice")
        error = self.assertRaises(RoomError, alice.call, "say", 5)
        self.assertEqual(error.code, "invalidData")
        alice.expectNone()

    def test_lostConnection(self):
        """Who loses the connection misses nothing, and the others see that it is away."""
        alice, bob = self.join("alice"), self.join("bob")
        bob.client.offline()
        alice.send("say", "are you there?")
        bob.send("say", "nobody hears me")
        self.harness.advance(20)
        bob.client.online()
        self.assertEqual(bob.events, ["reconnecting", "recovered"])
        self.assertEqual(bob.expect("said")["text"], "are you there?")
        self.assertEqual([alice.expect("said")["from"] for _ in range(2)], [alice.member, bob.member])
        away = [came[0].metas[0].get("away", False) for came, left in alice.presence]
        self.assertEqual(away, [False, False, True, False])  # both came; bob was away, and is back

    def test_gone(self):
        """After half a minute a client that doesn't come back has left."""
        alice, bob = self.join("alice"), self.join("bob")
        bob.client.offline()
        self.harness.advance(31)
        self.assertEqual(names(alice.members), ["alice"])
