"""
HTTP headers and query parameters: mappings with several values for a name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, TypeVar, overload

Default = TypeVar("Default")


HeaderPairs = Mapping[str, str] | Iterable[tuple[str, str]]


#: RFC 9110 §5.6.2.
TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")


_CONTROL = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


#: Headers that the handshake sets itself. A hook that returns one of these has a bug.
_OURS = frozenset({"connection", "upgrade", "content-length", "transfer-encoding"})


#: One shared string for each common name. `sys.intern` would keep any name that a client makes up.
_COMMON_NAMES = """
    accept accept-encoding accept-language authorization cache-control connection cookie dnt host origin
    pragma sec-fetch-dest sec-fetch-mode sec-fetch-site sec-websocket-extensions sec-websocket-key
    sec-websocket-protocol sec-websocket-version upgrade user-agent x-forwarded-for x-forwarded-proto
"""


_COMMON = {name: name for name in _COMMON_NAMES.split()}


#: Up to this many pairs a linear search is as fast as building an index, and takes less memory.
FEW = 32


class MultiDict(Mapping[str, str]):
    """
    An immutable mapping in which a name may have several values, in the order in which they were given.

    `mapping[name]` and `get` return the first value, and `getAll` returns all values. Iteration yields each
    name once. `pairs` has all names and values.

    Args:
        pairs: The names and values.
    """

    __slots__ = ("_byName", "_first", "pairs")

    #: Normalizes a name for comparison.
    _fold: Callable[[str], str] = staticmethod(str)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self.pairs: tuple[tuple[str, str], ...] = tuple(pairs)
        self._byName: dict[str, list[str]] | None = None
        self._first: dict[str, str] | None = None

    def index(self) -> Mapping[str, str]:
        """Return the first values by name, and use them for look-ups until `compact` frees their memory."""
        self._first = dict(reversed(self.pairs))
        return self._first

    def compact(self) -> None:
        """Free the memory of `index`."""
        self._first = None

    def getAll(self, name: str) -> list[str]:
        """Return all values of a name; an empty list if there are none."""
        name = self._fold(name)
        if self._first is not None and name not in self._first:
            return []
        if len(self.pairs) > FEW:
            return list(self._index().get(name, ()))
        return [value for other, value in self.pairs if other == name]

    def _index(self) -> dict[str, list[str]]:
        """
        Return the values by name. With many pairs, a caller that looks up many names would otherwise be slow.
        """
        if self._byName is None:
            self._byName = {}
            for name, value in self.pairs:
                self._byName.setdefault(name, []).append(value)
        return self._byName

    @overload
    def get(self, name: str, /) -> str | None: ...
    @overload
    def get(self, name: str, /, default: str | Default) -> str | Default: ...
    def get(self, name: str, /, default: Any = None) -> Any:
        """Return the first value of a name, or `default` if it has none."""
        name = self._fold(name)
        if self._first is not None:
            return self._first.get(name, default)
        if len(self.pairs) > FEW:
            return self._index().get(name, (default,))[0]
        for other, value in self.pairs:
            if other == name:
                return value
        return default

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.get(name) is not None

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(name for name, _ in self.pairs))

    def __len__(self) -> int:
        return len({name for name, _ in self.pairs} if self._first is None else self._first)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.pairs)!r})"


class Headers(MultiDict):
    """
    Header fields: a `MultiDict` whose names are compared without regard to case (RFC 9110 §5.1).

    Names are stored in lower case, and values without surrounding spaces and tabs (RFC 9110 §5.5).
    """

    __slots__ = ()

    _fold = staticmethod(str.lower)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__(
            [(_COMMON.get(low := name.lower(), low), value.strip(" \t")) for name, value in pairs]
        )

    def listed(self, name: str) -> list[str]:
        """Return the members of a comma-separated list, from all fields of that name, without empty ones."""
        values = self.getAll(name)
        if not values:
            return values
        return [member for value in values for part in value.split(",") if (member := part.strip(" \t"))]


def checkedHeaders(headers: HeaderPairs) -> tuple[tuple[str, str], ...]:
    """
    Check headers for an answer.

    Args:
        headers: The headers, as a mapping or as pairs.

    Returns:
        The pairs.

    Raises:
        ValueError: A name is not a token, a value has control characters or characters outside latin-1, or a
            header is one that the handshake sets (Connection, Sec-WebSocket-* and others).
    """
    pairs = tuple(headers.items() if isinstance(headers, Mapping) else headers)
    for name, value in pairs:
        if not TOKEN.fullmatch(name):
            raise ValueError(f"header {name!r}: the name must be a token (RFC 9110 §5.6.2)")
        if _CONTROL.search(value):
            raise ValueError(f"header {name}: {value!r} has a control character")
        if name.lower() in _OURS or name.lower().startswith("sec-websocket-"):
            raise ValueError(f"header {name}: can't be given, because the handshake sets it")
        value.encode("latin-1")
    return pairs
