"""
A rolling reload of workers under load: SIGHUP, and nobody notices.

`TXROOM_RELOADS` sets how often, `TXROOM_CROWD` how many clients there are, `TXROOM_ROOMS` how many rooms, and
`TXROOM_CROWDS` how many processes the clients have. If these are more than one, the rooms must be a multiple.
"""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred

from tests.functional.cluster.crowds import Crowds
from tests.functional.cluster.parent import Group, Workers
from tests.functional.support import reactor, sleep, until, within
from txroom import RoomError
from txroom.client import Client

RELOADS = int(os.environ.get("TXROOM_RELOADS", "1"))
ROOMS = int(os.environ.get("TXROOM_ROOMS", "4"))
CROWD = int(os.environ.get("TXROOM_CROWD", "16"))
CROWDS = int(os.environ.get("TXROOM_CROWDS", "1"))
#: The most messages that all clients send each second.
RATE = 100.0
#: How many seconds a reload may take.
LIMIT = 60.0 + CROWD / 20
#: For how many seconds handlers and joins sleep: longer than a room waits for them.
HANDLER, JOIN = 10.0, 3.0


async def reloaded(parent: Group, number: int, line: str = "reload: the new workers serve") -> None:
    """Reload, and wait for that line of the log."""
    parent.signal(signal.SIGHUP)
    try:
        await until(lambda: parent.output.count(line) == number, "", LIMIT)
    except AssertionError:
        raise AssertionError(f"no reload: {parent.output[-4000:]}") from None


async def givenUp(parent: Group, directory: Path) -> None:
    """Reload while rooms can't be loaded, and wait until only the workers from before are left."""
    before = set(parent.workers)
    (directory / "broken").touch()
    await reloaded(parent, 1, "the reload is given up")
    await until(lambda: set(parent.workers) == before, "the new workers do not end", LIMIT)
    (directory / "broken").unlink()


