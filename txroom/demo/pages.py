"""
The demonstration's page and its style and script.
"""

from __future__ import annotations

from ..service.assets import Asset

#: What the page may load and reach: what this server serves, and nothing that is written into it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src data:; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)

_HEADERS = {"Content-Security-Policy": POLICY, "Referrer-Policy": "no-referrer"}


def demoPages() -> dict[str, Asset]:
    """The pages by their paths."""
    names = {"/": "index.html", "/demo.js": "demo.js", "/demo.css": "demo.css"}
    return {path: Asset(name, _HEADERS) for path, name in names.items()}
