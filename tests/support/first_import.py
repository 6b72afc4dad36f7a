"""The first import of one answer of Sessionize: fetched over real HTTP, read and decided."""

import json
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any, NamedTuple

from cli.connections import http_client
from contracts.codec import JsonObject
from contracts.events import ImportEvent, SessionImported, SyncCompleted, SyncFailed
from tests.support.documents import WINDOW, document, talk
from tests.support.line import a_request
from tests.support.sessionize.answers import Answer, Delivery, page
from worker.rules.command import check_request
from worker.rules.state import State
from worker.source.sessionize import FetchLimits, Sessionize
from worker.sync.run import decide_run

API_ID = "s3cretid42"
NOW = datetime(2026, 5, 20, 12, tzinfo=UTC)
"""The time for `Retry-After`."""
LIMITS = FetchLimits(
    max_bytes=1024 * 1024, attempt_seconds=20, attempts=1, longest_wait_seconds=2.5
)
TWO_ATTEMPTS = LIMITS._replace(attempts=2)
ONE_SECOND = LIMITS._replace(attempt_seconds=1.0)
SLACK_SECONDS = 5.0
"""Allowed beyond the limits, because the machine may be busy."""

GOOD = document(talk("1"), talk("2", "2026-05-28T11:00:00"))


class Run(NamedTuple):
    """The events of a run's outcome, and its duration."""

    outcome: Sequence[ImportEvent]
    seconds: float

    @property
    def failed(self) -> SyncFailed:
        (event,) = self.outcome
        assert isinstance(event, SyncFailed), event
        return event

    @property
    def completed(self) -> SyncCompleted:
        event = self.outcome[-1]
        assert isinstance(event, SyncCompleted), event
        return event

    @property
    def sessions(self) -> list[str]:
        """The ids of the imported sessions."""
        assert isinstance(self.outcome[-1], SyncCompleted), self.outcome
        return [e.sessionize_id for e in self.outcome if isinstance(e, SessionImported)]


@asynccontextmanager
async def fetching(base_url: str, limits: FetchLimits = LIMITS) -> AsyncIterator[Sessionize]:
    """A client of Sessionize that keeps its connections and validators while the block runs."""
    async with http_client("1.2.3") as client:
        yield Sessionize(client, base_url, limits, lambda: NOW)


async def import_first(sessionize: Sessionize) -> Run:
    """Decide the first import of `API_ID`."""
    began = time.monotonic()
    decided = await decide_run(
        sessionize,
        State(),
        check_request(a_request(API_ID, WINDOW), b"k" * 32),
        ordered_at=NOW,
        began=began,
        received=began,
    )
    return Run(decided.events, time.monotonic() - began)


async def import_from(base_url: str, limits: FetchLimits = LIMITS) -> Run:
    """Decide the first import of `API_ID` with a client of its own."""
    async with fetching(base_url, limits) as sessionize:
        return await import_first(sessionize)


def assert_failed(failed: SyncFailed, code: str, status: int | None, base_url: str) -> None:
    """Check a failure and what it shows to people: whole sentences, no secret and no address."""
    is_retryable, remedy = _REMEDIES[code]
    assert (failed.code, failed.http_status, failed.retryable) == (code, status, is_retryable)
    assert remedy in failed.remedy
    for text in (failed.message, failed.remedy):
        assert len(text) > 20
        assert text.endswith(".")
        for secret in (API_ID, base_url, "http://", "https://", "127.0.0.1", "Traceback"):
            assert secret not in text


_REMEDIES = {
    # code: (is a later attempt worth it, part of the remedy)
    "api_id_not_found": (False, "compare the API ID"),
    "endpoint_not_json": (False, "set its format to JSON"),
    "endpoint_rejected": (False, "it must be enabled"),
    "response_too_large": (False, "SPREAVIEW_MAX_DOCUMENT_BYTES"),
    "schedule_empty": (False, "check that sessions are accepted"),
    "schedule_not_announced": (False, "Announce the schedule"),
    "unexpected_document": (True, "try again in a few minutes"),
    "upstream_unavailable": (True, "Sync again"),
}


def encoded(source: JsonObject) -> bytes:
    return json.dumps(source, ensure_ascii=False).encode()


def schedule(source: JsonObject, **fields: Any) -> Answer:
    """An answer with a document; `fields` are further fields of `Answer`."""
    return Answer(encoded(source), **fields)


def headed(status: int, **headers: str) -> Answer:
    """A page with headers: `Retry_After` is `Retry-After`."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    return page(status, "Trouble")._replace(headers=named)


CUT_OFF = schedule(GOOD, delivery=Delivery(body_bytes=100))
SHORT_LENGTH = schedule(GOOD, delivery=Delivery(content_length=100))
SPACES = Answer(b" " * 1_000_000, delivery=Delivery(times=500))
