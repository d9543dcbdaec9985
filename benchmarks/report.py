"""
Results: saved as JSON, written as Markdown, drawn as SVG.

    python -m benchmarks.report FILE.json...   # the tables of several runs in one
    python -m benchmarks.report --plot WORKLOAD FILE.svg FILE.json...   # the plot of one workload

The picture in README.md is the plot of "busy-50-room" in docs/_static/busy-room.svg.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from benchmarks.contenders import CONTENDERS, GOALS, NODE, REFERENCE, WORKLOADS
from benchmarks.measure import Found

#: The metrics: their titles, and how many digits are shown.
METRICS = {
    "slowdown": ("others' p99, with slow readers in without", 2),
    "memory": ("KiB each", 1),
    "upgrades": ("upgrades/CPU second", 0),
    "joining": ("joins, server CPU in ms", 0),
    "leaving": ("leaves, server CPU in ms", 0),
    "joins": ("joins/CPU second", 0),
    "tick": ("server CPU, ms/tick", 3),
    "shared": ("encoder's CPU, µs/tick", 1),
    "views": ("with views, µs/tick", 0),
    "full": ("whole state, µs", 0),
    "cpu": ("server CPU, µs/message", 2),
    "redis": ("CPU of Redis, not in it, µs/message", 2),
    "rate": ("messages/s", 0),
    "p50": ("p50, µs", 0),
    "p99": ("p99, µs", 0),
    "p99Without": ("p99 without slow readers, µs", 0),
    "growth": ("growth, MB", 1),
    "rss": ("RSS, MB", 1),
    "bytes": ("bytes/message", 0),
    "load": ("load's CPU, µs/message", 2),
}
#: The metrics that are not compared: equal for all, of the load generator, or ratios already.
UNCOMPARED = frozenset({"bytes", "load", "slowdown", "redis"})
MORE_IS_BETTER = frozenset({"upgrades", "joins", "rate"})
PACKAGES = (
    *("twisted", "autobahn", "websockets", "picows", "uvloop", "aiohttp", "tornado"),
    *("python-socketio", "uvicorn", "daphne", "channels"),
)
NODE_PACKAGES = ("ws", "socket.io", "bun", "@colyseus/core")


def middle(runs: Sequence[Found], metric: str) -> float:
    """The median of the rounds."""
    return statistics.median(run[metric] for run in runs)


def split(label: str) -> tuple[str, int]:
    """The name of a contender, and the point at which it was measured, or 0."""
    name, _, point = label.partition(", ")
    return name, int(point.replace(",", "") or 0)


def mainMetric(runs: Mapping[str, Sequence[Found]]) -> str:
    """The main metric of a workload: the first one in the table."""
    return next(metric for metric in METRICS if all(metric in found[0] for found in runs.values()))


@dataclass
class Results:
    """All runs by workload and contender, without those that failed."""

    about: dict[str, str]
    runs: dict[str, dict[str, list[Found]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    leftOut: dict[str, str] = field(default_factory=dict)

    @classmethod
    def begin(cls, rounds: int, seconds: float, seed: int) -> Results:
        """Make results without runs, on this machine."""
        return cls(
            {
                "processor": _processor(),
                "kernel": platform.release(),
                "python": platform.python_version(),
                "packages": ", ".join(_versions()),
                "rounds": str(rounds),
                "seconds": str(seconds),
                "seed": str(seed),
            }
        )

    @classmethod
    def load(cls, path: Path) -> Results:
        """Read saved results."""
        return cls(**json.loads(path.read_text()))

    def found(self, workload: str, contender: str, number: int, found: Found) -> None:
        """Add a run, in the round with that number, which counts from 1."""
        self.runs.setdefault(workload, {}).setdefault(contender, []).append({"round": number, **found})

    def leaveOut(self, what: str, why: str) -> None:
        """Note that something cannot be measured here."""
        self.leftOut[what] = why
        print(f"{what} is left out, {why}", file=sys.stderr)

    def failed(self, workload: str, contender: str, why: str) -> None:
        """Note a run that has failed."""
        self.failures.append(f"{workload}, {contender}: {why}")

    def of(self, workload: str) -> dict[str, list[Found]]:
        """
        The runs of each contender: those with points in the order of the points, the others with the best
        first.
        """
        runs = self.runs.get(workload, {})
        first = mainMetric(runs)

        def order(name: str) -> tuple[int, float]:
            value = middle(runs[name], first)
            return split(name)[1], -value if first in MORE_IS_BETTER else value

        return {name: runs[name] for name in sorted(runs, key=order)}

    def ratios(self, workload: str, contender: str, other: str, metric: str) -> list[float]:
        """The ratios of one contender to another, for each round in which both were measured."""
        runs = self.runs.get(workload, {})
        bases = {run["round"]: run[metric] for run in runs.get(other, ())}
        return [run[metric] / base for run in runs.get(contender, ()) if (base := bases.get(run["round"]))]

    def baseOf(self, workload: str, contender: str) -> str:
        """The contender to compare with: the reference, or for one with points itself at its first point."""
        variant, point = split(contender)
        if not point:
            return REFERENCE
        return next(name for name in self.of(workload) if split(name)[0] == variant)

    def save(self, directory: Path) -> None:
        """Write results.json."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "results.json").write_text(json.dumps(asdict(self), indent=1) + "\n")


