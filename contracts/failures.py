"""The stable codes of `SyncFailed` and their meanings. Others build against these names."""

from collections.abc import Mapping
from enum import StrEnum
from typing import NamedTuple


class FailureCode(StrEnum):
    """The reason why a run failed."""

    INVALID_REQUEST = "invalid_request"
    """A field of the request is missing or wrong."""
    INVALID_API_ID = "invalid_api_id"
    """The value in the request cannot be a Sessionize API ID."""
    API_ID_NOT_FOUND = "api_id_not_found"
    """Sessionize knows no such endpoint."""
    ENDPOINT_NOT_JSON = "endpoint_not_json"
    """The endpoint answers with HTML, JavaScript or another format that is not JSON."""
    ENDPOINT_REJECTED = "endpoint_rejected"
    """Sessionize refused the request."""
    UNEXPECTED_DOCUMENT = "unexpected_document"
    """The answer is JSON, but not a schedule."""
    SCHEDULE_EMPTY = "schedule_empty"
    """The schedule has no session."""
    SCHEDULE_NOT_ANNOUNCED = "schedule_not_announced"
    """No session of the schedule has a time or a room."""
    SCHEDULE_REPLACED = "schedule_replaced"
    """Every imported session is gone: this is most likely another event's schedule."""
    NOTHING_IN_WINDOW = "nothing_in_window"
    """No session starts within the dates, so not one imported session would stay."""
    RESPONSE_TOO_LARGE = "response_too_large"
    """The answer exceeds the limit."""
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    """Sessionize could not be reached, answered too late or asked to come back later."""
    SUPERSEDED = "superseded"
    """A later request of the same SpreaView event has completed already."""
    INTERNAL_ERROR = "internal_error"
    """A fault on our side."""


class FailureText(NamedTuple):
    """The meaning of a code for an organiser."""

    meaning: str
    remedy: str
    """The general part of the remedy, for codes that depend on the document."""
    retryable: bool = False
    """Whether the same request may succeed later."""


_KEPT = "What was imported before is kept."

FAILURES: Mapping[FailureCode, FailureText] = {
    FailureCode.INVALID_REQUEST: FailureText(
        "A field of the request is missing or wrong.",
        "Correct the named field and request the sync again.",
    ),
    FailureCode.INVALID_API_ID: FailureText(
        "The value in the request cannot be a Sessionize API ID.",
        "In Sessionize open API / Embed, choose the endpoint, and copy its API ID: 8 to 12 "
        "letters and digits. The address of the endpoint works, too.",
    ),
    FailureCode.API_ID_NOT_FOUND: FailureText(
        "Sessionize does not know this API ID.",
        "In Sessionize open API / Embed and compare the API ID; if the endpoint was deleted, "
        "create a new one with the format JSON.",
    ),
    FailureCode.ENDPOINT_NOT_JSON: FailureText(
        "The endpoint answers with HTML, JavaScript or another format that is not JSON.",
        "In Sessionize open API / Embed, edit the endpoint and set its format to JSON, then "
        "sync again.",
    ),
    FailureCode.ENDPOINT_REJECTED: FailureText(
        "Sessionize refused to give the schedule.",
        "In Sessionize open API / Embed, edit the endpoint: it must be enabled and offer the "
        "view All data as JSON. Then sync again.",
    ),
    FailureCode.UNEXPECTED_DOCUMENT: FailureText(
        "The answer is JSON, or nearly, but not a schedule.",
        "Check that the API ID belongs to an endpoint of the event with the format JSON, then "
        "sync again. If it does, the answer may have been cut off: try again in a few minutes.",
        retryable=True,
    ),
    FailureCode.SCHEDULE_EMPTY: FailureText(
        "The schedule has no session.",
        "In Sessionize check that sessions are accepted and that the endpoint's filter includes "
        f"them, then sync again. {_KEPT}",
    ),
    FailureCode.SCHEDULE_NOT_ANNOUNCED: FailureText(
        "No session of the schedule has a time.",
        f"Announce the schedule in Sessionize, then sync again. {_KEPT}",
    ),
    FailureCode.SCHEDULE_REPLACED: FailureText(
        "No imported session would stay: this may be another event's schedule.",
        "Check the API ID, the dates, and the times and rooms in Sessionize. If all of them "
        "should really be removed, sync again and confirm the removals with allow_removals: the "
        f"remedy names the number. {_KEPT}",
    ),
    FailureCode.NOTHING_IN_WINDOW: FailureText(
        "No session starts within the dates, so not one imported session would stay.",
        "Compare the dates of the event in SpreaView, above all the year, with the schedule in "
        "Sessionize. If the schedule should really be empty, sync again and confirm the removals "
        f"with allow_removals: the remedy names the number. {_KEPT}",
    ),
    FailureCode.RESPONSE_TOO_LARGE: FailureText(
        "The answer exceeds the limit.",
        "Check that the API ID is that of a schedule; an operator can raise "
        "SPREAVIEW_MAX_DOCUMENT_BYTES.",
    ),
    FailureCode.UPSTREAM_UNAVAILABLE: FailureText(
        "Sessionize could not be reached, answered too late or asked to come back later.",
        f"Sync again in a few minutes. {_KEPT}",
        retryable=True,
    ),
    FailureCode.SUPERSEDED: FailureText(
        "A later request of the same SpreaView event has completed already.",
        "No action is needed: the later sync imported the newer schedule.",
    ),
    FailureCode.INTERNAL_ERROR: FailureText(
        "A fault on our side.",
        "Sync again. If it fails again, give the operators the id of this sync.",
        retryable=True,
    ),
}
"""The meaning of each code, and what the organiser can do. The events carry the remedies, too."""
