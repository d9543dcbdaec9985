"""Tools outside Python, and packages, that a test cannot do without.

A missing tool skips the test, except where the environment variable ``CI`` is set: there it fails,
or nobody would notice that it is never run. Works in pytest and in trial.
"""

from __future__ import annotations

import importlib
import os
import shutil
from pathlib import Path
from typing import Any, NoReturn
from unittest import SkipTest

CLIENTS = Path(__file__).parent / "functional" / "clients"


def requires(tool: str) -> str:
    """Return the path of a command, e.g. ``requires("chromium")``."""
    return shutil.which(tool) or _missing(f"{tool} is not installed")


def requiresModule(name: str) -> Any:
    """Return a module of a package that only the tests need, and only a few of them."""
    try:
        return importlib.import_module(name)
    except ImportError:
        return _missing(f"{name} is not installed (make deps)")


def requiresNode() -> str:
    """Return the path of Node, with the clients of ``tests/functional/clients`` installed."""
    node = requires("node")
    if not (CLIENTS / "node_modules").is_dir():
        _missing("the JavaScript clients are not installed (make deps)")
    return node


def requiresPackage(name: str) -> Path:
    """Return the folder of a package of npm, one of those in ``tests/functional/clients``."""
    folder = CLIENTS / "node_modules" / name
    return folder if folder.is_dir() else _missing(f"{name} is not installed (make deps)")


def _missing(what: str) -> NoReturn:
    if os.environ.get("CI"):
        raise AssertionError(what)
    raise SkipTest(what)
