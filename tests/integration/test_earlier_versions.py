"""Generations made at commit cbab06d are used, and its snapshots are not: the fold has changed.

If a test fails because the computed version has changed while the code does the same, record the
computed version in `worker/sync/fold_version.py` or `projections/version.py`.
"""

from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from eventstore.snapshots import PUT_SNAPSHOT
from projections import generations
from projections.rebuild.rebuild import rebuild
from projections.status import projections_status
from projections.version import CODE_VERSION
from tests.support.earlier import made_at
from worker.rules.state import fold
from worker.sync.fold_version import FOLD_VERSION
from worker.sync.state_snapshots import load_state

pytestmark = pytest.mark.asyncio

EARLIER = made_at("cbab06d")


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


async def test_a_generation_begun_at_cbab06d_is_continued(
    engine: AsyncEngine, log: EventLog
) -> None:
    stream_id = EARLIER.events[0].spreaview_event_id
    await log.append(Commit(stream_id, 0, [NewEvent(uuid4(), event) for event in EARLIER.events]))
    async with engine.begin() as connection:
        begun = await generations.create(
            connection, number=2, live=False, code_version=EARLIER.code_version
        )

    done = await rebuild(engine, report_progress=lambda _: None, report_step=lambda _: None)

    assert (done.live.number, done.live.created_at) == (2, begun.created_at)


async def test_a_live_generation_filled_at_cbab06d_counts_as_filled_by_this_code(
    engine: AsyncEngine,
) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            text("UPDATE projections.generations SET code_version = :code_version WHERE live"),
            {"code_version": EARLIER.code_version},
        )

    status = await projections_status(engine)

    assert status.filled_by == status.code_version == CODE_VERSION
