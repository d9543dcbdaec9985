"""
txroom without rooms, at its defaults: echo and broadcast.

`--reactor NAME` installs a reactor plugin, `--listen NAME` prefixes the endpoint ("uv" for "uv:8080").
"""

from __future__ import annotations

from common import arguments
from twisted.application.reactors import installReactor

from txroom import Application, Connection, Server, ServerOptions


class Echo(Application):
    """What one says it hears."""

    def onMessage(self, connection: Connection, message: str | bytes) -> None:
        connection.send(message)


class Broadcast(Application):
    """What one says all hear."""

    def onMessage(self, connection: Connection, message: str | bytes) -> None:
        self.broadcast(message)


def main() -> None:
    options = arguments(__doc__, "--reactor", "--listen")
    installReactor(options.reactor or "default")
    from twisted.internet import reactor

    server = Server(ServerOptions(compression="shared" if options.role == "deflate" else "disabled"))
    server.addApplication(Echo() if options.role in ("echo", "tls") else Broadcast())
    endpoint = f"{options.listen or 'tcp'}:{options.port}:interface=127.0.0.1"
    if options.role == "tls":
        endpoint = f"ssl:{options.port}:interface=127.0.0.1:privateKey={options.certificate}"
    server.listen(endpoint)
    server.startService()
    reactor.run()


if __name__ == "__main__":
    main()
