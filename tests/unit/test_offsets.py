"""The offset that may be committed is never beyond a record that is still in hand."""

from hypothesis import given
from hypothesis import strategies as st

from messaging.offsets import OpenOffsets


@given(
    gaps=st.lists(st.integers(1, 3), min_size=1, max_size=30),
    order=st.randoms(use_true_random=False),
)
def test_whatever_the_order_in_which_records_end(gaps: list[int], order: object) -> None:
    """Offsets have gaps: markers of transactions take some."""
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


def test_a_topic_that_was_made_again_begins_anew() -> None:
    offsets = OpenOffsets()
    offsets.take(900)
    offsets.end(900)
    offsets.take(0)
    assert offsets.due == 0
