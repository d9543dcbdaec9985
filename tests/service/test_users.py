"""Users and their notifications, from a server to its clients: in memory, and with several nodes."""

from __future__ import annotations

from typing import Any

import attrs
import msgspec

from tests.case import HarnessTestCase
from tests.engine.redis.nodes import NodesTestCase
from txroom import Accept, Room, RoomError, Server
from txroom.protocol.limits import NOTICE_WINDOW
from txroom.rooms.contract.asks import Once
from txroom.testing import Client, RoomHarness


class Page:
    """A page of a user, at a server; it handles what it gets, and acknowledges it if it `isAcknowledging`."""

    def __init__(self, case: Any, harness: RoomHarness, user: str, protocol: str = "txroom.v1.json") -> None:
        self.case = case
        self.isJSON = protocol.endswith("json")
        query = f"?user={user}" if user else ""
        to = harness.server.factory()
        self.client: Client = harness.connect(f"/rooms{query}", protocols=[protocol], to=to)
        self._seen = 0

    def write(self, *frame: Any) -> None:
        """Send a frame."""
        data = msgspec.json.encode(frame).decode() if self.isJSON else msgspec.msgpack.encode(frame)
        self.client.send(data)
        self.case.settle()

    def listen(self, device: str | None = None, epoch: str | None = None, n: int = 0) -> list[Any]:
        """Ask for notifications; the answer."""
        self.write("notify", device, epoch, n)
        return self.take()[0]

    def take(self) -> list[list[Any]]:
        """The frames that came since the last call."""
        self.case.settle()
        new = self.client.received[self._seen :]
        self._seen += len(new)
        decode: Any = msgspec.json.decode if self.isJSON else msgspec.msgpack.decode
        return [decode(each) for each in new]

    def texts(self) -> list[Any]:
        """The data of the notifications that came since the last call."""
        return [frame[4] for frame in self.take() if frame[0] == "notify"]


def verify(handshake: Any) -> Accept:
    """Accept everybody, as the user of the query string."""
    return Accept(user=handshake.query.get("user"))


