"""A FastAPI application that asks rooms through the Python client."""

import asyncio
import os
from contextlib import asynccontextmanager

from fastapi import FastAPI, HTTPException

from txroom.client import Client, RoomError

URL = os.environ.get("ROOMS", "ws://localhost:8080/rooms")


@asynccontextmanager
async def lifespan(api):
    """One client for all requests, and so one connection."""
    loop = asyncio.get_running_loop()
    client = Client(URL)
    api.state.market = await client.joinOrCreate("market").asFuture(loop)
    yield
    await client.close().asFuture(loop)


api = FastAPI(lifespan=lifespan)


@api.post("/purchases", status_code=201)
async def buy(good: str):
    loop = asyncio.get_running_loop()
    try:
        price = await api.state.market.call("buy", good).asFuture(loop)
    except RoomError as error:
        raise HTTPException(
            404 if error.code == "unknown" else 503, error.code
        ) from error
    return {"good": good, "price": price}
