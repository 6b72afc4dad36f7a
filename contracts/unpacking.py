"""Unpacking zlib-compressed documents and states, no further than to an expected size."""

import zlib
from collections.abc import Iterator

_PIECE = 1 << 20


class UnpackingError(ValueError):
    """Compressed bytes are damaged, cut off, too long, or followed by other bytes."""


def unpacked_pieces(body: bytes, max_bytes: int) -> Iterator[bytes]:
    """Yield the unpacked bytes in pieces of up to 1 MiB.

    Raises:
        UnpackingError: `body` is damaged, or unpacks to more than `max_bytes`. Pieces that were
            yielded before do not count then. No more than one piece beyond the limit is unpacked.
    """
    unpacking = zlib.decompressobj()
    size, rest = 0, body
    while not unpacking.eof:
        try:
            piece = unpacking.decompress(rest, _PIECE)
        except zlib.error as error:
            raise UnpackingError(str(error)) from error
        rest = unpacking.unconsumed_tail
        size += len(piece)
        if size > max_bytes:
            raise UnpackingError(f"it unpacks to more than {max_bytes} bytes")
        if piece:
            yield piece
        elif not rest and not unpacking.eof:
            raise UnpackingError("it was cut off")
    if unpacking.unused_data:
        raise UnpackingError(f"{len(unpacking.unused_data)} bytes follow it")


def unpacked(body: bytes, max_bytes: int) -> bytes:
    """Return the unpacked bytes. Raises as `unpacked_pieces`."""
    return b"".join(unpacked_pieces(body, max_bytes))
