"""
The pages that are served beside the sockets, and which of them a path belongs to.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from twisted.web.http import NOT_FOUND
from twisted.web.resource import IResource, getChildForRequest
from twisted.web.server import Request, Site

#: Segments of a path below a page's own; twisted.web takes longer for each one, the more there are.
MAX_DEPTH = 100


class PageTable(dict[str, IResource]):
    """The pages of one server by their paths; `site` serves them on our own listeners."""

    def __init__(self) -> None:
        self.site: Site | None = None
        self._bodies: dict[str, int] = {}

    def add(self, path: str, page: IResource, maxBody: int | None) -> None:
        """Serve a page at `path`; a request for it has at most `maxBody` bytes (`None`: as by default)."""
        self[path] = page
        self._bodies.pop(path, None)
        if maxBody is not None:
            self._bodies[path] = maxBody

    def removeAll(self) -> None:
        """Serve no pages."""
        self.clear()
        self._bodies.clear()
        self.site = None

    def maxBody(self, path: str, default: int) -> int:
        """The longest body of a request for the page that is registered at `path`; 0: any."""
        return self._bodies.get(path, default)


def findPath(pages: Mapping[str, IResource], path: str) -> str | None:
    """
    Where the page is registered that serves `path`: there, or the nearest above it that is no leaf.

    `None` if there is none, also for a path that goes deeper below it than `MAX_DEPTH`.
    """
    if path in pages:
        return path
    nearest: str | None = None
    for registered, page in pages.items():
        above = registered if registered == "/" else registered + "/"
        if path.startswith(above) and not page.isLeaf and (nearest is None or len(nearest) < len(registered)):
            nearest = registered
    if nearest is not None and path.count("/", len(nearest)) > MAX_DEPTH:
        return None
    return nearest


def findPage(pages: Mapping[str, IResource], path: str) -> tuple[IResource, list[str]] | None:
    """
    The page at `path`, or the nearest above it that is no leaf, with the segments left to go.

    `None` if there is none.
    """
    found = findPath(pages, path)
    if found is None:
        return None
    rest = path[len(found) :].removeprefix("/") if found != "/" else path[1:]
    return pages[found], [] if found == path else rest.split("/")


def childOf(page: IResource, request: Request, rest: list[str]) -> IResource:
    """The resource that twisted.web finds for `request` below `page`, with the segments `rest` left to go."""
    if not rest and (request.path != b"/" or page.isLeaf):
        return page
    # "/" is what lies below the root under no name at all; a page without children is it itself.
    segments = request.path.split(b"/")[1:]
    below = len(rest) or 1
    request.prepath = [unquote_to_bytes(segment) for segment in segments[:-below]]
    request.postpath = [unquote_to_bytes(segment) for segment in segments[-below:]]
    child: IResource = getChildForRequest(page, request)
    return page if not rest and getattr(child, "code", 200) == NOT_FOUND else child
