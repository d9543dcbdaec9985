"""
Announce something at the desk.

    python announce.py ws://localhost:8080/rooms "We close at five today."
"""

import sys

from twisted.internet.task import react

from txroom.client import Client, RoomError


async def main(reactor, url, text):
    client = Client(url, auth="change me", reactor=reactor)
    try:
        room = await client.join("desk")
        await room.call("announce", text)
    except RoomError as error:
        sys.exit(f"not announced: {error}")
    finally:
        await client.close()


if __name__ == "__main__":
    react(main, sys.argv[1:])
