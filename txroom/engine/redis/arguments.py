"""The arguments of the scripts that write the records of a room."""

from __future__ import annotations

from typing import Any

from .ending import FOUND_SECONDS
from .journalport import Ownership
from .scripts import Argument
from .stored import VERSION, Changes, encode, partsOf


def toAppend(
    token: str, before: int, after: int, least: int, offset: int, changes: Changes
) -> list[Argument]:
    """
    Return the arguments of the script `append`. Called for every turn of a room.

    Args:
        token: The owner's token.
        before: The number of records before the batch.
        after: The number of records after it.
        least: The offset below which entries are deleted; 0: none.
        offset: The offset of the newest entry.
        changes: What the records change.
    """
    entries = encode(changes.entries) if changes.entries else b""
    args: list[Argument] = [token, before, after, least, offset, entries, len(changes.gone), *changes.gone]
    for pair in changes.set.items():
        args += pair
    return args


def toFound(
    own: Ownership,
    tokens: tuple[str, str],
    node: str,
    epoch: str,
    run: str,
    records: int,
    offset: int,
    now: float,
    changes: Changes,
) -> list[Argument]:
    """
    Return the arguments of the script `found`.

    Args:
        own: What the node got when it claimed the room.
        tokens: The former and the new token.
        node: The node.
        epoch: The new epoch.
        run: The identity of Redis's data.
        records: The number of records that are contained in the state.
        offset: The offset of the newest entry.
        now: Redis's clock, as the node knows it.
        changes: The state.
    """
    parts = partsOf(changes.entries)
    args: list[Any] = [*tokens, node, own.generation, epoch, run, own.application, own.name, own.age]
    args += [VERSION, records, offset, int((now + FOUND_SECONDS) * 1000), len(parts)]
    for pair in (*parts, *changes.set.items()):
        args += pair
    return args


def sizeOf(args: list[Argument]) -> int:
    """Return how many bytes arguments take, about."""
    return sum(len(arg) for arg in args if not isinstance(arg, int))
