"""
Tools and packages that a test needs.

If a tool is missing, the test is skipped. With the environment variable ``CI`` set it fails instead, so
that a test that never runs is noticed. This works in pytest and in trial.
"""

from __future__ import annotations

import importlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NoReturn
from unittest import SkipTest

CLIENTS = Path(__file__).parent / "functional" / "clients"


def requires(tool: str) -> str:
    """Return the path of a command, such as ``requires("chromium")``."""
    return shutil.which(tool) or _missing(f"{tool} is not installed")


def requiresModule(name: str) -> Any:
    """Import a module that only a few tests need."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return _missing(f"{name} is not installed (make deps)")


def requiresNode() -> str:
    """Return the path of Node; the clients of ``tests/functional/clients`` must be installed."""
    node = requires("node")
    if not (CLIENTS / "node_modules").is_dir():
        _missing("the JavaScript clients are not installed (make deps)")
    return node


def requiresPackage(name: str) -> Path:
    """Return the folder of an npm package in ``tests/functional/clients``."""
    folder = CLIENTS / "node_modules" / name
    return folder if folder.is_dir() else _missing(f"{name} is not installed (make deps)")


def requiresPython(user: str, paths: Iterable[Path]) -> str:
    """
    Return an interpreter that a user can run, of the version of this one; it finds modules in `paths`.

    Without one the test is skipped, also with ``CI``: nothing can be installed for that.
    """
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths))}
    for each in (sys.executable, f"/usr/bin/{name}", f"/usr/local/bin/{name}"):
        try:
            tried = subprocess.run(
                [each, "-c", "import txroom.process"], user=user, env=environment, capture_output=True
            )
        except OSError:
            continue
        if tried.returncode == 0:
            return each
    raise SkipTest(f"{user} can run no {name} here, or can't read this checkout")


def _missing(what: str) -> NoReturn:
    if os.environ.get("CI"):
        raise AssertionError(what)
    raise SkipTest(what)
