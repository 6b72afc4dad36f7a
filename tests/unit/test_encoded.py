"""Encoded answers: compressed once, kept within a bound of bytes."""

import gzip

from projections.http.encoded import Encoded, EncodedCache, encoded


def test_a_long_body_is_compressed_and_a_short_one_is_not() -> None:
    long = encoded(b"schedule " * 1000)
    assert long.gzipped is not None
    assert gzip.decompress(long.gzipped) == long.body
    assert encoded(b"short").gzipped is None


def test_the_cache_drops_the_answers_unused_for_longest() -> None:
    answer = Encoded(b"x" * 488, None)  # 1,000 bytes with the overhead
    cache = EncodedCache(3_000)
    for key in "abc":
        cache.put(key, answer)
    assert cache.get("a") is not None
    cache.put("d", answer)
    assert cache.get("b") is None
    assert cache.get("a") is not None
    assert cache.size == 3_000


def test_the_cache_never_exceeds_its_bound() -> None:
    cache = EncodedCache(2_000)
    for number in range(100):
        cache.put(number, Encoded(b"x" * number, None))
        assert cache.size <= 2_000


def test_an_answer_larger_than_the_cache_is_not_kept() -> None:
    cache = EncodedCache(1_000)
    cache.put("large", Encoded(b"x" * 2_000, None))
    assert cache.get("large") is None
    assert cache.size == 0


def test_replacing_an_answer_counts_its_bytes_once() -> None:
    cache = EncodedCache(10_000)
    for _ in range(5):
        cache.put("same", Encoded(b"x" * 488, None))
    assert cache.size == 1_000
