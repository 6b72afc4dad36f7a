"""The positions that a projector remembers to ignore late signals."""

from uuid import UUID

import pytest

from messaging.cloudevents import position_of
from projections import applied
from projections.applied import AppliedPositions

A, B, C = (UUID(int=number) for number in range(1, 4))


def test_an_event_is_known_up_to_the_last_applied_position_of_its_stream() -> None:
    positions = AppliedPositions()
    positions.note({A: 7})

    assert [positions.has(A, position) for position in (6, 7, 8, None)] == [
        True,
        True,
        False,
        False,
    ]
    assert not positions.has(B, 1)


def test_the_streams_that_moved_last_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(applied, "_STREAMS", 2)
    positions = AppliedPositions()
    for stream in (A, B, A, C):
        positions.note({stream: 9})

    assert [positions.has(stream, 9) for stream in (A, B, C)] == [True, False, True]


@pytest.mark.parametrize(
    ("headers", "position"),
    [
        ([("ce_id", b"1"), ("ce_position", b"42")], 42),
        ([], None),
        ([("ce_position", None)], None),
        ([("ce_position", b"-1")], None),
        ([("ce_position", b"9" * 5000)], None),
    ],
)
def test_a_position_is_read_from_the_headers(
    headers: list[tuple[str, bytes | None]], position: int | None
) -> None:
    assert position_of(headers) == position
