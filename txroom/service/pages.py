"""
The pages of a server beside its sockets: twisted.web resources by path.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.web.resource import IResource
from twisted.web.server import Site

from ..core.validation import isCount
from ..http.gateway import Gateway
from .accesslog import AccessLog
from .routing import checkPath

#: The maximum body size, in bytes, for pages that read no body. twisted.web parses forms in any case.
SMALL_BODY = 1024


class Pages:
    """Adds and removes the pages of a server. Changes apply from the next request on."""

    def __init__(
        self, gateway: Gateway, reactor: Any, accesses: AccessLog, root: Callable[[], IResource]
    ) -> None:
        self._gateway = gateway
        self._reactor = reactor
        self._accesses = accesses
        #: Returns the root resource for a `Site`.
        self._root = root

    @property
    def paths(self) -> list[str]:
        """The paths of the pages."""
        return list(self._gateway.pages)

    def add(self, path: str, page: Any, maxBody: int | None) -> None:
        """Serve a page; see `Server.addPage`."""
        checkPage(path, page)
        if maxBody is not None and not isCount(maxBody):
            raise ValueError(f"maxBody={maxBody!r}: must be a whole number of bytes, 0 or more")
        pages = self._gateway.pages
        pages.add(path, page, maxBody)
        if pages.site is None:
            pages.site = PageSite(self._root(), self._reactor, self._gateway, self._accesses)

    def placed(self, base: str | None, pages: Mapping[str, Any]) -> dict[str, Any]:
        """
        Check all pages that come with an application, and return them by their paths below `base`.

        Raises:
            TypeError: A page is not a resource.
            ValueError: A path is wrong, or another page is served there.
        """
        if not isinstance(pages, Mapping):
            raise TypeError(f"pages={pages!r}: must be a mapping of paths to resources")
        below = (base or "").removesuffix("/*").rstrip("/")
        placed = {(below + path) or "/": page for path, page in pages.items()}
        for path, page in placed.items():
            checkPage(path, page)
            if self._gateway.pages.get(path, page) is not page:
                raise ValueError(f"path={path!r}: another page is already served there")
        return placed

    def clear(self) -> None:
        """Remove all pages."""
        self._gateway.pages.removeAll()


class PageSite(Site):
    """Serves pages on the server's own listeners. It is never started, and writes txroom's access log."""

    def __init__(self, root: IResource, reactor: object, gateway: Gateway, accesses: AccessLog) -> None:
        super().__init__(root, reactor=reactor)
        self._gateway = gateway
        self._accesses = accesses

    def log(self, request: Any) -> None:
        self._accesses.page(request, self._gateway.options)


def checkPage(path: object, page: object) -> None:
    """
    Check the arguments of `Server.addPage`.

    Raises:
        TypeError: The path is not a string, or the page is not a resource.
        ValueError: The path is wrong.
    """
    checkPath(path)
    if "*" in str(path):
        raise ValueError(
            f"path={path!r}: must not have a '*'; a resource that is not a leaf serves all paths below it"
        )
    if isinstance(page, str | bytes):
        raise TypeError(
            f"page={page!r}: must be a resource of twisted.web, such as "
            "twisted.web.static.Data(b'<h1>Welcome</h1>', 'text/html')"
        )
    if isinstance(page, type) and IResource.implementedBy(page):
        raise TypeError(f"page={page.__name__} is a class: give an instance, {page.__name__}(...)")
    if not IResource.providedBy(page):
        raise TypeError(f"page={page!r}: must be a resource of twisted.web")
