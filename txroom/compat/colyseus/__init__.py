"""
The clients of Colyseus, versions 0.16 to 0.18, unmodified: matchmaking by HTTP, and their protocol on the
WebSocket.
"""
