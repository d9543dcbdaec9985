"""
The names of the sub-protocols, and the limits that both ends of a room connection keep.
"""

from __future__ import annotations

#: Sub-protocols.
JSON_PROTOCOL = "txroom.v1.json"


MSGPACK_PROTOCOL = "txroom.v1.msgpack"


#: Greatest number a JavaScript client can count to.
MAX_NUMBER = 2**53 - 1


#: Most bytes of options and filters as they come; a room keeps those of who made it.
MAX_OPTIONS = 16 << 10


#: Most options of a path.
MAX_FIELDS = 100
