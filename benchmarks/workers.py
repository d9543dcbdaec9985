"""
Connections, joins and deliveries at a parent with several workers; see `benchmarks.scale`.
"""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.clients import (
    Attendant,
    Dialect,
    HallMember,
    raiseFileLimit,
)
from benchmarks.contenders import HERE, WORKLOADS
from benchmarks.measure import WARM_CLIENTS, Effort, calm, echo, textOf
from benchmarks.processes import LOAD_CPU, Server, cpuOf, freePort, serving

#: How many connections a process of the generator opens at most; it needs a descriptor for each.
PER_GENERATOR = 17_000
EFFORT = Effort(seconds=3, warm=1)
#: For how many seconds the idle connections are watched.
WATCHED = 10.0
#: In the measurement of joins and deliveries: how many members the rooms have, all members, and the messages.
SIZES, MEMBERS, MESSAGES = (10, 50), 2_000, 60
MIB = 1 << 20


def command(port: int, workers: int) -> list[str]:
    """The command that starts so many workers; 0: one process, with its rooms in memory."""
    more = ["--workers", str(workers)] if workers else []
    twistd = Path(sys.executable).parent / "twistd"
    return [
        str(twistd), "-n", "--pidfile=", "txroom", *more, "--log-level", "warn",
        "--listen", f"tcp:{port}:interface=127.0.0.1", "--app", "txroom_workers:makeServer",
        "--app-dir", str(HERE / "peers"),
    ]  # fmt: skip


@contextlib.contextmanager
def parent(workers: int) -> Iterator[Server]:
    """Start a parent, and wait until all its workers serve."""
    port = freePort()
    with serving(command(port, workers), port) as server:
        calm(server)
        if workers and len(parts(server)["worker"]) != workers:
            raise SystemExit(f"{workers} workers should run, not {len(parts(server)['worker'])}")
        yield server


def parts(server: Server) -> dict[str, list[int]]:
    """The processes of a parent, of its workers and of its store. Without workers, all is one worker."""
    found: dict[str, list[int]] = {"parent": [], "worker": [], "store": []}
    for pid in server.family():
        line = Path(f"/proc/{pid}/cmdline").read_bytes()
        isWorker, isStore = b"txroom-worker" in line, b"store.sock" in line
        found["worker" if isWorker else "store" if isStore else "parent"].append(pid)
    if not found["worker"]:
        found["worker"], found["parent"] = found["parent"], []
    return found


