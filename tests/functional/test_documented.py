"""Programs of the documentation as processes of their own, as their readers start them."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.functional.launched import BIN, PATIENCE, Launched, freePort, launched, until
from tests.functional.support import ROOT, environment

EXAMPLES = ROOT / "docs" / "examples"
TWISTD = ("twistd", "-n")


@contextmanager
def running(*command: str, cwd: Path, out: Path, **variables: str) -> Iterator[Launched]:
    """Another program beside a server; it is killed when the block ends."""
    with out.open("wb") as log:
        process = subprocess.Popen(
            command,
            cwd=cwd,
            env={**environment(), **variables},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
    try:
        yield Launched(process, out, out, 0)
    finally:
        process.kill()
        process.wait()


def copied(name: str, where: Path) -> Path:
    """A copy of a folder of examples, for what programs write beside them."""
    return Path(shutil.copytree(EXAMPLES / name, where / name, ignore=shutil.ignore_patterns("__pycache__")))


def python(*arguments: str, cwd: Path, **variables: str) -> str:
    """What a Python program prints."""
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**environment(), **variables},
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


ASK = """
import sys
from blocking import BlockingDesk
from txroom.client import RoomError

desk = BlockingDesk(sys.argv[1])
heard = []
desk.room.on("announced", lambda text, offset: print("announced:", text, flush=True))
try:
    print(desk.ask("When do you open?"))
    desk.announce("free beer")
except RoomError as error:
    print(error.code)
desk.close()
"""


def test_backend(tmp_path: Path) -> None:
    """A service, "agent.tac", answers what a program that blocks asks with "blocking"; "announce" announces."""
    folder = copied("backend", tmp_path)
    with launched(TWISTD, "--app", "desk:makeServer", cwd=folder) as server:
        server.ready()
        url = f"ws://127.0.0.1:{server.port}/rooms"
        agent = (str(BIN / "twistd"), "-n", "--pidfile=", "-y", "agent.tac")
        with running(*agent, cwd=folder, out=tmp_path / "agent", DESK=url, PYTHONPATH=".") as service:

            def answered() -> bool:
                return python("-c", ASK, url, cwd=folder).splitlines() == ["at nine", "forbidden"]

            until(answered, "the agent did not answer")
            assert python("announce.py", url, "We close at five.", cwd=folder) == ""
            assert "given up" not in service.output, service.output
