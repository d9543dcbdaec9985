"""The report of the benchmarks: ratios, goals and files, from given figures."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import report
from benchmarks.contenders import Goal
from benchmarks.measure import Found
from benchmarks.report import Results


def resultsOf(**columns: dict[int, float]) -> Results:
    """Results of an echo: the CPU time of each contender in each of its rounds."""
    results = Results({})
    for name, column in columns.items():
        for number, cpu in column.items():
            results.found("echo-64", name, number, {"cpu": cpu})
    return results


class GoalTests(SynchronousTestCase):
    """A goal compares what two contenders did in the same round."""

    def goals(self, results: Results, *goals: Goal) -> list[str]:
        self.patch(report, "GOALS", goals)
        return report.goals(results)

    def test_medianOfRatios(self) -> None:
        """The median of the ratios decides, not the ratio of the medians (here 2 / 2)."""
        results = resultsOf(txroom={1: 1, 2: 2, 3: 6}, ws={1: 2, 2: 4, 3: 1})
        self.assertEqual(
            self.goals(results, Goal("echo-64", "cpu", "ws", 7)),
            ["echo-64, cpu of txroom: at most 7 x ws: 0.50 (0.50 to 6.00), met"],
        )

    def test_roundsDiffer(self) -> None:
        """The report says if a single round would decide otherwise."""
        results = resultsOf(txroom={1: 1, 2: 1, 3: 3}, ws={1: 1, 2: 1, 3: 1})
        self.assertEqual(
            self.goals(
                results, Goal("echo-64", "cpu", "ws", 2), Goal("echo-64", "cpu", "ws", 2, isLeast=True)
            ),
            [
                "echo-64, cpu of txroom: at most 2 x ws: 1.00 (1.00 to 3.00), met, but rounds differ",
                "echo-64, cpu of txroom: at least 2 x ws: 1.00 (1.00 to 3.00), MISSED, but rounds differ",
            ],
        )

    def test_failedRun(self) -> None:
        """If one run failed, the other one of that round is not used either; other rounds are."""
        results = resultsOf(txroom={2: 2, 3: 3}, ws={1: 1, 2: 4})
        self.assertEqual(
            self.goals(results, Goal("echo-64", "cpu", "ws", 1)),
            ["echo-64, cpu of txroom: at most 1 x ws: 0.50 (0.50 to 0.50), met"],
        )

    def test_notTogether(self) -> None:
        """There is no ratio for contenders that were never measured in the same round, or not at all."""
        results = resultsOf(txroom={1: 1}, ws={2: 1})
        wanted = [
            Goal("echo-64", "cpu", "ws", 1),
            Goal("echo-64", "cpu", "bun", 1),
            Goal("idle", "memory", None, 1),
        ]
        self.assertEqual(self.goals(results, *wanted), [])

    def test_whose(self) -> None:
        """
        The goal of a variant has its name; a goal without another contender is compared with the figure
        itself.
        """
        results = Results({})
        for number, memory in enumerate((3, 1, 2), 1):
            results.found("idle", "txroom-lean", number, {"memory": memory})
        self.assertEqual(
            self.goals(results, Goal("idle", "memory", None, 3, who="txroom-lean")),
            ["idle, memory of txroom-lean: at most 3: 2.00 (1.00 to 3.00), met"],
        )


class TableTests(SynchronousTestCase):
    """The columns of ratios."""

    def test_ratioOfRounds(self) -> None:
        """They are medians of the ratios of the rounds."""
        results = resultsOf(txroom={1: 2, 2: 4, 3: 1}, ws={1: 1, 2: 2, 3: 6})
        self.assertEqual(
            report.table(results, "echo-64")[2:],
            ["| txroom | 2.00 (1.00 to 4.00) |", "| ws | 2.00 (1.00 to 6.00) x0.50 |"],
        )

    def test_points(self) -> None:
        """If something grows, each variant is compared with its own first point."""
        results = Results({})
        for name, cpu in (("txroom, 1,000", 2), ("txroom, 10,000", 4), ("txroom-lean, 1,000", 1)):
            results.found("scaling-idle", name, 1, {"cpu": cpu})
        self.assertEqual(
            sorted(report.table(results, "scaling-idle")[2:]),
            [
                "| txroom, 1,000 | 2.00 (2.00 to 2.00) x1.00 |",
                "| txroom, 10,000 | 4.00 (4.00 to 4.00) x2.00 |",
                "| txroom-lean, 1,000 | 1.00 (1.00 to 1.00) x1.00 |",
            ],
        )


class FileTests(SynchronousTestCase):
    """The files that are written."""

    def test_savedAndLoaded(self) -> None:
        """Results that are saved and loaded are equal."""
        results, directory = resultsOf(txroom={1: 1, 3: 2}), Path(self.mktemp())
        results.save(directory)
        found: list[Found] = Results.load(directory / "results.json").runs["echo-64"]["txroom"]
        self.assertEqual(found, [{"round": 1, "cpu": 1}, {"round": 3, "cpu": 2}])

    def test_earlierPlots(self) -> None:
        """Plots of an earlier run are removed; other files are not."""
        directory = Path(self.mktemp())
        directory.mkdir()
        for name in ("echo-64.svg", "room.svg", "mine.svg"):
            (directory / name).write_text("")
        report.write(resultsOf(txroom={1: 1}), directory, plots=False)
        self.assertEqual(
            sorted(path.name for path in directory.iterdir()), ["mine.svg", "results.json", "results.md"]
        )
