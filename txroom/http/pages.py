"""
The pages that are served beside the sockets, and how a path is mapped to a page.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import unquote_to_bytes

from twisted.web.http import NOT_FOUND
from twisted.web.resource import IResource, getChildForRequest
from twisted.web.server import Request, Site

#: The most path segments below a page. Twisted's traversal takes longer per segment the more there are.
MAX_DEPTH = 100


class PageTable(dict[str, IResource]):
    """The pages of one server by path. `site` serves them on the server's own listeners."""

    def __init__(self) -> None:
        self.site: Site | None = None
        self._bodies: dict[str, int] = {}

    def add(self, path: str, page: IResource, maxBody: int | None) -> None:
        """
        Serve a page at `path`.

        Args:
            path: The path.
            page: The resource.
            maxBody: The maximum size of a request body in bytes; `None` is the option `maxPageBody`.
        """
        self[path] = page
        self._bodies.pop(path, None)
        if maxBody is not None:
            self._bodies[path] = maxBody

    def removeAll(self) -> None:
        """Remove all pages."""
        self.clear()
        self._bodies.clear()
        self.site = None

    def maxBody(self, path: str, default: int) -> int:
        """Return the maximum body size for the page that is registered at `path`; 0 means no limit."""
        return self._bodies.get(path, default)


def findPath(pages: Mapping[str, IResource], path: str) -> str | None:
    """
    Return the path under which the page that serves `path` is registered.

    That is `path` itself, or the nearest path above it whose page is not a leaf. Returns `None` if there is
    no such page, or if `path` is more than `MAX_DEPTH` segments below it.
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
    """Return the page that serves `path`, with the path segments that remain below it; see `findPath`."""
    found = findPath(pages, path)
    if found is None:
        return None
    rest = path[len(found) :].removeprefix("/") if found != "/" else path[1:]
    return pages[found], [] if found == path else rest.split("/")


def childOf(page: IResource, request: Request, rest: list[str]) -> IResource:
    """
    Return the resource that twisted.web finds for `request` below `page`.

    Args:
        page: The registered page.
        request: The request.
        rest: The path segments that remain below `page`.
    """
    if not rest and (request.path != b"/" or page.isLeaf):
        return page
    # The path "/" is the child "" of the root page. A root page without children serves it itself.
    segments = request.path.split(b"/")[1:]
    below = len(rest) or 1
    request.prepath = [unquote_to_bytes(segment) for segment in segments[:-below]]
    request.postpath = [unquote_to_bytes(segment) for segment in segments[-below:]]
    child: IResource = getChildForRequest(page, request)
    return page if not rest and getattr(child, "code", 200) == NOT_FOUND else child
