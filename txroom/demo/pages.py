"""
The demonstration's page, its style and its scripts: the files of `txroom/web`.
"""

from __future__ import annotations

from importlib.resources import files

from twisted.web.resource import Resource
from twisted.web.server import Request

#: What the page may load and reach: what this server serves, and nothing that is written into it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}


class Asset(Resource):
    """A file of `txroom/web`, read once."""

    isLeaf = True

    def __init__(self, name: str) -> None:
        super().__init__()
        self._body = files("txroom").joinpath("web", name).read_bytes()
        self._type = f"{_TYPES[name.rpartition('.')[2]]}; charset=utf-8"

    def render_GET(self, request: Request) -> bytes:
        request.setHeader("Content-Type", self._type)
        request.setHeader("Content-Security-Policy", POLICY)
        request.setHeader("X-Content-Type-Options", "nosniff")
        request.setHeader("Referrer-Policy", "no-referrer")
        request.setHeader("Cache-Control", "no-cache")
        return self._body
