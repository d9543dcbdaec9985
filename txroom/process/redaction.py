"""
Cuts secrets out of texts that are logged: queries of URLs, which may have tokens, and what follows words such
as "Bearer" and "password".

A text may have been quoted, escaped or encoded in any way, and clients choose a part of it. So it is cut off
rather too much than too little, and everything takes linear time.
"""

from __future__ import annotations

import re

#: A word with a question mark.
_ASKING = re.compile(r"(?<!\S)[^\s?]*+\?\S++")
#: The word before the question mark, if the URL begins after an apostrophe and has no other.
_AFTER_APOSTROPHE = re.compile(r"[^/]*'(?:[\w+.-]++:/)?/[^']*+")
#: A query, which may have apostrophes: up to the next quote; after an apostrophe, up to the next one that
#: looks like the end of a Python string.
_QUERY = re.compile(r'(?:\\+.?|[^"\\])*')
_QUERY_AFTER_APOSTROPHE = re.compile(r"(?:\\+.?|[^'\\]|'(?![,:;>\]}\"]|\Z))*")

_REDACTIONS = (
    # The password of a URL.
    (re.compile(r"(://[^\s/:@\"]*+):[^\s/\"]+@"), r"\1:...@"),
    # The header "Authorization".
    (
        re.compile(
            r"(?:(?<=')(Bearer|Basic)[ ]++(?:\\+.?|[^\s'\\])+|\b(Bearer|Basic)[ ]++(?:\\+.?|[^\s\"\\])+)",
            re.IGNORECASE,
        ),
        r"\1\2 ...",
    ),
    # Fields: in quotes, which may be escaped, up to the closing quote.
    (
        re.compile(
            r"(?:\b|(?<=[_a-z]))(token|secret|passw(?:or)?d|api[-_]?key)(\\*[\"']?\s*+[=:]\s*+)"
            r"(?:(b?)(\\*[\"'])(?:(?!(?<!\\)\4).)*|[^\s,;&\"]+)",
            re.IGNORECASE | re.DOTALL,
        ),
        r"\1\2\3\4...",
    ),
)


def redacted(text: str) -> str:
    """Return a text without queries, and without what looks like a secret."""
    text = _ASKING.sub(_withoutQueries, text)
    for pattern, replacement in _REDACTIONS:
        text = pattern.sub(replacement, text)
    return text


def _withoutQueries(found: re.Match[str]) -> str:
    """Return a word without the queries of the URLs in it: of what has a slash before the question mark."""
    word, at, parts = found[0], 0, []
    while (mark := word.find("?", at)) >= 0:
        url, end = word[_afterQuote(word, at, mark) : mark], mark + 1
        if "/" in url:
            pattern = _QUERY_AFTER_APOSTROPHE if _AFTER_APOSTROPHE.fullmatch(url) else _QUERY
            query = pattern.match(word, end)
            end = end if query is None else query.end()
        parts += [word[at : mark + 1], "..." if end > mark + 1 else ""]
        at = end
    return "".join(parts) + word[at:]


def _afterQuote(word: str, start: int, end: int) -> int:
    """Return where a part of a word goes on after its last quote that isn't escaped."""
    while (quote := word.rfind('"', start, end)) > 0 and word[quote - 1] == "\\":
        end = quote
    return max(start, quote + 1)