class UsersTests(HarnessTestCase):
    """A server with the memory engine."""

    def setUp(self) -> None:
        self.harness = self.serve({"chat": Room})
        self.server: Server = self.harness.server
        self.server.rooms.verifyClient = verify

    def settle(self) -> None:
        self.harness.flush()

    def page(self, user: str = "ann", protocol: str = "txroom.v1.json") -> Page:
        return Page(self, self.harness, user, protocol)

    def notify(self, *data: Any, user: str = "ann", **more: Any) -> Any:
        """Send notifications; the last result."""
        for each in data:
            result = self.successResultOf(self.server.notify(user, "news", each, **more))
        self.settle()
        return result

    def test_live(self) -> None:
        """A notification reaches all connections of a user that listen, in both dialects, and no others."""
        pages = [self.page(), self.page(protocol="txroom.v1.msgpack")]
        epochs = [page.listen()[1] for page in pages]
        silent, bob = self.page(), self.page("bob")
        bob.listen()
        sent = self.notify({"text": "hello"})
        self.assertEqual((sent.n, sent.isListening, {sent.epoch}), (1, True, set(epochs)))
        for page in pages:
            self.assertEqual(page.take(), [["notify", sent.epoch, 1, "news", {"text": "hello"}, 0]])
        self.assertEqual((silent.take(), bob.take()), ([], []))

    def test_away(self) -> None:
        """What was sent while a user was away comes in order, and after acknowledgement not again."""
        sent = self.notify(1, 2, 3)
        page = self.page()
        self.assertEqual(page.listen("phone"), ["notified", sent.epoch, 0, 0])
        self.assertEqual(page.texts(), [])
        page = self.page()
        page.write("notify", "phone", None, 0)
        self.assertEqual([frame[0] for frame in page.take()], ["notified", "notify", "notify", "notify"])
        page.write("notify", "phone", sent.epoch, 2)
        page = self.page()
        page.write("notify", "phone", None, 0)
        self.assertEqual(page.take()[0], ["notified", sent.epoch, 2, 0])

    def test_resumed(self) -> None:
        """A page that comes back with its place gets what it has not handled."""
        sent = self.notify(1, 2, 3)
        page = self.page()
        page.write("notify", "phone", sent.epoch, 1)
        frames = page.take()
        self.assertEqual(frames[0], ["notified", sent.epoch, 1, 0])
        self.assertEqual([frame[4] for frame in frames[1:]], [2, 3])

    def test_dropped(self) -> None:
        """A page is told how many are lost: before it came, and while it was there."""
        sent = self.notify(*range(5), limit=2)
        page = self.page()
        page.write("notify", None, None, 0)
        frames = page.take()
        self.assertEqual(frames[0], ["notified", sent.epoch, 3, 3])
        self.assertEqual([frame[5] for frame in frames[1:]], [0, 0])
        page = self.page()
        page.write("notify", None, "gone", 7)
        self.assertEqual(page.take()[0], ["notified", sent.epoch, 3, 1])

    def test_expiredAll(self) -> None:
        """If all that was missed has expired, that is told at once."""
        sent = self.notify(1, 2, seconds=5.0)
        self.harness.advance(6)
        page = self.page()
        self.assertEqual(page.listen(), ["notified", sent.epoch, 2, 2])
        self.notify(3)
        self.assertEqual(page.take(), [["notify", sent.epoch, 3, "news", 3, 0]])

    def test_droppedOnce(self) -> None:
        """A page that acknowledges what is lost is the last of its device that is told."""
        for last, number in enumerate((2, 5)):
            sent = self.notify(*range(2 + last), seconds=5.0)
            self.harness.advance(6)
            for _ in range(2):  # as long as no page has acknowledged it
                page = self.page()
                self.assertEqual(page.listen("phone"), ["notified", sent.epoch, number, 2 + last])
            page.write("notify", "phone", sent.epoch, number)
            page = self.page()
            self.assertEqual(page.listen("phone"), ["notified", sent.epoch, number, 0])

    def test_window(self) -> None:
        """A page that acknowledges nothing gets no more than the window, and then the rest in order."""
        page = self.page()
        epoch = page.listen("phone")[1]
        self.notify(*range(200), limit=200)
        got = page.texts()
        self.assertEqual(got, list(range(NOTICE_WINDOW)))
        page.write("notify", "phone", epoch, 10)
        more = page.texts()
        self.assertEqual(more, list(range(NOTICE_WINDOW, NOTICE_WINDOW + 10)))
        page.write("notify", "phone", epoch, 7)  # it was acknowledged before
        page.write("notify", "phone", epoch, 150)  # it was never sent
        page.write("notify", "phone", "other", 70)
        page.write("notify", "phone", None, 70)
        self.assertEqual(page.texts(), [])
        got += more
        while True:
            page.write("notify", "phone", epoch, len(got))
            more = page.texts()
            if not more:
                break
            got += more
        self.assertEqual(got, list(range(200)))

    def test_windowSize(self) -> None:
        """The window is limited by bytes too, and what is dropped meanwhile is told."""
        page = self.page()
        epoch = page.listen("phone")[1]
        self.notify(*["x" * 60_000] * 20, limit=10)
        frames = page.take()
        self.assertEqual([frame[2] for frame in frames], [1, 2, 3, 4, 5])
        page.write("notify", "phone", epoch, 5)
        frames = page.take()
        self.assertEqual([frame[2] for frame in frames], [11, 12, 13, 14, 15])
        self.assertEqual([frame[5] for frame in frames], [5, 0, 0, 0, 0])

    def test_unqueued(self) -> None:
        """What isn't queued reaches those who listen now."""
        page, bob, anonymous = self.page(), self.page("bob"), self.page("")
        page.listen()
        bob.listen()
        anonymous.listen()
        result = self.notify(1, queue=False)
        self.assertEqual(result, (None, 0, True, False))
        self.successResultOf(self.server.notifyAll("all", 2))
        self.assertEqual(page.take(), [["notify", None, 0, "news", 1, 0], ["notify", None, 0, "all", 2, 0]])
        self.assertEqual(bob.take(), [["notify", None, 0, "all", 2, 0]])
        self.assertEqual(anonymous.take(), [])

    def test_closed(self) -> None:
        """A page that has gone is not listened for any more."""
        page = self.page()
        page.listen()
        page.client.close()
        self.settle()
        self.assertFalse(self.notify(1).isListening)

    def test_nobody(self) -> None:
        """A connection whose user has no id gets an error, and goes on."""
        page = self.page("")
        error = ["error", None, None, "unauthorized", "notifications need a user with an id"]
        self.assertEqual(page.listen(), [*error, {"frame": "notify"}])
        page.write("ping", 1)
        self.assertEqual(page.take(), [["reply", 1, None]])

    def test_userId(self) -> None:
        """The hook says who a user is; one that raises, or returns nonsense, costs an error."""
        self.server.userId = lambda user: f"<{user}>"  # type: ignore[method-assign]
        page = self.page()
        page.listen()
        self.notify(1, user="<ann>")
        self.assertEqual(page.texts(), [1])
        for wrong in (lambda user: 1 / 0, lambda user: 7):
            self.server.userId = wrong  # type: ignore[method-assign,assignment]
            answer = self.page().listen()
            self.assertEqual((answer[3], answer[5]), ("internal", {"frame": "notify"}))
            self.assertEqual(self.successResultOf(self.server.users.find("<ann>")).connections, [])
        self.assertEqual(len(self.flushLoggedErrors()), 3)
        self.server.userId = lambda user: "x" * 257  # type: ignore[method-assign]
        self.assertEqual(self.page().listen()[3], "unauthorized")

    def test_hook(self) -> None:
        """What can't be called is no hook."""
        wrong: Any = 7
        with self.assertRaises(TypeError):
            self.server.userId = wrong  # type: ignore[method-assign]

    def test_malformed(self) -> None:
        """Wrong frames are mistakes of the client, like others."""
        page = self.page()
        for wrong in ((None, None), ("x" * 65, None, 0), (None, None, -1), (7, None, 0), (None, "x" * 65, 0)):
            page.write("notify", *wrong)
            self.assertEqual(page.take()[0][3], "badRequest")
            self.harness.advance(11)

    def test_arguments(self) -> None:
        """Wrong arguments raise; nothing is sent."""
        notify: Any = self.server.notify
        page = self.page()
        page.listen()
        for error, args, more in (
            (TypeError, (7, "news"), {}),
            (ValueError, ("", "news"), {}),
            (ValueError, ("x" * 257, "news"), {}),
            (ValueError, ("ann", ""), {}),
            (ValueError, ("ann", "x" * 129), {}),
            (TypeError, ("ann", 7), {}),
            (TypeError, ("ann", "news", object()), {}),
            (TypeError, ("ann", "news", b"bytes"), {}),
            (ValueError, ("ann", "news", "x" * 65536), {}),
            (ValueError, ("ann", "news"), {"limit": 0}),
            (ValueError, ("ann", "news"), {"limit": 10_001}),
            (TypeError, ("ann", "news"), {"limit": 1.5}),
            (ValueError, ("ann", "news"), {"seconds": 0}),
            (ValueError, ("ann", "news"), {"seconds": float("nan")}),
        ):
            self.assertRaises(error, notify, *args, **more)
        self.assertRaises(ValueError, self.server.notifyAll, "", 1)
        self.assertRaises(ValueError, self.server.users.find, "")
        self.assertEqual(page.take(), [])

    def test_once(self) -> None:
        """A key sends once."""
        once = Once("key", b"digest")
        self.assertFalse(self.notify(1, once=once).isRepeated)
        self.assertTrue(self.notify(1, once=once).isRepeated)
        failure = self.failureResultOf(
            self.server.notify("ann", "news", 2, once=Once("key", b"x")), RoomError
        )
        self.assertEqual(failure.value.details, {"idempotency": "reused"})

    def test_find(self) -> None:
        """A user's connections are found, whether they listen or not."""
        page = self.page()
        self.page("bob")
        self.harness.advance(3)
        (found,), unanswered = self.successResultOf(self.server.users.find("ann"))
        self.assertEqual(found.id, self.harness.connectionOf(page.client).id)
        self.assertEqual((found.path, found.seconds, unanswered), ("/rooms", 3.0, ()))
        self.assertIn("203.0.113.9", found.address)
        self.assertEqual(self.successResultOf(self.server.users.find("nobody")).connections, [])

    def test_findLong(self) -> None:
        """A user who has chosen long paths for many connections is found, with the beginnings of them."""
        for _ in range(200):
            connection = self.harness.connectionOf(self.page().client)
            connection.handshake = attrs.evolve(connection.handshake, target="/rooms/" + "é" * 4000)
        found, unanswered = self.successResultOf(self.server.users.find("ann"))
        self.assertEqual((len(found), unanswered), (200, ()))
        self.assertEqual({len(each.path.encode()) for each in found}, {255})


