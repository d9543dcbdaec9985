"""The short way of the lean reactor, event by event."""

from __future__ import annotations

import socket
import sys
from typing import Any
from unittest import skipUnless

from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_DONE
from twisted.python import log
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase


def protocolOf(isLean: bool) -> object:
    """A protocol of a class that is lean or not."""
    return type("Protocol", (), {"isLean": isLean})()


class Reader:
    """A transport that notes what the reactor does with it."""

    def __init__(self, socket: socket.socket, protocol: object) -> None:
        self.socket = socket
        self.protocol = protocol
        self.calls: list[Any] = []
        self.result: Any = None
        self.error: Exception | None = None

    def fileno(self) -> int:
        self.calls.append("fileno")
        return self.socket.fileno()

    def logPrefix(self) -> str:
        self.calls.append("logPrefix")
        return "reader"

    def doRead(self) -> Any:
        self.calls.append("doRead")
        self.socket.recv(100)
        if isinstance(self.result, type):
            raise self.result
        return self.result

    def connectionLost(self, reason: Failure) -> None:
        self.calls.append(reason.type)
        log.msg("lost")
        if self.error is not None:
            raise self.error


@skipUnless(sys.platform == "linux", "epoll is Linux's")
class LeanEPollTests(SynchronousTestCase):
    def setUp(self) -> None:
        from txroom.process.leanepoll import LeanEPollReactor

        self.reactor = LeanEPollReactor()
        self.peer, self.socket = socket.socketpair()
        self.addCleanup(self.close)

    def close(self) -> None:
        self.reactor.removeAll()
        for waker in self.reactor._internalReaders:
            waker.connectionLost(Failure(CONNECTION_DONE))
        self.reactor._poller.close()
        self.peer.close()
        self.socket.close()

    def read(self, protocol: object, result: Any = None, error: Exception | None = None) -> list[Any]:
        """One event that something can be read; what the reactor did."""
        reader = Reader(self.socket, protocol)
        reader.result = result
        reader.error = error
        self.reactor.addReader(reader)
        del reader.calls[:]
        self.peer.send(b"x")
        self.reactor.doPoll(0)
        calls = list(reader.calls)
        self.reactor.removeReader(reader)
        return calls

    def test_lean(self) -> None:
        """Straight to `doRead`."""
        self.assertEqual(self.read(protocolOf(True)), ["doRead"])

    def test_others(self) -> None:
        """Everybody else is treated as by Twisted."""
        for protocol in (protocolOf(False), object(), None):
            self.assertEqual(self.read(protocol), ["logPrefix", "fileno", "doRead"])

    def test_ends(self) -> None:
        """The end of a connection is told as by Twisted."""
        calls = self.read(protocolOf(True), CONNECTION_DONE)
        self.assertEqual((calls[0], calls[-1]), ("doRead", ConnectionDone))
        self.assertEqual(self.reactor.getReaders(), list(self.reactor._internalReaders))

    def test_endIsLogged(self) -> None:
        """What is logged when a connection ends has its name, and an exception then costs only that."""
        events: list[dict[str, Any]] = []
        log.addObserver(events.append)
        self.addCleanup(log.removeObserver, events.append)
        for isLean in (False, True):
            del events[:]
            self.read(protocolOf(isLean), CONNECTION_DONE, ZeroDivisionError())
            self.assertEqual([event["system"] for event in events], ["reader", "reader"])
            self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_raises(self) -> None:
        """An exception is logged with the name of its connection, and costs only that."""
        calls = self.read(protocolOf(True), ZeroDivisionError)
        self.assertEqual((calls[0], calls[-1]), ("doRead", ZeroDivisionError))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertIn("logPrefix", calls)

    def test_hangUp(self) -> None:
        """Any other event goes Twisted's way."""
        reader = Reader(self.socket, protocolOf(True))
        self.reactor.addReader(reader)
        del reader.calls[:]
        self.peer.close()
        self.reactor.doPoll(0)
        self.assertEqual(reader.calls, ["logPrefix", "fileno", "doRead"])

    def test_callAfterEvents(self) -> None:
        """A function is called once, after the events of a poll or after the delayed calls."""
        calls: list[str] = []

        class Protocol:
            isLean = True

        reader = Reader(self.socket, Protocol())
        doRead = reader.doRead

        def read() -> Any:
            self.reactor.callAfterEvents(lambda: calls.append("after events"))
            calls.append("read")
            return doRead()

        self.patch(reader, "doRead", read)
        self.reactor.addReader(reader)
        self.peer.send(b"x")
        self.reactor.doPoll(0)
        self.assertEqual(calls, ["read", "after events"])
        self.reactor.callLater(0, self.reactor.callAfterEvents, lambda: calls.append("after calls"))
        self.reactor.callLater(0, calls.append, "call")
        self.reactor.runUntilCurrent()
        self.reactor.doPoll(0)
        self.assertEqual(calls[2:], ["call", "after calls"])
        self.reactor.removeReader(reader)

    def test_callAfterEventsRaises(self) -> None:
        """A function that raises does not prevent the others."""
        calls: list[str] = []

        def fail() -> None:
            raise ZeroDivisionError

        self.reactor.callAfterEvents(fail)
        self.reactor.callAfterEvents(lambda: calls.append("other"))
        self.reactor.runUntilCurrent()
        self.assertEqual(calls, ["other"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
