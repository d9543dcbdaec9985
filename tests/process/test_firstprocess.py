"""Tests for the first process of a container, without processes."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterable
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from txroom.process import firstprocess
from txroom.process.firstprocess import PASSED_ON, leaveFirst, main
from txroom.service import socketactivation

SERVER = 7


class Executed(Exception):
    """The process runs another program."""


class LeaveFirstTests(SynchronousTestCase):
    """`leaveFirst`."""

    def setUp(self) -> None:
        self.done: list[Any] = []
        self.patch(os, "getpid", lambda: 1)
        self.patch(os, "setsid", lambda: self.done.append("setsid"))
        self.patch(os, "execv", self.execute)
        self.patch(signal, "pthread_sigmask", self.mask)

    def execute(self, path: str, args: list[str]) -> None:
        self.done.append((path, args))
        raise Executed

    def mask(self, how: int, signals: Iterable[int]) -> set[int]:
        self.done.append((how, set(signals)))
        return {signal.SIGUSR2}

    def test_other(self) -> None:
        """Another process goes on as it is."""
        self.patch(os, "getpid", lambda: 2)
        self.patch(os, "fork", lambda: self.fail("it forks"))
        leaveFirst()
        self.assertEqual(self.done, [])

    def test_server(self) -> None:
        """The server goes on in a child, with a session of its own and the signals that it had."""
        self.patch(os, "fork", lambda: 0)
        leaveFirst()
        kept = (signal.SIG_SETMASK, {signal.SIGUSR2})
        self.assertEqual(self.done, [(signal.SIG_BLOCK, set(PASSED_ON)), "setsid", kept])

    def test_sockets(self) -> None:
        """Sockets that were given to the first process are the child's; those of other processes are not."""
        self.patch(os, "fork", lambda: 0)
        ids = iter([1, SERVER, 1])
        self.patch(os, "getpid", lambda: next(ids))
        for given, then in (("1", "7"), ("5", "5")):
            self.patch(os, "environ", {"LISTEN_PID": given})
            self.patch(socketactivation, "environmentAtStart", lambda given=given: {"LISTEN_PID": given})
            leaveFirst()
            self.assertEqual(os.environ, {"LISTEN_PID": then})

    def test_first(self) -> None:
        """The first process runs the program; signals wait until that handles them."""
        self.patch(os, "fork", lambda: SERVER)
        self.assertRaises(Executed, leaveFirst)
        args = [sys.executable, "-I", "-S", firstprocess.__file__, "7"]
        self.assertEqual(self.done[1:], [(sys.executable, args)])


class MainTests(SynchronousTestCase):
    """The program."""

    def setUp(self) -> None:
        self.handlers: dict[int, Any] = {}
        self.sent: list[tuple[int, int]] = []
        self.patch(signal, "signal", self.handlers.__setitem__)
        self.patch(signal, "pthread_sigmask", lambda how, signals: None)
        self.patch(os, "closerange", lambda low, high: None)
        self.patch(os, "kill", lambda process, number: self.sent.append((process, number)))

    def ended(self, *ends: tuple[int, int]) -> int:
        """The status if these processes end, with these results of `wait`."""
        self.patch(os, "wait", iter(ends).__next__)
        return main(SERVER)

    def test_strangers(self) -> None:
        """It waits for all processes until the server has ended, and has the status of that."""
        self.assertEqual(self.ended((9, 0), (8, 15), (SERVER, 3 << 8)), 3)

    def test_killed(self) -> None:
        """If a signal ends the server, the status is that of shells."""
        self.assertEqual(self.ended((SERVER, signal.SIGTERM)), 128 + signal.SIGTERM)

    def test_signals(self) -> None:
        """It passes signals on, as long as the server is there."""
        self.ended((SERVER, 0))
        self.assertEqual(set(self.handlers), set(PASSED_ON))
        for number in (signal.SIGTERM, signal.SIGHUP):
            self.handlers[number](number, None)
        self.assertEqual(self.sent, [(SERVER, signal.SIGTERM), (SERVER, signal.SIGHUP)])

        def kill(process: int, number: int) -> None:
            raise ProcessLookupError

        self.patch(os, "kill", kill)
        self.handlers[signal.SIGTERM](signal.SIGTERM, None)