async def silence(crowds: Crowds) -> str:
    """
    Describe how long clients have heard nothing since the last call, beyond the usual time between two ticks.
    """
    values = sorted(each for part in await crowds.ask("silences") for each in part)
    p50, p99 = values[len(values) // 2], values[len(values) * 99 // 100]
    used = sum(await crowds.ask("used"))
    return (
        f"silence p50 {p50:.2f} s, p99 {p99:.2f} s, most {values[-1]:.2f} s "
        f"(load {os.getloadavg()[0]:.1f}, CPU time of the clients so far {used:.0f} s)"
    )


class Saver:
    """A client of a room that saves its balance with each payment, and pays again and again."""

    def __init__(self, url: str) -> None:
        self.client = Client(url, reactor=reactor(), minDelay=0.05, maxDelay=1.0)
        self.balances: list[int] = []
        self.paid = self.acknowledged = 0
        self.isPaying = False

    async def begin(self) -> None:
        """Join, and begin to pay."""
        self.room = await self.client.create("account", {})
        self.room.on("balance", lambda balance, offset: self.balances.append(balance))
        self.isPaying = True
        self._pay()

    def _pay(self) -> None:
        if self.isPaying:
            self.paid += 1
            self.room.send("pay", 1).whenHandled().addCallback(self._acknowledged)
            reactor().callLater(0.05, self._pay)

    def _acknowledged(self, _: object) -> None:
        self.acknowledged += 1

    async def end(self) -> None:
        """Stop, and check that each payment was counted once, and that nobody has seen another balance."""
        self.isPaying = False
        await until(lambda: self.acknowledged == self.paid, "payments are not handled", LIMIT)
        await until(lambda: self.balances[-1:] == [self.paid], "payments have not arrived", LIMIT)
        assert self.balances == list(range(1, self.paid + 1)), self.balances
        await self.client.close()


class Sleepers:
    """
    A handler and a join that last until their room has moved, once for each reload: in the process in which
    they begin they sleep again and again, and in another one they end at once.
    """

    def __init__(self, url: str, room: str) -> None:
        self._room = room
        #: One that calls, and one that joins.
        self._clients = [self._newClient(url) for _ in range(2)]
        #: The processes in which each has begun.
        self.begun: dict[str, list[int]] = {}
        self.reloads = 0

    async def join(self) -> None:
        """Let one client join, to whom the room tells what has begun."""
        self._caller = await self._clients[0].joinById(self._room, {"who": "sleeper"})
        self._caller.on("begun", lambda data, offset: self.begun.setdefault(data[0], []).append(data[1]))

    def _newClient(self, url: str) -> Client:
        return Client(url, reactor=reactor(), requestTimeout=LIMIT, minDelay=0.05, maxDelay=1.0)

    async def begin(self) -> None:
        """Let both begin."""
        self.reloads += 1
        self._home: int = await self._caller.call("owner", timeout=LIMIT)
        self._over = [Deferred.fromCoroutine(each) for each in (self._call(), self._join())]
        await until(lambda: len(self.begun) == 2 * self.reloads, "they have not begun")

    async def _call(self) -> None:
        who = f"call {self.reloads}"
        owner = await self._caller.call("sleep", [self._home, HANDLER, who], timeout=LIMIT)
        assert owner == self.begun[who][-1], (who, owner, self.begun)

    async def _join(self) -> None:
        options = {"home": self._home, "seconds": JOIN, "who": f"join {self.reloads}"}
        room = await self._joined(options)
        await room.leave()

    async def _joined(self, options: dict[str, Any]) -> Any:
        while True:
            try:
                return await self._clients[1].joinById(self._room, options)
            except RoomError as error:  # a worker that is replaced waits for joins, but not forever
                assert error.code == "unavailable", error

    async def end(self) -> None:
        """Wait for both, and check that they were interrupted and have begun again in another process."""
        for over in self._over:
            await within(over, f"a call or a join is not answered: {self.begun}", LIMIT)
        for who in (f"call {self.reloads}", f"join {self.reloads}"):
            first, *others = self.begun[who]
            assert first == self._home, (who, self._home, self.begun)
            assert others, (who, self.begun)
            assert self._home not in others, (who, self.begun)
        assert len(set(self.begun[f"call {self.reloads}"])) == len(self.begun[f"call {self.reloads}"])

    async def close(self) -> None:
        """Disconnect."""
        for client in self._clients:
            await client.close()


async def test_reload(directory: Path) -> None:
    """
    All workers are replaced, and each client gets everything once and in order, also if handlers and joins
    take longer than the room waits for them. A reload with code whose `load` has a fault is given up.
    """
    rate = min(30.0 + CROWD, RATE)
    async with (
        Workers(directory, 2) as nodes,
        Crowds(CROWDS, nodes.urls[0], ROOMS, CROWD // ROOMS, rate, LIMIT) as crowds,
    ):
        saver, sleepers = Saver(nodes.urls[0]), Sleepers(nodes.urls[0], crowds.room)
        await saver.begin()
        await sleep(2)
        print(f"without a reload: {await silence(crowds)}")
        await givenUp(nodes.parent, directory)
        await sleep(1)
        print(f"a reload with a fault: {await silence(crowds)}")
        await sleepers.join()
        for number in range(RELOADS):
            await sleepers.begin()
            began = time.monotonic()
            await reloaded(nodes.parent, number + 1)
            await crowds.ask("moved")
            await sleepers.end()
            await sleep(2)
            print(f"reload {number + 1}, {time.monotonic() - began:.0f} s: {await silence(crowds)}")
        tally = await crowds.settle()
        await saver.end()
        await sleepers.close()
        print(f"{RELOADS} reloads: {tally}")
        assert not tally.broken, tally
        assert tally.acknowledged == tally.sent
        assert (tally.lost, tally.left) == (0, 0), tally
        assert tally.epochs == ROOMS
