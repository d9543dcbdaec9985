"""Give coins to a player, and print the coins of all until somebody has 20."""

import os
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from txroom.client import Client

URL = os.environ.get("TXROOM_ADMIN_URL", "http://127.0.0.1:9000")


async def main(reactor: Any) -> None:
    """Run until somebody is rich."""
    headers = {"Authorization": f"Bearer {os.environ['TXROOM_ADMIN_TOKEN']}"}
    client = Client(f"{URL}/rpc", headers=headers)
    rpc = await client.joinOrCreate("rpc")
    print(await rpc.call("economy.give", {"userId": "ada", "amount": 2}))

    rich: Deferred[None] = Deferred()

    def changed(change: Any) -> None:
        print(change["answer"])
        if not rich.called and any(
            player["coins"] >= 20 for player in change["answer"]
        ):
            rich.callback(None)

    rpc.on("watch", lambda change, offset: changed(change))
    changed(await rpc.call("watch", {"call": "economy.players", "every": 0.5}))
    await rich
    await client.close()


if __name__ == "__main__":
    react(lambda reactor: Deferred.fromCoroutine(main(reactor)))
