"""
Results: kept as JSON, told in Markdown, drawn as SVG.

    python -m benchmarks.report FILE.json...   # the tables of several runs in one
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from .contenders import CONTENDERS, NODE, REFERENCE, WORKLOADS

Found = dict[str, float]

#: What is measured: title, digits.
METRICS = {
    "cpu": ("server CPU, µs/message", 2),
    "rate": ("messages/s", 0),
    "p50": ("p50, µs", 0),
    "p99": ("p99, µs", 0),
    "rss": ("RSS, MB", 1),
    "load": ("load's CPU, µs/message", 2),
}
#: Those that aren't the server's, and not compared.
UNCOMPARED = frozenset({"load"})
PACKAGES = (
    *("twisted", "autobahn", "websockets", "picows", "uvloop", "aiohttp", "tornado"),
    *("python-socketio", "uvicorn", "daphne", "channels"),
)
NODE_PACKAGES = ("ws", "socket.io", "bun", "@colyseus/core")


@dataclass
class Results:
    """All runs: of each workload, of each contender, a run in each round."""

    about: dict[str, str]
    runs: dict[str, dict[str, list[Found]]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)
    leftOut: dict[str, str] = field(default_factory=dict)

    @classmethod
    def begin(cls, rounds: int, seconds: float, seed: int) -> Results:
        """No runs yet, on this machine."""
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
        """What was saved."""
        return cls(**json.loads(path.read_text()))

    def found(self, workload: str, contender: str, found: Found) -> None:
        """One more run."""
        self.runs.setdefault(workload, {}).setdefault(contender, []).append(found)

    def failed(self, workload: str, contender: str, why: str) -> None:
        """A run that came to nothing."""
        self.failures.append(f"{workload}, {contender}: {why}")

    def median(self, workload: str, contender: str, metric: str) -> float:
        """The middle of the rounds."""
        return statistics.median(run[metric] for run in self.runs[workload][contender])

    def ratio(self, workload: str, contender: str, metric: str, reference: str = REFERENCE) -> float | None:
        """A contender's median in that of the reference; `None` where there is none."""
        if not self.runs[workload].get(reference):
            return None
        base = self.median(workload, reference, metric)
        return self.median(workload, contender, metric) / base if base else None

    def save(self, directory: Path) -> None:
        """Write results.json."""
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "results.json").write_text(json.dumps(asdict(self), indent=1) + "\n")


def write(results: Results, directory: Path, plots: bool) -> None:
    """Write results.json, results.md and a plot of each workload."""
    results.save(directory)
    (directory / "results.md").write_text(markdown(results))
    if plots:
        for workload in results.runs:
            plot(results, workload, directory / f"{workload}.svg")


def markdown(results: Results) -> str:
    """All tables."""
    seen = {name for runs in results.runs.values() for name in runs}
    options = [f"{name}: {each.options}" for name, each in CONTENDERS.items() if name in seen]
    parts = ["# Benchmarks", "", *(f"- {name}: {value}" for name, value in results.about.items()), ""]
    parts += [
        f"x is the ratio to {REFERENCE}; medians of the rounds, the first column with least and most.",
        "",
    ]
    for workload in results.runs:
        parts += [f"## {WORKLOADS[workload].title}", "", *table(results, workload), ""]
    for title, lines in (
        ("Failed", results.failures),
        ("Left out", [f"{name}: {why}" for name, why in results.leftOut.items()]),
        ("Options", options),
    ):
        if lines:
            parts += [f"## {title}", "", *(f"- {line}" for line in lines), ""]
    return "\n".join(parts)


def table(results: Results, workload: str) -> list[str]:
    """One workload: a line for each contender, the cheapest first."""
    runs = results.runs[workload]
    metrics = [metric for metric in METRICS if any(metric in found[0] for found in runs.values())]
    first = metrics[0]
    lines = ["| | " + " | ".join(METRICS[metric][0] for metric in metrics) + " |"]
    lines.append("|---|" + "---:|" * len(metrics))
    for name in sorted(runs, key=lambda name: results.median(workload, name, first)):
        cells = [_cell(results, workload, name, metric, spread=metric == first) for metric in metrics]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _cell(results: Results, workload: str, name: str, metric: str, spread: bool) -> str:
    digits = METRICS[metric][1]
    values = [run[metric] for run in results.runs[workload][name]]
    text = f"{statistics.median(values):,.{digits}f}"
    if spread:
        text += f" ({min(values):,.{digits}f} to {max(values):,.{digits}f})"
    ratio = None if metric in UNCOMPARED else results.ratio(workload, name, metric)
    return text if ratio is None or name == REFERENCE else f"{text} x{ratio:.2f}"


def plot(results: Results, workload: str, path: Path) -> None:
    """Bars of the first metric with its spread, one for each contender."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "txroom"
    from matplotlib import pyplot

    runs = results.runs[workload]
    metric = next(metric for metric in METRICS if metric in next(iter(runs.values()))[0])
    names = sorted(runs, key=lambda name: results.median(workload, name, metric), reverse=True)
    middles = [results.median(workload, name, metric) for name in names]
    columns = [[run[metric] for run in runs[name]] for name in names]
    spread = [
        [middle - min(column) for middle, column in zip(middles, columns, strict=True)],
        [max(column) - middle for middle, column in zip(middles, columns, strict=True)],
    ]
    figure, axes = pyplot.subplots(figsize=(8, 0.8 + 0.36 * len(names)), layout="constrained")
    colours = ["#c2410c" if name.startswith(REFERENCE) else "#64748b" for name in names]
    bars = axes.barh(names, middles, xerr=spread, color=colours, ecolor="#1e293b", capsize=2)
    axes.bar_label(bars, [f"{middle:,.{METRICS[metric][1]}f}" for middle in middles], padding=6)
    axes.margins(x=0.12)
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel(METRICS[metric][0])
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


def main(files: Sequence[str]) -> None:
    together = Results.load(Path(files[0]))
    for file in files[1:]:
        more = Results.load(Path(file))
        together.runs.update(more.runs)
        together.failures += more.failures
        together.leftOut.update(more.leftOut)
    print(markdown(together))


if __name__ == "__main__":
    main(sys.argv[1:])
