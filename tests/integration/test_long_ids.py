"""Ids of the maximal length fit as keys into every table of the read models."""

import secrets

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from projections.status import projections_status
from tests.support.documents import document, room, speaker, talk, unscheduled
from tests.support.line import rows
from tests.support.past import Past
from worker.rules.ids import MAX_ID_BYTES

pytestmark = pytest.mark.asyncio


async def test_ids_of_the_maximal_length_stop_no_stream(engine: AsyncEngine) -> None:
    """Random ids: PostgreSQL cannot compress them into a shorter key."""
    talked, skipped, place, person = (secrets.token_hex(MAX_ID_BYTES // 2) for _ in range(4))
    past = Past(engine)
    await past.imports(
        document(
            talk(talked, room=place, speakers=[person]),
            unscheduled(skipped),
            rooms=[room(place)],
            speakers=[speaker(person)],
        )
    )
    assert (await projections_status(engine)).is_well
    for view, sessionize_id in (
        ("sessions", talked),
        ("skipped_sessions", skipped),
        ("rooms", place),
        ("event_speakers", person),
    ):
        assert [row["sessionize_id"] for row in await rows(engine, view, past.event_id)] == [
            sessionize_id
        ]
