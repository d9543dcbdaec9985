"""Calls that the users of a server add."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.admin.rpccase import READ, RpcCase
from txroom import Caller, Server


class Reset(msgspec.Struct):
    """What a reset has done."""

    accounts: int


class TestOwnCalls(RpcCase):
    def test_added(self) -> None:
        """Calls are added before and after the listener."""
        server = self.start().server

        @server.rpc("economy.reset", role="manage")
        async def reset(caller: Caller, season: int = 1) -> Reset:
            """Begin a new season."""
            self.assertEqual(caller.address, "127.0.0.1")
            return Reset(season)

        client = self.client().join("rpc")
        self.assertEqual(client.call("economy.reset", {"season": 3}), {"accounts": 3})
        methods = {each["name"]: each for each in client.call("rpc.discover")["methods"]}
        self.assertEqual(methods["economy.reset"]["summary"], "Begin a new season.")
        self.assertEqual(self.rpc(self.jsonRpc(READ), "economy.reset")["error"]["data"]["code"], "forbidden")

    def test_before(self) -> None:
        """All listeners have the calls, also those that are opened later."""
        server = self.start().server

        @server.rpc("economy.total", role="read")
        def total() -> int:
            return 5

        server.addAdmin("unix:/nowhere/admin.sock")
        for admin in server._admins:
            self.assertIs(admin.calls.find("economy.total").function, total)

    def test_secure(self) -> None:
        """A call whose role is not given needs the role manage."""
        server = self.start().server
        server.rpc("economy.burn")(lambda: None)
        self.assertEqual(self.rpc(self.jsonRpc(READ), "economy.burn")["error"]["data"]["code"], "forbidden")

    def test_mistakes(self) -> None:
        """Mistakes are errors at once."""
        server = Server(clock=self.start().clock)
        server.rpc("economy.reset")(lambda: None)

        def wrong(many: dict[int, int]) -> None: ...

        anything: Any = 5
        for name, role, function, error in (
            ("economy.reset", "manage", lambda: None, ValueError),
            ("rooms.reset", "manage", lambda: None, ValueError),
            ("reset", "manage", lambda: None, ValueError),
            ("economy.other", "admin", lambda: None, ValueError),
            ("economy.other", "manage", wrong, TypeError),
            ("economy.other", "manage", anything, TypeError),
            (anything, "manage", lambda: None, TypeError),
        ):
            with self.assertRaises(error):
                server.rpc(name, role=role)(function)
