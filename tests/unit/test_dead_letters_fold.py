"""Dead letters and their resolutions, folded from the records of their topic."""

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaConnectionError, MessageSizeTooLargeError

from contracts.topics import DEAD_LETTERS, SYNC_REQUESTS
from messaging.dead_letters.fold import DeadLetterName, DeadLetters, read_letter
from messaging.dead_letters.records import (
    DISCARDED,
    OURS,
    RETRIED,
    dead_letter,
    original_headers,
    resolution_headers,
)
from messaging.raw_record import RawRecord
from tests.support.dead_letter_topic import a_record


class Topic(AIOKafkaProducer):  # type: ignore[misc]  # aiokafka is untyped
    """A dead-letter topic of one partition that takes records up to a size."""

    def __init__(self, limit: int = 1 << 30) -> None:
        self.limit = limit
        self.records: list[RawRecord] = []

    def __del__(self, _warnings: Any = None) -> None:
        pass

    async def send_and_wait(self, topic: str, value: Any = None, **given: Any) -> None:
        key, headers = given.get("key"), given.get("headers", ())
        assert value is not None or key is not None, "aiokafka refuses it"
        size = len(value or b"") + len(key or b"")
        if size + sum(len(n) + len(v or b"") for n, v in headers) > self.limit:
            raise MessageSizeTooLargeError
        place = (0, len(self.records))
        self.records.append(
            a_record(topic, place, value=value, key=key, headers=headers, timestamp=9_000)
        )


def dead_letter_of(original: RawRecord, limit: int = 1 << 30, reason: str = "no ids") -> RawRecord:
    topic = Topic(limit)
    asyncio.run(dead_letter(topic, original, reason))
    (letter,) = topic.records
    return letter


def fold(*records: RawRecord) -> DeadLetters:
    letters = DeadLetters()
    for one in records:
        letters.add(one)
    return letters


def a_letter(
    offset: int, received: int = 1_000, *, origin: int | None = None, partition: int = 0
) -> RawRecord:
    """A letter of a record of its own, or of the one with the offset `origin`."""
    place = (3, 100 + offset if origin is None else origin)
    kept = dead_letter_of(a_record(SYNC_REQUESTS, place, timestamp=received))
    return a_record(DEAD_LETTERS, (partition, offset), headers=kept.headers, timestamp=2_000)


def a_resolution(
    offset: int, letter: str, resolution: str = DISCARDED, partition: int = 0
) -> RawRecord:
    headers = resolution_headers(letter, resolution, "because")
    return a_record(DEAD_LETTERS, (partition, offset), value=b"", headers=headers, timestamp=3_000)


def test_a_dead_letter_has_its_origin_and_reason() -> None:
    letter = read_letter(dead_letter_of(a_record(SYNC_REQUESTS, (3, 7), headers=[("a", b"1")])))
    assert (letter.topic, letter.partition, letter.offset) == (SYNC_REQUESTS, 3, 7)
    assert (letter.reason, letter.key, letter.size) == ("no ids", b"key", 8)
    assert (letter.first_received_ms, letter.dead_lettered_ms) == (1_000, 9_000)
    assert not letter.truncated


def test_a_dead_letter_is_open_until_resolved_and_keeps_all_resolutions() -> None:
    letters = fold(
        a_letter(0), a_letter(1), a_resolution(2, "0/0", RETRIED), a_resolution(3, "0/0")
    )
    assert [str(x.name) for x in letters.open()] == ["0/1"]
    dealt_with = letters.get(DeadLetterName(0, 0))
    assert dealt_with is not None
    assert [(f.outcome, f.reason, f.at_ms) for f in dealt_with.resolutions] == [
        (RETRIED, "because", 3_000),
        (DISCARDED, "because", 3_000),
    ]


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize("named", ["0/0", "0/1"])
def test_the_copies_of_a_record_are_one_letter(named: str, turned: bool) -> None:
    """A worker that is killed before it commits writes the letter again, anywhere."""
    copies = [a_letter(0, origin=7), a_letter(1, origin=7), a_letter(5, origin=7, partition=2)]
    letters = fold(*(copies[::-1] if turned else copies), a_letter(2))
    assert [str(x.name) for x in letters.open()] == ["0/0", "0/2"]
    letter = letters.get(DeadLetterName.parse(named))
    assert letter is not None
    assert [str(name) for name in letter.copies] == ["0/1", "2/5"]

    letters.add(a_resolution(3, named))
    assert [str(x.name) for x in letters.open()] == ["0/2"]
    letters.add(a_letter(4, origin=7))
    assert [str(x.name) for x in letters.open()] == ["0/2"], "a later copy opens nothing again"
    assert [len(x.resolutions) for x in letters.all()] == [1, 0]


def test_a_record_of_a_topic_that_was_created_again_is_another_letter() -> None:
    letters = fold(a_letter(0, received=10, origin=7), a_letter(1, received=20, origin=7))
    assert [str(x.name) for x in letters.open()] == ["0/0", "0/1"]


def test_records_without_an_origin_are_letters_of_their_own() -> None:
    foreign = [a_record(DEAD_LETTERS, (0, offset), timestamp=5) for offset in range(2)]
    assert [str(x.name) for x in fold(*foreign).open()] == ["0/0", "0/1"]