def write(results: Results, directory: Path, plots: bool) -> None:
    """Write results.json, results.md and a plot of each workload; remove the plots of earlier runs."""
    results.save(directory)
    (directory / "results.md").write_text(markdown(results))
    for workload in WORKLOADS:
        (directory / f"{workload}.svg").unlink(missing_ok=True)
    if plots:
        for workload in results.runs:
            plot(results, workload, directory / f"{workload}.svg")


def markdown(results: Results) -> str:
    """The whole report."""
    seen = {split(name)[0] for runs in results.runs.values() for name in runs}
    options = [f"{name}: {each.options}" for name, each in CONTENDERS.items() if name in seen]
    parts = ["# Benchmarks", "", *(f"- {name}: {value}" for name, value in results.about.items()), ""]
    parts += [
        "Medians of the rounds, the first column with least and most; "
        f"x is the median of the rounds' ratios to {REFERENCE}.",
        "",
    ]
    for workload in results.runs:
        parts += [f"## {WORKLOADS[workload].title}", "", *table(results, workload), ""]
    for title, lines in (
        ("Goals", goals(results)),
        ("Failed", results.failures),
        ("Left out", [f"{name}: {why}" for name, why in results.leftOut.items()]),
        ("Options", options),
    ):
        if lines:
            parts += [f"## {title}", "", *(f"- {line}" for line in lines), ""]
    return "\n".join(parts)


def table(results: Results, workload: str) -> list[str]:
    """The table of one workload, with a line for each contender."""
    runs = results.of(workload)
    first = mainMetric(runs)
    metrics = [metric for metric in METRICS if all(metric in found[0] for found in runs.values())]
    if not any(run.get("redis") for found in runs.values() for run in found):
        metrics = [metric for metric in metrics if metric != "redis"]
    lines = ["| | " + " | ".join(METRICS[metric][0] for metric in metrics) + " |"]
    lines.append("|---|" + "---:|" * len(metrics))
    for name in runs:
        cells = [_cell(results, workload, name, metric, spread=metric == first) for metric in metrics]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _cell(results: Results, workload: str, name: str, metric: str, spread: bool) -> str:
    digits = METRICS[metric][1]
    values = [run[metric] for run in results.runs[workload][name]]
    text = f"{statistics.median(values):,.{digits}f}"
    if spread:
        text += f" ({min(values):,.{digits}f} to {max(values):,.{digits}f})"
    if metric in UNCOMPARED or name == REFERENCE:
        return text
    ratios = results.ratios(workload, name, results.baseOf(workload, name), metric)
    return f"{text} x{statistics.median(ratios):.2f}" if ratios else text


