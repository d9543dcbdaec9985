"""
The WebSocket protocol on an upgraded connection: frames, messages, buffers and deadlines.

Which clients may connect is decided in `http`, and what messages mean is decided by applications.
"""
