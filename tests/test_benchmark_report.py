"""The report of the benchmarks: ratios, goals and files, from figures that are given."""

from __future__ import annotations

from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from benchmarks import report
from benchmarks.contenders import Goal
from benchmarks.measure import Found
from benchmarks.report import Results


def resultsOf(**columns: dict[int, float]) -> Results:
    """An echo: the CPU time of each contender in each round that it was measured in."""
    results = Results({})
    for name, column in columns.items():
        for number, cpu in column.items():
            results.found("echo-64", name, number, {"cpu": cpu})
    return results


class GoalTests(SynchronousTestCase):
    """A goal is judged by what two did in the same round."""

    def goals(self, results: Results, *goals: Goal) -> list[str]:
        self.patch(report, "GOALS", goals)
        return report.goals(results)

    def test_medianOfRatios(self) -> None:
        """The median of the ratios counts, not the ratio of the medians (here 2 / 2)."""
        results = resultsOf(txroom={1: 1, 2: 2, 3: 6}, ws={1: 2, 2: 4, 3: 1})
        self.assertEqual(
            self.goals(results, Goal("echo-64", "cpu", "ws", 7)),
            ["echo-64, cpu of txroom: at most 7 x ws: 0.50 (0.50 to 6.00), met"],
        )

    def test_roundsDiffer(self) -> None:
        """It is said when a round alone would be judged otherwise."""
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
        """A run that failed takes the other's of that round with it, and no other."""
        results = resultsOf(txroom={2: 2, 3: 3}, ws={1: 1, 2: 4})
        self.assertEqual(
            self.goals(results, Goal("echo-64", "cpu", "ws", 1)),
            ["echo-64, cpu of txroom: at most 1 x ws: 0.50 (0.50 to 0.50), met"],
        )

    def test_notTogether(self) -> None:
        """Nothing is said of those who were never measured in one round, or not at all."""
        results = resultsOf(txroom={1: 1}, ws={2: 1})
        wanted = [
            Goal("echo-64", "cpu", "ws", 1),
            Goal("echo-64", "cpu", "bun", 1),
            Goal("idle", "memory", None, 1),
        ]
        self.assertEqual(self.goals(results, *wanted), [])

    def test_whose(self) -> None:
        """A variant's goal bears its name; one without another is judged by the figures."""
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
        """They are medians of the rounds' ratios."""
        results = resultsOf(txroom={1: 2, 2: 4, 3: 1}, ws={1: 1, 2: 2, 3: 6})
        self.assertEqual(
            report.table(results, "echo-64")[2:],
            ["| txroom | 2.00 (1.00 to 4.00) |", "| ws | 2.00 (1.00 to 6.00) x0.50 |"],
        )

    def test_points(self) -> None:
        """Where something grows, each variant is compared with its own first point."""
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
    """What is written."""

    def test_savedAndLoaded(self) -> None:
        """Rounds stay what they were."""
        results, directory = resultsOf(txroom={1: 1, 3: 2}), Path(self.mktemp())
        results.save(directory)
        found: list[Found] = Results.load(directory / "results.json").runs["echo-64"]["txroom"]
        self.assertEqual(found, [{"round": 1, "cpu": 1}, {"round": 3, "cpu": 2}])

    def test_earlierPlots(self) -> None:
        """Plots of an earlier run don't stay beside another run's figures; what else there is stays."""
        directory = Path(self.mktemp())
        directory.mkdir()
        for name in ("echo-64.svg", "room.svg", "mine.svg"):
            (directory / name).write_text("")
        report.write(resultsOf(txroom={1: 1}), directory, plots=False)
        self.assertEqual(
            sorted(path.name for path in directory.iterdir()), ["mine.svg", "results.json", "results.md"]
        )
