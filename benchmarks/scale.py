"""
Thousands of connections: memory, joins, latency among them, and a storm of resumes.

    python -m benchmarks.scale [--connections 18000] [--rooms 300] [--storm 10000]
    python -m benchmarks.scale --workers 6 --connections 100000

It measures, on Linux and in about two minutes, with one process:

- the memory of a connection that has joined no room, and of a member of a room;
- how many clients a second connect, and connect and join;
- the p50 and p99 of an echo of 50 clients among the idle connections;
- how long it takes until members that lost their connection at the same moment have resumed.

With `--workers`, it measures a parent with so many workers: the memory of its processes and of a connection,
and an echo among the connections. It also measures what a join and a delivery cost in many rooms, with one
process, one worker, and two workers.

Each process needs one file descriptor for each connection: raise `ulimit -n` above `--connections`.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from benchmarks import workers
from benchmarks.clients import (
    Client,
    Dialect,
    HallMember,
    Membership,
    raiseFileLimit,
)
from benchmarks.contenders import CONTENDERS, WORKLOADS
from benchmarks.measure import WARM_CLIENTS, Effort, calm, echo
from benchmarks.processes import Server, endBySignals, freePort, serving
from benchmarks.run import build

#: Descriptors that a process needs beside those of its connections.
SPARE_DESCRIPTORS = 500
EFFORT = Effort(seconds=3, warm=1)


class ReturningMember(Dialect):
    """A client that resumes a membership on a new connection."""

    path = "/rooms"

    def __init__(self, memberships: Sequence[Membership]) -> None:
        self._memberships: Iterator[Membership] = iter(memberships)

    def enter(self, client: Client) -> None:
        client.say(next(self._memberships).resume())

    def entered(self, client: Client) -> None:
        if not json.loads(client.answer('["joined"'))[3]["recovered"]:
            raise SystemExit("a member resumed and had missed something")


@contextmanager
def timed(title: str, server: Server, count: int) -> Iterator[None]:
    """Print how long the block took for `count` clients, and what it cost the server."""
    start, cpu = time.monotonic(), server.cpu()
    yield
    seconds, cpu = time.monotonic() - start, server.cpu() - cpu
    print(f"{title}: {seconds:.1f} s, {count / cpu:,.0f} for each second of the server's CPU")


def memoryOf(server: Server, before: int, count: int) -> str:
    """The memory that each of `count` clients takes."""
    calm(server)
    return f"{(server.rss() - before) / count / 1024:.1f} KiB"


def among(title: str, server: Server) -> None:
    """Print the latency of an echo beside the other connections."""
    found = echo(server, Dialect(), WORKLOADS["echo-64"], EFFORT)
    print(f"{title}: p50 {found['p50']:,.0f} µs, p99 {found['p99']:,.0f} µs, {found['cpu']:.1f} µs of CPU")


def idle(server: Server, connections: int) -> None:
    """Connections without a room, and an echo among them."""
    dialect = Dialect()
    with dialect.crowd(server.port, min(connections, WARM_CLIENTS)):
        pass
    calm(server)
    among("echo of 50 clients alone", server)
    calm(server)
    before = server.rss()
    with timed(f"{connections:,} connections", server, connections):
        crowd = dialect.crowd(server.port, connections)
        crowd.__enter__()
    try:
        print(f"memory of a connection: {memoryOf(server, before, connections)}")
        among(f"echo of 50 clients among {connections:,}", server)
    finally:
        crowd.__exit__(None, None, None)


def members(server: Server, connections: int, rooms: int, storm: int) -> None:
    """Members of many rooms; then some lose their connections at once, and resume."""
    calm(server)
    before = server.rss()
    dialect = HallMember(-(-connections // rooms))
    with timed(f"{connections:,} members of {rooms:,} rooms", server, connections):
        crowd = dialect.crowd(server.port, connections)
        clients = crowd.__enter__()
    try:
        print(f"memory of a member: {memoryOf(server, before, connections)}")
        for client in clients[:storm]:
            client.close()
        returning = ReturningMember(dialect.memberships[:storm])
        with timed(f"{storm:,} members resume", server, storm), returning.crowd(server.port, storm):
            pass
    finally:
        crowd.__exit__(None, None, None)


def main() -> None:
    """Run the server and measure it."""
    parser = argparse.ArgumentParser(description=__doc__.strip().split("\n")[0])
    parser.add_argument("--connections", type=int, default=18_000)
    parser.add_argument("--rooms", type=int, default=300)
    parser.add_argument("--storm", type=int, default=10_000)
    parser.add_argument("--workers", type=int, help="measure a parent with so many workers")
    options = parser.parse_args()
    if options.workers:
        raiseFileLimit()
        endBySignals()
        build()
        for size in workers.SIZES:
            for count in (0, 1, 2):
                workers.divided(count, size)
        workers.idle(options.workers, options.connections)
        return
    if raiseFileLimit() < options.connections + SPARE_DESCRIPTORS:
        sys.exit(f"raise ulimit -n above {options.connections + SPARE_DESCRIPTORS:,}")
    endBySignals()
    build()
    command = CONTENDERS["txroom"].command
    port = freePort()
    with serving([*command, "--port", str(port), "echo"], port) as server:
        idle(server, options.connections)
    port = freePort()
    with serving([*command, "--port", str(port), "rooms"], port) as server:
        members(server, options.connections, options.rooms, options.storm)


if __name__ == "__main__":
    main()
