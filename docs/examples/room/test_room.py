from player import Player
from server import makeServer
from twisted.trial.unittest import SynchronousTestCase

from txroom.testing import RoomHarness


class ChatRoomTests(SynchronousTestCase):
    def setUp(self):
        self.harness = RoomHarness(makeServer)
        self.addCleanup(self.harness.stop)

    def join(self, name, **options):
        return Player(self.harness, "chat", name=name, **options)

    def texts(self, player):
        return [data["text"] for type, data in player.messages if type == "said"]

    def test_everybodyHears(self):
        """What one says comes to all, the one too; not to those who talk of something else."""
        alice, bob, carol = self.join("alice"), self.join("bob"), self.join("carol", topic="tea")
        alice.send("say", "hello")
        self.assertEqual([self.texts(each) for each in (alice, bob, carol)], [["hello"], ["hello"], []])

    def test_history(self):
        """Who comes later sees what was said before."""
        self.join("alice").send("say", "hello")
        self.assertEqual(self.texts(self.join("bob")), ["hello"])

    def test_presence(self):
        """Everybody knows who is here, and is told who comes."""
        alice, bob = self.join("alice"), self.join("bob")
        names = [user["metas"][0]["name"] for user in bob.joined["members"]]
        self.assertEqual(names, ["alice", "bob"])
        _, came, left = alice.of("presence")[0]
        self.assertEqual(([user["metas"][0]["name"] for user in came], left), (["bob"], []))

    def test_wrongMessage(self):
        """A message of the wrong shape is answered, and nobody hears it."""
        alice = self.join("alice")
        self.assertEqual(alice.call("say", 5), "invalidData")
        self.assertEqual(alice.messages, [])

    def test_lostConnection(self):
        """Who loses the connection misses nothing, and the others don't notice."""
        alice, bob = self.join("alice"), self.join("bob")
        bob.client.drop()
        alice.send("say", "are you there?")
        self.harness.advance(20)
        bob = bob.resume()
        self.assertTrue(bob.joined["recovered"])
        self.assertEqual(self.texts(bob), ["are you there?"])
        self.assertEqual(len(alice.of("presence")), 1)

    def test_gone(self):
        """After half a minute a client that doesn't come back has left."""
        alice, bob = self.join("alice"), self.join("bob")
        bob.client.drop()
        self.harness.advance(31)
        _, came, left = alice.of("presence")[-1]
        self.assertEqual((came, left[0]["metas"][0]["name"]), ([], "bob"))
