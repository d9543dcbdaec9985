"""
The page of the demo, with its style and its script.
"""

from __future__ import annotations

from ..service.assets import Asset

#: The page may load and connect only to this server, and may contain no inline scripts and styles.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}


def demoPages() -> dict[str, Asset]:
    """Return the files of the page by their paths."""
    names = {"/": "index.html", "/demo.js": "demo.js", "/demo.css": "demo.css"}
    return {path: Asset(name, _HEADERS) for path, name in names.items()}
