"""
Run workloads at several servers in turn, and write a report.

    python -m benchmarks.run [--workloads echo broadcast] [--peers ws websockets] [--rounds 5]

In each round every server is started afresh, in random order.
"""

from __future__ import annotations

import argparse
import math
import os
import random
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import report
from benchmarks.clients import ClientFailed, raiseFileLimit
from benchmarks.contenders import (
    BUILD,
    CONTENDERS,
    ENCODER,
    HERE,
    NODE,
    REFERENCE,
    WORKLOADS,
    Contender,
    Workload,
    takesPart,
)
from benchmarks.measure import KINDS, Effort, Found, LoadFailed
from benchmarks.processes import (
    LOAD_CPU,
    SERVER_CPU,
    ServerFailed,
    certificate,
    compiled,
    endBySignals,
    freePort,
    reported,
    serving,
)

CERTIFICATE = BUILD / "certificate.pem"
#: The exit status after Ctrl-C, as in shells.
INTERRUPTED = 130


def chosen(names: Sequence[str], known: Sequence[str]) -> list[str]:
    """The known names that are given, or all; "echo" stands for "echo-64" and "echo-4096"."""
    groups = {name: [one for one in known if one == name or one.startswith(f"{name}-")] for name in names}
    for name, group in groups.items():
        if not group:
            raise SystemExit(f"{name}: there are {', '.join(known)}")
    return [one for one in known if not names or any(one in group for group in groups.values())]


def contenders(names: Sequence[str], results: report.Results) -> list[str]:
    """The given contenders, or all, that can run, and always the reference."""
    for name in names:
        if name not in CONTENDERS:
            raise SystemExit(f"{name}: there are {', '.join(CONTENDERS)}")
    able = []
    for name, contender in CONTENDERS.items():
        if names and name not in {*names, REFERENCE}:
            continue
        if missing := contender.missing():
            results.leaveOut(name, f"not installed: {', '.join(missing)}")
        else:
            able.append(name)
    return able


def build() -> bool:
    """Compile the programs written in C. Returns whether there is TLS."""
    compiled(HERE / "floor.c", BUILD / "floor")
    hasTLS = compiled(HERE / "load.c", BUILD / "load", "-DTLS", "-lssl", "-lcrypto")
    if not hasTLS and not compiled(HERE / "load.c", BUILD / "load"):
        raise SystemExit("the load generator needs a C compiler")
    return hasTLS and shutil.which("openssl") is not None


def measured(contender: Contender, workload: Workload, effort: Effort) -> Found:
    """Measure one run of one server, or of one encoder."""
    if workload.kind == ENCODER:
        return reported(contender.encoder)
    ports = [freePort() for _ in range(contender.nodes)]
    command = [*contender.command, *(word for port in ports for word in ("--port", str(port))), workload.role]
    if workload.role == "tls":
        command += ["--certificate", str(CERTIFICATE)]
    with serving(command, *ports) as server:
        return KINDS[workload.kind](server, contender.roles[workload.role], workload, effort)


def rounds(results: report.Results, name: str, peers: Sequence[str], options: argparse.Namespace) -> None:
    """Measure all rounds of one workload."""
    workload, order = WORKLOADS[name], random.Random(options.seed)
    runs = [(peer, point) for peer in peers if takesPart(peer, name) for point in workload.points or (0,)]
    for number in range(1, options.rounds + 1):
        for peer, point in order.sample(runs, len(runs)):
            label = f"{peer}, {point:,}" if point else peer
            try:
                effort = Effort(options.seconds, options.warm)
                found = measured(CONTENDERS[peer], replace(workload, point=point), effort)
            except (ServerFailed, ClientFailed, LoadFailed, OSError) as error:
                results.failed(name, label, str(error))
                told = f"failed: {error}"
            else:
                results.found(name, label, number, found)
                told = ", ".join(f"{key} {value:.2f}" for key, value in found.items())
            print(f"{name} {number}/{options.rounds} {label}: {told}", file=sys.stderr)
    results.save(options.output)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--workloads", nargs="*", default=[], help=", ".join(WORKLOADS))
    parser.add_argument("--peers", nargs="*", default=[], help=", ".join(CONTENDERS))
    parser.add_argument("--rounds", type=int, default=5, help="1 or more")
    parser.add_argument("--seconds", type=float, default=1.5, help="measured of each run; more than 0")
    parser.add_argument("--warm", type=float, default=0.5, help="seconds before that; 0 or more")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="of the order of the servers")
    parser.add_argument("--output", type=Path, default=BUILD / "results")
    parser.add_argument("--plots", action=argparse.BooleanOptionalAction, default=True)
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error("--rounds: 1 or more are needed")
    if not 0 < options.seconds < math.inf:
        parser.error("--seconds: more than 0 are needed")
    if not 0 <= options.warm < math.inf:
        parser.error("--warm: 0 or more are needed")

    endBySignals()
    if LOAD_CPU == SERVER_CPU:
        print("there is one processor only: the servers share it with the load", file=sys.stderr)
    raiseFileLimit()
    os.environ["NODE_PATH"] = str(NODE)
    results = report.Results.begin(options.rounds, options.seconds, options.seed)
    workloads = chosen(options.workloads, list(WORKLOADS))
    if build():
        certificate(CERTIFICATE)
    elif "tls" in workloads:
        workloads.remove("tls")
        results.leaveOut("tls", "there is no OpenSSL, or not its headers")
    peers = contenders(options.peers, results)
    status = 0
    try:
        for workload in workloads:
            rounds(results, workload, peers, options)
    except KeyboardInterrupt:
        status = INTERRUPTED
        results.about["interrupted"] = "not all rounds were run"
        print("interrupted: the report is of what was done until now", file=sys.stderr)
    report.write(results, options.output, options.plots)
    print((options.output / "results.md").read_text())
    return status or int(bool(results.failures))


if __name__ == "__main__":
    sys.exit(main())
