"""
The users of connections, for sessions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from ...core.codes import ErrorCode
from ...protocol.errors import RoomError
from ...protocol.payload import checkText
from ..contract.notices import MAX_USER, Notices

#: The details of the errors for clients that ask for notifications and get none.
_NOTIFY = {"frame": "notify"}


class EdgeUsers:
    """
    Knows the ids of users, and their notifications.

    Args:
        userId: Returns the id of a user, or `None`; the server's hook.
        notices: Returns the queues of notifications.
    """

    _log = Logger()

    def __init__(self, userId: Callable[[Any], str | None], notices: Callable[[], Notices]) -> None:
        self._userId = userId
        self._notices = notices

    @property
    def notices(self) -> Notices:
        """The queues of notifications."""
        return self._notices()

    def idOf(self, user: Any) -> str:
        """
        Return the id of the user of a connection.

        Raises:
            RoomError: The user has no id (`unauthorized`), or the hook raised an exception (`internal`).
        """
        try:
            found = self._userId(user)
            if found is not None:
                found = checkText("userId", found)
        except Exception:
            self._log.failure("the id of a user could not be found")
            raise RoomError(ErrorCode.INTERNAL, "", _NOTIFY) from None
        if not found or len(found) > MAX_USER:
            raise RoomError(ErrorCode.UNAUTHORIZED, "notifications need a user with an id", _NOTIFY)
        return found


def _noNotices() -> Notices:
    raise RoomError(ErrorCode.UNAVAILABLE)


#: For an application without a server: no user has an id.
NOBODY = EdgeUsers(lambda user: None, _noNotices)
