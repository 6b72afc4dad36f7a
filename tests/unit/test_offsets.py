"""The offset to commit is never beyond a record in flight."""

from hypothesis import given
from hypothesis import strategies as st

from messaging.offsets import OpenOffsets


@given(
    gaps=st.lists(st.integers(1, 3), min_size=1, max_size=30),
    order=st.randoms(use_true_random=False),
)
def test_the_due_offset_is_never_beyond_an_open_record(gaps: list[int], order: object) -> None:
    """Records may end in any order. Offsets have gaps, taken by markers of transactions."""
    taken = [sum(gaps[: n + 1]) for n in range(len(gaps))]
    offsets = OpenOffsets()
    for offset in taken:
        offsets.take(offset)
    assert offsets.due == taken[0]
    left = list(taken)
    order.shuffle(left)  # type: ignore[attr-defined]
    while left:
        offsets.end(left.pop())
        assert offsets.due == min(left, default=taken[-1] + 1)


def test_nothing_is_due_before_the_first_record_and_after_a_commit() -> None:
    offsets = OpenOffsets()
    assert offsets.due is None
    offsets.take(5)
    offsets.committed(5)
    assert offsets.due is None
    offsets.end(5)
    assert offsets.due == 6


def test_a_recreated_topic_starts_again() -> None:
    offsets = OpenOffsets()
    offsets.take(900)
    offsets.end(900)
    offsets.take(0)
    assert offsets.due == 0


def test_the_oldest_record_waits_until_work_on_it_begins() -> None:
    offsets = OpenOffsets()
    waits = [offsets.oldest_waits]
    for step, offset in (
        *((offsets.take, 5), (offsets.take, 6), (offsets.start, 6), (offsets.start, 5)),
        *((offsets.take, 7), (offsets.end, 5), (offsets.end, 6), (offsets.end, 7)),
    ):
        step(offset)
        waits.append(offsets.oldest_waits)
    assert waits == [False, True, True, True, False, False, False, True, False]
