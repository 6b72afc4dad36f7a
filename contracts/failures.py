"""The stable codes of `SyncFailed` and their meanings. Others build against these names."""

from enum import StrEnum


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
    RESPONSE_TOO_LARGE = "response_too_large"
    """The answer exceeds the limit."""
    UPSTREAM_UNAVAILABLE = "upstream_unavailable"
    """Sessionize could not be reached, answered too late or asked to come back later."""
    SUPERSEDED = "superseded"
    """A later request of the same SpreaView event has completed already."""
    INTERNAL_ERROR = "internal_error"
    """A fault on our side."""
