"""
The calls that are about the server, its nodes and its workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ipaddress import IPv4Network, IPv6Network
from typing import Annotated, Any

import attrs
from msgspec import Meta
from twisted.logger import Logger

from ...core.application import Application
from ...core.codes import ErrorCode
from ...core.options import ServerOptions
from ...protocol.errors import RoomError
from ...service.operating.memory import MemoryUse
from ...service.operating.operations import Nodes
from ...service.operating.shownworker import ShownWorker
from ...service.operating.stalls import Stalls
from ...service.operating.stats import NodeStats
from ..calls import RpcCall
from ..guard import Caller
from ..ports import AdminServer
from ..secrets import Role
from . import types as answers
from .named import Functions, callsOf


class ServerCalls:
    """
    The calls about servers.

    Args:
        server: The server.
    """

    _log = Logger()

    def __init__(self, server: AdminServer) -> None:
        self._server = server

    def stats(self) -> NodeStats:
        """Tell the statistics of the node that answers. Counters begin at its start."""
        return self._server.operations.stats.tell()

    def options(self) -> answers.ServerOptionsAnswer:
        """Tell the options of the node that answers, and of its applications."""
        given, default = attrs.asdict(self._server.options, recurse=False), ServerOptions()
        changed = [name for name, value in given.items() if value != getattr(default, name)]
        applications: dict[str, dict[str, Any]] = {}
        for each in self._server.applications:
            if each.overrides:
                applications[self._pathOf(each)] = _shown(each.overrides)
        return answers.ServerOptionsAnswer(_shown(given), changed, applications)

    def _pathOf(self, application: Application) -> str:
        """Return the first path of an application; "*" for all."""
        routes = [each for each in self._server.routes if each.application is application]
        return (routes[0].path if routes else None) or "*"

    def health(self) -> dict[str, Any]:
        """Tell what the health page of the node that answers says."""
        return self._server.operations.stats.health()

    async def logLevel(self, caller: Caller, level: answers.Level | None = None) -> answers.LogLevel:
        """
        Tell the lowest level that is logged; or set it on all nodes, which needs the role manage.

        Args:
            level: The level; null: only tell the current one.
        """
        operations = self._server.operations
        if level is None:
            return answers.LogLevel(operations.logLevels.level)
        if caller.role < Role.MANAGE:
            raise RoomError(ErrorCode.FORBIDDEN, "needs the secret of the role manage")
        unanswered = await operations.setLogLevel(level)
        self._log.info(
            "admin: {role} from {address}: server.logLevel level={to}",
            role=str(caller.role),
            address=caller.address,
            to=level,
        )
        return answers.LogLevel(level, unanswered)

    async def drain(self, node: answers.NodeId | None = None) -> None:
        """
        Begin to drain a node.

        A worker gives its rooms to a new process, which takes its place. Any other node refuses new clients
        from now on, and gives its rooms to the other nodes, if there are any; `server.stay` undoes that.
        ``nodes.list`` and ``workers.list`` tell how far it is.

        Args:
            node: The node; null: the one that answers.
        """
        await self._server.operations.drain(node)

    async def stay(self, node: answers.NodeId | None = None) -> None:
        """
        Let a node that was drained serve again. Rooms that were given away stay where they are.

        Args:
            node: The node; null: the one that answers.
        """
        await self._server.operations.stay(node)

    async def reload(self) -> None:
        """
        Begin to reload, as SIGHUP does, at the node that answers.

        A server alone reloads its certificates. Workers are all replaced by new ones, which import the app
        again.
        """
        await self._server.operations.manager.reload()

    async def nodes(self) -> Nodes:
        """Tell the statistics of all nodes."""
        return await self._server.operations.nodes()

    async def workers(self) -> list[ShownWorker]:
        """List the workers of the machine of the node that answers; none if there are no workers."""
        return await self._server.operations.manager.workers()

    async def stalls(self, node: answers.NodeId | None = None) -> Stalls:
        """
        List the last times in which the reactor of a node was blocked by a hook or other code, with the stack
        of its thread.

        Args:
            node: The node; null: all nodes.
        """
        return await self._server.operations.stalls.find(node)

    async def memory(self, limit: Annotated[int, Meta(ge=1, le=1000)] = 20) -> MemoryUse:
        """
        Tell which types of Python's objects hold most memory at the node that answers.

        The objects are visited one after another, in slices of some 10 ms, which may take 25 seconds.
        Meanwhile about 100 bytes are needed for each object. Memory that isn't that of Python's objects, such
        as the buffers of TLS, is not counted.

        Args:
            limit: The most types.
        """
        return await self._server.operations.memory.largest(limit)

    def calls(self) -> list[RpcCall]:
        """Return the calls."""
        read: Functions = {
            "stats": self.stats,
            "options": self.options,
            "health": self.health,
            "logLevel": self.logLevel,
        }
        manage: Functions = {"drain": self.drain, "stay": self.stay, "reload": self.reload}
        return [
            *callsOf("server", read, manage),
            *callsOf("nodes", {"list": self.nodes}, {}),
            *callsOf("workers", {"list": self.workers}, {}),
            *callsOf("stalls", {"list": self.stalls}, {}),
            *callsOf("memory", {"largest": self.memory}, {}),
        ]


def _shown(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of options as plain data; networks, for example, as texts."""
    return {name: _plain(value) for name, value in options.items()}


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    if isinstance(value, Iterable) and not isinstance(value, IPv4Network | IPv6Network):
        return [_plain(each) for each in value]
    return str(value)
