"""
The calls that simulate slow links.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ...core.link import Link
from ...service.operating.simulations import Changed, Simulations
from .. import types
from ..calls import RpcCall
from ..ports import AdminServer
from .named import callsOf

_Milliseconds = Annotated[float, Meta(ge=0, le=10_000)]
_Loss = Annotated[float, Meta(ge=0, le=0.5)]
_Seconds = Annotated[float, Meta(ge=1, le=600)]


class SimulateCalls:
    """
    The calls about simulated slow links, of the connections to all nodes.

    Args:
        server: The server.
    """

    def __init__(self, server: AdminServer) -> None:
        self._simulations = server.operations.simulations

    async def set(
        self,
        connection: types.Id | None = None,
        latency: _Milliseconds = 200.0,
        jitter: _Milliseconds = 0.0,
        loss: _Loss = 0.0,
        seconds: _Seconds = 600.0,
    ) -> Changed:
        """
        Make a connection slow for a while, to see what its client and your rooms make of it.

        What is sent and received is delayed, and stays in order. It ends by itself, and with the connection
        or the process. Connections that a protocol of Twisted has without txroom are left as they are.

        Args:
            connection: The id of the connection; null: all of them, and those that are opened meanwhile.
            latency: The milliseconds that are added to a round trip, half of them each way.
            jitter: The most milliseconds that are added by chance to each way.
            loss: The share of what is sent and received that is lost. TCP sends it again, after `latency` and
                200 ms, and then after twice that time; all that follows waits for it.
            seconds: For how long.
        """
        link = Link(latency / 1000, jitter / 1000, loss)
        return await self._simulations.set(connection, link, seconds)

    async def clear(self, connection: types.Id | None = None) -> Changed:
        """
        End the simulation of a connection, or all.

        Args:
            connection: The id of the connection; null: end all.
        """
        return await self._simulations.clear(connection)

    async def listAll(self) -> Simulations:
        """List the simulated slow links, with the seconds that each of them goes on."""
        return await self._simulations.find()

    def calls(self) -> list[RpcCall]:
        """Return the calls."""
        return callsOf("simulate", {"list": self.listAll}, {"set": self.set, "clear": self.clear})
