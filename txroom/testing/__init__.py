"""
A kit for testing applications with the real server and real clients, without sockets and without waiting.

`RoomHarness` runs a `Server` on a clock and a network in memory. Its WebSocket clients are Autobahn's. Client
and server are connected by Twisted's own TCP transports, whose sockets are byte buffers, so backpressure,
half-closed connections and resets work as on a network. Time passes only when a test calls `advance`. The
kit never imports the global reactor, so you can use it in trial's `SynchronousTestCase` and `TestCase`, and
in pytest, which has the fixture `txroomHarness`::

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
            "A message is sent to all other clients."
            alice, bob = self.harness.connect("/"), self.harness.connect("/")
            alice.send("hello")
            self.assertEqual(bob.received, ["hello"])
            self.assertEqual(alice.received, [])

        def test_slowReader(self):
            "A client that stops reading and reads again receives the queued messages."
            alice, bob = self.harness.connect("/"), self.harness.connect("/")
            bob.stall()
            alice.send("x" * 1000)
            self.assertEqual(bob.received, [])
            bob.unstall()
            self.assertEqual(bob.received, ["x" * 1000])

        def test_deadPeer(self):
            "A client that answers no pings is dropped."
            client = self.harness.connect("/")
            client.freeze()
            self.harness.advance(30)
            self.assertTrue(client.isClosed)
            self.assertEqual(self.harness.server.connections, [])

The clients for rooms are those of ``txroom.client``: they reconnect by themselves when the connection is
lost. A test can choose what the network does to single frames::

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
            "A call whose answer is lost is handled once, and answered after all."
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

When a method of a client (`send`, `close` and others) returns, all its effects have happened. After an action
on the server's side, such as `server.broadcast`, call `harness.flush()`.
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
