"""One WebSocket's bytes, without policy."""
