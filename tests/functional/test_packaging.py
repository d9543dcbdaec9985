"""The package as users get it: built from its own sdist, in an environment of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.functional.launched import freePort

ROOT = Path(__file__).resolve().parents[2]
PARTS = ("setup.py", "pyproject.toml", "README.md", "LICENSE", "txroom", "twisted")
PLUGIN = "twisted/plugins/txroom_plugin.py"
COMMANDS = ("twistd", "twist")


def run(*command: str | Path, cwd: Path) -> str:
    """Run a command outside of the checkout; on failure its output is the message."""
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env=cleanEnvironment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=280,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def cleanEnvironment() -> dict[str, str]:
    """The environment without variables that would let the checkout or this interpreter be used."""
    hidden = ("PYTHON", "COVERAGE", "VIRTUAL_ENV")
    return {name: value for name, value in os.environ.items() if not name.startswith(hidden)}


@contextmanager
def twistd(binary: Path, port: int, cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run the service in the foreground and stop it with SIGTERM."""
    listen = f"tcp:{port}:interface=127.0.0.1"
    process = subprocess.Popen(
        [binary / "twistd", "-n", "--pidfile=", "txroom", "--listen", listen],
        cwd=cwd,
        env=cleanEnvironment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.communicate(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            raise


def fetch(url: str, process: subprocess.Popen[bytes], seconds: float = 30) -> tuple[int, bytes]:
    """GET a page of a server that may still be starting."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.status, answer.read()
        except urllib.error.URLError:
            if process.poll() is not None:
                raise AssertionError(process.communicate()[0].decode()) from None
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the sources of the package, since a build writes into the source tree."""
    copy = tmp_path_factory.mktemp("source")
    ignore = shutil.ignore_patterns("__pycache__", "dropin.cache")
    for part in PARTS:
        if (ROOT / part).is_dir():
            shutil.copytree(ROOT / part, copy / part, ignore=ignore)
        else:
            shutil.copy(ROOT / part, copy)
    return copy


@pytest.fixture(scope="module")
def sdist(wheel: Path) -> Path:
    """The sdist, from which the wheel was built."""
    (path,) = wheel.parent.glob("*.tar.gz")
    return path


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from the sdist."""
    out = tmp_path_factory.mktemp("dist")
    run(sys.executable, "-m", "build", "--outdir", out, source, cwd=out)
    (path,) = out.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A new virtual environment without packages."""
    path = tmp_path_factory.mktemp("fresh") / "venv"
    run(sys.executable, "-m", "venv", path, cwd=path.parent)
    return path


@pytest.fixture
def installed(environment: Path, wheel: Path) -> Path:
    """The commands of an environment with the wheel."""
    return install(environment, wheel)


@pytest.fixture
def editable(environment: Path, source: Path) -> Path:
    """The commands of an environment with an editable install."""
    return install(environment, "-e", source)


def install(environment: Path, *what: str | Path) -> Path:
    binary = environment / "bin"
    python = binary / "python"
    run(python, "-m", "pip", "uninstall", "--quiet", "--yes", "txroom", cwd=environment)
    run(python, "-m", "pip", "install", "--quiet", *what, cwd=environment)
    return binary


def wheelNames(wheel: Path) -> list[str]:
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


def test_wheelHasEverything(wheel: Path) -> None:
    """The wheel has every module, the typing marker, the pages, the scripts for Redis and the plugin."""
    code = [ROOT / "txroom/py.typed", *(ROOT / "txroom").rglob("*.py")]
    folders = (ROOT / "txroom/web", ROOT / "txroom/admin/web")
    pages = [path for folder in folders for path in folder.glob("*") if path.is_file()]
    scripts = [*(ROOT / "txroom/engine/redis/lua").glob("*.lua")]
    wanted = {path.relative_to(ROOT).as_posix() for path in (*code, *pages, *scripts)}
    assert {*wanted, PLUGIN} <= set(wheelNames(wheel))


def test_wheelHasNothingElse(wheel: Path) -> None:
    """In Twisted's directories the wheel has only the plugin, without an ``__init__.py``."""
    others = [name for name in wheelNames(wheel) if not name.startswith("txroom")]
    assert others == [PLUGIN]


def test_sdistBuilds(sdist: Path) -> None:
    """The sdist has the licence and the plugin."""
    with tarfile.open(sdist) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    assert {"LICENSE", "pyproject.toml", "setup.py", "txroom/py.typed", PLUGIN} <= names


@pytest.mark.parametrize("command", COMMANDS)
def test_wheelHelp(installed: Path, command: str, tmp_path: Path) -> None:
    """Both of Twisted's launchers know txroom when the wheel is installed."""
    assert "--listen" in run(installed / command, "txroom", "--help", cwd=tmp_path)


def test_wheelServes(installed: Path, tmp_path: Path) -> None:
    """The installed package starts, and its health page answers."""
    port = freePort()
    with twistd(installed, port, tmp_path) as process:
        status, body = fetch(f"http://127.0.0.1:{port}/healthz", process)
    assert status == 200
    assert json.loads(body)["status"] == "ok"


@pytest.mark.parametrize("command", COMMANDS)
def test_editableHelp(editable: Path, command: str, tmp_path: Path) -> None:
    """An editable install shows the plugin to both launchers, which setuptools makes difficult."""
    assert "--listen" in run(editable / command, "txroom", "--help", cwd=tmp_path)
