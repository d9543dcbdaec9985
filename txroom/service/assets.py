"""
Files of the package as pages: the browser client, the demonstration, and those of the operators' page.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import sha256
from importlib.resources import files

from twisted.web.http import CACHED
from twisted.web.resource import Resource
from twisted.web.server import Request

_TYPES = {"html": "text/html", "css": "text/css", "js": "text/javascript"}


class Asset(Resource):
    """
    A file of `txroom/web`, or of another folder of txroom. It is read once.

    Browsers may cache it, but ask each time whether it has changed (ETag), so that they get an update of
    txroom at once.

    Args:
        name: The name of the file.
        headers: More response headers.
        folder: The folder, such as "web".
    """

    isLeaf = True

    def __init__(self, name: str, headers: Mapping[str, str] | None = None, folder: str = "web") -> None:
        super().__init__()
        self._body = files("txroom").joinpath(folder, name).read_bytes()
        self._tag = f'"{sha256(self._body).hexdigest()[:32]}"'.encode()
        self._headers = {
            "Content-Type": f"{_TYPES[name.rpartition('.')[2]]}; charset=utf-8",
            "X-Content-Type-Options": "nosniff",
            "Cache-Control": "no-cache",
            **(headers or {}),
        }

    def render_GET(self, request: Request) -> bytes:
        for name, value in self._headers.items():
            request.setHeader(name, value)
        return b"" if request.setETag(self._tag) is CACHED else self._body
