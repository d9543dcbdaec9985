"""Requests to this machine with the Host of forwarded ports and of browsers."""

from __future__ import annotations

from twisted.protocols.portforward import ProxyFactory

from tests.functional.support import Net, get, head, reactor


async def test_forwardedPort(net: Net) -> None:
    """
    Behind a forwarded port, as with `ssh -L`, the Host has that port and is accepted; a foreign name is
    refused.
    """
    server = await net.serve()
    server.addHealthPage()
    listening = reactor().listenTCP(
        0, ProxyFactory("127.0.0.1", server.address().port), interface="127.0.0.1"
    )
    forwarded = listening.getHost()
    try:
        for host in (f"localhost:{forwarded.port}", f"127.0.0.1:{forwarded.port}", "chat.localhost"):
            probe = await net.ask(forwarded, head(host=host))
            await probe.upgraded()
            probe.transport.abortConnection()
        foreign = f"evil.example:{forwarded.port}"
        request = head("/", f"Origin: http://{foreign}", host=foreign)
        assert (await net.refused(forwarded, request)).status == 421
        request = get("/healthz").replace(b"txroom.localhost", foreign.encode())
        assert (await net.refused(forwarded, request)).status == 421
    finally:
        await listening.stopListening()


async def test_everywhere(net: Net) -> None:
    """A server that other machines can reach accepts every Host."""
    server = await net.serve(where="tcp:0:interface=0.0.0.0")
    await (await net.ask(server, head(host="evil.example"))).upgraded()
