"""
Run workloads at several servers, interleaved, and report.

    python -m benchmarks.run [--workloads echo broadcast] [--peers ws websockets] [--rounds 5]

In each round every server is started afresh, in random order.
"""

from __future__ import annotations

import argparse
import os
import random
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from . import report
from .clients import ClientFailed, raiseFileLimit
from .contenders import BUILD, CONTENDERS, HERE, NODE, REFERENCE, WORKLOADS, Contender
from .measure import KINDS, Effort, Found, LoadFailed
from .processes import LOAD_CPU, SERVER_CPU, ServerFailed, compiled, freePort, serving


def chosen(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """Of the known names those that are given; "echo" gives "echo-64" and "echo-4096" too."""
    if not names:
        return list(known)
    found = [one for one in known if any(one == name or one.startswith(f"{name}-") for name in names)]
    for name in names:
        if not any(one == name or one.startswith(f"{name}-") for one in known):
            raise SystemExit(f"{name}: there are {', '.join(known)}")
    return found


def measured(contender: Contender, name: str, effort: Effort) -> Found:
    """One run of one server."""
    workload = WORKLOADS[name]
    port = freePort()
    command = (*contender.command, "--port", str(port), workload.role)
    with serving(command, port) as server:
        return KINDS[workload.kind](server, contender.roles[workload.role], workload, effort)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--workloads", nargs="*", default=[], help=", ".join(WORKLOADS))
    parser.add_argument("--peers", nargs="*", default=[], help=", ".join(CONTENDERS))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=1.5, help="measured of each run")
    parser.add_argument("--warm", type=float, default=0.5, help="seconds before that")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the order of the servers")
    parser.add_argument("--output", type=Path, default=BUILD / "results")
    parser.add_argument("--plots", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args(arguments)

    workloads = chosen(options.workloads, list(WORKLOADS))
    peers = chosen(options.peers, list(CONTENDERS))
    peers = [name for name in CONTENDERS if name in {*peers, REFERENCE}]
    if LOAD_CPU == SERVER_CPU:
        print("there is one processor only: the servers share it with the load", file=sys.stderr)
    raiseFileLimit()
    os.environ["NODE_PATH"] = str(NODE)
    compiled(HERE / "load.c", BUILD / "load")
    compiled(HERE / "floor.c", BUILD / "floor")

    results = report.Results.begin(options.rounds, options.seconds, options.seed)
    for name in list(peers):
        if missing := CONTENDERS[name].missing():
            peers.remove(name)
            results.leftOut[name] = f"not installed: {', '.join(missing)}"
            print(f"{name} is left out, {results.leftOut[name]}", file=sys.stderr)
    order = random.Random(options.seed)
    effort = Effort(options.seconds, options.warm)
    for workload in workloads:
        able = [name for name in peers if WORKLOADS[workload].role in CONTENDERS[name].roles]
        for number in range(options.rounds):
            for name in order.sample(able, len(able)):
                progress = f"{workload} {number + 1}/{options.rounds} {name}"
                try:
                    found = measured(CONTENDERS[name], workload, effort)
                except (ServerFailed, ClientFailed, LoadFailed, OSError) as error:
                    results.failed(workload, name, str(error))
                    print(f"{progress}: failed: {error}", file=sys.stderr)
                    continue
                results.found(workload, name, found)
                print(progress, *(f"{key} {value:.2f}" for key, value in found.items()), file=sys.stderr)
        results.save(options.output)
    report.write(results, options.output, options.plots)
    print((options.output / "results.md").read_text())
    return 1 if results.failures else 0


if __name__ == "__main__":
    sys.exit(main())
