"""The hash chain of a stream: a changed, moved or missing event invalidates all later hashes.

    body digest = SHA-256(canonical {stream_id, version, message_id, type, schema_version,
                                     data, metadata})              as stored
    hash        = SHA-256(previous hash ‖ body digest ‖ recorded_at)

`recorded_at` counts as 8 bytes, big-endian microseconds since 1970; the previous hash of a stream's
first event is 32 zero bytes. The stored data include a digest of the personal data, SHA-256(salt ‖
canonical body), so the chain covers them, too.
"""

from datetime import UTC, datetime, timedelta
from uuid import UUID

import msgspec

from contracts.canonical import digest

GENESIS = bytes(32)
"""The previous hash of a stream's first event."""


class _Body(msgspec.Struct):
    """The hashed content of an event. Its fields are in the order of canonical JSON."""

    data: msgspec.Raw
    message_id: UUID
    metadata: msgspec.Raw
    schema_version: int
    stream_id: UUID
    type: str
    version: int


_encoder = msgspec.json.Encoder()
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)


def body_digest(
    *,
    stream_id: UUID,
    version: int,
    message_id: UUID,
    type: str,  # noqa: A002 (the name of the column and of the key in the digest)
    schema_version: int,
    data: bytes,
    metadata: bytes,
) -> bytes:
    """Return the digest of a stored event, 32 bytes. `data` and `metadata` are canonical JSON."""
    body = _Body(
        msgspec.Raw(data),
        message_id,
        msgspec.Raw(metadata),
        schema_version,
        stream_id,
        type,
        version,
    )
    return digest(_encoder.encode(body))


def link(previous_hash: bytes, body: bytes, recorded_at: datetime) -> bytes:
    """Return the hash of an event, 32 bytes, from the previous hash and its body digest."""
    return link_at(previous_hash, body, microseconds(recorded_at))


def microseconds(time: datetime) -> int:
    """Return the number of microseconds since 1970, as hashes count a time."""
    return (time - _EPOCH) // _MICROSECOND


def link_at(previous_hash: bytes, body: bytes, microseconds: int) -> bytes:
    """Return the hash of an event recorded at a number of microseconds since 1970, 32 bytes.

    Raises:
        OverflowError: the time does not fit into 8 bytes.
    """
    return digest(previous_hash, body, microseconds.to_bytes(8, "big", signed=True))


def personal_digest(salt: bytes, body: bytes) -> str:
    """Return the digest of an event's personal data: SHA-256(salt ‖ canonical body) in hex."""
    return digest(salt, body).hex()
