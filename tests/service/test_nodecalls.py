"""Tests for what nodes ask one another: `Cluster.askNode`, `askNodes` and `answerNode`."""

from __future__ import annotations

from functools import partial
from typing import Any

from msgspec import Raw
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from twisted.python.failure import Failure

from tests.case import HarnessTestCase, fired
from tests.engine.redis.nodes import Chat, NodesTestCase, TestNode
from txroom import RoomError
from txroom.engine.redis.packets import Ask, CallNode, encode
from txroom.service.cluster import Cluster
from txroom.service.nodecalls import MAX_ANSWER, MAX_ARGS, MAX_WAITING


def pair(first: Any, second: Any) -> Any:
    return first, second


async def echo(args: Any) -> Any:
    return {"said": args}


class Questions:
    """What holds for a question to any node: `cluster` asks `node`, whose functions are those of `asked`."""

    def begin(self) -> None:
        """Make `cluster`, `asked` and `node`."""
        raise NotImplementedError

    cluster: Cluster
    asked: Cluster
    node: str
    clock: Any

    def answer(self, *args: Any) -> Any:
        """The answer; of an error its code, message and details."""
        answers = fired(self.cluster.askNode(self.node, *args))
        self.clock.advance(0.1)
        return self.shown(answers[0])

    def shown(self, answer: Any) -> Any:
        if isinstance(answer, Failure):
            error = answer.value
            assert isinstance(error, RoomError), error
            return error.code, error.message, error.details
        return answer

    def test_answered(self: Any) -> None:
        """Functions get plain data and return it: at once, as a Deferred, or as a coroutine."""
        self.begin()
        self.asked.answerNode("echo", echo)
        self.asked.answerNode("plain", lambda args: (args, b"x".hex()))
        self.asked.answerNode("later", lambda args: deferLater(self.clock, 0.05, lambda: args))
        self.assertEqual(self.answer("echo", {"a": (1, 2.5)}), {"said": {"a": [1, 2.5]}})
        self.assertEqual(self.answer("echo"), {"said": None})
        self.assertEqual(self.answer("plain", "é"), ["é", "78"])
        self.assertEqual(self.answer("later", [None]), [None])

    def test_unknown(self: Any) -> None:
        """A node without that function, such as an older one, says so, and its name."""
        self.begin()
        code, message, details = self.answer("rooms.list")
        self.assertEqual((code, details), ("unknownType", {"name": "rooms.list"}))
        self.assertIn("'rooms.list'", message)

    def test_failed(self: Any) -> None:
        """A `RoomError` comes back as it is; of other errors nothing but the log of the node has the text."""
        self.begin()

        def refuse(args: Any) -> None:
            raise RoomError("forbidden", "not you", {"who": args})

        def fail(args: Any) -> None:
            raise ValueError("a secret")

        self.asked.answerNode("refuse", refuse)
        self.asked.answerNode("fail", fail)
        self.asked.answerNode("object", lambda args: object())
        self.assertEqual(self.answer("refuse", 7), ("forbidden", "not you", {"who": 7}))
        self.assertEqual(self.answer("fail"), ("internal", "", None))
        self.assertEqual(self.answer("object"), ("internal", "", None))
        logged = [type(each.value) for each in self.flushLoggedErrors()]
        self.assertEqual(logged, [ValueError, TypeError])

    def test_large(self: Any) -> None:
        """Arguments and answers are limited; an answer that is too large costs nothing else."""
        self.begin()
        self.asked.answerNode("size", len)
        self.asked.answerNode("fill", lambda size: "x" * size)
        self.assertEqual(self.answer("size", "x" * (MAX_ARGS - 5)), MAX_ARGS - 5)
        self.assertRaises(ValueError, self.cluster.askNode, self.node, "size", "x" * MAX_ARGS)
        self.assertEqual(len(self.answer("fill", MAX_ANSWER - 5)), MAX_ANSWER - 5)
        waiting = fired(self.cluster.askNode(self.node, "size", "abc"))
        code, message, _ = self.answer("fill", MAX_ANSWER)
        self.assertEqual((code, "'fill'" in message), ("tooLarge", True))
        self.assertEqual(waiting, [3])

    def test_slow(self: Any) -> None:
        """After five seconds nothing is waited for, and the function is cancelled."""
        self.begin()
        cancelled: list[Any] = []
        self.asked.answerNode("hang", lambda args: Deferred(cancelled.append))
        answers = fired(self.cluster.askNode(self.node, "hang"))
        self.clock.advance(4.9)
        self.assertEqual((answers, cancelled), ([], []))
        self.clock.advance(0.2)
        expected = ("unavailable", "the node didn't answer in time", {"mayHaveHappened": True})
        self.assertEqual(self.shown(answers[0]), expected)
        self.assertEqual(len(cancelled), 1)

    def test_tooMany(self: Any) -> None:
        """No more than a hundred questions wait for one node; then others may be asked."""
        self.begin()
        self.asked.answerNode("hang", lambda args: Deferred())
        self.asked.answerNode("echo", echo)
        for _ in range(MAX_WAITING):
            fired(self.cluster.askNode(self.node, "hang"))
        code, _, details = self.answer("echo")
        self.assertEqual((code, details), ("unavailable", {"mayHaveHappened": False}))
        self.clock.advance(5.1)
        self.assertEqual(self.answer("echo", 1), {"said": 1})

    def test_wrong(self: Any) -> None:
        """Wrong names, nodes and arguments are refused at once; so is a second function of a name."""
        self.begin()
        cluster: Any = self.cluster
        for name in ("", "x" * 65):
            self.assertRaises(ValueError, cluster.askNode, self.node, name)
            self.assertRaises(ValueError, cluster.askNodes, name)
            self.assertRaises(ValueError, cluster.answerNode, name, echo)
        self.assertRaises(TypeError, cluster.askNode, self.node, 7)
        self.assertRaises(TypeError, cluster.askNode, None, "echo")
        self.assertRaises(TypeError, cluster.askNode, self.node, "echo", object())
        self.assertRaises(TypeError, cluster.askNodes, "echo", object())
        cluster.answerNode("x" * 64, echo)
        self.assertRaises(ValueError, cluster.answerNode, "x" * 64, echo)

    def test_noSuchNode(self: Any) -> None:
        """A node that is not there can't be reached."""
        self.begin()
        self.node = "1.elsewhere"
        expected = ("unavailable", "the node can't be reached", {"mayHaveHappened": False})
        self.assertEqual(self.answer("echo"), expected)


