from twisted.trial.unittest import SynchronousTestCase

from server import makeServer
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
        """All members of a room hear a message, also the sender."""
        alice, bob = self.join("alice"), self.join("bob")
        carol = self.join("carol", topic="tea")
        alice.send("say", "hello")
        self.assertEqual(alice.expect("said")["text"], "hello")
        self.assertEqual(bob.expect("said")["text"], "hello")
        carol.expectNone("said")

    def test_history(self):
        """A new member sees the messages that were sent before."""
        self.join("alice").send("say", "hello")
        self.assertEqual(self.join("bob").expect("said")["text"], "hello")

    def test_presence(self):
        """Each member knows the others, and is told when somebody joins."""
        alice, bob = self.join("alice"), self.join("bob")
        self.assertEqual(names(bob.members), ["alice", "bob"])
        came, left = alice.presence[-1]
        self.assertEqual((names(came), names(left)), (["bob"], []))

    def test_wrongMessage(self):
        """For wrong data the client gets an error, and nobody hears the message."""
        alice = self.join("alice")
        error = self.assertRaises(RoomError, alice.call, "say", 5)
        self.assertEqual(error.code, "invalidData")
        alice.expectNone()

    def test_lostConnection(self):
        """
        A client that loses its connection misses nothing. Meanwhile the others see
        that it is away.
        """
        alice, bob = self.join("alice"), self.join("bob")
        bob.client.offline()
        alice.send("say", "are you there?")
        bob.send("say", "nobody hears me")
        self.harness.advance(20)
        bob.client.online()
        self.assertEqual(bob.events, ["reconnecting", "recovered"])
        self.assertEqual(bob.expect("said")["text"], "are you there?")
        self.assertEqual(
            [alice.expect("said")["from"] for _ in range(2)],
            [alice.member, bob.member],
        )
        away = [
            came[0].metas[0].get("away", False) for came, left in alice.presence
        ]
        # Both joined; then bob was away, and came back.
        self.assertEqual(away, [False, False, True, False])

    def test_gone(self):
        """A client that does not come back within half a minute has left."""
        alice, bob = self.join("alice"), self.join("bob")
        bob.client.offline()
        self.harness.advance(31)
        self.assertEqual(names(alice.members), ["alice"])
