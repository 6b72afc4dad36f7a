"""Cursors of the feed."""

from uuid import UUID

import pytest

from projections.http.feed.cursor import cursor_at, parse_cursor, start_of

LOG = UUID("86062f02-16b4-41b8-839f-7a3d077aa27a")


def test_a_cursor_is_read_as_it_was_written() -> None:
    cursor = cursor_at(LOG, 56, UUID("c398a39a-158b-5baa-b566-27658e11bbd6"))
    assert str(cursor) == f"{LOG}:56:c398a39a"
    assert parse_cursor(str(cursor)) == cursor
    assert parse_cursor(f" {cursor}\n") == cursor


def test_the_start_is_a_cursor() -> None:
    assert parse_cursor(str(start_of(LOG))) == start_of(LOG)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "56",
        f"{LOG}:56",
        f"{LOG}:-1:c398a39a",
        f"{LOG}:56:c398a39",
        f"{LOG}:{'9' * 20}:c398a39a",
        f"{LOG}:٣:c398a39a",
        f"{str(LOG)[:-1]}:56:c398a39a",
    ],
)
def test_other_texts_are_no_cursors(text: str) -> None:
    assert parse_cursor(text) is None
