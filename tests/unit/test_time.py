"""Parsing the times of a document."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest
from hypothesis import strategies as st

from tests.support.properties import for_all
from worker.rules.window import parse_end, parse_instant

VIENNA = "Europe/Vienna"
MOMENTS = st.integers(631_152_000, 7_258_118_400).map(lambda s: datetime.fromtimestamp(s, UTC))
"""From 1990 to 2199, to the second."""


def instant(text: str, zone: str = VIENNA) -> str:
    moment = parse_instant(text, ZoneInfo(zone))
    assert moment.tzinfo is UTC
    return moment.strftime("%Y-%m-%d %H:%M:%S")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("2026-05-26T09:00:00", "2026-05-26 07:00:00", id="wall time in summer"),
        pytest.param("2026-01-26T09:00:00", "2026-01-26 08:00:00", id="wall time in winter"),
        pytest.param("2026-05-26T07:00:00Z", "2026-05-26 07:00:00", id="UTC"),
        pytest.param("2026-05-26T09:00:00+02:00", "2026-05-26 07:00:00", id="offset"),
        pytest.param("2026-05-26T01:30:00-05:30", "2026-05-26 07:00:00", id="negative offset"),
        pytest.param("2026-05-26T09:00", "2026-05-26 07:00:00", id="no seconds"),
        pytest.param("2026-05-26T09:00:00.0000000", "2026-05-26 07:00:00", id="seven decimals"),
        pytest.param("2026-05-26T00:30:00", "2026-05-25 22:30:00", id="the day before in UTC"),
        # 2026-03-29: clocks go from 02:00 to 03:00.
        pytest.param("2026-03-29T01:59:59", "2026-03-29 00:59:59", id="before the gap"),
        pytest.param("2026-03-29T02:00:00", "2026-03-29 01:00:00", id="gap begins"),
        pytest.param("2026-03-29T02:30:00", "2026-03-29 01:30:00", id="in the gap: 03:30"),
        pytest.param("2026-03-29T03:00:00", "2026-03-29 01:00:00", id="after the gap"),
        # 2026-10-25: clocks go from 03:00 back to 02:00.
        pytest.param("2026-10-25T01:59:59", "2026-10-24 23:59:59", id="before the fold"),
        pytest.param("2026-10-25T02:00:00", "2026-10-25 00:00:00", id="fold begins: the first"),
        pytest.param("2026-10-25T02:59:59", "2026-10-25 00:59:59", id="in the fold: the first"),
        pytest.param("2026-10-25T03:00:00", "2026-10-25 02:00:00", id="after the fold"),
        pytest.param("2026-10-25T01:30:00Z", "2026-10-25 01:30:00", id="the second, in UTC"),
    ],
)
def test_times_in_vienna(text: str, expected: str) -> None:
    assert instant(text) == expected


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        pytest.param(
            "2018-11-04T00:30:00", "America/Sao_Paulo", "2018-11-04 03:30:00", id="midnight gap"
        ),
        pytest.param("2022-03-27T00:00:00", "Asia/Beirut", "2022-03-26 22:00:00", id="at midnight"),
        pytest.param(
            "2022-10-02T02:15:00", "Australia/Lord_Howe", "2022-10-01 15:45:00", id="half an hour"
        ),
        pytest.param(
            "2011-12-30T12:00:00", "Pacific/Apia", "2011-12-30 22:00:00", id="a whole day"
        ),
        pytest.param("2026-05-26T09:00:00", "UTC", "2026-05-26 09:00:00", id="UTC"),
    ],
)
def test_times_elsewhere(text: str, zone: str, expected: str) -> None:
    assert instant(text, zone) == expected


@for_all(
    MOMENTS,
    st.sampled_from([VIENNA, "America/Sao_Paulo", "Asia/Kathmandu", "Australia/Lord_Howe"]),
)
def test_a_change_of_notation_changes_nothing(moment: datetime, zone: str) -> None:
    local = moment.astimezone(ZoneInfo(zone))
    if local.fold:  # wall time cannot express the second of two
        return
    forms = [
        local.replace(tzinfo=None).isoformat(),
        local.isoformat(),
        moment.isoformat().replace("+00:00", "Z"),
    ]

    assert [parse_instant(form, ZoneInfo(zone)) for form in forms] == [moment] * 3


@pytest.mark.parametrize(
    "text",
    [
        "",
        "2026-05-26",
        "2026-05-26 09:00:00",
        "09:00",
        "T09:00:00",
        "tomorrow",
        "26.05.2026T09:00",
        "2026-02-30T09:00:00",
        "2026-05-26T25:00:00",
        "2026-05-26T09:00:00+99:00",
        "0001-01-01T00:00:00",
        "9999-12-31T23:59:59-14:00",
        "x" * 5000,
    ],
    ids=lambda text: text[:20] or "empty",
)
def test_an_unparsable_time_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as refused:
        parse_instant(text, ZoneInfo(VIENNA))
    assert len(str(refused.value)) < 5100


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("2026-05-26", "'2026-05-26' is not a date and a time"),
        ("x" * 41, f"'{'x' * 40}' is not a date and a time"),
        ("0001-01-01T00:00:00", "'0001-01-01T00:00:00' is outside the calendar"),
        ("0001-12-31T23:59:59Z", "'0001-12-31T23:59:59Z' is outside the calendar"),
        ("9999-01-01T00:00:00Z", "'9999-01-01T00:00:00Z' is outside the calendar"),
        (
            "9999-12-31T23:59:59.00000000000000000000-14:00",
            "'9999-12-31T23:59:59.00000000000000000000' is outside the calendar",
        ),
    ],
)
def test_a_refused_time_is_quoted_with_the_reason(text: str, reason: str) -> None:
    with pytest.raises(ValueError, match=r"\S") as refused:
        parse_instant(text, ZoneInfo(VIENNA))
    assert str(refused.value) == reason


@pytest.mark.parametrize(
    ("start", "end", "instant"),
    [
        pytest.param("2026-10-25T02:45:00", "2026-10-25T02:15:00", "01:15", id="second pass"),
        pytest.param("2026-10-25T02:15:00", "2026-10-25T02:45:00", "00:45", id="first pass"),
        pytest.param("2026-10-25T01:30:00Z", "2026-10-25T02:15:00", "00:15", id="both before"),
        pytest.param("2026-10-25T03:15:00", "2026-10-25T01:15:00", "23:15", id="no fold"),
        pytest.param("2026-10-25T02:15:00", "2026-10-25T02:15:00", "00:15", id="no length"),
        pytest.param("2026-10-25T01:15:00Z", "2026-10-25T02:15:00", "00:15", id="not after it"),
    ],
)
def test_an_end_in_a_fold_is_the_second_if_the_first_lies_before_the_start(
    start: str, end: str, instant: str
) -> None:
    zone = ZoneInfo(VIENNA)
    found = parse_end(end, parse_instant(start, zone), zone)

    assert f"{found:%H:%M}" == instant
