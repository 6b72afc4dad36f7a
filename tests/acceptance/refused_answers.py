"""Answers that are no schedule to import, each with the failure that the run reports."""

import gzip
import json
from dataclasses import dataclass

from tests.support.documents import BROKEN, document, talk, unscheduled
from tests.support.first_import import (
    CUT_OFF,
    GOOD,
    LIMITS,
    SHORT_LENGTH,
    encoded,
    headed,
    schedule,
)
from tests.support.sessionize.answers import Answer, Delivery, Ending, page

_DEEP = 100_000
_GZIP = {"Content-Encoding": "gzip"}
_DAMAGED = "it is cut off or damaged"
_BROKEN_OFF = "could not be reached: the connection was lost"
_NO_SESSIONS = "Object missing required field `sessions`"
_BUSY = "answered HTTP 429 and asked to wait"
_SILENT = Delivery(has_head=False, ending=Ending.HANG)


@dataclass(frozen=True)
class Case:
    """An answer, and the failure of its run: code, HTTP status, and a part of the message."""

    name: str
    answer: Answer
    code: str
    status: int | None
    message: str


def _not_json(name: str, answer: Answer) -> Case:
    return Case(name, answer, "endpoint_not_json", 200, "does not answer with JSON")


def _not_a_schedule(name: str, answer: Answer, reason: str) -> Case:
    return Case(name, answer, "unexpected_document", 200, f"is not a schedule: {reason}")


def _unavailable(name: str, answer: Answer, message: str, status: int | None = None) -> Case:
    return Case(name, answer, "upstream_unavailable", status, message)


_STATUS = (
    Case(
        "disabled endpoint",
        page(400, "Bad request"),
        "endpoint_rejected",
        400,
        "HTTP 400",
    ),
    Case("unknown API ID", page(404, "Not found"), "api_id_not_found", 404, "does not know"),
    Case("deleted API ID", page(410, "Gone"), "api_id_not_found", 410, "does not know"),
    Case("unrequested 304", Answer(b"", 304), "endpoint_rejected", 304, "HTTP 304"),
    _unavailable("429 for an hour", headed(429, Retry_After="3600"), f"{_BUSY} 60 minutes", 429),
    _unavailable(
        "429 until a far date",
        headed(429, Retry_After="Fri, 31 Dec 9999 23:59:59 GMT"),
        f"{_BUSY} more than a day",
        429,
    ),
)

_NOT_JSON = (
    _not_json("HTML", page(200, "Schedule")),
    _not_json("HTML with the content type of JSON", Answer(page(200, "Schedule").body)),
    _not_json("JavaScript", Answer(b"document.write('<div>')", content_type="text/javascript")),
    _not_json("empty body", Answer(b"")),
    _not_json("UTF-16", Answer(json.dumps(GOOD).encode("utf-16"))),
)

_NOT_A_SCHEDULE = (
    _not_a_schedule("empty object", Answer(b"{}"), _NO_SESSIONS),
    _not_a_schedule("no sessions key", Answer(b'{"speakers": [], "rooms": []}'), _NO_SESSIONS),
    _not_a_schedule(
        "null sessions",
        Answer(b'{"sessions": null, "speakers": [], "rooms": []}'),
        "Expected `array`, got `null` - at `$.sessions`",
    ),
    _not_a_schedule("array", Answer(b"[]"), "Expected `object`, got `array`"),
    _not_a_schedule("string", Answer(b'"schedule"'), "Expected `object`"),
    _not_a_schedule("number", Answer(b"2026"), "Expected `object`"),
    _not_a_schedule("null", Answer(b"null"), "Expected `object`"),
    _not_a_schedule("truncated JSON", Answer(encoded(GOOD)[:-40]), _DAMAGED),
    _not_a_schedule(
        "only broken sessions",
        schedule(document(talk("1") | BROKEN)),
        "not one of its sessions can be read",
    ),
    _not_a_schedule(
        "UTF-16 without a byte order mark", Answer(json.dumps(GOOD).encode("utf-16-le")), _DAMAGED
    ),
    _not_a_schedule("deep arrays", Answer(b"[" * _DEEP), "Expected `object`, got `array`"),
    _not_a_schedule("deep objects", Answer(b'{"a":' * _DEEP), _DAMAGED),
    _not_a_schedule("deep sessions", Answer(b'{"sessions":' + b"[" * _DEEP), _DAMAGED),
    _not_a_schedule(
        "deep sessions after a lone surrogate",
        Answer(b'{"title": "\\ud83d", "sessions": ' + b"[" * _DEEP + b"]" * _DEEP + b"}"),
        _DAMAGED,
    ),
)

_NOTHING_TO_IMPORT = (
    Case("no session", schedule(document()), "schedule_empty", None, "contains no sessions"),
    Case(
        "unannounced",
        schedule(document(unscheduled("1"), unscheduled("2"))),
        "schedule_not_announced",
        None,
        "lists 2 sessions, but none of them has a time",
    ),
    Case(
        "too large",
        Answer(b" " * (LIMITS.max_bytes + 1)),
        "response_too_large",
        None,
        "larger than 1 MiB",
    ),
)

_DAMAGED_IN_TRANSIT = (
    _not_a_schedule(
        "plain text with the encoding gzip", schedule(GOOD, headers=_GZIP), "it cannot be decoded"
    ),
    _not_a_schedule(
        "half a gzip", Answer(gzip.compress(encoded(GOOD))[:200], headers=_GZIP), _DAMAGED
    ),
    _not_a_schedule("length too small", SHORT_LENGTH, _DAMAGED),
    _unavailable(
        "length too great", schedule(GOOD, delivery=Delivery(content_length=10**6)), _BROKEN_OFF
    ),
    _unavailable("cut in the middle", CUT_OFF, _BROKEN_OFF),
    _unavailable(
        "reset in the middle",
        schedule(GOOD, delivery=Delivery(body_bytes=100, ending=Ending.RESET)),
        _BROKEN_OFF,
    ),
    _unavailable(
        "closed without an answer",
        Answer(b"", delivery=_SILENT._replace(ending=Ending.CLOSE)),
        _BROKEN_OFF,
    ),
    _unavailable("endless head", schedule(GOOD, headers={"X-Long": "x" * 200_000}), _BROKEN_OFF),
)

REFUSED = _STATUS + _NOT_JSON + _NOT_A_SCHEDULE + _NOTHING_TO_IMPORT + _DAMAGED_IN_TRANSIT
"""Answers that are complete, or broken off, without a delay."""


def _hanging(name: str, answer: Answer) -> Case:
    return _unavailable(name, answer, "gave no complete answer within 1 seconds")


HANGING = (
    _hanging("no answer", Answer(b"", delivery=_SILENT)),
    _hanging("only the head", schedule(GOOD, delivery=Delivery(body_bytes=0, ending=Ending.HANG))),
    _hanging(
        "half the body", schedule(GOOD, delivery=Delivery(body_bytes=100, ending=Ending.HANG))
    ),
    _hanging(
        "a byte at a time", schedule(GOOD, delivery=Delivery(piece_bytes=1, pause_seconds=0.05))
    ),
    _hanging("late head", schedule(GOOD, delivery=Delivery(head_after_seconds=600))),
)
"""Answers that do not end by themselves."""
