"""
The watchers of notifications in this process.
"""

from __future__ import annotations

from ..rooms.contract.notices import Watcher


class Watchers:
    """The watchers of this process, by user."""

    def __init__(self) -> None:
        self._byUser: dict[str, dict[Watcher, None]] = {}

    def add(self, user: str, watcher: Watcher) -> bool:
        """Add a watcher; return whether it is the first one of the user."""
        watchers = self._byUser.setdefault(user, {})
        watchers[watcher] = None
        return len(watchers) == 1

    def remove(self, user: str, watcher: Watcher) -> bool:
        """Remove a watcher, if it is there; return whether it was the last one of the user."""
        watchers = self._byUser.get(user)
        if watchers is None or watcher not in watchers:
            return False
        del watchers[watcher]
        if not watchers:
            del self._byUser[user]
        return not watchers

    @property
    def users(self) -> list[str]:
        """The users who are watched."""
        return list(self._byUser)

    def __contains__(self, user: object) -> bool:
        return user in self._byUser

    def __bool__(self) -> bool:
        return bool(self._byUser)

    def wake(self, user: str) -> None:
        """There may be something to read."""
        for watcher in list(self._byUser.get(user, ())):
            watcher.wake()

    def tell(self, user: str, type: str, data: bytes) -> None:
        """A notification that is not queued."""
        for watcher in list(self._byUser.get(user, ())):
            watcher.tell(type, data)

    def tellAll(self, type: str, data: bytes) -> None:
        """A notification for all users."""
        for user in self.users:
            self.tell(user, type, data)
