"""
What Redis says of itself, as far as rooms depend on it: its identity, and its settings.

All of it is in the reply to INFO. CONFIG GET would tell more, but is a command for administrators.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from twisted.logger import LogLevel

EVICTS = "maxmemory-policy={}: must be noeviction, or Redis deletes data of rooms when its memory is full"
NOT_DURABLE = (
    "appendonly=no: must be yes, with appendfsync=always, since durable=True (--redis-durable) promises that "
    "Redis loses nothing. If Redis ends, messages are lost that were acknowledged"
)
FORGETS = (
    "appendonly=no: if Redis ends, it loses all rooms, or what has happened in them since its last snapshot. "
    "Nodes that are still running then write their rooms again, and clients may miss messages"
)


def readInfo(reply: bytes) -> dict[str, str]:
    """Return the fields of a reply to INFO."""
    pairs = (line.partition(":") for line in reply.decode("utf-8", "replace").splitlines())
    return {name: value.strip() for name, colon, value in pairs if colon}


def runOf(info: Mapping[str, str]) -> str:
    """
    Return what identifies the data of Redis. If it is another than before, the newest data may be lost.

    It is the `run_id`, which each start of Redis has another of. A replica that becomes the primary may lack
    the newest data of the former primary, and may have been the primary before, with the same `run_id`. But
    whenever a replica becomes the primary, it gets a new `master_replid`. Only then the former one is in
    `master_replid2`; the `master_replid` of other servers may change although they lose nothing, for example
    when their first replica connects.
    """
    isPromoted = info.get("master_replid2", "").strip("0")
    return f"{info['run_id']}:{info['master_replid']}" if isPromoted else info["run_id"]


def concerns(info: Mapping[str, str], isDurable: bool) -> Iterator[tuple[Any, str]]:
    """
    Yield what the log should say of Redis's settings, each with its level (a `LogLevel`).

    Args:
        info: What Redis says of itself.
        isDurable: Whether the engine has the option `durable`.
    """
    policy = info.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        yield LogLevel.warn, EVICTS.format(policy)
    if info.get("aof_enabled") == "0":
        yield (LogLevel.warn, NOT_DURABLE) if isDurable else (LogLevel.info, FORGETS)
