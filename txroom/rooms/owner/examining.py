"""
Examining: what operators are shown of a room, for the commands `Inspect`, `Examine` and `ShowMembers`.

`Examine` is answered by a room that is being created, that ends or that is stuck, too.
"""

from __future__ import annotations

from collections.abc import Callable
from heapq import nsmallest
from typing import Any

from msgspec.structs import asdict
from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from ...core.awaitables import clearFailure
from ...protocol import payload
from ...protocol.errors import RoomError
from ...protocol.excerpts import fitting
from .. import hooks
from ..contract.asks import (
    INSPECT_SECONDS,
    INSPECT_SIZE,
    SHOWN_CALLS,
    SHOWN_MEMBERS,
    SHOWN_SIZE,
    SHOWN_STATE,
    Examine,
    Inspect,
    ShowMembers,
)
from .context import RoomContext
from .member import Member
from .roomlisting import RoomListing
from .states import NOTHING, States

#: The most characters of an error of `Room.inspect`.
_ERROR = 500


class Examining:
    """
    Describes one room.

    Args:
        context: The objects of the room.
        roomListing: Its listing.
        node: The id of the node that it is at.
        states: Its state.
    """

    __slots__ = ("_context", "_listing", "_node", "_states")

    def __init__(self, context: RoomContext, roomListing: RoomListing, node: str, states: States) -> None:
        self._context = context
        self._listing = roomListing
        self._node = node
        self._states = states

    def examine(self, command: Examine) -> Deferred[dict[str, Any]]:
        """Describe the room; see `Examine`."""
        context = self._context
        hook: Any = context.room.inspect if command.isFull and context.life.isRunning else _nothing
        token = hooks.currentOwner.set(context.port)
        try:
            inspected = hooks.call(context.clock, INSPECT_SECONDS, hook)
        finally:
            hooks.currentOwner.reset(token)
        return inspected.addCallback(_plain).addErrback(_error).addCallback(self._described, command)

    def _described(self, inspected: tuple[Any, str], command: Examine) -> dict[str, Any]:
        context = self._context
        state = self._states.excerpt(SHOWN_STATE, command.withPrivate) if command.isFull else NOTHING
        log, present = context.log, list(context.roster.present)
        running = self._running()
        waitsSince = context.outbox.waitsSince
        return {
            "listing": asdict(self._listing.listing),
            "node": self._node,
            "stage": context.life.stage.name.lower(),
            "epoch": log.epoch,
            "offset": log.offset,
            "members": len(present),
            "connected": sum(member.isConnected for member in present),
            "running": running[:SHOWN_CALLS],
            "runningCount": len(running),
            "waiting": sum(len(member.mailbox) for member in context.roster.members.values()),
            "commitSeconds": 0.0 if waitsSince is None else context.clock.seconds() - waitsSince,
            "inspect": inspected[0],
            "inspectError": inspected[1],
            "state": state.data,
            "isStateCut": state.isCut,
        }

    def _running(self) -> list[dict[str, Any]]:
        """Describe the hooks, handlers and timers that wait, the oldest first."""
        context, members = self._context, self._context.roster.members
        return [
            {
                "name": wait.name,
                "member": wait.member,
                "seconds": wait.seconds,
                "waiting": len(members[wait.member].mailbox) if wait.member in members else 0,
            }
            for wait in context.runner.running.waits(context.roomTimers)
        ]

    def inspect(self, command: Inspect) -> dict[str, Any]:
        """Describe the room and its members; see `Inspect`."""
        log = self._context.log
        describe = _brief if command.isBrief else _describe
        members, following = self._page(command.after, max(command.limit, 0), describe, command.userId)
        return {
            "listing": asdict(self._listing.listing),
            "epoch": log.epoch,
            "offset": log.offset,
            "members": members,
            "next": following,
        }

    def members(self, command: ShowMembers) -> dict[str, Any]:
        """Describe some of the members; see `ShowMembers`."""
        limit = max(1, min(command.limit, SHOWN_MEMBERS))
        members, following = self._page(command.after, limit, _shown)
        return {"members": members, "isLast": following is None}

    def _page(
        self,
        after: str,
        limit: int,
        describe: Callable[[Member], dict[str, Any]],
        userId: str | None = None,
    ) -> tuple[list[dict[str, Any]], str | None]:
        """
        Describe the members after an id, in the order of their ids; return the last id too, unless there are
        no more.
        """
        present = self._context.roster.present
        others = (each for each in present if each.id > after and userId in (None, each.userId))
        found = nsmallest(limit + 1, others, key=lambda member: member.id)
        shown = fitting(map(describe, found[:limit]), SHOWN_SIZE)
        isCut = bool(shown) and len(shown) < len(found)
        return shown, shown[-1]["member"] if isCut else None


def _brief(member: Member) -> dict[str, Any]:
    return {"member": member.id, "userId": member.userId, "isConnected": member.isConnected}


def _describe(member: Member) -> dict[str, Any]:
    """Describe a member."""
    return {
        "member": member.id,
        "userId": member.userId,
        "user": member.user,
        "isConnected": member.isConnected,
        "groups": sorted(member.groups),
        "meta": dict(member.meta),
    }


def _shown(member: Member) -> dict[str, Any]:
    waiting = len(member.mailbox)
    return {**_describe(member), "isBusy": member.mailbox.isBusy, "waiting": waiting}


def _nothing() -> None:
    """Return nothing, in place of `Room.inspect`."""


def _plain(inspected: Any) -> tuple[Any, str]:
    """Return the answer of `Room.inspect` as plain data, if it isn't too long. Raises as `payload.encode`."""
    encoded = payload.encode(inspected, name="the answer of inspect")
    size = len(encoded)
    if size > INSPECT_SIZE:
        raise ValueError(f"the answer has {size} bytes when it is encoded, and may have {INSPECT_SIZE}")
    return payload.decode(encoded), ""


def _error(failure: Failure) -> tuple[Any, str]:
    """Return the error of `Room.inspect`. It costs the room nothing, and isn't logged: it may come often."""
    error = failure.value
    if isinstance(error, hooks.HookTimeout):
        text = f"took longer than {INSPECT_SECONDS:g} s"
    elif isinstance(error, RoomError):
        text = f"{error.code}: {error.message}"
    else:
        text = f"{type(error).__name__}: {error}"
    clearFailure(failure)
    return None, text[:_ERROR]
