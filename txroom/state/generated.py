"""Functions that encodings generate for a `State` class, and the rule for when that is worth it."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any

#: The functions that are kept for a class; further sets of fields are encoded field by field.
MAX_GENERATED = 1024
#: So many objects are encoded field by field before a function is generated: that takes about as long.
MIN_ROWS = 32


class Generated:
    """
    The functions that encodings have generated for one class.

    All rooms of the process share them, and they go with the class.
    """

    def __init__(self) -> None:
        #: The functions that encode a set of fields.
        self.rows: dict[Hashable, Any] = {}
        #: The functions that encode one field.
        self.columns: dict[Hashable, Any] = {}
        #: How many objects were encoded without a function, by what the function would be for.
        self._missed: dict[Hashable, int] = {}

    def rowsFor(self, key: Hashable, count: int, make: Callable[[], Any]) -> Any:
        """
        Return the function for a set of fields; None: it isn't used often enough to generate it.

        @param key: the encoding, the set of fields, and whatever else the function depends on.
        @param count: for how many objects it is needed now.
        @param make: generates it.
        """
        found = self.rows.get(key)
        if found is not None or len(self.rows) >= MAX_GENERATED:
            return found
        count += self._missed.pop(key, 0)
        if count >= MIN_ROWS:
            found = self.rows[key] = make()
        else:
            if len(self._missed) >= MAX_GENERATED:
                self._missed.clear()
            self._missed[key] = count
        return found

    def column(self, key: Hashable, make: Callable[[], Any]) -> Any:
        """Return the function for one field, which is generated when it is needed first."""
        found = self.columns.get(key)
        if found is None:
            found = self.columns[key] = make()
        return found
