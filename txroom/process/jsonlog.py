"""
The log as JSON: one line for each event, with the connection, the room and the user that it is about.

Secrets are cut out of all texts: queries of URLs, which may have tokens, and what follows words such as
"Bearer" and "password". Nothing that txroom logs has a secret, but what applications log may.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from math import isfinite
from typing import Any

from twisted.logger import FileLogObserver, LogEvent, LogLevel, formatEvent, globalLogPublisher
from twisted.python.failure import Failure

from ..rooms.hooks import currentOwner
from .logs import FIELDS, TEXT, TRACEBACK
from .twistedlogger import observersOf, unfiltered

#: The names of fields, by the keys of events.
_FIELDS = {
    "life": "event",
    "connection": "connection",
    "room": "room",
    "name": "name",
    "member": "member",
    "user": "user",
    "reason": "reason",
    "node": "node",
    "peer": "peer",
    "path": "path",
    "status": "status",
    "trace": "trace",
    "worker": "worker",
}
#: The most characters of a text.
MOST_TEXT = 32 * 1024
_REDACTIONS = (
    # Possessive, so that a long text with many slashes takes linear time.
    (re.compile(r"(?<![^\s\"'?])([^\s\"'?/]*+/[^\s\"'?]*+)\?[^\s\"']+"), r"\1?..."),
    (re.compile(r"(://[^\s/:@\"']*):[^\s/@\"']+@"), r"\1:...@"),
    (re.compile(r"\b(Bearer|Basic) +[\w+/=.~-]+", re.IGNORECASE), r"\1 ..."),
    (
        re.compile(
            r"(?:\b|(?<=[_a-z]))(token|secret|passw(?:or)?d|api[-_]?key)([\"']?\s*[=:]\s*[\"']?)[^\s,;&\"']+",
            re.IGNORECASE,
        ),
        r"\1\2...",
    ),
)


def redacted(text: str) -> str:
    """Return a text without queries, and without what looks like a secret."""
    for pattern, replacement in _REDACTIONS:
        text = pattern.sub(replacement, text)
    return text


def fieldsOf(event: Mapping[str, Any]) -> dict[str, Any]:
    """
    Return what an event is about, as plain data.

    What a hook of a room logs is about that room, also if it doesn't say so: unless the hook has waited for a
    Deferred with callbacks, in which nothing is known of the room.
    """
    fields = {name: _plain(event[key]) for key, name in _FIELDS.items() if event.get(key) is not None}
    fields.update(event.get(FIELDS) or {})
    owner: Any = currentOwner.get()
    if owner is not None and "room" not in fields:
        fields["room"], fields["name"] = owner.id, owner.name
    return fields


def _plain(value: Any) -> Any:
    if isinstance(value, bool | int) or (isinstance(value, float) and isfinite(value)):
        return value
    try:
        text = str(value)[:MOST_TEXT]
    except Exception:
        text = f"({type(value).__name__} without a text)"
    return redacted(text.encode("utf-8", "backslashreplace").decode())


def asJSON(event: LogEvent) -> str:
    """Return the line of an event, with its end; empty if it has no text."""
    text = event.get(TEXT)
    if text is None:
        text = formatEvent(event)
    failure = event.get("log_failure")
    traceback = failure.getTraceback() if isinstance(failure, Failure) else event.get(TRACEBACK)
    if not text and not traceback:
        return ""
    level = event.get("log_level") or LogLevel.info
    record: dict[str, Any] = {
        "time": datetime.fromtimestamp(event.get("log_time") or 0.0, UTC).isoformat(timespec="microseconds"),
        "level": level.name,
        "logger": str(event.get("log_namespace") or "-"),
        "message": redacted(text[:MOST_TEXT]),
        **fieldsOf(event),
    }
    if traceback:
        record["traceback"] = redacted(traceback[-MOST_TEXT:])
    return json.dumps(record) + "\n"


def logAsJSON() -> None:
    """Let all observers that write the log to files or to the standard output write JSON."""
    for observer in map(unfiltered, observersOf(globalLogPublisher)):
        if isinstance(observer, FileLogObserver):
            observer.formatEvent = asJSON
