"""Several processes on one machine, started with a .tac file by root, who gives up the privileges."""

from __future__ import annotations

import os
import signal
import subprocess
import sysconfig
from pathlib import Path

import pytest

from tests.functional.launched import Launched, freePort
from tests.requires import requiresPython

ROOT = Path(__file__).parents[3]
TWISTD = "from twisted.scripts.twistd import run; run()"
SERVICE = """
from twisted.application.service import Application
from txroom.process import Workers

application = Application("chat")
workers = Workers({arguments})
workers.listen("tcp:{port}:interface=127.0.0.1")
workers.fork(1)
workers.setServiceParent(application)
"""


@pytest.mark.skipif(os.getuid() != 0, reason="only root can give up root")
@pytest.mark.parametrize("arguments", ["", "stateDir='new', user='nobody'"], ids=["temporary", "state"])
def test_user(directory: Path, arguments: str) -> None:
    """
    All processes run as the user that ``twistd --uid`` changes to, and that user has the files of the store.
    With `user`, its directory may be one that only root can make.
    """
    paths = (ROOT, Path(sysconfig.get_path("purelib")))
    python = requiresPython("nobody", paths)
    directory.chmod(0o755)
    port = freePort()
    (directory / "chat.tac").write_text(SERVICE.format(arguments=arguments, port=port), "utf-8")
    out, err = directory / "out", directory / "err"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [python, "-c", TWISTD, "-no", "--pidfile=", "--uid=nobody", "--gid=nogroup", "-y", "chat.tac"],
            cwd=directory,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))},
            stdout=stdout,
            stderr=stderr,
        )
    try:
        service = Launched(process, out, err, port)
        service.ready()
        assert service.get("/healthz")[0] == 200
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        assert len(children) == 3  # the worker, the store and the watcher
        for each in (str(process.pid), *children):
            assert Path("/proc", each).owner() == "nobody"
        if arguments:
            assert {each.owner() for each in directory.glob("new/**/*")} == {"nobody"}
        service.signal(signal.SIGTERM)
        service.wait()
    finally:
        process.kill()
        process.wait()
