"""Conditional requests: validators are sent only while the body they speak of is still held."""

from collections import OrderedDict
from typing import NamedTuple

import httpx

_MOST_BYTES = 64 * 1024 * 1024


class Held(NamedTuple):
    """A body and what its server said of its version."""

    body: bytes
    headers: dict[str, str]
    """To be sent: If-None-Match, If-Modified-Since."""


class HeldBodies:
    """The bodies of late, by URL: 64 MiB of them at most."""

    def __init__(self) -> None:
        self._held: OrderedDict[str, Held] = OrderedDict()
        self._bytes = 0

    def get(self, url: str) -> Held | None:
        """What is held, if anything is."""
        return self._held.get(url)

    def keep(self, url: str, response: httpx.Response, body: bytes) -> None:
        """Hold a body whose answer has validators; what was held of this URL is dropped."""
        self._drop(url)
        validators = {
            "If-None-Match": response.headers.get("etag"),
            "If-Modified-Since": response.headers.get("last-modified"),
        }
        headers = {name: value for name, value in validators.items() if value}
        if headers and len(body) <= _MOST_BYTES:
            self._held[url] = Held(body, headers)
            self._bytes += len(body)
            while self._bytes > _MOST_BYTES:
                self._drop(next(iter(self._held)))

    def _drop(self, url: str) -> None:
        dropped = self._held.pop(url, None)
        self._bytes -= len(dropped.body) if dropped else 0
