"""What type checkers say of a project that uses txroom, each as strict as it can be."""

from __future__ import annotations

import json
import subprocess
import sys
import unittest
from pathlib import Path

import pytest

from tests.functional.typed import quiz
from tests.requires import requiresNode, requiresPackage

TYPED = Path(quiz.__file__)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The application in a folder of its own, as its authors have it, without settings of ours."""
    (tmp_path / "quiz.py").write_text(TYPED.read_text("utf-8"), "utf-8")
    return tmp_path


def said(*command: str | Path, cwd: Path) -> tuple[int, str]:
    """What a command says, and its status."""
    done = subprocess.run(command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def test_runs() -> None:
    """It does what it says, or what is checked here is worth nothing."""
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(quiz.QuizTests).run(result)
    assert (result.testsRun, result.errors, result.failures) == (2, [], [])


def test_mypy(project: Path) -> None:
    """``mypy --strict`` has nothing to say, but of calls of Twisted's own; and a mistake is one."""
    options = ("--strict", "--allow-untyped-calls", "--no-error-summary", "--config-file=")
    command = (sys.executable, "-m", "mypy", *options, "quiz.py")
    assert said(*command, cwd=project) == (0, "")
    spoil(project)
    status, text = said(*command, cwd=project)
    assert status == 1
    assert '"onPresence" of "Room" has incompatible type' in text
    assert '"Quiz" has no attribute "titel"' in text


def test_pyright(project: Path) -> None:
    """So has pyright, in its strict mode."""
    node, pyright = requiresNode(), requiresPackage("pyright") / "index.js"
    (project / "pyrightconfig.json").write_text(
        json.dumps({"typeCheckingMode": "strict", "include": ["quiz.py"]}),
        "utf-8",
    )
    command = (node, pyright, "--pythonpath", sys.executable, "--outputjson")
    status, text = said(*command, cwd=project)
    problems = [
        f"{one['range']['start']['line'] + 1}: {one['message']}"
        for one in json.loads(text)["generalDiagnostics"]
    ]
    assert (problems, status) == ([], 0)
    spoil(project)
    status, text = said(*command, cwd=project)
    rules = {one["rule"] for one in json.loads(text)["generalDiagnostics"]}
    assert (status, "reportArgumentType" in rules, "reportAttributeAccessIssue" in rules) == (1, True, True)


def spoil(project: Path) -> None:
    """Two mistakes that a type checker has to find."""
    source = (project / "quiz.py").read_text("utf-8")
    for right, wrong in (
        ("room.onPresence(lambda members, joined, left: self.count(members))", "room.onPresence(self.left)"),
        ("quiz.title", "quiz.titel"),
    ):
        assert right in source
        source = source.replace(right, wrong)
    (project / "quiz.py").write_text(source, "utf-8")
