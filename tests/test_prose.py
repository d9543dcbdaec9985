"""The check of words, titles and links that `make lint` runs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any
from unittest import SkipTest

from twisted.trial.unittest import SynchronousTestCase

ROOT = Path(__file__).resolve().parents[1]
SCRIPT = ROOT / "scripts" / "prose.py"

if not SCRIPT.is_file():
    raise SkipTest("the scripts aren't here")


def load() -> Any:
    """The script as a module."""
    spec = importlib.util.spec_from_file_location("prose", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


prose = load()

INDEX = """
Index
=====

:doc:`presence`, :doc:`/presence`, :doc:`a page <presence>`,
`a page <presence.rst>`__, `a heading <presence.rst#x>`__
"""
PAGE = "Presence\n========\n\nMembers see one another.\n"


class ProseTestCase(SynchronousTestCase):
    """A folder with files, and the complaints of the script about them."""

    def setUp(self) -> None:
        self.root = Path(self.mktemp())
        self.root.mkdir()

    def complaints(self, **files: str) -> list[str]:
        """The complaints about files; ``docs__index_rst`` is docs/index.rst."""
        for name, text in files.items():
            path = self.root / ".".join(name.replace("__", "/").rsplit("_", 1))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return list(prose.complaints(self.root))


class PhraseTests(ProseTestCase):
    """Phrases that must not occur."""

    def test_found(self) -> None:
        """Each complaint has the file, the line and what to write instead."""
        found = self.complaints(txroom__wire_py="# Paused:\n# The silence is ours.\n")
        instead = "that reading is paused, and what follows from it"
        self.assertEqual(found, [f'txroom/wire.py:2: "The silence is ours": write {instead}'])

    def test_acrossLines(self) -> None:
        """A phrase is found across the end of a line, in comments and in pages."""
        for text in ("# the silence\n# is ours\n", "the\nsilence is ours", "  // the silence is\n  // ours"):
            self.assertEqual(len(self.complaints(txroom__x_py=text)), 1, text)

    def test_who(self) -> None:
        """A client is called a client; questions, names and relative clauses are left alone."""
        wrong = (
            '"""Who leaves is told."""',
            "# who has left\n",
            "It is kept; who is away gets it.",
            "for who asks",
        )
        for text in wrong:
            self.assertEqual(len(self.complaints(txroom__x_py=text)), 1, text)
        right = (
            '"""Who is here?"""',
            "for who in range(3):",
            "clients who left",
            "data.who is None",
            "asks who is there",
        )
        for text in right:
            self.assertEqual(self.complaints(txroom__x_py=text), [], text)

    def test_otherWords(self) -> None:
        """Words that only contain a phrase are ignored."""
        self.assertEqual(self.complaints(txroom__x_py="bathe silence is ours"), [])

    def test_skipped(self) -> None:
        """Files of others are not read, nor are the files that define the phrases."""
        phrase = "the silence is ours"
        found = self.complaints(
            tests__node_modules__x_js=phrase, scripts__prose_py=phrase, txroom__image_svg=phrase
        )
        self.assertEqual(found, [])


class TitleTests(ProseTestCase):
    """Titles of pages."""

    def test_right(self) -> None:
        """One title, and sections below it."""
        text = f"{PAGE}\nCosts\n-----\n\nTables\n~~~~~~\n"
        self.assertEqual(self.complaints(docs__presence_rst=text), [])

    def test_missing(self) -> None:
        """A page without a title is reported."""
        found = self.complaints(docs__presence_rst="Members see one another.\n")
        self.assertEqual(found, ["docs/presence.rst:1: the page has no title"])

    def test_second(self) -> None:
        """A page with two titles is reported."""
        found = self.complaints(docs__presence_rst=f"{PAGE}\nCosts\n=====\n")
        self.assertEqual(found, ['docs/presence.rst:6: "Costs" is a second title; use another underline'])

    def test_twice(self) -> None:
        """Two pages with the same title are reported."""
        found = self.complaints(docs__a_rst=PAGE, docs__b_rst=PAGE)
        self.assertEqual(found, ['docs/b.rst:1: "Presence" is the title of docs/a.rst too'])

    def test_heading(self) -> None:
        """A heading that ends like a sentence is reported."""
        found = self.complaints(docs__presence_rst=f"{PAGE}\nCosts:\n------\n")
        self.assertEqual(
            found, ['docs/presence.rst:6: the heading "Costs:": write no punctuation at its end']
        )

    def test_riddle(self) -> None:
        """A title, or a heading, that nobody would search for."""
        text = "When it is lost\n===============\n\nWho is away\n-----------\n\nWhen then\n---------\n"
        found = self.complaints(docs__recovery_rst=text)
        instead = "write the word that people search for, such as"
        self.assertEqual(
            found,
            [
                f'docs/recovery.rst:1: the heading "When it is lost": {instead} Recovery or Validation',
                f'docs/recovery.rst:4: the heading "Who is away": {instead} Presence or Authentication',
            ],
        )


class LinkTests(ProseTestCase):
    """Links to files, pages and headings."""

    def test_right(self) -> None:
        """Links to existing files and headings are accepted; links to the web are not checked."""
        found = self.complaints(
            docs__index_rst=INDEX,
            docs__presence_rst=PAGE,
            README_md=(
                "[docs](docs/presence.rst) [run](CONTRIBUTING.md#set-up) [below](#below)\n"
                "[web](https://example.org/nothing) `docs/presence.rst`\n\n## Below\n"
            ),
            CONTRIBUTING_md="## Set up\n\n    `docs/no-file`\n",
        )
        self.assertEqual(found, [])

    def test_missing(self) -> None:
        """Links to missing files and headings are reported."""
        found = self.complaints(
            docs__presence_rst=f"{PAGE}\n:doc:`nowhere`, `x <no.rst>`__\n\n.. literalinclude:: nothing.py\n",
            README_md="[docs](docs/nothing.rst)\n[here](#nothing)\n`scripts/nothing.py`\n",
        )
        self.assertEqual(
            found,
            [
                "README.md:1: there is no file docs/nothing.rst",
                "README.md:2: README.md has no heading #nothing",
                "README.md:3: there is no file scripts/nothing.py",
                "docs/presence.rst:6: there is no file no.rst",
                "docs/presence.rst:6: there is no page nowhere",
                "docs/presence.rst:8: there is no file nothing.py",
            ],
        )
