"""Conditional requests: send the validators of a body only while that body is in the cache."""

from collections import OrderedDict
from typing import NamedTuple

import httpx

_MOST_BYTES = 64 * 1024 * 1024


class Held(NamedTuple):
    """A cached body with its validators."""

    body: bytes
    headers: dict[str, str]
    """Request headers: If-None-Match, If-Modified-Since."""


class HeldBodies:
    """The latest bodies by URL, up to 64 MiB in total."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._bytes = 0

    def get(self, url: str) -> Held | None:
        """Return the cached body of a URL, if there is one."""
        return self._held.get(url)

    def keep(self, url: str, response: httpx.Response, body: bytes) -> None:
        """Replace the cached body of a URL.

        A body is not cached without validators, nor with one that a request cannot carry: httpx
        encodes request headers as ASCII, and an answer may have other bytes.
        """
        self._drop(url)
        validators = {
            "If-None-Match": response.headers.get("etag"),
            "If-Modified-Since": response.headers.get("last-modified"),
        }
        headers = {name: value for name, value in validators.items() if value}
        are_sendable = all(value.isascii() and value.isprintable() for value in headers.values())
        if headers and are_sendable and len(body) <= _MOST_BYTES:
            self._held[url] = Held(body, headers)
            self._bytes += len(body)
            while self._bytes > _MOST_BYTES:
                self._drop(next(iter(self._held)))

    def _drop(self, url: str) -> None:
        dropped = self._held.pop(url, None)
        self._bytes -= len(dropped.body) if dropped else 0
