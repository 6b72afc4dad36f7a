"""Failures of a run: each code with a sentence for the organiser and the remedy."""

import math
from datetime import datetime
from typing import NamedTuple

from contracts.events import Source, SyncFailed
from contracts.failures import FAILURES, FailureCode
from contracts.messages import RequestIds
from contracts.wording import counted

_KEPT = "What was imported before is kept."
_CHECK_API_ID = ", and check the API ID"


class SyncFailure(Exception):  # noqa: N818 (an outcome of the import, not a defect)
    """Ends the run as `SyncFailed`; earlier imports stay unchanged.

    Without `remedy` or `retryable`, the value of the code is used.
    """

    def __init__(
        self,
        code: FailureCode,
        message: str,
        remedy: str | None = None,
        *,
        retryable: bool | None = None,
        http_status: int | None = None,
    ) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code
        self.message = message
        self.remedy = FAILURES[code].remedy if remedy is None else remedy
        self.retryable = FAILURES[code].retryable if retryable is None else retryable
        self.http_status = http_status


def sync_failed(
    ids: RequestIds, ordered_at: datetime, failure: SyncFailure, source: Source | None = None
) -> SyncFailed:
    """Return the event of a failure; `source` is the document that caused it, if one was read."""
    return SyncFailed(
        sync_id=ids.request_id,
        organization_id=ids.organization_id,
        spreaview_event_id=ids.spreaview_event_id,
        ordered_at=ordered_at,
        code=failure.code,
        message=failure.message,
        remedy=failure.remedy,
        retryable=failure.retryable,
        http_status=failure.http_status,
        source=source,
    )


def invalid_request(reason: str) -> SyncFailure:
    """A field of the request is wrong; `reason` names it."""
    return SyncFailure(
        FailureCode.INVALID_REQUEST,
        f"The sync request is not valid: {reason}.",
    )


def wrong_organization() -> SyncFailure:
    """The SpreaView event belongs to another organization."""
    return invalid_request("organization_id is not the organization that this event belongs to")


def invalid_api_id() -> SyncFailure:
    """Neither an API ID nor a Sessionize URL. Not repeated: it may be a secret."""
    return SyncFailure(
        FailureCode.INVALID_API_ID,
        "The API ID is not a valid Sessionize API ID.",
    )


def api_id_not_found(status: int) -> SyncFailure:
    """HTTP 404 or 410."""
    return SyncFailure(
        FailureCode.API_ID_NOT_FOUND,
        "Sessionize does not know this API ID.",
        http_status=status,
    )


def unknown_to_the_stand_in(status: int) -> SyncFailure:
    """HTTP 404 of the sandbox's stand-in for Sessionize."""
    return SyncFailure(
        FailureCode.API_ID_NOT_FOUND,
        "The sandbox's stand-in for Sessionize does not know this API ID. Sessionize itself was "
        "not asked.",
        "Use the API ID demo2026. To import from Sessionize itself, stop spreaview-sync up and "
        "start it again with SPREAVIEW_SESSIONIZE_BASE_URL=https://sessionize.com/api/v2",
        http_status=status,
    )


def endpoint_not_json(status: int) -> SyncFailure:
    """HTML, JavaScript or an empty body."""
    return SyncFailure(
        FailureCode.ENDPOINT_NOT_JSON,
        "The Sessionize endpoint does not answer with JSON.",
        http_status=status,
    )


def endpoint_rejected(status: int) -> SyncFailure:
    """Any other status, and redirects: the import does not follow them."""
    return SyncFailure(
        FailureCode.ENDPOINT_REJECTED,
        f"Sessionize refused to give the schedule (HTTP {status}).",
        http_status=status,
    )


def unexpected_document(reason: str, status: int = 200) -> SyncFailure:
    """JSON, or nearly, but not a schedule; `reason` completes the sentence."""
    return SyncFailure(
        FailureCode.UNEXPECTED_DOCUMENT,
        f"Sessionize's answer is not a schedule: {reason}.",
        http_status=status,
    )


def schedule_empty() -> SyncFailure:
    """The document lists no session."""
    return SyncFailure(
        FailureCode.SCHEDULE_EMPTY,
        "The Sessionize schedule contains no sessions.",
    )


def schedule_not_announced(sessions: int) -> SyncFailure:
    """The document lists sessions, but none has a time."""
    return SyncFailure(
        FailureCode.SCHEDULE_NOT_ANNOUNCED,
        f"Sessionize lists {sessions} sessions, but none of them has a time: the schedule is not "
        "announced.",
    )


