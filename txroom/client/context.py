"""
What the rooms of one client have in common.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs
from twisted.python.failure import Failure

from .callqueue import Turn
from .codec import Codec
from .connection import Line
from .options import ClientOptions
from .requests import Requests


@attrs.frozen(eq=False)
class Shared:
    """The connection of a client, and what goes with it."""

    options: ClientOptions
    turn: Turn
    codec: Codec
    line: Line
    requests: Requests
    #: Whether a join that is under way may lead to the room of a name and id.
    isAwaited: Callable[[str, str], bool]
    #: Takes an error that nobody else is there to be told of.
    report: Callable[[Failure], None]
