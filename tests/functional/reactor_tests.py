"""
Run Twisted's own tests for reactors with one reactor.

    python -m tests.functional.reactor_tests twisted.internet.epollreactor.EPollReactor
    python -m tests.functional.reactor_tests tests.functional.reactor_tests.EPollReactor lean

With "lean" all protocols of the tests are lean, so that txroom's reactor takes its fast path. It prints as
JSON how many tests passed, and the names of the others.
"""

from __future__ import annotations

import json
import sys
import unittest
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from twisted.internet.protocol import BaseProtocol
from twisted.internet.test.reactormixins import ReactorBuilder
from twisted.trial.reporter import TestResult

from txroom.process.leanepoll import LeanEPollReactor

#: Modules of `twisted.internet.test`.
MODULES = (
    "test_core",
    "test_fdset",
    "test_posixbase",
    "test_process",
    "test_tcp",
    "test_threads",
    "test_time",
    "test_tls",
    "test_udp",
    "test_unix",
)


class EPollReactor(LeanEPollReactor):
    """txroom's reactor, with the name by which Twisted's tests know what epoll cannot do."""


def builders() -> Iterator[type[ReactorBuilder]]:
    """The classes of tests that exist once for each reactor."""
    for module in MODULES:
        for name, value in vars(import_module(f"twisted.internet.test.{module}")).items():
            if name.endswith("Builder") and value is not ReactorBuilder and issubclass(value, ReactorBuilder):
                yield value


def run(reactor: str) -> dict[str, object]:
    """Run all tests."""
    ReactorBuilder._reactors = [reactor]
    load: Any = unittest.TestLoader().loadTestsFromTestCase
    suite = unittest.TestSuite(
        load(case) for each in builders() for case in each.makeTestCaseClasses().values()
    )
    result = TestResult()
    suite.run(result)
    bad = {test.id() for test, _ in [*result.errors, *result.failures]}
    return {"passed": result.successes, "bad": sorted(bad)}


if __name__ == "__main__":
    if sys.argv[2:] == ["lean"]:
        BaseProtocol.isLean = True  # type: ignore[attr-defined]
    print(json.dumps(run(sys.argv[1])))