class AloneTests(Questions, HarnessTestCase):
    """A server with the memory engine asks itself."""

    def begin(self) -> None:
        harness = self.serve({"chat": Chat})
        self.cluster = self.asked = harness.server.cluster
        self.clock = harness.clock
        ((self.node, *_),) = self.successResultOf(self.cluster.nodes())

    def test_askNodes(self) -> None:
        """It is the only node that answers."""
        self.begin()
        self.cluster.answerNode("echo", echo)
        answers = self.successResultOf(self.cluster.askNodes("echo", 1))
        self.assertEqual(answers, ({self.node: {"said": 1}}, ()))
        answers = self.successResultOf(self.cluster.askNodes("nix"))
        self.assertEqual(answers, ({}, (self.node,)))


class ThisNodeTests(Questions, NodesTestCase):
    """A node of a cluster asks itself."""

    def begin(self) -> None:
        (this,) = self.start(1)
        self.cluster = self.asked = this.harness.server.cluster
        self.node = this.node.id


class OtherNodeTests(Questions, NodesTestCase):
    """A node asks another one."""

    first: TestNode
    second: TestNode

    def begin(self) -> None:
        self.first, self.second = self.start()
        self.advance(2.5)
        self.cluster, self.asked = (each.harness.server.cluster for each in (self.first, self.second))
        self.node = self.second.node.id

    def test_all(self) -> None:
        """All nodes answer; those that fail, or don't know the function, are named."""
        self.begin()
        third = self.start(1)[0]
        self.advance(2.5)
        ids = [self.first.node.id, self.second.node.id, third.node.id]
        clusters = [self.cluster, self.asked, third.harness.server.cluster]
        for number, cluster in enumerate(clusters):
            cluster.answerNode("number", partial(pair, number))
        self.assertEqual(
            self.result(self.cluster.askNodes("number", "x")),
            ({node: [number, "x"] for number, node in enumerate(ids)}, ()),
        )
        self.asked.answerNode("echo", echo)
        answers = self.result(self.cluster.askNodes("echo"))
        self.assertEqual(list(answers.done), [ids[1]])
        self.assertEqual(set(answers.unanswered), {ids[0], ids[2]})
        self.assertEqual(self.result(self.cluster.askNodes("echo", 5)).done[ids[1]], {"said": 5})

    def test_lost(self) -> None:
        """A node that hears nothing is named after five seconds; a dead one can't be asked any more."""
        self.begin()
        self.cluster.answerNode("echo", echo)
        self.redis.deliveries = lambda channel, data: () if b"to:" in channel else (0.0,)
        answers = fired(self.cluster.askNodes("echo", 1))
        self.advance(4.8)
        self.assertEqual(answers, [])
        self.advance(0.3)
        self.assertEqual(answers, [({self.first.node.id: {"said": 1}}, (self.node,))])
        self.second.kill()
        self.first.engine.nodeEnded(self.node)
        self.settle()
        self.assertEqual(self.result(self.cluster.askNodes("echo", 1)).unanswered, ())
        self.assertEqual(self.answer("echo")[2], {"mayHaveHappened": False})

    def test_late(self) -> None:
        """A question that arrives after its deadline isn't passed to the function."""
        self.begin()
        called: list[Any] = []
        self.asked.answerNode("note", called.append)
        now = self.first.node.lease.now()
        assert now is not None
        for until, expected in ((now - 1.0, []), (now + 1.0, [None])):
            talk = self.first.node.peers._peer(self.node).talk
            talk.tell(Ask(1, "", Raw(encode(CallNode("note", b"\xc0"))), until))
            self.settle()
            self.assertEqual(called, expected)

    def test_garbage(self) -> None:
        """An argument that can't be decoded is an error of that question, and costs nothing else."""
        self.begin()
        self.asked.answerNode("echo", echo)
        ada, bob = self.second.join(), self.first.join()
        self.assertEqual(self.whereIs(bob.id), [self.second])
        asked = self.first.node.peers.ask(self.node, "", CallNode("echo", b"\xc1"))
        self.assertEqual(self.shown(self.result(asked))[0], "internal")
        self.assertEqual(len(self.flushLoggedErrors()), 1)
        bob.send("say", "still here")
        self.settle()
        self.assertEqual(ada.expect("said"), "still here")

    def test_packets(self) -> None:
        """The questions and answers of one turn travel in one packet each way."""
        self.begin()
        self.asked.answerNode("echo", echo)
        self.answer("echo")
        before = self.redis.count("PUBLISH")
        answers = [fired(self.cluster.askNode(self.node, "echo", each)) for each in range(20)]
        self.settle()
        self.assertEqual(answers, [[{"said": each}] for each in range(20)])
        self.assertLessEqual(self.redis.count("PUBLISH") - before, 3)
        self.assertLess(len(encode(CallNode("echo", b"\x01"))), 30)

    def test_stopped(self) -> None:
        """A server whose engine has stopped asks nobody, and no question is answered."""
        self.begin()
        self.cluster.answerNode("echo", echo)
        own = self.first.node.id
        self.first.stop()
        self.assertEqual(self.successResultOf(self.cluster.askNodes("echo")), ({}, ()))
        failure = self.failureResultOf(self.cluster.askNode(own, "echo"), RoomError)
        self.assertEqual(failure.value.details, {"mayHaveHappened": False})
