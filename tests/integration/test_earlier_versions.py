"""Generations made at commit cbab06d are used, and its snapshots are not: the fold has changed.

Since then sessions have topics. A generation of cbab06d gets the column, and both a projector of
cbab06d and one of today write it.

If a test fails because the computed version has changed while the code does the same, record the
computed version in `worker/sync/fold_version.py` or `projections/version.py`.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from eventstore.snapshots import PUT_SNAPSHOT
from projections import generations, statements
from projections.prepare import prepare
from projections.rebuild.rebuild import rebuild
from projections.status import projections_status
from projections.tables import GENERATION_VIEWS
from projections.version import CODE_VERSION
from tests.support.earlier import made_at
from tests.support.line import rows
from tests.support.rebuilds import append_sessions, catch_up
from worker.rules.state import fold
from worker.sync.fold_version import FOLD_VERSION
from worker.sync.state_snapshots import load_state

pytestmark = pytest.mark.asyncio

EARLIER = made_at("cbab06d")
SCRIPTS = Path(__file__).parents[1] / "fixtures" / "cbab06d"

PUT_SESSIONS_OF_CBAB06D = text("""
    INSERT INTO sessions
    SELECT * FROM json_populate_recordset(NULL::sessions, CAST(:rows AS json))
    ON CONFLICT (spreaview_event_id, session_id) DO UPDATE SET
        title = EXCLUDED.title, abstract = EXCLUDED.abstract, room_id = EXCLUDED.room_id,
        starts_at = EXCLUDED.starts_at, ends_at = EXCLUDED.ends_at,
        is_service_session = EXCLUDED.is_service_session,
        is_plenum_session = EXCLUDED.is_plenum_session, live_url = EXCLUDED.live_url,
        recording_url = EXCLUDED.recording_url, status = EXCLUDED.status,
        position = EXCLUDED.position
""")


async def test_a_stream_with_a_snapshot_made_at_cbab06d_is_folded_again(
    engine: AsyncEngine, log: EventLog
) -> None:
    assert EARLIER.snapshot.fold_version != FOLD_VERSION
    stream_id = EARLIER.events[0].spreaview_event_id
    await log.append(Commit(stream_id, 0, [NewEvent(uuid4(), event) for event in EARLIER.events]))
    async with engine.begin() as connection:
        await connection.execute(
            PUT_SNAPSHOT, {"stream_id": stream_id, **EARLIER.snapshot._asdict()}
        )

    state = await load_state(log, stream_id)

    assert state.snapshot_version == 0
    assert state == fold(EARLIER.events)


async def test_a_rebuild_begun_at_cbab06d_starts_over(engine: AsyncEngine, log: EventLog) -> None:
    stream_id = EARLIER.events[0].spreaview_event_id
    await log.append(Commit(stream_id, 0, [NewEvent(uuid4(), event) for event in EARLIER.events]))
    async with engine.begin() as connection:
        begun = await generations.create(
            connection, number=2, live=False, code_version=EARLIER.code_version
        )

    done = await rebuild(engine, report_progress=lambda _: None, report_step=lambda _: None)

    assert done.live.created_at > begun.created_at


async def test_a_generation_made_at_cbab06d_gets_the_new_columns(
    engine: AsyncEngine, log: EventLog
) -> None:
    await make_generation_of_cbab06d(engine)
    stream_id = EARLIER.events[0].spreaview_event_id
    await log.append(Commit(stream_id, 0, [NewEvent(uuid4(), event) for event in EARLIER.events]))
    await apply_with_the_code_of_cbab06d(engine, stream_id)

    await prepare(engine)

    shown = await sessions_of(engine, stream_id)
    assert [row["topics"] for row in shown] == [None] * len(shown)
    assert [row["is_reviewable"] for row in shown] == [
        bool(speakers) and not row["is_service_session"]
        for row in shown
        for speakers in [await speakers_of(engine, row["session_id"])]
    ]
    assert (await projections_status(engine)).unfilled_rows == 0


async def test_old_and_new_projectors_write_the_generation_of_cbab06d(
    engine: AsyncEngine, log: EventLog, monkeypatch: pytest.MonkeyPatch
) -> None:
    await make_generation_of_cbab06d(engine)
    await prepare(engine)
    one, other = uuid4(), uuid4()
    for stream_id in (one, other):
        await append_sessions(log, stream_id, 1, sessions=2)
    await catch_up(engine, [one, other])
    for stream_id in (one, other):
        await append_sessions(log, stream_id, 2, sessions=2)
    with monkeypatch.context() as patched:
        patched.setattr(statements, "PUT_SESSIONS", PUT_SESSIONS_OF_CBAB06D)
        await forget_topics(engine, one)
        await catch_up(engine, [one])
    await catch_up(engine, [other])

    topics = {"category": "Track", "topic": "Architecture"}
    assert [row["title"] for row in await sessions_of(engine, one)] == ["run 2", "run 2"]
    assert [row["topics"] for row in await sessions_of(engine, one)] == [None, None]
    assert all(row["topics"][0] == topics for row in await sessions_of(engine, other))
    await mark_filled_by(engine, EARLIER.code_version)
    assert (await projections_status(engine)).unfilled_rows == 2

    await rebuild(engine, report_progress=lambda _: None, report_step=lambda _: None)

    assert all(row["topics"][0] == topics for row in await sessions_of(engine, one))
    assert (await projections_status(engine)).unfilled_rows == 0


async def test_a_generation_filled_at_cbab06d_is_one_that_other_code_has_filled(
    engine: AsyncEngine,
) -> None:
    await mark_filled_by(engine, EARLIER.code_version)

    status = await projections_status(engine)

    assert (status.filled_by, status.code_version) == (EARLIER.code_version, CODE_VERSION)
    assert EARLIER.code_version != CODE_VERSION


async def make_generation_of_cbab06d(engine: AsyncEngine) -> None:
    """Replace the only generation by one that the scripts of cbab06d make."""
    async with engine.begin() as connection:
        for view in GENERATION_VIEWS:
            await connection.exec_driver_sql(f"DROP VIEW spreaview.{view}")
        await connection.exec_driver_sql("DROP SCHEMA spreaview_g1 CASCADE")
        await connection.exec_driver_sql("CREATE SCHEMA spreaview_g1")
        await generations.select_generation(connection, "spreaview_g1")
        raw = await connection.get_raw_connection()
        assert raw.driver_connection is not None
        for script in ("tables.sql", "views.sql"):
            await raw.driver_connection.execute((SCRIPTS / script).read_text("utf-8"))


async def apply_with_the_code_of_cbab06d(engine: AsyncEngine, stream_id: UUID) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(statements, "PUT_SESSIONS", PUT_SESSIONS_OF_CBAB06D)
        await catch_up(engine, [stream_id], EARLIER.code_version)


async def sessions_of(engine: AsyncEngine, stream_id: UUID) -> list[dict[str, Any]]:
    return [dict(row) for row in await rows(engine, "sessions", stream_id)]


async def speakers_of(engine: AsyncEngine, session_id: object) -> Sequence[object]:
    async with engine.connect() as connection:
        found = await connection.execute(
            text("SELECT speaker_id FROM spreaview.session_speakers WHERE session_id = :id"),
            {"id": session_id},
        )
        return found.scalars().all()


async def forget_topics(engine: AsyncEngine, stream_id: UUID) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE spreaview_g1.sessions SET topics = NULL WHERE spreaview_event_id = :id"),
            {"id": stream_id},
        )


async def mark_filled_by(engine: AsyncEngine, code_version: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE projections.generations SET code_version = :code_version WHERE live"),
            {"code_version": code_version},
        )
