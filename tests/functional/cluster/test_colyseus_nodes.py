"""Clients of Colyseus, and of txroom, on several nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.functional.cluster.nodes import Nodes
from tests.functional.test_js_client import run
from tests.requires import requiresPackage


@pytest.mark.parametrize("package", ["@colyseus/sdk", "colyseus-sdk-0.17"])
async def test_killed(directory: Path, package: str) -> None:
    """
    A seat of one node is taken at another. The node of the room is killed, and the clients of both systems
    go on, with the same state.
    """
    requiresPackage(package)
    async with Nodes(directory, 2) as nodes:
        urls = [f"http://127.0.0.1:{node.port}" for node in nodes]
        seen = await run("colyseus_nodes.mjs", package, *urls)
    assert seen == {"before": [[7, 2, 5, 2]] * 2, "after": [[117, 2, 105, 12]] * 2, "isMoved": True}
