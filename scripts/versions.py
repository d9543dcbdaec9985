"""
Run the unit tests on every other supported Python that is installed, in parallel. Tests of rooms for several
engines run on the one in memory.

    python scripts/versions.py

The script looks for python3.x on PATH and among those of pyenv, and asks uv. Each has an environment of its
own below build/versions. A Python that is not found is named, which is no failure; one that cannot run the
tests is a failure.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
#: What the unit tests need besides txroom's own dependencies.
NEEDS = (
    "django",
    "hiredis>=3",
    "hypothesis",
    "klein",
    "openapi-spec-validator",
    "prometheus-client",
    "pycrdt",
    "pyhamcrest",
    "pytest>=9",
    "setuptools",
)
#: How many schedules the models run; `make models` runs many more.
EXAMPLES = "10"


def candidates(version: str) -> Iterator[Path]:
    """The paths where a Python of that version may be."""
    for folder in os.environ.get("PATH", "").split(os.pathsep):
        yield Path(folder, f"python{version}")
    pyenv = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    yield from sorted(pyenv.glob(f"versions/{version}.*/bin/python"), reverse=True)
    if shutil.which("uv"):
        found = subprocess.run(["uv", "python", "find", version], capture_output=True, text=True)
        if found.returncode == 0:
            yield Path(found.stdout.strip())


def find(version: str) -> Path | None:
    """
    A Python of that version that can make an environment. A shim of pyenv's may exist without its Python.
    """
    probe = "import ensurepip, sys, venv; print('%d.%d' % sys.version_info[:2])"
    for path in candidates(version):
        if path.is_file():
            said = subprocess.run([path, "-c", probe], capture_output=True, text=True)
            if said.returncode == 0 and said.stdout.strip() == version:
                return path
    return None


def prepare(version: str, python: Path) -> Path:
    """
    Make the environment, with everything that the tests need, and return its Python.

    The package itself is only put on the path. To install it would write its metadata into the source tree,
    where other tests may read it at that time.
    """
    environment = ROOT / "build" / "versions" / version
    own, stamp = environment / "bin" / "python", environment / ".installed"
    sources = ("setup.py", "pyproject.toml", "scripts/versions.py")
    newest = max((ROOT / name).stat().st_mtime for name in sources)
    if not stamp.exists() or stamp.stat().st_mtime < newest:
        subprocess.run([python, "-m", "venv", "--clear", environment], check=True)
        pip = [own, "-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check"]
        project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
        subprocess.run([*pip, *project["dependencies"], *NEEDS], check=True)
        (environment / "lib" / f"python{version}" / "site-packages" / "txroom.pth").write_text(f"{ROOT}\n")
        stamp.touch()
    return own


def test(version: str, python: Path) -> tuple[str, int, str]:
    """Run the tests. Returns the version, the exit status and the output."""
    python = prepare(version, python)
    report = ROOT / "build" / "results" / f"unit-{version}.xml"
    run = subprocess.run(
        [python, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider",
         "-W", "ignore::DeprecationWarning",
         f"--junit-xml={report}", "tests", "--ignore=tests/functional"],
        cwd=ROOT, env={**os.environ, "TXROOM_EXAMPLES": EXAMPLES, "TXROOM_ENGINES": ""}, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    return version, run.returncode, run.stdout


def main() -> int:
    """Run the tests on all Pythons that are found. Returns 1 if any of them failed."""
    mine = f"{sys.version_info.major}.{sys.version_info.minor}"
    found = {version: find(version) for version in VERSIONS if version != mine}
    missing = [version for version, python in found.items() if python is None]
    if missing:
        print(f"not tested, since they are not installed: Python {', '.join(missing)}", flush=True)
    pythons = {version: python for version, python in found.items() if python is not None}
    isGood = True
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for version, status, output in pool.map(test, pythons.keys(), pythons.values()):
            last = output.strip().splitlines()[-1:] or ["no output"]
            print(
                f"Python {version}: {last[0]}" if status == 0 else f"Python {version} FAILED\n{output}",
                flush=True,
            )
            isGood = isGood and status == 0
    return 0 if isGood else 1


if __name__ == "__main__":
    sys.exit(main())
