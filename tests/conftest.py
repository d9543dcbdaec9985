"""
Which tests belong to which pytest run.

pytest-twisted runs every test inside a running reactor, and trial's ``TestCase`` wants to run the reactor
itself, so the two never share a process:

* ``pytest`` collects everything but ``tests/functional``; * ``pytest -p twisted tests/functional`` collects
nothing else.
"""

from __future__ import annotations

from pathlib import Path

import pytest

HERE = Path(__file__).parent
FUNCTIONAL = HERE / "functional"


def _hasReactor(config: pytest.Config) -> bool:
    return config.pluginmanager.hasplugin("twisted")


def pytest_configure(config: pytest.Config) -> None:
    """Raise an error with an explanation instead of collecting nothing."""
    for argument in config.args:
        asked = (config.invocation_params.dir / argument.partition("::")[0]).resolve()
        functional = asked.is_relative_to(FUNCTIONAL)
        if functional and not _hasReactor(config):
            raise pytest.UsageError("functional tests need: pytest -p twisted tests/functional")
        if _hasReactor(config) and not functional and asked.name.startswith("test_"):
            raise pytest.UsageError("unit tests run without a reactor: leave out -p twisted")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Keep the two kinds of tests apart; ``None`` leaves the decision to pytest."""
    functional = collection_path.is_relative_to(FUNCTIONAL)
    if not _hasReactor(config):
        return functional or None
    module = collection_path.name
    foreign = not functional and module.startswith("test_")
    return foreign or None