def memoryOf(pid: int) -> tuple[int, int]:
    """The resident memory of a process, and its share of that: what several processes use is divided."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    fields = {name: int(size) << 10 for name, size, *_ in map(str.split, lines)}
    return fields["Rss:"], fields["Pss:"]


def cpuOfParts(server: Server) -> dict[str, float]:
    """The CPU seconds of each part."""
    return {part: sum(map(cpuOf, pids)) for part, pids in parts(server).items()}


def used(server: Server, before: dict[str, float], count: int) -> str:
    """What each part has used since then, for each of `count` things."""
    found = {part: (cpu - before[part]) / count * 1e6 for part, cpu in cpuOfParts(server).items()}
    described = ", ".join(f"{part} {cpu:.1f}" for part, cpu in found.items())
    return f"{sum(found.values()):.1f} µs of CPU each ({described})"


# -- idle connections


@contextlib.contextmanager
def generators(port: int, connections: int) -> Iterator[None]:
    """Processes that open connections, and keep them until the end of the block."""
    with contextlib.ExitStack() as stack:
        started = []
        count = -(-connections // PER_GENERATOR)
        for number in range(count):
            share = connections // count + (number < connections % count)
            arguments = map(str, (port, share, number * 20_000))
            process = subprocess.Popen(
                [sys.executable, "-m", "benchmarks.workers", *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            started.append(process)
        for process in started:
            assert process.stdout is not None
            if process.stdout.readline() != "ready\n":
                raise SystemExit("a generator has failed")
        yield


def generate(port: int, connections: int, first: int) -> None:
    """Open connections, and answer their pings until the standard input ends."""
    os.sched_setaffinity(0, {LOAD_CPU})
    raiseFileLimit()
    with Dialect().crowd(port, connections, first=first) as clients:
        print("ready", flush=True)
        attendant = Attendant()
        attendant.add(clients)
        while not select.select([sys.stdin], [], [], 0)[0]:
            attendant.attend(0.5)


def idle(workers: int, connections: int) -> None:
    """Idle connections, and an echo among them."""
    with parent(workers) as server:
        with Dialect().crowd(server.port, WARM_CLIENTS * workers):
            pass
        calm(server)
        print(f"{workers} workers without connections: {sizes(server)}")
        among("echo of 50 clients alone", server)
        calm(server)
        processes = parts(server)["worker"]
        before = [memoryOf(pid)[0] for pid in processes]
        start, cpu = time.monotonic(), cpuOfParts(server)
        with generators(server.port, connections):
            seconds = time.monotonic() - start
            print(f"{connections:,} connections: {seconds:.0f} s, {used(server, cpu, connections)}")
            counts = [len(os.listdir(f"/proc/{pid}/fd")) for pid in processes]
            print(f"connections of a worker: {min(counts):,} to {max(counts):,}")
            grown = sum(memoryOf(pid)[0] for pid in processes) - sum(before)
            print(f"memory of a connection: {grown / connections / 1024:.1f} KiB")
            print(f"{workers} workers with them: {sizes(server)}")
            cpu, start = cpuOfParts(server), time.monotonic()
            time.sleep(WATCHED)
            share = sum(cpuOfParts(server).values()) - sum(cpu.values())
            print(f"idle: {share / (time.monotonic() - start):.1%} of a processor, for pings")
            among(f"echo of 50 clients among {connections:,}", server)


def sizes(server: Server) -> str:
    """The memory of each part, in all and of the largest process."""
    found = []
    for part, pids in parts(server).items():
        memory = [memoryOf(pid) for pid in pids]
        found.append(
            f"{part} {max(rss for rss, _ in memory) / MIB:.0f} MiB (its share: "
            f"{max(pss for _, pss in memory) / MIB:.0f} MiB)"
        )
    return ", ".join(found)


def among(title: str, server: Server) -> None:
    """Print the latency of an echo."""
    found = echo(server, Dialect(), WORKLOADS["echo-64"], EFFORT)
    print(f"{title}: p50 {found['p50']:,.0f} µs, p99 {found['p99']:,.0f} µs, {found['cpu']:.1f} µs of CPU")


# -- joins and deliveries


def divided(workers: int, size: int) -> None:
    """What a join and a delivery cost in rooms of so many members, who are connected to all workers."""
    title = f"{workers} workers" if workers else "one process, rooms in memory"
    title = f"rooms of {size}, {title}"
    with parent(workers) as server:
        with HallMember(size).crowd(server.port, MEMBERS) as clients:
            for client in clients:
                client.leave()
        calm(server)
        dialect = HallMember(size)
        cpu = cpuOfParts(server)
        with dialect.crowd(server.port, MEMBERS) as clients:
            print(f"{title}, a join: {used(server, cpu, MEMBERS)}", flush=True)
            speakers = dict(zip((one.room for one in dialect.memberships), clients, strict=True))
            text, first = textOf(64), MESSAGES // 3
            for number in range(1, MESSAGES + 1):
                if number == first:  # those before it have warmed up
                    cpu = cpuOfParts(server)
                for speaker in speakers.values():
                    speaker.socket.sendall(dialect.said(text, number))
                for client in clients:
                    client.answer('["msg"')
            deliveries = (MESSAGES - first + 1) * MEMBERS
            print(f"{title}, a delivery: {used(server, cpu, deliveries)}", flush=True)


if __name__ == "__main__":
    generate(*map(int, sys.argv[1:]))
