"""
Clients in processes of their own, so that they don't take the processor of the test.

Each process has a `Crowd` in rooms of its own. A line of its standard input is the name of a method of
`Part`, and the answer is a line of JSON.
"""

from __future__ import annotations

import json
import sys
import time
import traceback
from typing import Any, Self

import attrs
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol, connectionDone
from twisted.internet.stdio import StandardIO
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

from tests.functional.cluster.rooms import TICK
from tests.functional.cluster.witness import Crowd, Tally
from tests.functional.support import environment, reactor, until, within


class Part:
    """
    What one process has.

    Args:
        url: The URL of the rooms.
        rooms: How many rooms there are.
        each: How many clients are in each.
        rate: How many messages all clients send each second.
        limit: How many seconds any wait may take.
    """

    def __init__(self, url: str, rooms: int, each: int, rate: float, limit: float) -> None:
        self._crowd = Crowd([url], rooms=rooms, perNode=each, rate=rate)
        self._limit = limit

    async def begin(self) -> str:
        """Join and begin to speak; return the id of a room."""
        await self._crowd.join()
        self._crowd.begin()
        await self._crowd.heard()
        return self._crowd.witnesses[0].room.id

    async def moved(self) -> None:
        """Wait until all clients have lost their connections since the last `silences`, and are back."""

        def haveMoved() -> bool:
            return self._crowd.areJoined and all(each.counts["sockets"] for each in self._crowd.witnesses)

        await until(haveMoved, "clients stay at old workers", self._limit)

    async def silences(self) -> list[float]:
        """For how long clients have heard nothing since the last call, beyond the time between two ticks."""
        values = [max(0.0, witness.silence - TICK) for witness in self._crowd.witnesses]
        self._crowd.listenAgain()
        return values

    async def used(self) -> float:
        """The seconds of a processor that this process has used."""
        return time.process_time()

    async def settle(self) -> dict[str, Any]:
        """Stop speaking, wait until everything has arrived, and count; see `Tally`."""
        return attrs.asdict(await self._crowd.settle(self._limit))


class Answerer(LineOnlyReceiver):
    """The side of the process."""

    delimiter = b"\n"

    def __init__(self, part: Part) -> None:
        self._part = part

    def lineReceived(self, line: bytes) -> None:
        """The test asks for something."""
        Deferred.fromCoroutine(self._answer(line.decode()))

    async def _answer(self, name: str) -> None:
        answer = {}
        try:
            answer["result"] = await getattr(self._part, name)()
        except Exception:
            answer["error"] = traceback.format_exc()
        self.sendLine(json.dumps(answer).encode())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """The test has ended."""
        reactor().stop()


class Asker(ProcessProtocol):
    """The side of the test."""

    transport: Any

    def __init__(self) -> None:
        self._rest = b""
        self._waiting: list[Deferred[Any]] = []
        self.ended: Deferred[None] = Deferred()

    def ask(self, name: str) -> Deferred[Any]:
        """Call a method of the part."""
        answer: Deferred[Any] = Deferred()
        self._waiting.append(answer)
        self.transport.write(name.encode() + b"\n")
        return answer

    def outReceived(self, data: bytes) -> None:
        """The process has answered; what is asked first is answered first."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            answer = json.loads(line)
            waiting = self._waiting.pop(0)
            if "error" in answer:
                waiting.errback(AssertionError(answer["error"]))
            else:
                waiting.callback(answer["result"])

    def processEnded(self, reason: Failure) -> None:
        """The process has ended."""
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.errback(AssertionError(f"a process of clients has ended: {reason.value}"))
        self.ended.callback(None)


class Crowds:
    """
    Processes of clients, which run in a block of `async with`; see `Part` for what `ask` may ask.

    Args:
        processes: How many there are.
        url: The URL of the rooms.
        rooms: How many rooms there are in all; the processes divide them.
        each: How many clients are in each.
        rate: How many messages all clients send each second.
        limit: How many seconds any answer may take.
    """

    def __init__(
        self, processes: int, url: str, rooms: int, each: int, rate: float, limit: float = 60.0
    ) -> None:
        self._askers = [Asker() for _ in range(processes)]
        self._limit = limit
        share = (url, rooms // processes, each, rate / processes, limit)
        self._command = [sys.executable, "-m", "tests.functional.cluster.crowds", *map(str, share)]
        #: The id of a room.
        self.room = ""

    async def ask(self, name: str) -> list[Any]:
        """The answers of all processes."""
        asked = gatherResults([asker.ask(name) for asker in self._askers], consumeErrors=True)
        answers: list[Any] = await within(asked, f"clients don't answer: {name}", 2 * self._limit)
        return answers

    async def settle(self) -> Tally:
        """What all clients together have counted at the end."""
        tallies = [Tally(**each) for each in await self.ask("settle")]
        names = [each.name for each in attrs.fields(Tally)]
        total = Tally(**{name: sum(getattr(each, name) for each in tallies) for name in names})
        total.silence, total.owners = (
            max(getattr(each, name) for each in tallies) for name in ("silence", "owners")
        )
        return total

    async def __aenter__(self) -> Self:
        for asker in self._askers:
            descriptors: dict[int, Any] = {0: "w", 1: "r", 2: 2}
            reactor().spawnProcess(
                asker, self._command[0], self._command, env=environment(), childFDs=descriptors
            )
        try:
            self.room = (await self.ask("begin"))[0]
        except BaseException:
            await self._end()
            raise
        return self

    async def __aexit__(self, *exception: object) -> None:
        await self._end()

    async def _end(self) -> None:
        for asker in self._askers:
            try:
                asker.transport.signalProcess("KILL")
            except ProcessExitedAlready:
                pass
            await within(asker.ended, "a process of clients does not end")


def main(url: str, rooms: str, each: str, rate: str, limit: str) -> None:
    """Run until the standard input ends."""
    StandardIO(Answerer(Part(url, int(rooms), int(each), float(rate), float(limit))))
    reactor().run()


if __name__ == "__main__":
    main(*sys.argv[1:])
