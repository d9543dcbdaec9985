"""A room that uses a library of asyncio, and FastAPI in the same process."""

import asyncio
import os

from fastapi import FastAPI, HTTPException
from pydantic import BaseModel
from twisted.internet.defer import Deferred
from uvicorn_service import Uvicorn

from txroom import Room, RoomError, Server, message

PRICES = {"tea": 3.5, "salt": 1.25}


async def priceOf(good):
    """Stands for a library of asyncio, such as asyncpg or httpx."""
    await asyncio.sleep(0.01)
    return PRICES.get(good)


class Market(Room):
    @message("price")
    def price(self, client, good: str):
        """A handler may return a Task; its result is the answer."""
        return asyncio.ensure_future(priceOf(good))

    @message("buy")
    async def buy(self, client, good: str):
        """A coroutine awaits Deferreds, so make one of the Task."""
        price = await Deferred.fromFuture(asyncio.ensure_future(priceOf(good)))
        if price is None:
            raise RoomError("unknown", f"nobody sells {good}")
        self.broadcast("sold", {"good": good, "price": price})
        return price


class Price(BaseModel):
    good: str
    price: float


def makeApi(server):
    """The FastAPI application; its views run in the thread of the rooms."""
    api = FastAPI()

    @api.put("/prices")
    async def setPrice(given: Price):
        PRICES[given.good] = given.price
        server.rooms.broadcastToRooms("market", "price", given.model_dump())
        return {"rooms": len(server.rooms.rooms.named("market"))}

    @api.post("/markets", status_code=201)
    async def openMarket(visitor: str):
        loop = asyncio.get_running_loop()
        try:
            room = await server.rooms.createRoom("market").asFuture(loop)
            seat = await server.rooms.reserveSeat(
                room, visitor, seconds=60
            ).asFuture(loop)
        except RoomError as error:
            raise HTTPException(503, error.code) from error
        return {"room": room, "seat": seat}

    return api


def makeServer():
    from twisted.internet import reactor

    server = Server()
    server.register("market", Market)
    port = int(os.environ.get("API_PORT", "8000"))
    api = Uvicorn(reactor, makeApi(server), host="127.0.0.1", port=port)
    api.setServiceParent(server)
    return server
