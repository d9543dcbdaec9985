"""
Run make targets one after another, stop at the first that fails, and print the totals in one line.

    python scripts/test.py lint unit functional

The targets that run tests write their results to build/: the output of trial, the JUnit XML of pytest.
"""

from __future__ import annotations

import re
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from xml.etree import ElementTree

RESULTS = Path(__file__).resolve().parents[1] / "build" / "results"


def run(target: str) -> bool:
    """Make one target and print its result. Returns whether it succeeded."""
    print(f"=== {target}", flush=True)
    started = time.monotonic()
    passed = subprocess.run(["make", "-s", target]).returncode == 0
    outcome = "ok" if passed else "FAILED"
    print(f"=== {target}: {outcome}, {time.monotonic() - started:.0f} s", flush=True)
    return passed


def totals() -> Counter[str]:
    """The numbers of tests since the start that passed, failed and were skipped."""
    count: Counter[str] = Counter()
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


def main(targets: list[str]) -> int:
    for old in RESULTS.glob("*.*"):
        old.unlink()
    broken = next((target for target in targets if not run(target)), None)
    count = totals()
    if broken and not count["failed"]:
        count["failed"] = 1
    where = f" (make {broken})" if broken else ""
    print(f"{count['passed']} passed, {count['failed']} failed, {count['skipped']} skipped{where}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
