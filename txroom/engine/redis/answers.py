"""
What the errors of Redis mean for the command that got one, in one table.

Each error begins with a code, such as ``OOM``. An error that a command gets inside of a script is passed on
by Redis 7 as it is; Redis 6 puts it into the text of another error.
"""

from __future__ import annotations

import re
from enum import Enum, auto

from .resp import Lost, NotSent, RedisError

#: The message of the error of a request that needs Redis.
UNREACHABLE = "Redis can't be reached"


class Answer(Enum):
    """What an error means for the command, and what to do."""

    #: The connection was lost: Redis may have run the command or not. Send it again on the next connection.
    LOST = auto()
    #: Redis did not run the command, but may do so soon. Wait a moment and send it again.
    AGAIN = auto()
    #: Redis does not know the script. Load all scripts, and send the command again.
    LOAD = auto()
    #: Redis refuses this user or this kind of server. The node can't work and has to stop.
    STOP = auto()
    #: The room has another owner.
    FENCED = auto()
    #: Redis doesn't have the room at all.
    NO_ROOM = auto()
    #: Redis has fewer records of the room than it confirmed; see `holeOf`.
    HOLE = auto()
    #: Something else: a mistake in a script, or a key of another type.
    FAILED = auto()


ANSWERS = {
    # Redis can't write to its disk: it is full, for example.
    "MISCONF": Answer.AGAIN,
    # The limit `maxmemory` is reached.
    "OOM": Answer.AGAIN,
    # Redis has been started a moment ago and reads its data.
    "LOADING": Answer.AGAIN,
    # It is a replica, after a failover for example.
    "READONLY": Answer.AGAIN,
    # It is a replica that is not connected to its primary.
    "MASTERDOWN": Answer.AGAIN,
    # Fewer replicas than `min-replicas-to-write` are connected.
    "NOREPLICAS": Answer.AGAIN,
    # Another client's script runs for a long time.
    "BUSY": Answer.AGAIN,
    "TRYAGAIN": Answer.AGAIN,
    "CLUSTERDOWN": Answer.AGAIN,
    "NOSCRIPT": Answer.LOAD,
    "NOAUTH": Answer.STOP,
    "NOPERM": Answer.STOP,
    "WRONGPASS": Answer.STOP,
    # Redis runs as a cluster, which has to be refused.
    "MOVED": Answer.STOP,
    "ASK": Answer.STOP,
    "CROSSSLOT": Answer.STOP,
    # Those of our scripts.
    "FENCED": Answer.FENCED,
    "NOROOM": Answer.NO_ROOM,
    "HOLE": Answer.HOLE,
}

# "ERR Error running script (call to f_…): @user_script:7: -OOM command not allowed …", of Redis 6.
_INSIDE = re.compile(r"^ERR Error running script .*?: -?([A-Z]+) ", re.DOTALL)
# What Redis 6 and 7 say if the user may run the script, but not a command in it.
_NOT_ALLOWED = "The user executing the script"


def answerOf(error: Exception) -> Answer:
    """Return what an error means for the command that got it."""
    if isinstance(error, Lost):
        return Answer.LOST
    if isinstance(error, NotSent):
        return Answer.AGAIN
    code = _codeOf(error)
    if code in ANSWERS:
        return ANSWERS[code]
    return Answer.STOP if _NOT_ALLOWED in str(error) else Answer.FAILED


def isOfReplica(error: Exception) -> bool:
    """Return whether the server is a replica, which it may have become while the node was connected."""
    return isinstance(error, RedisError) and _codeOf(error) in ("READONLY", "MASTERDOWN")


def _codeOf(error: Exception) -> str:
    text = str(error)
    inside = _INSIDE.match(text)
    return text.partition(" ")[0] if inside is None else inside.group(1)


def holeOf(error: Exception) -> int:
    """Return how many records Redis has, from an error that means `Answer.HOLE`."""
    return int(str(error).split()[1])
