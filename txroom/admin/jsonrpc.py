"""
JSON-RPC 2.0 over a WebSocket: the RPC interface for clients that txroom hasn't made.

https://www.jsonrpc.org/specification; each message is a request, a notification or a batch of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import UNSET, UnsetType
from twisted.internet.defer import Deferred, DeferredList, succeed
from twisted.python.failure import Failure

from ..core.application import Application
from ..core.codes import CloseCode, ErrorCode
from ..core.connection import Connection
from ..core.handshake import Accept, Handshake
from ..protocol import received
from ..protocol.errors import InvalidData
from .rpc import CALLER, CHANGE, MOST_CALLS, Rpc, RpcClient

#: The sub-protocol.
PROTOCOL = "jsonrpc"
#: The most requests in a batch.
MOST_BATCH = MOST_CALLS
#: A client gets changes while at most so many bytes wait for it.
READY = 64 * 1024

_PARSE_ERROR, _INVALID_REQUEST, _SERVER_ERROR = -32700, -32600, -32000
#: The numbers of the errors that JSON-RPC has itself. All others are server errors; the code is in "data".
_NUMBERS: Mapping[str, int] = {
    ErrorCode.UNKNOWN_TYPE: -32601,
    ErrorCode.BAD_REQUEST: -32602,
    ErrorCode.INTERNAL: -32603,
}


class Request(msgspec.Struct):
    """A request; without an id it is a notification, which gets no answer."""

    jsonrpc: str
    method: str
    params: list[Any] | dict[str, Any] | UnsetType = UNSET
    id: str | int | float | UnsetType | None = UNSET


class JsonRpcApplication(Application):
    """
    Serves the RPC interface in JSON-RPC.

    Args:
        rpc: The interface.
        options: Options of the server that are overridden.
    """

    served = "The RPC interface is served at this path"

    def __init__(self, rpc: Rpc, **options: Any) -> None:
        super().__init__(closeOnBackpressureLimit=True, **options)
        self._rpc = rpc
        self._clients: dict[str, RpcClient] = {}

    def verifyClient(self, handshake: Handshake) -> Accept:
        """Accept everybody: the guard has checked the request already."""
        return Accept(user=handshake.data[CALLER])

    def chooseProtocol(self, offered: list[str], handshake: Handshake) -> str | bool | None:
        """Choose "jsonrpc", or no sub-protocol for clients that offer none."""
        if PROTOCOL in offered:
            return PROTOCOL
        return False if offered else None

    def onConnect(self, connection: Connection) -> None:
        """Begin to serve a client."""

        def send(change: Mapping[str, Any]) -> None:
            _send(connection, {"jsonrpc": "2.0", "method": CHANGE, "params": change})

        def isReady() -> bool:
            return connection.bufferedAmount <= READY

        self._clients[connection.id] = self._rpc.client(connection.user, send, isReady)

    def onDisconnect(self, connection: Connection, code: int, reason: str) -> None:
        """End the watches of a client."""
        client = self._clients.pop(connection.id, None)
        if client is not None:
            client.end()

    def onBinary(self, connection: Connection, data: bytes) -> None:
        """Close the connection: JSON is text."""
        connection.close(CloseCode.UNSUPPORTED_DATA, "JSON-RPC is text")

    def onText(self, connection: Connection, text: str) -> None:
        """Carry out the requests of a message. Nothing waits for the answers."""
        client = self._clients[connection.id]
        try:
            asked = received.read(text.encode(), True)
        except InvalidData as error:
            _send(connection, _error(None, _PARSE_ERROR, error.message))
            return
        if not isinstance(asked, list):
            self._carryOut(client, asked).addCallback(_sendOne, connection)
        elif not 1 <= len(asked) <= MOST_BATCH:
            _send(connection, _error(None, _INVALID_REQUEST, f"a batch has 1 to {MOST_BATCH} requests"))
        else:
            answers = DeferredList([self._carryOut(client, each) for each in asked])
            answers.addCallback(_sendBatch, connection)

    def _carryOut(self, client: RpcClient, asked: Any) -> Deferred[Any]:
        """Return a Deferred of the answer to a request; of `None` if it gets none. It doesn't fail."""
        try:
            request = msgspec.convert(asked, Request)
            if request.jsonrpc != "2.0":
                raise msgspec.ValidationError('must be "2.0" - at `$.jsonrpc`')
        except msgspec.ValidationError as error:
            return succeed(_error(_idOf(asked), _INVALID_REQUEST, str(error)))
        params = None if request.params is UNSET else request.params
        return client.call(request.method, params).addCallbacks(
            _result, _failed, callbackArgs=(request.id,), errbackArgs=(request.id,)
        )


def _idOf(asked: Any) -> Any:
    """Return the id of a wrong request, if it has one that can be sent back."""
    id = asked.get("id") if isinstance(asked, dict) else None
    return id if isinstance(id, str | int | float) and not isinstance(id, bool) else None


def _result(answer: Any, id: Any) -> Any:
    return None if id is UNSET else {"jsonrpc": "2.0", "result": answer, "id": id}


def _failed(failure: Failure, id: Any) -> Any:
    error: Any = failure.value
    if id is UNSET:
        return None
    data = {"code": error.code, "details": error.details}
    number = _NUMBERS.get(error.code, _SERVER_ERROR)
    return _error(
        id, number, error.message, {name: value for name, value in data.items() if value is not None}
    )


def _error(id: Any, number: int, message: str, data: Any = UNSET) -> dict[str, Any]:
    error = {"code": number, "message": message}
    if data is not UNSET:
        error["data"] = data
    return {"jsonrpc": "2.0", "error": error, "id": id}


def _sendOne(answer: Any, connection: Connection) -> None:
    if answer is not None:
        _send(connection, answer)


def _sendBatch(answers: list[tuple[bool, Any]], connection: Connection) -> None:
    told = [answer for _, answer in answers if answer is not None]
    if told:
        _send(connection, told)


def _send(connection: Connection, message: Any) -> None:
    connection.send(msgspec.json.encode(message).decode())
