"""
The calls that are about connections.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from ...core.codes import CloseCode, ErrorCode, isSendable
from ...core.connection import MAX_CLOSE_REASON
from ...protocol.errors import RoomError
from ...service.operating.connections import ConnectionDetails, ConnectionPage
from .. import types
from ..calls import RpcCall
from ..ports import AdminServer
from . import types as answers
from .named import callsOf

_Code = Annotated[int, Meta(ge=1000, le=4999)]


class ConnectionCalls:
    """
    The calls about connections to all nodes.

    Args:
        server: The server.
    """

    def __init__(self, server: AdminServer) -> None:
        self._connections = server.operations.connections

    async def listAll(
        self,
        node: answers.NodeId | None = None,
        text: answers.Text = "",
        limit: answers.Limit = 100,
        cursor: answers.Cursor = "",
    ) -> ConnectionPage:
        """
        List connections, page by page, those first that were opened first.

        Args:
            node: The node; null: all nodes.
            text: What their id, their path, their address or the id of their user must have in it.
            limit: The most connections.
            cursor: The `next` of the answer before.
        """
        return await self._connections.page(node, text, limit, cursor)

    async def get(self, connection: types.Id) -> ConnectionDetails:
        """
        Tell of one connection. Its headers are left out, because they may have secrets.

        Args:
            connection: The id of the connection.
        """
        return await self._connections.get(connection)

    async def close(
        self, connection: types.Id, code: _Code = CloseCode.KICKED, reason: types.Reason = ""
    ) -> None:
        """
        Close a connection. After 4003 clients of txroom don't come back by themselves; after 1012 they do.

        Args:
            connection: The id of the connection.
            code: The close code.
            reason: The text for the client.
        """
        if not isSendable(code):
            text = "must be 1000-1003, 1007-1014 or 3000-4999"
            raise RoomError(ErrorCode.BAD_REQUEST, text, {"field": "code"})
        if len(reason.encode()) > MAX_CLOSE_REASON:
            text = f"may have {MAX_CLOSE_REASON} bytes"
            raise RoomError(ErrorCode.BAD_REQUEST, text, {"field": "reason"})
        await self._connections.close(connection, code, reason)

    def calls(self) -> list[RpcCall]:
        """Return the calls."""
        return callsOf("connections", {"list": self.listAll, "get": self.get}, {"close": self.close})
