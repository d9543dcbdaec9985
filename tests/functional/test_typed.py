"""Type checkers in their strictest mode, with a project that uses txroom."""

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
#: The declarations whose arguments need no description.
TXROOM_ERROR = (
    "  constructor(code: string, message?: string, options?: { details?: unknown; cause?: unknown });"
)
CLIENT_TYPES = (sys.executable, ROOT / "scripts" / "clienttypes.py")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The application in a folder of its own, as its authors would have it, without txroom's settings."""
    (tmp_path / "quiz.py").write_text(TYPED.read_text("utf-8"), "utf-8")
    return tmp_path


def said(*command: str | Path, cwd: Path) -> tuple[int, str]:
    """The output of a command, and its status."""
    done = subprocess.run(command, cwd=cwd, text=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    return done.returncode, done.stdout


def test_runs() -> None:
    """The application works; otherwise the checks here would mean nothing."""
    result = unittest.TestResult()
    unittest.defaultTestLoader.loadTestsFromTestCase(quiz.QuizTests).run(result)
    assert (result.testsRun, result.errors, result.failures) == (2, [], [])


def test_mypy(project: Path) -> None:
    """``mypy --strict`` reports nothing, except for calls of Twisted; it finds a mistake."""
    options = ("--strict", "--allow-untyped-calls", "--no-error-summary", "--config-file=")
    command = (sys.executable, "-m", "mypy", *options, "quiz.py")
    assert said(*command, cwd=project) == (0, "")
    spoil(project)
    status, text = said(*command, cwd=project)
    assert status == 1
    assert '"onPresence" of "Room" has incompatible type' in text
    assert '"Quiz" has no attribute "titel"' in text


def test_pyright(project: Path) -> None:
    """pyright in its strict mode reports nothing either, and finds a mistake."""
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


@pytest.fixture
def table(tmp_path: Path) -> Path:
    """A room with a declared state, in a folder of its own."""
    (tmp_path / "table.py").write_text(TYPED.with_name("table.py").read_text("utf-8"), "utf-8")
    return tmp_path


#: Mistakes with a state, and what mypy says of each.
STATE_MISTAKES = (
    ("player.x += 1", 'player.x = "far"', "expression has type"),
    ("player.score = None", "player.name = None", "expression has type"),
    ('table.words.update(a="b")', 'table.words["a"] = 1', "incompatible type"),
    ("Card(rank=rank)", "Player()", 'has incompatible type "Player"'),
)


def test_stateMypy(table: Path) -> None:
    """Fields of states have the types of their annotations; values of others are mistakes."""
    options = ("--strict", "--allow-untyped-calls", "--no-error-summary", "--config-file=")
    command = (sys.executable, "-m", "mypy", *options, "table.py")
    assert said(*command, cwd=table) == (0, "")
    for right, wrong, _ in STATE_MISTAKES:
        edit(table / "table.py", right, wrong)
    status, text = said(*command, cwd=table)
    assert (status, text.count("error:")) == (1, len(STATE_MISTAKES)), text
    for *_, message in STATE_MISTAKES:
        assert message in text


def test_statePyright(table: Path) -> None:
    """pyright in its strict mode says the same."""
    node, pyright = requiresNode(), requiresPackage("pyright") / "index.js"
    config = {"typeCheckingMode": "strict", "include": ["table.py"]}
    (table / "pyrightconfig.json").write_text(json.dumps(config), "utf-8")
    command = (node, pyright, "--pythonpath", sys.executable, "--outputjson")
    status, text = said(*command, cwd=table)
    problems = [each["message"] for each in json.loads(text)["generalDiagnostics"]]
    assert (problems, status) == ([], 0)
    for right, wrong, _ in STATE_MISTAKES:
        edit(table / "table.py", right, wrong)
    status, text = said(*command, cwd=table)
    assert (len(json.loads(text)["generalDiagnostics"]), status) == (len(STATE_MISTAKES), 1), text


def spoil(project: Path) -> None:
    """Make two mistakes that a type checker must find."""
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
    """Replace a text that occurs once."""
    text = file.read_text("utf-8")
    assert text.count(before) == 1, before
    file.write_text(text.replace(before, after), "utf-8")


def test_clientTypes(web: Path) -> None:
    """TypeScript reports nothing for txroom.js, and txroom.d.ts matches its comments."""
    assert said(*CLIENT_TYPES, "--check", cwd=ROOT) == (0, "")
    former = (web / "txroom.d.ts").read_text("utf-8")
    edit(web / "txroom.js", "/** The WebSocket sub-protocol. */", "/** The sub-protocol. */")
    status, text = said(*CLIENT_TYPES, "--check", web, cwd=ROOT)
    assert status == 1
    assert "-/** The WebSocket sub-protocol. */\n+/** The sub-protocol. */\n" in text
    assert "make client-types" in text
    assert (web / "txroom.d.ts").read_text("utf-8") == former
    assert said(*CLIENT_TYPES, web, cwd=ROOT) == (0, "")
    assert said(*CLIENT_TYPES, "--check", web, cwd=ROOT) == (0, "")
    assert (web / "txroom.d.ts").read_text("utf-8") == former.replace(
        "The WebSocket sub-protocol", "The sub-protocol"
    )


def test_clientTypesMistake(web: Path) -> None:
    """A mistake in txroom.js is found, and txroom.d.ts is not changed."""
    former = (web / "txroom.d.ts").read_text("utf-8")
    edit(web / "txroom.js", "return this.#membership.offset;", "return this.#membership.epoch;")
    for options in ((), ("--check",)):
        status, text = said(*CLIENT_TYPES, *options, web, cwd=ROOT)
        assert status == 1
        assert "error TS2322: Type 'string' is not assignable to type 'number'." in text
    assert (web / "txroom.d.ts").read_text("utf-8") == former


def test_clientTypesDocumented() -> None:
    """All types that users see have one description, and nothing internal is in the file."""
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
    """Without Node the script says so, which is an error only with CI set."""
    environment = {name: value for name, value in os.environ.items() if name != "CI"}
    for ci, status in (({}, 0), ({"CI": "1"}, 1)):
        done = subprocess.run(
            [*CLIENT_TYPES, "--check"],
            env={**environment, "PATH": str(tmp_path), **ci},
            text=True,
            capture_output=True,
        )
        assert done.stderr == "The types of txroom.js were not checked: node is not installed\n"
        assert (done.returncode, done.stdout) == (status, "")
