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
from tests.functional.support import until

RELOADS = int(os.environ.get("TXROOM_RELOADS", "1"))
ROOMS = int(os.environ.get("TXROOM_ROOMS", "4"))
CROWD = int(os.environ.get("TXROOM_CROWD", "16"))
#: How many seconds a reload may take.
LIMIT = 30.0 + CROWD / 20


async def reloaded(node: Node, number: int, line: str = "reload: the new workers serve") -> None:
    """Reload, and wait for that line of the log."""
    node.signal(signal.SIGHUP)
    await until(lambda: node.output.count(line) == number, f"no reload: {node.output[-4000:]}", LIMIT)


def silences(crowd: Crowd) -> str:
    """The silence of the clients, for the report."""
    values = sorted(witness.silence for witness in crowd.witnesses)
    return ", ".join(
        f"{name} {values[int(len(values) * part) - 1]:.2f} s"
        for name, part in (("p50", 0.5), ("p99", 0.99), ("most", 1.0))
    )


async def test_reload(directory: Path) -> None:
    """
    All workers are replaced, and each client gets everything once and in order. A reload with a faulty app is
    given up.
    """
    async with Nodes(directory, 1, nodeOptions=("--workers", "2")) as nodes:
        crowd = await nodes.crowd(rooms=ROOMS, perNode=CROWD // ROOMS, rate=30.0 + CROWD)
        (directory / "broken").touch()
        crowd.listenAgain()
        await reloaded(nodes[0], 1, "the reload is given up")
        await crowd.during(1)
        print(f"a reload with a fault: silence {silences(crowd)}")
        (directory / "broken").unlink()
        for number in range(RELOADS):
            crowd.listenAgain()
            await reloaded(nodes[0], number + 1)
            await crowd.during(3)
            print(f"reload {number + 1}: silence {silences(crowd)}")
        tally = await crowd.settle()
        report(f"{RELOADS} reloads", crowd, tally)
        assert not tally.broken, tally
        assert tally.acknowledged == tally.sent
        assert (tally.lost, tally.left) == (0, 0), tally
        assert tally.epochs == ROOMS
