"""The RPC interface of a server in a process of its own: its documentation, the shell, foreign clients."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.functional.launched import PATIENCE, Launched, freePort, launched, until
from tests.functional.support import ROOT, environment
from tests.functional.test_documented import copied, running
from tests.requires import CLIENTS, requiresNode, requiresPackage

TOKEN = "0123456789abcdef" * 2
PAGE = ROOT / "docs" / "howto" / "rpc.rst"


@contextmanager
def serving(tmp_path: Path, *admins: str) -> Iterator[Launched]:
    """The server of the documentation, "game", with these admin listeners."""
    secret = tmp_path / "secret"
    secret.write_text(TOKEN)
    options = [each for where in admins for each in ("--admin", where)]
    options += ["--app", "game:makeServer", "--admin-token-file", str(secret)]
    with launched(("twistd", "-n"), *options, cwd=copied("operators", tmp_path)) as server:
        server.ready()
        yield server


def shell(where: object, *words: str, status: int = 0, **variables: str) -> str:
    """What the shell prints."""
    done = subprocess.run(
        [sys.executable, "-m", "txroom.admin", str(where), *words],
        env={**environment(), "TXROOM_ADMIN_TOKEN": TOKEN, **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == status, done.stdout + done.stderr
    return done.stderr if status else done.stdout


def test_shell(tmp_path: Path) -> None:
    """Every command of the documentation works, also over a UNIX socket and with a file of the secret."""
    port, path = freePort(), tmp_path / "admin.sock"
    found = re.findall(r"^   \$ python -m txroom\.admin 9000(.*)$", PAGE.read_text(), re.MULTILINE)
    assert len(found) == 8
    with serving(tmp_path, str(port), f"unix:{path}") as server:
        listed, helped, given, asJSON = (shell(port, *each.split()) for each in found[:4])
        assert "economy.give" in listed and "rpc.discover" in listed
        assert "amount (integer, optional, by default 1)" in helped
        assert given.split() == ["userId", "ada", "coins", "7"]
        assert json.loads(asJSON) == [{"userId": "ada", "coins": 7}, {"userId": "bob", "coins": 3}]
        command = [sys.executable, "-m", "txroom.admin", str(port), *found[4].split()]
        with running(*command, cwd=tmp_path, out=tmp_path / "watch", TXROOM_ADMIN_TOKEN=TOKEN) as watching:
            until(lambda: "ada" in watching.output, "no answer")
            secret = ("--token-file", str(tmp_path / "secret"))
            assert "bob" in shell(f"unix:{path}", *secret, "economy.give", "bob", TXROOM_ADMIN_TOKEN="")
            until(lambda: re.search(r"bob +4", watching.output), "no change")
        assert "noSuchPlayer" in shell(port, "give", "eve", status=1)
        assert "unauthorized" in shell(port, "players", status=1, TXROOM_ADMIN_TOKEN="x" * 32)
        assert "needs userId" in shell(port, "give", status=2)
        assert "unavailable" in shell(freePort(), "players", status=1)
        server.wrote("admin: manage from 127.0.0.1: economy.give userId=ada amount=2 done")
        server.wrote("admin: manage from unix: economy.give userId=bob amount=1 done")
        assert TOKEN not in server.output + server.errors


def test_python(tmp_path: Path) -> None:
    """The program of the documentation, "rich", calls and watches."""
    port = freePort()
    variables = {"TXROOM_ADMIN_TOKEN": TOKEN, "TXROOM_ADMIN_URL": f"http://127.0.0.1:{port}"}
    with serving(tmp_path, str(port)):
        program = (sys.executable, str(tmp_path / "operators" / "rich.py"))
        with running(*program, cwd=tmp_path, out=tmp_path / "rich", **variables) as rich:
            until(lambda: rich.output.count("ada") >= 2, "it doesn't watch")
            shell(port, "economy.give", "bob", "17")
            assert rich.wait() == 0, rich.output
        first, *_, last = rich.output.splitlines()
        assert first == "{'userId': 'ada', 'coins': 7}"
        assert "'coins': 20" in last


def test_javascript(tmp_path: Path) -> None:
    """txroom.js and a foreign client of JSON-RPC call and watch."""
    requiresPackage("json-rpc-2.0")
    port = freePort()
    variables = {"TXROOM_ADMIN_TOKEN": TOKEN, "TXROOM_ADMIN_URL": f"http://127.0.0.1:{port}"}
    with serving(tmp_path, str(port)):
        folder = tmp_path / "operators"
        shutil.copy(ROOT / "txroom" / "web" / "txroom.js", folder)
        (folder / "node_modules").symlink_to(CLIENTS / "node_modules")
        (folder / "package.json").write_text('{"type": "module"}')  # what `npm pkg set type=module` writes

        def printed(name: str) -> list[Any]:
            done = subprocess.run(
                [requiresNode(), folder / name],
                env={**environment(), **variables},
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )
            assert done.returncode == 0, done.stdout + done.stderr
            assert "Warning" not in done.stderr
            return [json.loads(each) for each in done.stdout.splitlines()]

        before, bob, after = printed("own.mjs")
        assert (before[1]["coins"], bob, after[1]) == (3, {"userId": "bob", "coins": 7}, bob)
        begun, bob, after, error = printed("foreign.mjs")
        assert (begun["watch"], begun["answer"][1]["coins"]) == (1, 7)
        assert (bob, after[1]) == ({"userId": "bob", "coins": 11}, bob)
        assert error == {
            "code": -32000,
            "message": "there is no such player",
            "data": {"code": "noSuchPlayer", "details": {"field": "userId"}},
        }
