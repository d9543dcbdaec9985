"""
The path at which an application serves rooms, and the names of rooms in the paths below it.
"""

from __future__ import annotations

from urllib.parse import unquote

#: The default path of rooms.
DEFAULT_PATH = "/rooms"


class RoomPath:
    """
    The path of one application.

    Args:
        path: The path; `None`: it is not decided yet.

    Raises:
        TypeError: The path is not a string.
        ValueError: Rooms can't be served at that path.
    """

    def __init__(self, path: str | None = None) -> None:
        if path is not None:
            _check(path)
        #: Without a "/" at the end; `None`: not decided yet.
        self._path = None if path is None else path.rstrip("/")

    @property
    def base(self) -> str:
        """The path without a "/" at its end, or the default while it is not decided."""
        return DEFAULT_PATH if self._path is None else self._path

    def routesFor(self, path: str | None) -> tuple[str, ...]:
        """
        Decide the path if it isn't decided yet, and return its routes: itself, and all paths below.

        Args:
            path: The path that was passed to `addApplication`, with or without "/*" at its end.

        Raises:
            ValueError: The path is decided already, and `path` is another one.
        """
        if path is not None:
            wanted = path.removesuffix("/*").rstrip("/")
            if self._path not in (None, wanted):
                raise ValueError(f"path={path!r}: these rooms are served at {self._path or '/'} already")
            self._path = wanted
        self._path = self.base
        return (self._path or "/", f"{self._path}/*")

    def nameOf(self, path: str) -> str | None:
        """
        Return the name of the room that a client's path names.

        Returns:
            "" if it names no room, so that the client joins by frames; `None` if no rooms are served there.
        """
        path, base = path.rstrip("/"), self.base
        if path == base:
            return ""
        if not path.startswith(base + "/"):
            # Upgraded by `Server.handleUpgrade`, at some other path.
            return "" if self._path is None else None
        return unquote(path[len(base) + 1 :])


def _check(path: object) -> None:
    """Raise `TypeError` or `ValueError` for a path at which rooms can't be served."""
    if not isinstance(path, str):
        raise TypeError(f"path={path!r}: must be a string")
    if not path.startswith("/") or any(each in path for each in "*?#"):
        raise ValueError(f"path={path!r}: must begin with '/', without '*', '?' and '#'")
