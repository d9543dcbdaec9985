"""
A rolling reload of workers under load: SIGHUP, and nobody notices.

`TXROOM_RELOADS` sets how often, `TXROOM_CROWD` how many clients there are, and `TXROOM_ROOMS` how many rooms.
"""

from __future__ import annotations

import os
import signal
from pathlib import Path

from tests.functional.cluster.nodes import Node, Nodes
from tests.functional.cluster.test_cluster import report
from tests.functional.cluster.witness import Crowd
from tests.functional.support import reactor, until

RELOADS = int(os.environ.get("TXROOM_RELOADS", "1"))
ROOMS = int(os.environ.get("TXROOM_ROOMS", "4"))
CROWD = int(os.environ.get("TXROOM_CROWD", "16"))
#: The most messages that all clients send each second.
RATE = 200.0
#: How many seconds a reload may take.
LIMIT = 30.0 + CROWD / 20


async def reloaded(node: Node, number: int, line: str = "reload: the new workers serve") -> None:
    """Reload, and wait for that line of the log."""
    node.signal(signal.SIGHUP)
    await until(lambda: node.output.count(line) == number, f"no reload: {node.output[-4000:]}", LIMIT)


class Pauses:
    """How long clients were away from their rooms, since the last call of `take`."""

    def __init__(self, crowd: Crowd) -> None:
        self._since: dict[str, float] = {}
        self._longest = {witness.who: 0.0 for witness in crowd.witnesses}
        for witness in crowd.witnesses:
            witness.room.on("reconnecting", lambda *args, who=witness.who: self._away(who))
            witness.room.on("recovered", lambda *args, who=witness.who: self._back(who))

    def _away(self, who: str) -> None:
        self._since.setdefault(who, reactor().seconds())

    def _back(self, who: str) -> None:
        pause = reactor().seconds() - self._since.pop(who)
        self._longest[who] = max(self._longest[who], pause)

    def take(self) -> str:
        """Describe the longest pause of each client."""
        values = sorted(self._longest.values())
        self._longest = dict.fromkeys(self._longest, 0.0)
        count = len(values)
        p50, p99 = values[count // 2], values[min(count - 1, count * 99 // 100)]
        return f"p50 {p50:.2f} s, p99 {p99:.2f} s, most {values[-1]:.2f} s"


async def test_reload(directory: Path) -> None:
    """
    All workers are replaced, and each client gets everything once and in order. A reload with a faulty app is
    given up.
    """
    async with Nodes(directory, 1, nodeOptions=("--workers", "2")) as nodes:
        crowd = await nodes.crowd(rooms=ROOMS, perNode=CROWD // ROOMS, rate=min(30.0 + CROWD, RATE))
        pauses = Pauses(crowd)
        (directory / "broken").touch()
        await reloaded(nodes[0], 1, "the reload is given up")
        await crowd.during(1)
        print(f"a reload with a fault: pauses of clients {pauses.take()}")
        (directory / "broken").unlink()
        for number in range(RELOADS):
            await reloaded(nodes[0], number + 1)
            await crowd.during(3)
            print(f"reload {number + 1}: pauses of clients {pauses.take()}")
        tally = await crowd.settle()
        report(f"{RELOADS} reloads", crowd, tally)
        assert not tally.broken, tally
        assert tally.acknowledged == tally.sent
        assert (tally.lost, tally.left) == (0, 0), tally
        assert tally.epochs == ROOMS
