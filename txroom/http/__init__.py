"""
HTTP: from an accepted TCP connection to an open WebSocket, a page or a refusal.

- `factory` makes a `channel` for each connection of the server's own listeners. The channel reads the request
  head with `request`, and hands the connection on. `forwarded` and `proxyprotocol` find out the client's
  address.
- `upgrade` checks a request for a WebSocket, with `origins` and `admission`, and `negotiation` opens the
  connection.
- `pageconnection` serves a request for one of the `pages`.
- `response` writes refusals, or `inbandrefusals` does so in the client's sub-protocol. `lingering` closes
  refused connections.
- `autobahn` with its four helper modules, and `protocolfactories`, open the connections of other protocol
  factories, which get the request from `rewriting`.
- `resource` handles requests that come through a `Site` of twisted.web.
- `gateway` holds what all of them share.
"""
