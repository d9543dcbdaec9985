"""Check the prose of the repository: words, titles and links. `make lint` runs it.

    python scripts/prose.py [folder]

It looks for phrases that a reader has to solve (`PHRASES`), for pages without a title or with the title of
another page, for headings that are wrong (`HEADINGS`), and for links to files, pages and headings that do not
exist. Sphinx checks the references inside the pages, and codespell the spelling.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]

#: Verbs after a "who" that stands for a client without naming it: "for who is away", "Who leaves is told".
_VERBS = (
    "asks|asked|came|comes|had|has|is|joined|joins|leaves|left|looks|lost|loses|made|makes|missed|reads|resumes|"
    "returns|sends|takes|took|waits|wants|was"
)

#: Phrases that must not occur, as regular expressions, and what to write instead. Upper and lower case are
#: the same, and a space also stands for the end of a line. Before you add one, check that it raises no false
#: alarm; a phrase that is wrong only sometimes does not belong here.
PHRASES = (
    (
        rf"(?:\"{{3}}|[;:.] |# |\b(?:by|for|from|of|than|to|with) )who (?:{_VERBS})\b(?![^.?\"]*\?)",
        "the subject, such as: a client that ..., the members that ...",
    ),
    (r"what waits", "the queued bytes, messages or calls"),
    (r"seeds? \(?00\d", "the system by its own name: Colyseus, ws, Cocos Creator, verb or TeaJS"),
    (r"a place that is kept", "a seat that is kept for a client that has lost its connection"),
    (r"nobody's business", "what other members are shown"),
    (r"on deaf|deaf daemon", "that the server does not listen"),
    (r"put together with whom", "which room a client joins"),
    (r"the silence is ours", "that reading is paused, and what follows from it"),
    (r"/(home|Users)/\w+", "a path inside the repository, or no path"),
)

#: What headings must not have, and what they have instead.
HEADINGS = (
    (r"[.:!]$", "no punctuation at its end"),
    (r"^Who\b", "the word that people search for, such as Presence or Authentication"),
)
#: The same for the titles of pages.
TITLES = (
    (r"^(What|When|Where|Which|Know)\b", "the word that people search for, such as Recovery or Validation"),
)

#: What is read, below the root. Files that are made by programs or by others are left out.
FOLDERS = ("txroom", "docs", "tests", "scripts", "benchmarks", "newsfragments", "twisted")
SUFFIXES = frozenset({".py", ".rst", ".md", ".js", ".mjs", ".ts", ".html", ".sh", ".tac", ".toml"})
SKIPPED = frozenset({"node_modules", "__pycache__", "build", "dist"})
#: These two have the phrases themselves.
OURS = frozenset({"scripts/prose.py", "tests/test_prose.py"})

_HEADING = re.compile(r"^(\S.*)\n([-=~^\"'+*#])\2{2,}$", re.MULTILINE)
_ROLE = re.compile(r":doc:`(?:[^`<]*<)?(/?[\w./-]+)>?`")
_DIRECTIVE = re.compile(r"^ *\.\. (?:literalinclude|image|figure|include):: (\S+)$", re.MULTILINE)
#: A link by a path, as Git hosts follow it.
_PATH_LINK = re.compile(r"<(?!\w+:)([\w./-]+)(?:#[\w-]+)?>`__?")
_MARKDOWN_LINK = re.compile(r"\]\(<?([^)\s>]+)>?\)")
_MARKDOWN_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_MARKDOWN_CODE = re.compile(r"^```.*?^```$|^ {4}.*?$", re.MULTILINE | re.DOTALL)
#: A file that a Markdown page names without a link.
_MARKDOWN_PATH = re.compile(r"`((?:docs|scripts|tests|txroom|benchmarks|newsfragments)/[\w./-]+)`")


def sources(root: Path) -> Iterator[Path]:
    """Every file that is read."""
    yield from sorted(path for path in root.iterdir() if path.is_file() and isProse(path, root))
    for folder in FOLDERS:
        for path in sorted((root / folder).rglob("*")):
            if path.is_file() and isProse(path, root):
                yield path


def isProse(path: Path, root: Path) -> bool:
    """Whether a file has prose of ours."""
    inside = path.relative_to(root)
    isSkipped = not SKIPPED.isdisjoint(inside.parts) or inside.as_posix() in OURS
    return (path.suffix in SUFFIXES or path.name == "Makefile") and not isSkipped


def phrases(text: str) -> Iterator[tuple[int, str]]:
    """The line and the complaint for each phrase of `PHRASES` in a text."""
    for pattern, instead in PHRASES:
        # Also where a line ends, in a comment too.
        spaced = pattern.replace(" ", r"(?: |\s*\n\s*(?:#:? |// |\* )?)")
        for found in re.finditer(rf"(?i)(?:(?<!\w)|(?=\W)){spaced}", text):
            yield lineAt(text, found.start()), f'"{" ".join(found[0].split())}": write {instead}'


def headings(text: str) -> list[tuple[int, str, str]]:
    """The line, the title and the underline's character of each heading of a reStructuredText page."""
    return [(lineAt(text, found.start()), found[1], found[2]) for found in _HEADING.finditer(text)]


