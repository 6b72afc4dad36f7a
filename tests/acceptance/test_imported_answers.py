"""Answers with small defects that are imported all the same, with warnings."""

from dataclasses import dataclass

import pytest

from cli.sandbox.answers import HTML
from tests.support.documents import BROKEN, document, room, speaker, talk, unscheduled
from tests.support.first_import import (
    API_ID,
    GOOD,
    SLACK_SECONDS,
    encoded,
    import_from,
    schedule,
)
from tests.support.sessionize.answers import Answer, Delivery
from tests.support.sessionize.double import Double

LATE = "2026-05-28T11:00:00"


@dataclass(frozen=True)
class Case:
    """An answer, the sessions that are imported, and the codes of the warnings."""

    name: str
    answer: Answer
    sessions: tuple[str, ...]
    warnings: tuple[str, ...] = ()


IMPORTED = (
    Case("only some scheduled", schedule(document(talk("1"), unscheduled("2"))), ("1",)),
    Case("byte order mark", Answer(b"\xef\xbb\xbf" + encoded(GOOD)), ("1", "2")),
    Case("JSON with the content type of HTML", schedule(GOOD, content_type=HTML), ("1", "2")),
    Case(
        "late head, in pieces",
        schedule(
            GOOD, delivery=Delivery(head_after_seconds=0.2, piece_bytes=99, pause_seconds=0.01)
        ),
        ("1", "2"),
    ),
    Case(
        "duplicate id",
        schedule(document(talk("1"), talk("1", LATE))),
        ("1",),
        ("duplicate_session",),
    ),
    Case(
        "unknown room",
        schedule(document(talk("1", room=8), talk("2"), rooms=[room(7)])),
        ("2",),
        ("unknown_room",),
    ),
    Case(
        "unknown speaker",
        schedule(document(talk("1", speakers=["bob"]), talk("2", LATE), speakers=[speaker("ada")])),
        ("1", "2"),
        ("unknown_speaker",),
    ),
    Case(
        "end before start",
        schedule(document(talk("1", LATE, "2026-05-28T10:00:00"))),
        ("1",),
        ("session_ends_before_it_starts",),
    ),
    Case(
        "one broken session of three",
        schedule(document(talk("1") | BROKEN, talk("2"), talk("3", LATE))),
        ("2", "3"),
        ("invalid_session",),
    ),
    Case(
        "Latin-1",
        Answer(
            encoded(document(talk("1", title="Café"), talk("2", LATE))).decode().encode("latin-1")
        ),
        ("2",),
        ("invalid_session",),
    ),
    Case(
        "no session in the window",
        schedule(document(talk("1", "2025-05-28T09:00:00"))),
        (),
        ("no_session_in_window",),
    ),
)


@pytest.mark.asyncio
@pytest.mark.parametrize("case", IMPORTED, ids=lambda case: case.name)
async def test_a_schedule_with_defects_is_imported_with_warnings(
    double: Double, case: Case
) -> None:
    double.documents.put(API_ID, case.answer)

    run = await import_from(double.base_url)

    assert run.sessions == list(case.sessions)
    assert [warning.code for warning in run.completed.warnings] == list(case.warnings)
    assert run.seconds < SLACK_SECONDS