def test_dead_letters_are_ordered_by_first_receipt() -> None:
    letters = fold(a_letter(0, received=30), a_letter(1, received=10), a_letter(2, received=20))
    assert [x.name.offset for x in letters.open()] == [1, 2, 0]


@pytest.mark.parametrize("named", ["0/9", "1/0", "", "0", "0/0/0", "-1/0", "0/²"])
def test_a_resolution_without_an_earlier_dead_letter_is_ignored(named: str) -> None:
    letters = fold(a_letter(0), a_resolution(1, named))
    assert [str(x.name) for x in letters.all()] == ["0/0"]
    assert [str(x.name) for x in letters.open()] == ["0/0"]


def test_a_resolution_in_another_partition_is_ignored() -> None:
    letters = fold(a_letter(0), a_resolution(1, "0/0", partition=5))
    assert len(letters.open()) == 1


def test_a_resolution_is_reported_if_its_letter_is_missing_but_not_if_it_was_pruned(
    caplog: pytest.LogCaptureFixture,
) -> None:
    fold(a_letter(4), a_resolution(5, "0/2"), a_resolution(6, "0/3", partition=1))
    assert [record.message for record in caplog.records] == [
        f"{DEAD_LETTERS}/1@6 resolves no dead letter before it"
    ]


def test_a_request_cannot_forge_a_resolution() -> None:
    """The right to publish requests must not include discarding dead letters with a header."""
    forged = dead_letter_of(
        a_record(SYNC_REQUESTS, (3, 8), headers=resolution_headers("0/0", DISCARDED, "x"))
    )
    letters = fold(a_letter(0), a_record(DEAD_LETTERS, (0, 1), headers=forged.headers))
    assert [str(x.name) for x in letters.open()] == ["0/0", "0/1"]


@pytest.mark.parametrize(
    ("claimed", "received"),
    [(b"400", 400), (b"4000", 1_000), (b"soon", 1_000), (None, 1_000), (b"9" * 40, 1_000)],
)
def test_the_earliest_time_of_receipt_counts(claimed: bytes | None, received: int) -> None:
    came = a_record(SYNC_REQUESTS, (3, 7), headers=[("spreaview-ordered-at", claimed)])
    assert read_letter(dead_letter_of(came)).first_received_ms == received


def test_a_retried_request_has_its_own_headers_and_the_time_it_was_first_received() -> None:
    own = [("traceparent", b"00-aa"), ("twice", b"1"), ("twice", b"2"), ("null", None)]
    claims = [(name, b"a claim") for name in sorted(OURS)]
    kept = dead_letter_of(a_record(SYNC_REQUESTS, (3, 7), headers=[*own, *claims]))
    assert original_headers(kept, 1_000) == (*own, ("spreaview-ordered-at", b"1000"))


def test_a_record_without_key_and_value_is_kept() -> None:
    kept = dead_letter_of(a_record(SYNC_REQUESTS, (3, 7), key=None, value=None))
    assert (kept.key, kept.value) == (None, b"")


@pytest.mark.parametrize("limit", [200_000, 20_000, 1_000])
def test_the_beginning_of_a_too_large_record_is_kept(limit: int) -> None:
    body = bytes(range(256)) * 4096
    headers = [("large", b"h" * 100_000), ("small", b"h")]
    came = a_record(SYNC_REQUESTS, (3, 7), value=body, key=b"k" * 5_000, headers=headers)
    kept = dead_letter_of(came, limit)
    letter = read_letter(kept)
    assert letter.truncated
    assert letter.size == len(body)
    assert (letter.topic, letter.partition, letter.offset) == (SYNC_REQUESTS, 3, 7)
    assert letter.reason == "no ids"
    assert body.startswith(kept.value or b"")
    if limit > 1_000:
        assert kept.value
        assert ("small", b"h") in kept.headers


def test_65536_bytes_are_kept_of_a_body() -> None:
    kept = dead_letter_of(a_record(SYNC_REQUESTS, (3, 7), value=b"x" * 1_000_000), limit=100_000)
    assert kept.value == b"x" * 65_536


def test_a_small_record_in_too_large_a_batch_is_kept_whole() -> None:
    class Crowded(Topic):
        async def send_and_wait(self, topic: str, value: Any = None, **given: Any) -> None:
            if not self.limit:
                self.limit = 1 << 30
                raise MessageSizeTooLargeError
            await super().send_and_wait(topic, value, **given)

    topic = Crowded(limit=0)
    asyncio.run(dead_letter(topic, a_record(SYNC_REQUESTS, (3, 7)), "no ids"))
    (kept,) = topic.records
    assert kept.value == b"not JSON"
    assert not read_letter(kept).truncated


def test_an_outage_is_raised() -> None:
    class Away(Topic):
        async def send_and_wait(self, topic: str, value: Any = None, **given: Any) -> None:
            raise KafkaConnectionError("away")

    with pytest.raises(KafkaConnectionError):
        asyncio.run(dead_letter(Away(), a_record(SYNC_REQUESTS, (3, 7)), "no ids"))


def test_a_foreign_record_is_a_dead_letter() -> None:
    letter = read_letter(a_record(DEAD_LETTERS, (0, 0), timestamp=5))
    assert (letter.topic, letter.offset, letter.first_received_ms) == ("", -1, 5)
