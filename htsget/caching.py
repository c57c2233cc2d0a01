"""Finished answers that are likely to be asked for again."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["ByteCache"]

Value = TypeVar("Value")


class ByteCache(Generic[Value]):
    """The last used values, up to a number of bytes. For one thread, such as that of an event loop."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._held = 0
        self._values: OrderedDict[Hashable, tuple[Value, int]] = OrderedDict()

    def get(self, key: Hashable) -> Value | None:
        found = self._values.get(key)
        if found is None:
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: Hashable, value: Value, size: int) -> None:
        """``size`` in bytes, of the key too; what is larger than a sixteenth of all is not kept."""
        if size > self._limit >> 4:
            return
        known = self._values.pop(key, None)
        self._held += size - (known[1] if known is not None else 0)
        self._values[key] = value, size
        while self._held > self._limit:
            self._held -= self._values.popitem(last=False)[1][1]
