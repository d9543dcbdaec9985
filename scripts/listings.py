"""
Copies the programs that pages show into the pages.

    python scripts/listings.py           # write what has changed
    python scripts/listings.py --check   # only say what has changed

A Git host shows no `literalinclude`, so pages hold the listings themselves. A comment above a listing says
where it comes from, by the path in this repository, and which class or function of it if not all; `imports`
is the part before the first of them:

    .. listing: docs/examples/chat/chat.py Chat.tell

    .. code-block:: python
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path
from textwrap import dedent, indent

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"

LISTING = re.compile(
    r"^(?P<head>(?P<space> *)\.\. listing: (?P<path>\S+)(?: (?P<name>\S+))?\n"
    r"\n"
    r"(?P=space)\.\. code-block:: .*\n"
    r"(?:(?P=space)   :.*\n)*)"
    r"\n"
    r"(?P<body>(?:(?:(?P=space)   .*)?\n)*(?:(?P=space)   .*)(?:\n|\Z))?",
    re.MULTILINE,
)


def listingOf(path: str, name: str | None) -> str:
    """The text of a file, or of one class or function in it."""
    text = (ROOT / path).read_text()
    if name is None:
        return text
    lines = text.splitlines(keepends=True)
    body = ast.parse(text).body
    if name == "imports":
        first = next(node for node in body if isinstance(node, ast.ClassDef | ast.FunctionDef))
        return "".join(lines[: _start(first)])
    for part in name.split("."):
        node = next((node for node in body if getattr(node, "name", None) == part), None)
        if node is None:
            raise ValueError(f"{path} has no {name}")
        body = node.body
    return dedent("".join(lines[_start(node) : node.end_lineno]))


def _start(node: ast.ClassDef | ast.FunctionDef) -> int:
    return min([node.lineno, *(each.lineno for each in node.decorator_list)]) - 1


def refreshed(page: str) -> str:
    """The source of a page with its listings as the files are now."""

    def replace(found: re.Match[str]) -> str:
        text = listingOf(found["path"], found["name"]).rstrip()
        after = "" if page[found.end() : found.end() + 1] in ("", "\n") else "\n"
        return f"{found['head']}\n{indent(text, found['space'] + '   ')}\n{after}"

    return LISTING.sub(replace, page)


def main(arguments: list[str]) -> int:
    changed = []
    for page in sorted(DOCS.rglob("*.rst")):
        old = page.read_text()
        new = refreshed(old)
        if new != old:
            changed.append(page)
            if "--check" not in arguments:
                page.write_text(new)
    for page in changed:
        print(page.relative_to(ROOT))
    return 1 if changed and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
