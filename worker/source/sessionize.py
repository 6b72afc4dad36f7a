"""Fetching `view/All` from Sessionize: one request is one consistent snapshot of the schedule.

Limited in bytes and time. Temporary errors are retried a few times with jitter, Retry-After is
honoured, and redirects are not followed.
"""

import asyncio
import hashlib
import logging
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import NamedTuple

import httpx
import stamina

from contracts.error_text import describe_error
from contracts.events import Source
from contracts.outage_text import describe_outage, first_cause
from eventstore.model import SourceDocument
from messaging.observer import UNOBSERVED, Observer
from worker.rules import sync_failures
from worker.source.shared_fetch import SharedFetch
from worker.source.validators import HeldBodies

logger = logging.getLogger(__name__)

STAND_IN_HEADER = "spreaview-stand-in"
"""Only the sandbox's stand-in for Sessionize sends this header."""
_TEMPORARY = frozenset({408, 429})


class Fetched(NamedTuple):
    """A document: the body of an answer with status 200, or the cached one after a 304."""

    body: bytes
    source: Source

    @property
    def document(self) -> SourceDocument:
        """Return the document as the log stores it."""
        return SourceDocument(self.source.digest, self.body)


class FetchLimits(NamedTuple):
    """Limits of size and time."""

    max_bytes: int = 32 * 1024 * 1024
    attempt_seconds: float = 30.0
    """Limit of one attempt, from connecting to the last byte."""
    attempts: int = 3
    longest_wait_seconds: float = 30.0
    """A longer Retry-After ends the run, so that the organiser does not wait."""
    at_once: int = 32
    """Concurrent fetches."""


class Sessionize:
    """A client of one Sessionize API. Safe for concurrent use."""

    def __init__(
        self,
        client: httpx.AsyncClient,
        base_url: str,
        limits: FetchLimits,
        clock: Callable[[], datetime],
        observer: Observer = UNOBSERVED,
    ) -> None:
        self._client = client
        self._observer = observer
        self._base_url = base_url.rstrip("/")
        self._limits = limits
        self._clock = clock
        self._held = HeldBodies()
        self._shared = SharedFetch(self._fetch, limits.at_once)

    async def fetch(self, api_id: str, received: float) -> Fetched:
        """Return the document behind an API ID of letters and digits, byte for byte.

        Concurrent calls may share a fetch, but it began no earlier than `received` (a time of the
        monotonic clock).

        Raises:
            SyncFailure: with a code for the answer of Sessionize; `upstream_unavailable` after the
                last attempt, `response_too_large` beyond the limit.
        """
        if not _can_be_fetched(api_id):
            raise sync_failures.invalid_api_id()
        return await self._shared.get(api_id, received)

    def begin(self, api_id: str, received: float) -> None:
        """Begin to fetch what `fetch` will return for the same arguments within a few seconds."""
        if _can_be_fetched(api_id):
            self._shared.begin(api_id, received)

    async def _fetch(self, api_id: str) -> Fetched:
        url = f"{self._base_url}/{api_id}/view/All"
        try:
            async for attempt in stamina.retry_context(
                on=self._is_temporary,
                attempts=self._limits.attempts,
                timeout=None,
                wait_initial=0.5,
                wait_max=5.0,
                wait_jitter=0.5,
            ):
                with attempt, self._observer.upstream():
                    return await self._attempt(url)
        except _TemporaryFailure as failure:
            cause = f" ({describe_error(first_cause(failure))})" if failure.__cause__ else ""
            logger.warning(
                "a fetch failed: %s%s",
                *(failure.message, cause),
                extra={"component": "Sessionize", "code": failure.code, "reason": failure.message},
            )
            raise
        raise AssertionError("the last attempt raises")

    def _is_temporary(self, error: Exception) -> bool | float:
        """Whether to retry; the seconds to wait, if the answer has a Retry-After."""
        if not isinstance(error, _TemporaryFailure):
            return False
        if error.retry_after is None:
            return True
        return error.retry_after <= self._limits.longest_wait_seconds and error.retry_after

    async def _attempt(self, url: str) -> Fetched:
        held = self._held.get(url)
        fetched_at = self._clock()
        began = time.monotonic()
        try:
            async with (
                asyncio.timeout(self._limits.attempt_seconds),
                self._client.stream("GET", url, headers=held.headers if held else {}) as response,
            ):
                if held and response.status_code == httpx.codes.NOT_MODIFIED:
                    body = held.body
                else:
                    self._check_status(response)
                    body = await self._read(response)
                    self._held.keep(url, response, body)
        except TimeoutError as error:
            slow = sync_failures.upstream_too_slow(self._limits.attempt_seconds)
            raise _TemporaryFailure(slow) from error
        except httpx.TransportError as error:
            away = sync_failures.upstream_unavailable(describe_outage(error))
            raise _TemporaryFailure(away) from error
        except (httpx.DecodingError, httpx.InvalidURL) as error:
            raise sync_failures.unexpected_document(f"it cannot be decoded ({error})") from error
        return Fetched(
            body,
            Source(
                digest=hashlib.sha256(body).hexdigest(),
                size_bytes=len(body),
                fetched_at=fetched_at,
                fetch_ms=round((time.monotonic() - began) * 1000),
            ),
        )

    def _check_status(self, response: httpx.Response) -> None:
        status = response.status_code
        if status in _TEMPORARY or status >= 500:
            wait = _retry_after(response, self._clock())
            is_too_long = wait is not None and wait > self._limits.longest_wait_seconds
            busy = sync_failures.upstream_busy(status, wait if is_too_long else None)
            raise _TemporaryFailure(busy, wait)
        if status in (404, 410):
            if STAND_IN_HEADER in response.headers:
                raise sync_failures.unknown_to_the_stand_in(status)
            raise sync_failures.api_id_not_found(status)
        if status != 200:
            raise sync_failures.endpoint_rejected(status)
        if "," in response.headers.get("content-encoding", ""):
            # Each layer may expand a thousandfold, and only the last one is decoded in chunks.
            raise sync_failures.unexpected_document("it is compressed more than once", status)

    async def _read(self, response: httpx.Response) -> bytes:
        body = bytearray()
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > self._limits.max_bytes:
                raise sync_failures.response_too_large(self._limits.max_bytes)
        return bytes(body)


def _can_be_fetched(api_id: str) -> bool:
    """Whether it is one segment of the URL, whatever its text."""
    return api_id.isascii() and api_id.isalnum()


class _TemporaryFailure(sync_failures.SyncFailure):
    """`upstream_unavailable`, with the Retry-After of the answer if it had one."""

    def __init__(self, like: sync_failures.SyncFailure, retry_after: float | None = None) -> None:
        super().__init__(like.code, like.message, like.remedy, http_status=like.http_status)
        self.retry_after = retry_after


def _retry_after(response: httpx.Response, now: datetime) -> float | None:
    """Seconds to wait according to Retry-After: a number or a date."""
    value = response.headers.get("retry-after", "").strip()
    if value.isdecimal():
        return float(value) if len(value) < 10 else math.inf
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, OverflowError):  # the latter for an offset of many digits
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - now).total_seconds())
