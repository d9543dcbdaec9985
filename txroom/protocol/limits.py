"""
The names of the sub-protocols, and the limits to which servers and clients keep.
"""

from __future__ import annotations

#: The sub-protocols. JSON is first; it is also for clients that offer none.
JSON_PROTOCOL = "txroom.v1.json"
MSGPACK_PROTOCOL = "txroom.v1.msgpack"
PROTOCOLS = (JSON_PROTOCOL, MSGPACK_PROTOCOL)

#: The greatest integer that is exact in JavaScript.
MAX_NUMBER = 2**53 - 1

#: The most unacknowledged frames of one member, and the most replies to its calls that the server keeps.
WINDOW = 64

# -- strings, in characters

#: The longest name of rooms, id of a room, and type of a message.
MAX_NAME = 128
#: The longest code of an error, and epoch.
MAX_CODE = 64
#: The longest message of an error.
MAX_TEXT = 1024
#: The longest resume token.
MAX_TOKEN = 256
#: The longest id of a device.
MAX_DEVICE = 64

# -- data

#: The deepest nesting of arrays and objects.
MAX_DEPTH = 64
#: The most arrays and objects in the data of one message of a client.
MAX_CONTAINERS = 10_000
#: The most bytes of encoded options or filters; a room keeps the options with which it was created.
MAX_OPTIONS = 16 << 10
#: The most values, at any depth, in options or filters.
MAX_OPTION_VALUES = 1_000
#: The most options in a query string.
MAX_FIELDS = 100
#: The most bytes of the data of one notification.
MAX_NOTICE = 64 << 10

# -- notifications

#: The most notifications that a server sends to a client before they are acknowledged, and the most bytes of
#: them.
NOTICE_WINDOW = 64
NOTICE_WINDOW_SIZE = 256 << 10