def titles(pages: dict[str, str]) -> Iterator[tuple[str, int, str]]:
    """The page, the line and the complaint for each title or heading that is wrong."""
    seen: dict[str, str] = {}
    for name, text in pages.items():
        found = headings(text)
        if not found:
            yield name, 1, "the page has no title"
            continue
        _, title, underline = found[0]
        for line, heading, character in found:
            rules = HEADINGS + TITLES if heading == title else HEADINGS
            if character == underline and heading != title:
                yield name, line, f'"{heading}" is a second title; use another underline'
            for pattern, instead in rules:
                if re.search(pattern, heading):
                    yield name, line, f'the heading "{heading}": write {instead}'
        known = seen.setdefault(title.lower(), name)
        if known != name:
            yield name, found[0][0], f'"{title}" is the title of {known} too'


def pageLinks(page: Path, docs: Path, text: str) -> Iterator[tuple[int, str]]:
    """The line and the complaint for each page or file that a page of the docs names and that is missing."""
    for found in _ROLE.finditer(text):
        target = found[1]
        base = docs if target.startswith("/") else page.parent
        if not (base / f"{target.lstrip('/')}.rst").is_file():
            yield lineAt(text, found.start()), f"there is no page {target}"
    for found in _PATH_LINK.finditer(text):
        if not (page.parent / found[1]).is_file():
            yield lineAt(text, found.start()), f"there is no file {found[1]}"
    for found in _DIRECTIVE.finditer(text):
        target = found[1]
        base = docs if target.startswith("/") else page.parent
        if "://" not in target and not (base / target.lstrip("/")).is_file():
            yield lineAt(text, found.start()), f"there is no file {target}"


def markdownLinks(page: Path, root: Path, text: str) -> Iterator[tuple[int, str]]:
    """The line and the complaint for each relative link of a Markdown page that leads nowhere."""
    for found in _MARKDOWN_LINK.finditer(text):
        target, _, anchor = found[1].partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        file = page.parent / target if target else page
        if not file.exists():
            yield lineAt(text, found.start()), f"there is no file {target}"
        elif anchor and file.suffix == ".md" and anchor not in anchors(file.read_text("utf-8")):
            yield lineAt(text, found.start()), f"{file.name} has no heading #{anchor}"
    for found in _MARKDOWN_PATH.finditer(_MARKDOWN_CODE.sub(blanked, text)):
        if not (root / found[1]).exists():
            yield lineAt(text, found.start()), f"there is no file {found[1]}"


def blanked(found: re.Match[str]) -> str:
    """The same lines, empty."""
    return "\n" * found[0].count("\n")


def anchors(text: str) -> set[str]:
    """The anchors that Git hosts give to the headings of a Markdown page."""
    texts = (found[2] for found in _MARKDOWN_HEADING.finditer(_MARKDOWN_CODE.sub(blanked, text)))
    return {re.sub(r"[^\w\- ]", "", each.strip().lower()).replace(" ", "-") for each in texts}


def lineAt(text: str, index: int) -> int:
    """The number of the line at an index."""
    return text.count("\n", 0, index) + 1


def complaints(root: Path) -> Iterator[str]:
    """Everything that is wrong below `root`, each as ``file:line: complaint``."""
    docs = root / "docs"
    pages: dict[str, str] = {}
    for path in sources(root):
        name = path.relative_to(root).as_posix()
        text = path.read_text("utf-8")
        found = list(phrases(text))
        if path.suffix == ".rst" and docs in path.parents:
            pages[name] = text
            found += pageLinks(path, docs, text)
        elif path.suffix == ".md":
            found += markdownLinks(path, root, text)
        yield from (f"{name}:{line}: {complaint}" for line, complaint in sorted(found))
    for name, line, complaint in titles(pages):
        yield f"{name}:{line}: {complaint}"


def main() -> int:
    found = list(complaints(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT))
    print("".join(f"{each}\n" for each in found), end="", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