class NodesTests(NodesTestCase):
    """Several nodes."""

    def nodes_(self, number: int = 2) -> list[Any]:
        nodes = self.start(number)
        for node in nodes:
            node.app.verifyClient = verify
        self.advance(5)
        return nodes

    def page(self, node: Any, user: str = "ann") -> Page:
        return Page(self, node.harness, user)

    def send(self, node: Any, *data: Any, **more: Any) -> Any:
        """Send notifications from a node; the last result."""
        for each in data:
            result = self.result(node.harness.server.notify("ann", "news", each, **more))
        return result

    def test_everywhere(self) -> None:
        """A notification from one node reaches the user at the other one, or waits there for the user."""
        one, two = self.nodes_()
        page = self.page(two)
        epoch = page.listen("phone")[1]
        sent = self.send(one, 1, 2)
        self.assertEqual((sent.epoch, sent.n, sent.isListening), (epoch, 2, True))
        self.assertEqual(page.texts(), [1, 2])
        page.write("notify", "phone", epoch, 1)
        two.kill()
        self.send(one, 3)
        page = self.page(one)
        page.write("notify", "phone", None, 0)
        self.assertEqual(page.texts(), [2, 3])

    def test_unqueued(self) -> None:
        """What isn't queued reaches those who listen at any node."""
        one, two = self.nodes_()
        pages = [self.page(one), self.page(two), self.page(two, "bob")]
        for page in pages:
            page.listen()
        self.assertTrue(self.send(one, 1, queue=False).isListening)
        self.result(two.harness.server.notifyAll("all", 2))
        self.assertEqual([page.texts() for page in pages], [[1, 2], [1, 2], [2]])

    def test_down(self) -> None:
        """A page that comes while Redis is away is answered when it is back; acknowledgements wait too."""
        (node,) = self.nodes_(1)
        page, late = self.page(node), self.page(node)
        epoch = page.listen("phone")[1]
        self.send(node, 1, 2)
        self.assertEqual(page.texts(), [1, 2])
        self.redis.down()
        self.advance(1)
        page.write("notify", "phone", epoch, 1)
        page.write("notify", "phone", epoch, 2)
        late.write("notify", "phone", None, 0)
        self.advance(6)
        self.assertEqual(late.take(), [])
        self.redis.up()
        self.advance(4)
        frames = late.take()
        self.assertEqual((frames[0][0], [frame[4] for frame in frames[1:]]), ("notified", [1, 2]))
        self.send(node, 3)
        self.assertEqual((page.texts(), late.texts()), ([3], [3]))
        self.assertEqual(self.page(node).listen("phone")[2], 2)

    def test_early(self) -> None:
        """
        An acknowledgement that comes before the answer to the subscription is ignored, also after that; what
        follows is acknowledged as usual.
        """
        (node,) = self.nodes_(1)
        epoch = self.send(node, 1, 2, 3).epoch
        page = self.page(node)
        for n in (1, 3):
            page.client.send(f'["notify","phone","{epoch}",{n}]')
        frames = page.take()
        self.assertEqual([(frame[0], *frame[2:]) for frame in frames],
            [("notified", 1, 0), ("notify", 2, "news", 2, 0), ("notify", 3, "news", 3, 0)])  # fmt: skip
        self.assertEqual(self.page(node).listen("phone"), ["notified", epoch, 1, 0])
        page.write("notify", "phone", epoch, 3)
        self.assertEqual(self.page(node).listen("phone"), ["notified", epoch, 3, 0])

    def test_restarted(self) -> None:
        """If Redis loses what it has confirmed, pages go on in the new epoch, and miss nothing after that."""
        (node,) = self.nodes_(1)
        page = self.page(node)
        epoch = page.listen("phone")[1]
        self.send(node, 1, 2)
        self.redis.restart(forgotten=1)
        self.advance(5)
        fresh = self.send(node, 3, 4)
        got = [frame[1:3] for frame in page.take()]
        self.assertEqual(got, [[epoch, 1], [epoch, 2], [fresh.epoch, 2], [fresh.epoch, 3]])

    def test_find(self) -> None:
        """A user is found at all nodes."""
        one, two = self.nodes_()
        self.page(one)
        self.page(two)
        self.page(two, "bob")
        found = self.result(one.harness.server.users.find("ann"))
        self.assertEqual({each.node for each in found.connections}, {one.node.id, two.node.id})
        self.assertEqual(len(found.connections), 2)
