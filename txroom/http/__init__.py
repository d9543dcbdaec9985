"""
From a TCP connection to an open WebSocket, a page or a refusal.

`factory` makes a `channel` for each connection of our own listeners, which reads the head of a `request`;
`forwarded` and `proxyprotocol` tell who the client is. An upgrade goes to `upgrade`, which checks it
(`origins`, `admission`) and lets `negotiation` open it. A request for a page that is in `pages` goes to
`pageconnection`. What is refused is answered by `response`, or by `inbandrefusals`, and then its connection
lingers (`lingering`). Protocols of other factories are opened by `autobahn`, which has four modules more, and
by `protocolfactories`; `rewriting` gives them the request. `resource` is the way in by twisted.web. What they
all share is the `gateway`.
"""
