"""Clients on a link of 25 kB/s: what they send and take needs minutes, and is no misbehaviour."""

from __future__ import annotations

from .slowlink import SlowLink
from .support import BINARY, Net, Recorder, frame, reactor, until


async def test_upload(net: Net) -> None:
    """A message that takes four times `messageTimeout` to come is delivered, and its sender not dropped."""
    application = Recorder()
    server = await net.serve(application, messageTimeout=1, pingInterval=0.5, pingTimeout=0.5)
    link = await SlowLink.to(server.address().port)
    try:
        begun = reactor().seconds()
        probe = await net.open(link)
        probe.send(frame(BINARY, bytes(100_000)))
        await until(lambda: application.messages, "no message", 20)
        assert reactor().seconds() - begun > 3.5  # the link is slow indeed
        assert not probe.ended
    finally:
        await link.close()
