"""
The pages of a server beside its sockets: resources of twisted.web by their paths.
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

#: Longest body of a request for a page that looks at none; twisted.web takes forms apart in any case.
NO_FORM = 1024


class Pages:
    """What is served at which path; changes hold for the next request."""

    def __init__(
        self, gateway: Gateway, reactor: Any, accesses: AccessLog, root: Callable[[], IResource]
    ) -> None:
        self._gateway = gateway
        self._reactor = reactor
        self._accesses = accesses
        #: Makes the resource that finds the pages, for a `Site`.
        self._root = root

    @property
    def paths(self) -> list[str]:
        """Where there are pages."""
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

    def addAll(self, base: str | None, pages: Mapping[str, Any]) -> None:
        """
        Serve the pages that come with an application, below `base`, or none of them.

        Raises:
            TypeError: One is no resource.
            ValueError: One has no right path, or there is another page.
        """
        if not isinstance(pages, Mapping):
            raise TypeError(f"pages={pages!r}: must be a mapping of paths to resources")
        below = (base or "").removesuffix("/*").rstrip("/")
        added = {(below + path) or "/": page for path, page in pages.items()}
        for path, page in added.items():
            checkPage(path, page)
            if self._gateway.pages.get(path, page) is not page:
                raise ValueError(f"path={path!r}: another page is there already")
        for path, page in added.items():
            self.add(path, page, None)

    def clear(self) -> None:
        """Serve none."""
        self._gateway.pages.removeAll()


class PageSite(Site):
    """Serves the pages of our own listeners; it is never started, and writes our own access log."""

    def __init__(self, root: IResource, reactor: object, gateway: Gateway, accesses: AccessLog) -> None:
        super().__init__(root, reactor=reactor)
        self._gateway = gateway
        self._accesses = accesses

    def log(self, request: Any) -> None:
        self._accesses.page(request, self._gateway.options)


def checkPage(path: object, page: object) -> None:
    """Raise `TypeError` or `ValueError` for what is no page, or no path of one."""
    checkPath(path)
    if "*" in str(path):
        raise ValueError(f"path={path!r}: without '*'; a resource that is no leaf has its children below it")
    if isinstance(page, str | bytes):
        raise TypeError(
            f"page={page!r}: must be a resource of twisted.web: "
            "twisted.web.static.Data(b'<h1>Welcome</h1>', 'text/html')"
        )
    if isinstance(page, type) and IResource.implementedBy(page):
        raise TypeError(f"page={page.__name__}: is a class; a resource is served, {page.__name__}(...)")
    if not IResource.providedBy(page):
        raise TypeError(f"page={page!r}: must be a resource of twisted.web")
