"""Canonical JSON (RFC 8785), the input of all digests.

RFC 8785 orders keys by UTF-16 code units and writes numbers as ECMAScript does. In this project
keys are ASCII and numbers are integers below 2**53. So sorted keys without white space are
canonical.
"""

import hashlib

import msgspec

_encoder = msgspec.json.Encoder(order="sorted")


def canonical(value: object) -> bytes:
    """UTF-8 bytes of the canonical form. Structs, UUIDs and instants are written as on the wire."""
    return _encoder.encode(value)


def digest(*parts: bytes) -> bytes:
    """SHA-256 of the concatenated parts, 32 bytes."""
    return hashlib.sha256(b"".join(parts)).digest()
