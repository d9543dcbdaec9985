"""
Run make targets in stages, stop after the first stage in which one fails, and print failures and totals.

    python scripts/test.py deps lint,types,unit functional

The targets of a stage, separated by commas, run side by side, as many at a time as there are processors, in
this order. The targets that run tests write their results to build/: the output of trial, the JUnit XML of
pytest.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from xml.etree import ElementTree

RESULTS = Path(__file__).resolve().parents[1] / "build" / "results"
#: How much of a failure is repeated at the end.
SHOWN_LINES = 15


def runStage(targets: list[str]) -> list[str]:
    """Make targets side by side, and print what each prints when it has ended. Returns those that failed."""
    failed: list[str] = []

    def run(target: str) -> None:
        if failed:
            return
        started = time.monotonic()
        made = subprocess.run(
            ["make", "-s", target], text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        outcome = "FAILED" if made.returncode else "ok"
        if made.returncode:
            failed.append(target)
        print(f"{made.stdout}=== {target}: {outcome}, {time.monotonic() - started:.0f} s", flush=True)

    print(f"=== {', '.join(targets)}", flush=True)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(run, targets))
    return failed


def totals() -> Counter[str]:
    """
    The numbers of tests since the start that passed, failed and were skipped. Of a test that ran again, the
    second result counts.
    """
    count: Counter[str] = Counter()
    for report in RESULTS.glob("*-again.xml"):
        # Each of these failed in the first run.
        count["failed"] -= sum(1 for _ in ElementTree.parse(report).iter("testcase"))
    for report in RESULTS.glob("*.xml"):
        for suite in ElementTree.parse(report).iter("testsuite"):
            tests, errors, failures, skipped = (
                int(suite.get(name, 0)) for name in ("tests", "errors", "failures", "skipped")
            )
            count["failed"] += errors + failures
            count["skipped"] += skipped
            count["passed"] += tests - errors - failures - skipped
    names = {"successes": "passed", "failures": "failed", "errors": "failed", "skips": "skipped"}
    for log in RESULTS.glob("*.log"):
        # trial's last line: "PASSED (skips=1, successes=20)"
        verdict = re.findall(r"^(?:PASSED|FAILED) \((.*)\)$", log.read_text("utf-8"), re.M)
        for name, number in re.findall(r"(\w+)=(\d+)", "".join(verdict[-1:])):
            count[names.get(name, name)] += int(number)
    return count


def failures() -> Iterator[str]:
    """
    The tests of pytest since the start that failed, each with the end of what it printed, and what became of
    those that ran again.
    """
    for report in sorted(RESULTS.glob("*.xml")):
        isAgain = report.stem.endswith("-again")
        for case in ElementTree.parse(report).iter("testcase"):
            name = f"{case.get('classname')}.{case.get('name')}"
            problems = [*case.iter("failure"), *case.iter("error")]
            for problem in problems:
                lines = (problem.text or problem.get("message", "")).splitlines()
                yield "\n".join([f"=== {name}{' again' if isAgain else ''}", *lines[-SHOWN_LINES:]])
            if isAgain and not problems:
                yield f"=== {name} failed first, and passed when it ran again"


def main(stages: list[str]) -> int:
    for old in RESULTS.glob("*.*"):
        old.unlink()
    broken = next((failed for stage in stages if (failed := runStage(stage.split(",")))), [])
    for failure in failures():
        print(failure)
    count = totals()
    if broken and not count["failed"]:
        count["failed"] = len(broken)
    where = f" (make {' '.join(broken)})" if broken else ""
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped{where}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