class Removals(NamedTuple):
    """Why imported sessions would leave the schedule: how many for each reason."""

    missing: int
    unscheduled: int
    outside: int
    source_changed: bool
    """Whether the API ID differs from the one of the last sync."""

    @property
    def total(self) -> int:
        """All of them: the `allow_removals` that confirms them."""
        return self.missing + self.unscheduled + self.outside

    def sentence(self) -> str:
        """Return the counts as a sentence, and whether the API ID changed."""
        counts = [
            f"{reason}: {number}"
            for number, reason in (
                (self.missing, "missing from the schedule"),
                (self.unscheduled, "without a time or a room"),
                (self.outside, "outside the dates"),
            )
            if number
        ]
        changed = " The API ID is not that of the last sync." if self.source_changed else ""
        return f"{'; '.join(counts).capitalize()}.{changed}"

    def confirmation(self) -> str:
        """Return how to confirm these removals."""
        return f"confirm {self.total} removals (allow_removals: {self.total})"


def nothing_in_window(removals: Removals) -> SyncFailure:
    """All sessions that have a time start outside the dates of the event."""
    return SyncFailure(
        FailureCode.NOTHING_IN_WINDOW,
        "No session in Sessionize starts within the event's dates, so none of the "
        f"{removals.total} imported sessions would stay. {removals.sentence()}",
        "Compare the dates of the event in SpreaView, above all the year, with the schedule in "
        f"Sessionize{_CHECK_API_ID if removals.source_changed else ''}. If the schedule should "
        f"really be empty, sync again and {removals.confirmation()}. {_KEPT}",
    )


def schedule_replaced(removals: Removals) -> SyncFailure:
    """All imported sessions would leave the schedule."""
    another = " It looks like the schedule of another event." if removals.missing else ""
    return SyncFailure(
        FailureCode.SCHEDULE_REPLACED,
        f"None of the {removals.total} imported sessions would stay in the schedule. "
        f"{removals.sentence()}{another}",
        "Check the API ID, the dates, and the times and rooms in Sessionize. If all of them "
        f"should really be removed, sync again and {removals.confirmation()}. {_KEPT}",
    )


def response_too_large(limit: int) -> SyncFailure:
    """More bytes than any schedule has; `limit` is in bytes."""
    return SyncFailure(
        FailureCode.RESPONSE_TOO_LARGE,
        f"Sessionize's answer is larger than {limit // (1024 * 1024)} MiB.",
    )


def upstream_unavailable(reason: str) -> SyncFailure:
    """No answer, or only a part of one; `reason` completes the sentence."""
    return SyncFailure(
        FailureCode.UPSTREAM_UNAVAILABLE,
        f"Sessionize could not be reached: {reason}.",
    )


def upstream_too_slow(seconds: float) -> SyncFailure:
    """No complete answer within the limit of an attempt."""
    return SyncFailure(
        FailureCode.UPSTREAM_UNAVAILABLE,
        f"Sessionize gave no complete answer within {seconds:g} seconds.",
    )


def upstream_busy(status: int, wait_seconds: float | None = None) -> SyncFailure:
    """A status that passes; `wait_seconds` is a Retry-After that the run did not wait for."""
    if wait_seconds is None:
        message, remedy = f"Sessionize answered HTTP {status}.", None
    else:
        wait = _in_words(wait_seconds)
        message = f"Sessionize answered HTTP {status} and asked to wait {wait}."
        remedy = f"Sync again after that time. {_KEPT}"
    return SyncFailure(FailureCode.UPSTREAM_UNAVAILABLE, message, remedy, http_status=status)


def _in_words(seconds: float) -> str:
    if seconds > 24 * 3600:
        return "more than a day"
    if seconds > 120:
        return counted(math.ceil(seconds / 60), "minute")
    return counted(math.ceil(seconds), "second")


def superseded() -> SyncFailure:
    """A later request has completed already."""
    return SyncFailure(
        FailureCode.SUPERSEDED,
        "A later sync of this event has completed already.",
    )


def internal_error(reason: str | None = None) -> SyncFailure:
    """A defect of this program, or of its data; `reason` completes the sentence.

    Without one, the details are in the worker's log, under the sync's id.
    """
    return SyncFailure(
        FailureCode.INTERNAL_ERROR,
        f"The import failed because of an internal error{f': {reason}' if reason else ''}.",
    )
