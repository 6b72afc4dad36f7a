"""The topics as others see them: their key, their messages and their retention."""

from collections.abc import Mapping
from typing import Literal, NamedTuple

from contracts.events import EVENT_TYPES
from contracts.topics import (
    DEAD_LETTERS,
    ERASURE_REQUESTS,
    IMPORT_EVENTS,
    LOG_SEALS,
    SYNC_REQUESTS,
)


class Channel(NamedTuple):
    """One topic."""

    name: str
    """In camel case, for documents."""
    action: Literal["receive", "send"]
    """Whether this program reads the topic or writes it."""
    description: str
    key: str
    messages: tuple[str, ...]
    retention: str
    cleanup: Literal["delete", "compact"] = "delete"


CHANNELS: Mapping[str, Channel] = {
    SYNC_REQUESTS: Channel(
        "syncRequests",
        "receive",
        "Requests to import a schedule. The worker answers each with a run.",
        "`spreaview_event_id` as text",
        ("SyncRequested",),
        "the broker's default; a request needs to stay only until the worker has read it",
    ),
    ERASURE_REQUESTS: Channel(
        "erasureRequests",
        "receive",
        "Requests to forget a speaker. The worker answers each with a row of the view `erasures`.",
        "`organization_id` as text",
        ("SpeakerErasureRequested",),
        "the broker's default; a request needs to stay only until the worker has read it",
    ),
    IMPORT_EVENTS: Channel(
        "importEvents",
        "send",
        "Every import event, in stream order, as CloudEvents in binary mode.",
        "`spreaview_event_id` as text",
        tuple(EVENT_TYPES),
        "30 days by default (`SPREAVIEW_EVENTS_RETENTION_DAYS`): the log is the history",
    ),
    DEAD_LETTERS: Channel(
        "deadLetters",
        "send",
        "Requests whose ids cannot be read, byte for byte, with the reason in the headers.",
        "that of the request",
        ("DeadLetter",),
        "unlimited",
    ),
    LOG_SEALS: Channel(
        "logSeals",
        "send",
        "The head of each stream from time to time, so that a cut log is noticed.",
        "`spreaview_event_id` as text",
        ("LogSeal",),
        "unlimited: the newest seal of each stream",
        "compact",
    ),
}
"""By the name of the topic."""

EVENT_HEADERS: Mapping[str, str] = {
    "ce_specversion": "1.0: the version of CloudEvents.",
    "ce_id": "The id of the event. Subscribers deduplicate by it.",
    "ce_type": "The type with its version, such as com.spreaview.import.session-imported.v1.",
    "ce_source": "The log, as urn:spreaview:log:UUID. A restored log is another source.",
    "ce_subject": "The entity or the run, such as session/UUID.",
    "ce_time": "When the event was appended to the log, in UTC.",
    "ce_dataschema": "The $id of the JSON Schema of the data.",
    "content-type": "application/json",
    "ce_position": "The place in the log: rises, with holes.",
    "ce_streamversion": "The number within the key: 1, 2, 3 … without holes.",
    "traceparent": "W3C trace context of the request, if it had one.",
}
"""The headers of an import event; traceparent alone may be missing."""

REQUEST_HEADERS: Mapping[str, str] = {
    "traceparent": "W3C trace context; it comes back in the events.",
}
"""The headers that a request may have."""
