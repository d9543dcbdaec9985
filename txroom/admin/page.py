"""
The operators' page: its files, and the form to log in.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from typing import Any
from urllib.parse import parse_qs

from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET, Request

from ..service.assets import Asset
from .api import writeProblem
from .guard import Caller, Guard, Refused
from .headers import valuesOf
from .problems import Problem
from .refusing import refuse
from .sessions import cookie

FORM = "application/x-www-form-urlencoded"

_FOLDER = "admin/web"
#: The page loads nothing from elsewhere, runs no script but its own files, and no other page can contain it.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
    "frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "X-Content-Type-Options": "nosniff",
    # With "no-referrer" browsers would send the form with "Origin: null".
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Embedder-Policy": "require-corp",
}
_HTML = "text/html; charset=utf-8"
_WRONG = b'<p role="alert">This is not one of the secrets of this server.</p>'


class AdminPage(Resource):
    """
    Answers the requests for the page, and hands on all others.

    Args:
        guard: Who may come in.
        others: What answers the other requests.
        clock: The clock.
    """

    isLeaf = True
    _log = Logger()

    def __init__(self, guard: Guard, others: Resource, clock: IReactorTime) -> None:
        super().__init__()
        self._guard = guard
        self._others = others
        self._clock = clock
        self._index, self._login = (readPage(name) for name in ("index.html", "login.html"))
        self._assets = {f"/{name}".encode(): asset for name, asset in pageAssets().items()}
        self._forms: dict[bytes, Callable[[Request], Any]] = {
            b"/login": self._logIn,
            b"/logout": self._logOut,
        }

    def render(self, request: Request) -> Any:
        """Answer a request."""
        path = request.path
        if path != b"/" and path not in self._assets and path not in self._forms:
            return self._others.render(request)
        try:
            return self._answer(request)
        except Refused as refused:
            refuse(self._guard, self._clock, request, refused, self._refuse)
        except Problem as problem:
            writeProblem(request, problem)
        return NOT_DONE_YET

    def _answer(self, request: Request) -> Any:
        """Return the answer. Raises `Problem`."""
        form = self._forms.get(request.path)
        if request.method == b"POST" and form is not None:
            return form(request)
        if request.method not in (b"GET", b"HEAD"):
            allowed = "GET, HEAD" if form is None else "POST, GET, HEAD"
            raise Problem(405, "there is no such method here", headers={"Allow": allowed})
        caller = self._guard.visitor(request)
        asset = self._assets.get(request.path)
        if asset is not None:
            return asset.render(request)
        if form is not None:
            return _seeOther(request)
        return self._page(request, caller)

    def _page(self, request: Request, caller: Caller | None) -> bytes:
        """Return the page, or the form for somebody who has to log in first."""
        if caller is None:
            return html(request, self._login.replace(b"<!-- alert -->", b""))
        body = self._index.replace(b"{role}", str(caller.role).encode())
        return html(request, body.replace(b"{login}", b"yes" if self._guard.needsSecret else b"no"))

    def _logIn(self, request: Request) -> bytes:
        """Begin a session. Raises `Problem` or `Refused`."""
        kinds = valuesOf(request.requestHeaders, "Content-Type")
        if len(kinds) != 1 or kinds[0].partition(";")[0].strip().lower() != FORM:
            raise Problem(415, f"the body must be {FORM}", field="Content-Type")
        assert request.content is not None
        try:
            fields = parse_qs(request.content.read().decode("ascii"), max_num_fields=10)
        except ValueError:
            raise Problem(400, "the body is not such a form") from None
        caller = self._guard.login(request, fields.get("secret", [""])[0].strip().encode())
        if self._guard.needsSecret:
            request.setHeader("Set-Cookie", cookie(request, self._guard.sessions.value(caller.role)))
        self._log.info(
            "admin: {role} from {address}: logged in", role=str(caller.role), address=caller.address
        )
        return _seeOther(request)

    def _logOut(self, request: Request) -> bytes:
        """End a session, with its sockets. Raises `Problem`."""
        caller, session = self._guard.visitor(request), self._guard.sessionOf(request)
        if caller is not None and session is not None:
            self._guard.sessions.end(session)
            self._log.info(
                "admin: {role} from {address}: logged out", role=str(caller.role), address=caller.address
            )
        request.setHeader("Set-Cookie", cookie(request, ""))
        return _seeOther(request)

    def _refuse(self, request: Request, refused: Refused) -> None:
        request.setResponseCode(refused.status)
        body = html(request, self._login.replace(b"<!-- alert -->", _WRONG))
        request.setHeader("Content-Length", str(len(body)))
        request.write(body)
        request.finish()


def pageAssets() -> dict[str, Asset]:
    """Return the scripts and styles of the page by their names, the browser client included."""
    names = sorted(each.name for each in files("txroom").joinpath(_FOLDER).iterdir())
    assets = {name: Asset(name, _HEADERS, _FOLDER) for name in names if name.endswith((".js", ".css"))}
    return assets | {"txroom.js": Asset("txroom.js", _HEADERS)}


def readPage(name: str) -> bytes:
    """Return an HTML file."""
    return files("txroom").joinpath(_FOLDER, name).read_bytes()


def html(request: Request, body: bytes) -> bytes:
    """Set the headers of an HTML page, and return its body."""
    for name, value in _HEADERS.items():
        request.setHeader(name, value)
    request.setHeader("Content-Type", _HTML)
    request.setHeader("Cache-Control", "no-store")
    return body


def _seeOther(request: Request) -> bytes:
    """Answer with the way to the page."""
    request.setResponseCode(303)
    request.setHeader("Location", "/")
    request.setHeader("Cache-Control", "no-store")
    return b""
