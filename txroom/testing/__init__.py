"""
A kit for the tests of applications: the real server and real clients, without sockets and without time.

`RoomHarness` runs a `Server` on a clock and a network that exist in memory only. Its clients are
Autobahn's; between the two lie Twisted's own TCP transports, on sockets that are two byte buffers, so
that back-pressure, half-closed connections and resets are those of Twisted. Time stands still but
for `advance`. The global reactor is never imported, so the kit serves in trial's `SynchronousTestCase`
and `TestCase` and in pytest (there is a fixture, `txroomHarness`) alike::

    from twisted.trial.unittest import SynchronousTestCase

    from txroom import Application
    from txroom.testing import RoomHarness


    class Chat(Application):
        def onMessage(self, connection, message):
            self.broadcast(message, exclude=[connection])


    class ChatTests(SynchronousTestCase):
        def setUp(self):
            self.harness = RoomHarness(Chat(), pingInterval=20, pingTimeout=10)
            self.addCleanup(self.harness.stop)

        def test_others(self):
            "A message comes to all others."
            alice, bob = self.harness.connect("/"), self.harness.connect("/")
            alice.send("hello")
            self.assertEqual(bob.received, ["hello"])
            self.assertEqual(alice.received, [])

        def test_slowReader(self):
            "Whoever reads again gets what waited."
            alice, bob = self.harness.connect("/"), self.harness.connect("/")
            bob.stall()
            alice.send("x" * 1000)
            self.assertEqual(bob.received, [])
            bob.unstall()
            self.assertEqual(bob.received, ["x" * 1000])

        def test_deadPeer(self):
            "A client that answers no pings is dropped in time."
            client = self.harness.connect("/")
            client.freeze()
            self.harness.advance(30)
            self.assertTrue(client.isClosed)
            self.assertEqual(self.harness.server.connections, [])

Rooms have clients of their own, which are those of ``txroom.client``: they come back by themselves when
the connection is lost. What the network does to single frames can be chosen::

    from twisted.trial.unittest import SynchronousTestCase

    from txroom import Room, message
    from txroom.testing import RoomHarness


    class Counter(Room):
        def onCreate(self, options):
            self.count = 0

        @message("add")
        def add(self, client, number: int):
            self.count += number
            self.broadcast("now", self.count)
            return self.count


    class CounterTests(SynchronousTestCase):
        def test_lostAnswer(self):
            "A call whose answer is lost on its way is answered all the same, and handled once."
            harness = RoomHarness({"counter": Counter})
            self.addCleanup(harness.stop)
            alice, bob = harness.client().join("counter"), harness.client().join("counter")
            alice.client.incoming.lose("reply")
            answer = alice.calling("add", 5)
            alice.client.drop()
            harness.advance(1)
            self.assertEqual(self.successResultOf(answer), 5)
            self.assertEqual(bob.expect("now"), 5)
            bob.expectNone()

In pytest::

    def test_echo(txroomHarness):
        harness = txroomHarness(Application(onMessage=lambda connection, message: connection.send(message)))
        client = harness.connect("/")
        client.send(b"hello")
        assert client.received == [b"hello"]

What a client does (`send`, `close`, ...) has had all its effects when the call returns. After something
that was begun on the server's side, say `server.broadcast`, call `harness.flush()`.
"""

from .clients import Client, CloseInfo, MemoryEndpoint, RawClient, Response, clientFrame, upgradeRequest
from .faults import Faults
from .harness import RoomHarness
from .network import MemoryReactor
from .rooms import JoinedRoom, RoomClient
from .trace import Step, Trace

__all__ = [
    "Client",
    "CloseInfo",
    "Faults",
    "JoinedRoom",
    "MemoryEndpoint",
    "MemoryReactor",
    "RawClient",
    "Response",
    "RoomClient",
    "RoomHarness",
    "Step",
    "Trace",
    "clientFrame",
    "upgradeRequest",
]
