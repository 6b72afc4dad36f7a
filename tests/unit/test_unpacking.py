"""Unpacking stops at the expected size, and at every kind of damage."""

import tracemalloc
import zlib

import pytest

from contracts.unpacking import UnpackingError, unpacked

BODY = b'{"sessions": []}' * 1000
PACKED = zlib.compress(BODY)


def test_a_body_of_the_expected_size_is_unpacked() -> None:
    assert unpacked(PACKED, len(BODY)) == BODY


def test_an_empty_body_is_unpacked() -> None:
    assert unpacked(zlib.compress(b""), 0) == b""


@pytest.mark.parametrize(
    ("body", "max_bytes", "message"),
    [
        pytest.param(PACKED, len(BODY) - 1, "unpacks to more than 15999 bytes", id="too long"),
        pytest.param(PACKED[:-5], len(BODY), "it was cut off", id="cut off"),
        pytest.param(b"", 10, "it was cut off", id="nothing"),
        pytest.param(PACKED + b"xy", len(BODY), "2 bytes follow it", id="bytes follow"),
        pytest.param(b"garbage", 10, "incorrect header", id="garbage"),
    ],
)
def test_a_damaged_body_is_refused(body: bytes, max_bytes: int, message: str) -> None:
    with pytest.raises(UnpackingError, match=message):
        unpacked(body, max_bytes)


def test_a_bomb_is_unpacked_no_further_than_a_piece_beyond_the_limit() -> None:
    packer = zlib.compressobj(9)
    bomb = b"".join(packer.compress(bytes(1 << 20)) for _ in range(256)) + packer.flush()
    tracemalloc.start()
    try:
        with pytest.raises(UnpackingError, match="more than 1000 bytes"):
            unpacked(bomb, 1000)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 4 << 20
