"""Autobahn's server with its defaults: the echo and the broadcast of its own examples."""

from __future__ import annotations

from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from common import arguments
from twisted.internet import reactor, ssl


class Echo(WebSocketServerProtocol):
    """Sends each message back."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)


class Broadcast(WebSocketServerProtocol):
    """Sends each message to all clients."""

    def onOpen(self) -> None:
        self.factory.clients.add(self)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.factory.clients.discard(self)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        prepared = self.factory.prepareMessage(payload, isBinary)
        for client in self.factory.clients:
            client.sendPreparedMessage(prepared)


def accept(offers: list[object]) -> PerMessageDeflateOfferAccept | None:
    """Accept the first offer of permessage-deflate."""
    for offer in offers:
        if isinstance(offer, PerMessageDeflateOffer):
            return PerMessageDeflateOfferAccept(offer)
    return None


def main() -> None:
    options = arguments(__doc__)
    factory = WebSocketServerFactory()
    factory.clients = set()
    factory.protocol = Echo if options.role in ("echo", "tls") else Broadcast
    if options.role == "deflate":
        factory.setProtocolOptions(perMessageCompressionAccept=accept)
    listen = {"interface": "127.0.0.1", "backlog": 511}
    if options.role == "tls":
        context = ssl.DefaultOpenSSLContextFactory(options.certificate, options.certificate)
        reactor.listenSSL(options.port, factory, context, **listen)
    else:
        reactor.listenTCP(options.port, factory, **listen)
    reactor.run()


if __name__ == "__main__":
    main()
