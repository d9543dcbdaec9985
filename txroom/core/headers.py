"""
HTTP headers and queries: several values for a name, and case that does not matter.
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


#: What the answer itself decides; a hook that sets one of these is mistaken.
_OURS = frozenset({"connection", "upgrade", "content-length", "transfer-encoding"})


#: One string for each common name, whoever sends it. Not `sys.intern`: the client chooses the names.
_COMMON_NAMES = """
    accept accept-encoding accept-language authorization cache-control connection cookie dnt host origin
    pragma sec-fetch-dest sec-fetch-mode sec-fetch-site sec-websocket-extensions sec-websocket-key
    sec-websocket-protocol sec-websocket-version upgrade user-agent x-forwarded-for x-forwarded-proto
"""


_COMMON = {name: name for name in _COMMON_NAMES.split()}


#: So many pairs are looked through as fast as an index is built, and take less memory.
FEW = 32


class MultiDict(Mapping[str, str]):
    """
    An immutable mapping in which a name may have several values, in the order they came.

    `mapping[name]` and `get` give the first value, `getAll` gives all, `items` of the mapping lists
    each name once; `pairs` is everything.
    """

    __slots__ = ("_byName", "pairs")

    #: How names are compared.
    _fold: Callable[[str], str] = staticmethod(str)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self.pairs: tuple[tuple[str, str], ...] = tuple(pairs)
        self._byName: dict[str, list[str]] | None = None

    def getAll(self, name: str) -> list[str]:
        """Every value of `name`; an empty list if there is none."""
        name = self._fold(name)
        if len(self.pairs) > FEW:
            return list(self._index().get(name, ()))
        return [value for other, value in self.pairs if other == name]

    def _index(self) -> dict[str, list[str]]:
        """The values by name: who looks for each of many names doesn't look at all pairs each time."""
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
        """The first value of `name`, or `default`."""
        name = self._fold(name)
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
        return len({name for name, _ in self.pairs})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({list(self.pairs)!r})"


class Headers(MultiDict):
    """
    Header fields: a `MultiDict` whose names are compared without regard to case (RFC 9110 §5.1).

    They are kept in lower case.
    """

    __slots__ = ()

    _fold = staticmethod(str.lower)

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        super().__init__([(_COMMON.get(low := name.lower(), low), value) for name, value in pairs])

    def listed(self, name: str) -> list[str]:
        """The members of a comma-separated list, over all fields of that name, empty ones left out."""
        values = self.getAll(name)
        if not values:
            return values
        return [member for value in values for part in value.split(",") if (member := part.strip(" \t"))]


def checkedHeaders(headers: HeaderPairs) -> tuple[tuple[str, str], ...]:
    """
    The pairs of `headers`, if each may stand in an answer.

    Raises `ValueError` for a name that is no token, a value with control characters or outside
    latin-1, and for what only the handshake itself may say (Connection, Sec-WebSocket-*, ...).
    """
    pairs = tuple(headers.items() if isinstance(headers, Mapping) else headers)
    for name, value in pairs:
        if not TOKEN.fullmatch(name):
            raise ValueError(f"not a header name: {name!r}")
        if _CONTROL.search(value):
            raise ValueError(f"control character in the value of {name}: {value!r}")
        if name.lower() in _OURS or name.lower().startswith("sec-websocket-"):
            raise ValueError(f"{name} is set by the handshake")
        value.encode("latin-1")
    return pairs
