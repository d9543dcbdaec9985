"""From a TCP connection to an open WebSocket, a page or a refusal."""
