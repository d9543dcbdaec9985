"""What type checkers say of a project that uses txroom, each as strict as it can be."""

from __future__ import annotations

import itertools
import json
import os
import re
import shutil
import subprocess
import sys
import unittest
from pathlib import Path

import pytest

from tests.functional.support import ROOT
from tests.functional.typed import quiz
from tests.requires import requiresNode, requiresPackage

TYPED = Path(quiz.__file__)
WEB = ROOT / "txroom" / "web"
#: Its arguments need no words.
TXROOM_ERROR = (
    "  constructor(code: string, message?: string, options?: { details?: unknown; cause?: unknown });"
)
CLIENT_TYPES = (sys.executable, ROOT / "scripts" / "clienttypes.py")


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


@pytest.fixture
def web(tmp_path: Path) -> Path:
    """A copy of the JavaScript client and its types."""
    requiresNode()
    requiresPackage("typescript")
    for name in ("txroom.js", "txroom.d.ts"):
        shutil.copy(WEB / name, tmp_path)
    return tmp_path


def edit(file: Path, before: str, after: str) -> None:
    """Replace a text that is there once."""
    text = file.read_text("utf-8")
    assert text.count(before) == 1, before
    file.write_text(text.replace(before, after), "utf-8")


def test_clientTypes(web: Path) -> None:
    """TypeScript has nothing to say of txroom.js, and txroom.d.ts is what its comments say."""
    assert said(*CLIENT_TYPES, "--check", cwd=ROOT) == (0, "")
    former = (web / "txroom.d.ts").read_text("utf-8")
    edit(web / "txroom.js", "/** What goes wrong. */", "/** What has gone wrong. */")
    status, text = said(*CLIENT_TYPES, "--check", web, cwd=ROOT)
    assert status == 1
    assert "-/** What goes wrong. */\n+/** What has gone wrong. */\n" in text
    assert "make client-types" in text
    assert (web / "txroom.d.ts").read_text("utf-8") == former
    assert said(*CLIENT_TYPES, web, cwd=ROOT) == (0, "")
    assert said(*CLIENT_TYPES, "--check", web, cwd=ROOT) == (0, "")
    assert (web / "txroom.d.ts").read_text("utf-8") == former.replace(
        "What goes wrong", "What has gone wrong"
    )


def test_clientTypesMistake(web: Path) -> None:
    """A mistake in txroom.js is found, and changes nothing."""
    former = (web / "txroom.d.ts").read_text("utf-8")
    edit(web / "txroom.js", "return this.#membership.offset;", "return this.#membership.epoch;")
    for options in ((), ("--check",)):
        status, text = said(*CLIENT_TYPES, *options, web, cwd=ROOT)
        assert status == 1
        assert "error TS2322: Type 'string' is not assignable to type 'number'." in text
    assert (web / "txroom.d.ts").read_text("utf-8") == former


def test_clientTypesDocumented() -> None:
    """All that users see of the types is said in a sentence, once, and nothing internal is there."""
    text = (WEB / "txroom.d.ts").read_text("utf-8")
    lines = text.splitlines()
    inClass = False
    for before, line in itertools.pairwise(lines):
        inClass = line.startswith("export class") or (inClass and not line.startswith("}"))
        if line.startswith("export") or (inClass and re.match(r"  \w", line)):
            assert before.endswith("*/") or line == TXROOM_ERROR, line
    tags = ("@internal", "@typedef", "@overload", "@template", "@type", "@param {")
    for internal in (*tags, "#private", " _", "Emitter", "Membership"):
        assert internal not in text
    assert len(re.findall(r"^  on<", text, re.M)) == 3


def test_clientTypesWithoutNode(tmp_path: Path) -> None:
    """Without Node that is said, and is an error only where nothing may be missing."""
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    for ci, status in (({}, 0), ({"CI": "1"}, 1)):
        done = subprocess.run(
            [*CLIENT_TYPES, "--check"],
            env={**environment, "PATH": str(tmp_path), **ci},
            text=True,
            capture_output=True,
        )
        assert done.stderr == "the types of txroom.js are not checked: node is not installed\n"
        assert (done.returncode, done.stdout) == (status, "")
