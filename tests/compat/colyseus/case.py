"""What the tests of Colyseus's clients share: requests for seats, and connections for them."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.rooms.case import NotingRoom, RoomTestCase
from txroom import Server
from txroom.compat.colyseus.codes import Kind
from txroom.testing import Client, Response

encode = msgspec.msgpack.encode


class Player:
    """A client of Colyseus, as of version 0.18, that has a seat."""

    def __init__(self, case: ColyseusTestCase, seat: dict[str, Any], more: str = "", **options: Any) -> None:
        self.case = case
        self.seat = seat
        path = f"/{seat['processId']}/{seat['roomId']}?sessionId={seat['sessionId']}{more}"
        self.client: Client = case.harness.connect(path, **options)
        self._taken = 0
        case.settle()

    @property
    def frames(self) -> list[bytes]:
        """All frames that came."""
        return [each for each in self.client.received if isinstance(each, bytes)]

    def take(self, kind: Kind | None = None) -> list[bytes]:
        """The frames that came since the last call, without their first byte if they are of one kind."""
        new = self.frames[self._taken :]
        self._taken += len(new)
        return new if kind is None else [each[1:] for each in new if each[0] == kind]

    @property
    def token(self) -> str:
        """The token of the last `JOIN_ROOM`."""
        joined = [each for each in self.frames if each[0] == Kind.JOIN_ROOM][-1]
        return joined[2 : 2 + joined[1]].decode()

    def write(self, frame: bytes) -> None:
        """Send a frame."""
        self.client.send(frame)
        self.case.settle()

    def confirm(self) -> None:
        """Confirm `JOIN_ROOM`."""
        self.write(bytes((Kind.JOIN_ROOM,)))

    def send(self, type: str, data: Any = None) -> None:
        """Send a message."""
        self.write(bytes((Kind.ROOM_DATA, 0xA0 | len(type))) + type.encode() + encode(data))

    def request(self, ref: int, type: str, data: Any = None) -> None:
        """Make a request."""
        self.write(bytes((Kind.ROOM_REQUEST, ref, 0xA0 | len(type))) + type.encode() + encode(data))

    @property
    def ending(self) -> int | None:
        """The code with which the connection was closed."""
        return self.client.closeCode


class ColyseusTestCase(RoomTestCase):
    """Tests of Colyseus's clients, on one engine."""

    server: Server

    def rooms(self, *classes: Any, colyseus: Any = None, **options: Any) -> None:
        """Serve room classes for clients of both systems; `colyseus` is passed to `Server.addColyseus`."""
        super().rooms(*(classes or (NotingRoom,)), **options)
        self.server = self.harness.server
        self.server.addColyseus(**(colyseus or {}))

    def post(
        self,
        path: str,
        body: Any = None,
        headers: dict[str, str] | None = None,
        method: str = "POST",
        **more: Any,
    ) -> Response:
        """The answer to a request."""
        data = b"" if body is None else body if isinstance(body, bytes) else msgspec.json.encode(body)
        fields = {"Host": "localhost", "Content-Type": "application/json", "Content-Length": str(len(data))}
        lines = "".join(
            f"{name}: {value}\r\n" for name, value in {**fields, **(headers or {})}.items() if value
        )
        client = self.harness.raw(f"{method} {path} HTTP/1.1\r\n{lines}\r\n".encode() + data, **more)
        self.settle()
        response = client.response
        assert response is not None
        return response

    def seat(self, method: str = "joinOrCreate", what: str = "chat", /, **options: Any) -> dict[str, Any]:
        """The seat for a client."""
        response = self.post(f"/matchmake/{method}/{what}", options)
        self.assertEqual(response.status, 200, response.body)
        found: dict[str, Any] = msgspec.json.decode(response.body)
        return found

    def colyseus(self, method: str = "joinOrCreate", what: str = "chat", /, **options: Any) -> Player:
        """A client that has joined."""
        player = Player(self, self.seat(method, what, **options))
        player.confirm()
        player.take()
        return player

    def refusal(self, path: str, body: Any = None, **more: Any) -> tuple[int, int, str]:
        """The status, code and text of a refusal."""
        response = self.post(f"/matchmake/{path}", {} if body is None else body, **more)
        found = msgspec.json.decode(response.body)
        return response.status, found["code"], found["error"]

    def statusOf(self, client: Client) -> int:
        """The status of the answer to an upgrade."""
        assert client.response is not None
        return client.response.status
