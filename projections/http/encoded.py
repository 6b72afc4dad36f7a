"""Encoded answers: each body is encoded and compressed once, and kept while memory allows."""

import gzip
from collections import OrderedDict
from collections.abc import Hashable
from typing import NamedTuple

_LEAST_TO_COMPRESS = 1024
_OVERHEAD = 512
"""Bytes that an entry takes besides its bodies, about."""


class Encoded(NamedTuple):
    """An answer as bytes."""

    body: bytes
    gzipped: bytes | None
    """None if the body is too short to gain from it."""

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        return len(self.body) + len(self.gzipped or b"") + _OVERHEAD


def encoded(body: bytes) -> Encoded:
    """Compress a body, if it is long enough."""
    gzipped = gzip.compress(body, 5, mtime=0) if len(body) >= _LEAST_TO_COMPRESS else None
    return Encoded(body, gzipped)


class EncodedCache:
    """The answers that were used last, bounded in bytes.

    A key names the version that the answer shows, so an entry is never stale, only unused.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: OrderedDict[Hashable, Encoded] = OrderedDict()
        self._bytes = 0

    @property
    def size(self) -> int:
        """Bytes that the entries take."""
        return self._bytes

    def get(self, key: Hashable) -> Encoded | None:
        """Return an answer, and count it as used."""
        found = self._entries.get(key)
        if found is not None:
            self._entries.move_to_end(key)
        return found

    def put(self, key: Hashable, answer: Encoded) -> None:
        """Keep an answer; drop the ones unused for longest until all fit."""
        if (replaced := self._entries.pop(key, None)) is not None:
            self._bytes -= replaced.size
        self._entries[key] = answer
        self._bytes += answer.size
        while self._bytes > self._max_bytes:
            _, dropped = self._entries.popitem(last=False)
            self._bytes -= dropped.size

    def clear(self) -> None:
        """Drop everything: an erasure leaves no page in memory that may hold the person."""
        self._entries.clear()
        self._bytes = 0
