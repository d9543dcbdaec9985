"""
Prices of stocks. A client that subscribes to a symbol gets its last price at once,
and then each new one.
"""

import random
from typing import Literal

from txroom import Room, Server, message

Symbol = Literal["AAPL", "GOOGL", "MSFT", "TSLA"]


class Stocks(Room):
    autoDispose = False  # the room goes on without members

    def onCreate(self, options):
        self.prices = {}
        self.clock.every(1, self.tick)

    def tick(self):
        for symbol in Symbol.__args__:
            last = self.prices.get(symbol, 100.0)
            self.update(symbol, max(0.0, last + random.uniform(-5, 5)))

    def update(self, symbol, price):
        self.prices[symbol] = round(price, 2)
        # Volatile: a client that misses a price gets the next one.
        self.broadcast(
            "price", [symbol, self.prices[symbol]], to=symbol, volatile=True
        )

    @message("subscribe")
    def subscribe(self, client, symbol: Symbol):
        client.enter(symbol)
        if symbol in self.prices:
            client.send("price", [symbol, self.prices[symbol]])

    @message("unsubscribe")
    def unsubscribe(self, client, symbol: Symbol):
        client.exit(symbol)

    def onResume(self, client, recovered):
        for symbol in client.groups:
            client.send("price", [symbol, self.prices.get(symbol)])


def makeServer(clock=None):
    server = Server(clock=clock)
    server.register("stocks", Stocks, maxRooms=1)
    return server
