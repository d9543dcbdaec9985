"""The demonstration in a real browser."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.requires import CLIENTS, requires, requiresNode

from .launched import launched


def test_twoTabs(tmp_path: Path) -> None:
    """Two tabs talk; each shows both messages as they were typed, and no error; nothing else is loaded."""
    node, chromium = requiresNode(), requires("chromium")
    with launched(("twistd", "-n"), cwd=tmp_path) as process:
        process.ready()
        url = f"http://127.0.0.1:{process.port}/"
        done = subprocess.run(
            [node, CLIENTS / "demo.mjs", chromium, url, tmp_path / "page.png"],
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        seen = json.loads(done.stdout)
    hello, answer = "Hello, is anybody there?", "<b>Yes</b> — schön & 🦦"
    assert seen["ann"] == [["mine", "Ann", hello], ["other", "Bob", answer]]
    assert seen["bob"] == [["other", "Ann", hello], ["mine", "Bob", answer]]
    assert seen["errors"] == []
    assert set(seen["requests"]) == {url}
    assert (tmp_path / "page.png").stat().st_size > 10_000
