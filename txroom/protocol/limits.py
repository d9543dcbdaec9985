"""
The names of the sub-protocols, and the limits that both ends of a room connection keep.
"""

from __future__ import annotations

#: The sub-protocols. JSON comes first, which also is for clients that offer none.
JSON_PROTOCOL = "txroom.v1.json"
MSGPACK_PROTOCOL = "txroom.v1.msgpack"
PROTOCOLS = (JSON_PROTOCOL, MSGPACK_PROTOCOL)

#: Greatest number a JavaScript client can count to.
MAX_NUMBER = 2**53 - 1

#: Most frames of one member that may be unacknowledged, and answers to its calls that the server keeps.
WINDOW = 64

# -- texts, in characters

#: Of the name of rooms, the id of a room and the type of a message.
MAX_NAME = 128
#: Of the code of an error and of an epoch.
MAX_CODE = 64
#: Of the message of an error.
MAX_TEXT = 1024
#: Of a token to resume with.
MAX_TOKEN = 256

# -- data

#: Deepest nesting of arrays and objects.
MAX_DEPTH = 64
#: Most arrays and objects in the data of one message of a client.
MAX_CONTAINERS = 10_000
#: Most bytes of options and filters as they come; a room keeps those of who made it.
MAX_OPTIONS = 16 << 10
#: Most values, at any depth, in options and filters.
MAX_OPTION_VALUES = 1_000
#: Most options of a path.
MAX_FIELDS = 100
