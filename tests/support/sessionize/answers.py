"""What a double of Sessionize serves: saved answers, synthetic conferences, a test's own."""

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
    """What becomes of the connection once all that is to be sent has been sent."""

    WHOLE = "whole"
    """The answer is complete; the connection serves the next request."""
    CLOSE = "close"
    """It is closed."""
    RESET = "reset"
    """It is torn down; what the client has not read yet may be lost."""
    HANG = "hang"
    """It stays open, and nothing more is said until the client goes away."""


class Delivery(NamedTuple):
    """How an answer goes out. As it stands: at once, whole, and as the head says."""

    head_after_seconds: float = 0.0
    has_head: bool = True
    """Without a head there is no body either: together with `Ending.HANG`, no answer at all."""
    times: int = 1
    """The body is sent so many times on end: more bytes than one would hold in memory."""
    piece_bytes: int = 256 * 1024
    """The body goes out in pieces of at most so many bytes."""
    pause_seconds: float = 0.0
    """Before every piece of the body."""
    body_bytes: int | None = None
    """Only so many bytes of the body are sent."""
    content_length: int | None = None
    """What the head says of the body's length, right or wrong."""
    ending: Ending = Ending.WHOLE
    """`WHOLE` is `CLOSE` where the bytes sent are not as many as the head says."""


AT_ONCE = Delivery()


class Answer(NamedTuple):
    """An answer as it goes out; length and date are added."""

    body: bytes
    status: int = 200
    content_type: str = JSON
    headers: Mapping[str, str] = MappingProxyType({})
    delivery: Delivery = AT_ONCE


def page(status: int, heading: str) -> Answer:
    """A page of HTML, which Sessionize sends when it has no schedule to send."""
    return Answer(*saved_page(status, heading))


_ONLY_GET = Answer(*ONLY_GET, headers={"Allow": "GET"})
_UNREADABLE = page(500, "The file cannot be read")


def api_id_of(stem: str) -> str:
    """The API ID under which the file `{stem}.json` is served; the same everywhere.

    `abcd1234` and `all-abcd1234` are served as `abcd1234`. Any other name gives an id of 12: the
    first six of its letters and digits, and the beginning of its digest.
    """
    stem = unicodedata.normalize("NFC", stem)
    name = stem.removeprefix("all-")
    if parse_api_id(name) == name:
        return name
    readable = re.sub(r"[^a-z0-9]", "", name.lower())[:6]
    digest = base64.b32encode(hashlib.sha256(stem.encode()).digest()).decode().lower()
    return (readable + digest)[:12]


class Documents:
    """What a double serves: the documents given, before a folder's, before the synthetic ones."""

    def __init__(
        self, given: Mapping[str, bytes] | None = None, *, folder: Path | None = None
    ) -> None:
        """List the `*.json` files of a folder; each is read again, byte for byte, when asked for.

        Raises:
            ValueError: an id is no API ID, or two files of the folder have the same.
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
        """Every id that is served, sorted."""
        return tuple(sorted(self._answers))

    def put(self, api_id: str, answer: Answer, *later: Answer) -> None:
        """Serve this from now on; with `later` ones, each once in turn, and the last from then on.

        Raises:
            ValueError: this is no API ID.
        """
        if parse_api_id(api_id) != api_id:
            raise ValueError(f"{api_id!r} is no API ID: 8 to 12 letters or digits")
        self._answers[api_id] = deque((answer, *later))

    async def answer(self, method: str, target: str) -> Answer:
        """What Sessionize would say; a file that has gone since is an unknown id."""
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