def goals(results: Results) -> list[str]:
    """The table of the goals that were measured, with the median of the rounds."""
    lines = []
    for goal in GOALS:
        if goal.other:
            values = results.ratios(goal.workload, goal.who, goal.other, goal.metric)
        else:
            values = [run[goal.metric] for run in results.runs.get(goal.workload, {}).get(goal.who, ())]
        if not values:
            continue
        centre = statistics.median(values)
        verdict = "met" if goal.isMet(centre) else "MISSED"
        if len({goal.isMet(value) for value in values}) > 1:
            verdict += ", but rounds differ"
        lines.append(f"{goal}: {centre:.2f} ({min(values):.2f} to {max(values):.2f}), {verdict}")
    return lines


def plot(results: Results, workload: str, path: Path) -> None:
    """The main metric with its range: bars, or a line if something grows."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "txroom"
    from matplotlib import pyplot

    runs = results.of(workload)
    metric = mainMetric(runs)
    title, digits = METRICS[metric]
    columns = {name: [run[metric] for run in found] for name, found in reversed(runs.items())}
    middles = [statistics.median(column) for column in columns.values()]
    spread = [
        [centre - min(column) for centre, column in zip(middles, columns.values(), strict=True)],
        [max(column) - centre for centre, column in zip(middles, columns.values(), strict=True)],
    ]
    points = WORKLOADS[workload].points
    figure, axes = pyplot.subplots(
        figsize=(8, 3.5 if points else 0.8 + 0.36 * len(columns)), layout="constrained"
    )
    if points:
        for variant in sorted({split(name)[0] for name in columns}):
            mine = [index for index, name in enumerate(columns) if split(name)[0] == variant]
            x = [split(list(columns)[index])[1] for index in mine]
            y = [middles[index] for index in mine]
            errors = [[side[index] for index in mine] for side in spread]
            axes.errorbar(x, y, errors, marker="o", capsize=3, label=variant)
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_ylabel(title)
        axes.legend()
    else:
        colours = ["#c2410c" if name.startswith(REFERENCE) else "#64748b" for name in columns]
        bars = axes.barh(list(columns), middles, xerr=spread, color=colours, ecolor="#1e293b", capsize=2)
        axes.bar_label(bars, [f"{centre:,.{digits}f}" for centre in middles], padding=6)
        axes.margins(x=0.12)
        axes.set_xlabel(title)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_title(WORKLOADS[workload].title, loc="left")
    figure.savefig(path, metadata={"Date": None})
    pyplot.close(figure)


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return f"{line.partition(':')[2].strip()}, {os.cpu_count()} processors"
    return f"{platform.machine()}, {os.cpu_count()} processors"


def _versions() -> list[str]:
    found = []
    for package in PACKAGES:
        try:
            found.append(f"{package} {version(package)}")
        except PackageNotFoundError:
            pass
    for package in NODE_PACKAGES:
        description = NODE / package / "package.json"
        if description.exists():
            found.append(f"{package} {json.loads(description.read_text())['version']}")
    try:
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=True)
        found.append(f"node {node.stdout.strip()}")
    except (OSError, subprocess.CalledProcessError):
        pass
    return found


def main(arguments: Sequence[str]) -> None:
    plotted = arguments[1:3] if arguments[0] == "--plot" else ()
    first, *others = arguments[3:] if plotted else arguments
    together = Results.load(Path(first))
    for file in others:
        more = Results.load(Path(file))
        together.runs.update(more.runs)
        together.failures += more.failures
        together.leftOut.update(more.leftOut)
    if plotted:
        workload, path = plotted
        plot(together, workload, Path(path))
    else:
        print(markdown(together))


if __name__ == "__main__":
    main(sys.argv[1:])
