"""The demo in a real browser."""

from __future__ import annotations

import json
import shutil
import subprocess
from functools import partial
from pathlib import Path

from tests.functional.launched import freePort, launched
from tests.functional.support import ROOT
from tests.requires import CLIENTS, requires, requiresNode


def test_twoTabs(tmp_path: Path) -> None:
    """
    Two tabs open a room and chat; one loses its connection twice, and neither loses a message.

    Each shows every message once, as it was typed and in the same order; nothing else is loaded.
    """
    node, chromium = requiresNode(), requires("chromium")
    with launched(("twistd", "-n"), cwd=tmp_path) as process:
        process.ready()
        url = f"http://127.0.0.1:{process.port}/"
        done = subprocess.run(
            [node, CLIENTS / "demo.mjs", chromium, url, tmp_path],
            capture_output=True,
            text=True,
            timeout=200,
        )
        assert done.returncode == 0, done.stderr
        seen = json.loads(done.stdout)
        assert "Traceback" not in process.output
    topic = "tea & <b>biscuits</b>"
    assert seen["rooms"] == ["Lobby", topic, "Whack a mole"]
    assert seen["people"] == [["Ann", "Bob"], ["Bob", "Ann"]]
    assert seen["typing"]
    assert seen["latency"].endswith(" ms")

    talk = [
        ("Ann", "Hello, is anybody there?", ""),
        ("Bob", "<b>Yes</b> — schön & 🦦", ""),
        ("Ann", "a secret", " private"),
    ]
    # While Bob is away, both tabs still list him, and his messages are queued.
    assert seen["cut"]["ann"] == ["Ann", "Bob"]
    assert seen["cut"]["bob"] == [
        *shown("Bob", talk),
        *(["mine waiting", "Bob", text] for text in ("four", "five")),
        ["mine private waiting", "Bob", "between us"],
    ]
    assert seen["back"].startswith("The connection is back, and no message was lost.")
    talk += [("Ann", text, "") for text in ("one", "two", "three")]
    talk += [("Bob", text, "") for text in ("four", "five")]
    talk += [("Bob", "between us", " private"), ("Bob", "six", "")]
    assert seen["ann"] == shown("Ann", talk)
    assert seen["bob"] == shown("Bob", talk)
    # The page that was reloaded is still Bob, and no member joined or left.
    assert (seen["reloaded"]["names"], seen["reloaded"]["mine"]) == (["Bob", "Ann"], "mine")
    assert set(seen["reloaded"]["counts"]) <= {2}  # empty if it was over within one window
    place = f" only to you, in {topic}"
    assert seen["missed"] == {
        "name": "Dora",
        "texts": [
            *(f"Ann{place}", "Are you still there? The kettle is on."),
            *(f"Ann{place}", "We begin at <i>five</i>."),
        ],
        "1280": 0,
        "390": 0,
        "left": 1,
        "again": ["Dora", 0],
    }
    assert seen["phone"]["log"] > 150
    assert seen["phone"]["last"] and seen["phone"]["form"]
    lost, back = "The connection is lost.", "The connection is back, and no message was lost."
    assert seen["notes"] == [lost, back] * 2
    away = "The room is not available at the moment."
    assert seen["roomAway"] == [["connected", f"{away} Your messages wait."]] * 2
    assert seen["roomBack"] == [away, "The room is back, and no message was lost."]

    assert seen["score"]
    assert seen["clipped"] == []
    assert seen["overflow"] <= 0
    assert seen["hidden"] == [0, 0]
    # Without a network the browser logs errors of its own.
    assert [error for error in seen["errors"] if "ERR_INTERNET_DISCONNECTED" not in error] == []
    assert set(seen["requests"]) == {url + name for name in ("", "demo.css", "demo.js", "txroom.js")}
    assert (tmp_path / "recovered.png").stat().st_size > 10_000


def shown(me: str, talk: list[tuple[str, str, str]]) -> list[list[str]]:
    """How a tab of one member shows a conversation."""
    return [[("mine" if who == me else "other") + kind, who, text] for who, text, kind in talk]


def test_tutorial(tmp_path: Path) -> None:
    """The page of the tutorial: two tabs chat, also after the server was stopped and started again."""
    node, chromium = requiresNode(), requires("chromium")
    for path in (ROOT / "docs" / "examples" / "room").glob("*.*"):
        shutil.copy(path, tmp_path)
    shutil.copy(ROOT / "txroom" / "demo" / "chat.py", tmp_path)
    port = freePort()
    options = ("--app", "server:makeServer", "--listen", f"tcp:{port}:interface=127.0.0.1")
    serve = partial(launched, ("twistd", "-n"), *options, cwd=tmp_path, port=port)
    tabs: list[str | Path] = [node, CLIENTS / "tutorial.mjs", chromium, f"http://127.0.0.1:{port}/"]
    with serve() as process:
        process.ready()
        browser = subprocess.Popen(tabs, stdout=subprocess.PIPE, text=True)
        assert browser.stdout is not None
        assert browser.stdout.readline() == "stop\n"
    try:
        assert browser.stdout.readline() == "start\n"
        with serve() as process:
            out, _ = browser.communicate(timeout=200)
            assert "Traceback" not in process.output
    finally:
        browser.kill()
    seen = json.loads(out)
    assert seen["errors"] == []
    # Bob may join the new room before or after Ann writes there: the history shows it in both cases.
    assert seen["ann"] == seen["bob"] == ["Ann: hello", "Ann: still there?", "Bob: yes"]
