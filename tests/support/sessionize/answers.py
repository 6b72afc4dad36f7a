"""The answers of the tests' double: a test's own, a folder's documents, synthetic conferences."""

import asyncio
import base64
import hashlib
import logging
import re
import unicodedata
from collections import deque
from collections.abc import Iterable, Mapping
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from cli.sandbox.answers import (
    JSON,
    NO_SUCH_VIEW,
    NOT_FOUND,
    ONLY_GET,
    saved_page,
    synthetic_answers,
)
from contracts.messages import parse_api_id

logger = logging.getLogger(__name__)

_TARGET = re.compile(r"/api/v2/([A-Za-z0-9]+)/view/([^/?#]+)(?:\?.*)?")


class Ending(Enum):
    """The state of the connection after the last byte of the answer."""

    WHOLE = "whole"
    """The answer is complete; the connection serves the next request."""
    CLOSE = "close"
    """The connection is closed."""
    RESET = "reset"
    """The connection is reset; bytes that the client has not read yet may be lost."""
    HANG = "hang"
    """The connection stays open without another byte until the client closes it."""


class Delivery(NamedTuple):
    """The way an answer is sent; by default at once, complete and with a correct length."""

    head_after_seconds: float = 0.0
    has_head: bool = True
    """Without a head no body is sent either; with `Ending.HANG` no byte is sent."""
    times: int = 1
    """The body is repeated this many times, to send more bytes than fit into memory."""
    piece_bytes: int = 256 * 1024
    """The body is sent in pieces of at most this many bytes."""
    pause_seconds: float = 0.0
    """The pause before every piece of the body."""
    body_bytes: int | None = None
    """Send only this many bytes of the body."""
    content_length: int | None = None
    """The `Content-Length` header, right or wrong."""
    ending: Ending = Ending.WHOLE
    """`WHOLE` becomes `CLOSE` if the number of bytes sent differs from `Content-Length`."""


AT_ONCE = Delivery()


class Answer(NamedTuple):
    """A response; the double adds length and date."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: Mapping[str, str] = MappingProxyType({})
    """Their values are sent as Latin-1."""
    delivery: Delivery = AT_ONCE


def page(status: int, heading: str) -> Answer:
    """A page of HTML: Sessionize sends one instead of a schedule that it cannot send."""
    return Answer(*saved_page(status, heading))


_ONLY_GET = Answer(*ONLY_GET, headers={"Allow": "GET"})
_UNREADABLE = page(500, "The file cannot be read")


def api_id_of(stem: str) -> str:
    """The API ID under which the file `{stem}.json` is served, the same on every platform.

    `abcd1234` and `all-abcd1234` are served as `abcd1234`. Any other name gives an id of 12: the
    first six of its letters and digits, and the start of its digest.
    """
    stem = unicodedata.normalize("NFC", stem)
    name = stem.removeprefix("all-")
    if parse_api_id(name) == name:
        return name
    readable = re.sub(r"[^a-z0-9]", "", name.lower())[:6]
    digest = base64.b32encode(hashlib.sha256(stem.encode()).digest()).decode().lower()
    return (readable + digest)[:12]


class Documents:
    """The answers by API ID: given documents win over a folder's, and these over synthetic ones."""

    def __init__(
        self, given: Mapping[str, bytes] | None = None, *, folder: Path | None = None
    ) -> None:
        """List the `*.json` files of a folder; every request reads its file again, byte for byte.

        Raises:
            ValueError: an id is not an API ID, or two files of the folder have the same id.
            OSError: the folder cannot be listed.
        """
        self._answers: dict[str, deque[Answer] | Path] = {}
        for api_id, answer in synthetic_answers().items():
            self.put(api_id, Answer(*answer))
        self._answers |= _by_api_id(folder.iterdir()) if folder else {}
        for api_id, body in (given or {}).items():
            self.put(api_id, Answer(body))

    @property
    def api_ids(self) -> tuple[str, ...]:
        """Every API ID with an answer, sorted."""
        return tuple(sorted(self._answers))

    def put(self, api_id: str, answer: Answer, *later: Answer) -> None:
        """Replace the answer; with `later` answers, send each once in turn and repeat the last.

        Raises:
            ValueError: `api_id` is not an API ID.
        """
        if parse_api_id(api_id) != api_id:
            raise ValueError(f"{api_id!r} is no API ID: 8 to 12 letters or digits")
        self._answers[api_id] = deque((answer, *later))

    async def answer(self, method: str, target: str) -> Answer:
        """The answer to a request; the API ID of a deleted file is unknown."""
        asked = _TARGET.fullmatch(target)
        found = self._answers.get(asked[1]) if asked else None
        if asked is None or found is None:
            return Answer(*NOT_FOUND)
        if method != "GET":
            return _ONLY_GET
        if asked[2] != "All":
            return Answer(*NO_SUCH_VIEW)
        if isinstance(found, deque):
            return found.popleft() if len(found) > 1 else found[0]
        try:
            return Answer(await asyncio.to_thread(found.read_bytes))
        except FileNotFoundError:
            return Answer(*NOT_FOUND)
        except OSError:
            logger.exception("cannot serve %s", found)
            return _UNREADABLE


def _by_api_id(files: Iterable[Path]) -> dict[str, Path]:
    listed: dict[str, Path] = {}
    for file in sorted(files):
        if file.suffix != ".json" or not file.is_file():
            continue
        other = listed.setdefault(api_id_of(file.stem), file)
        if other is not file:
            raise ValueError(f"{other.name} and {file.name} would be served under the same API ID")
    return listed
