"""The hash chain of a stream, written only from its description."""

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from tests.support.chaos.oracle.log import Event

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def broken_links(stream: Sequence[Event]) -> list[int]:
    """Return the versions of a stream whose hash differs from the hash of its events."""
    broken = []
    previous = bytes(32)
    for event in stream:
        expected = _link(previous, event)
        if expected != event.hash:
            broken.append(event.version)
        previous = event.hash
    return broken


def _link(previous: bytes, event: Event) -> bytes:
    body = {
        "stream_id": str(event.stream_id),
        "version": event.version,
        "message_id": str(event.message_id),
        "type": event.type,
        "schema_version": event.schema_version,
        "data": event.stored,
        "metadata": event.metadata,
    }
    # RFC 8785 for objects with ASCII keys and without floats.
    text = json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    microseconds = (event.recorded_at - _EPOCH) // timedelta(microseconds=1)
    digest = hashlib.sha256(text.encode()).digest()
    return hashlib.sha256(previous + digest + microseconds.to_bytes(8, "big", signed=True)).digest()
