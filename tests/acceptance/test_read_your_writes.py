"""No read is older than asked for: projectors are killed, and the replica lags."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from uuid import UUID

import pytest
import pytest_asyncio

from projections.http import answering
from projections.http.answering import Answers, Moment, Wanted
from projections.http.shown import read_shown
from tests.support.read_your_writes import Scene, read_pairs, reading_scene

pytestmark = pytest.mark.asyncio

SEED = 1
PAIRS = 200


@pytest_asyncio.fixture(scope="module")
async def scene(
    module_kafka: str, tmp_path_factory: pytest.TempPathFactory
) -> AsyncIterator[Scene]:
    async with reading_scene(module_kafka, tmp_path_factory.mktemp("reading")) as running:
        yield running


async def test_no_read_of_200_pairs_is_older_than_asked_for(scene: Scene) -> None:
    tally = await read_pairs(scene, PAIRS, seed=SEED)
    assert (tally.stale, tally.wrong) == ([], []), tally.table(scene.disturbances)
    assert tally.pairs == PAIRS
    assert tally.answers["not-yet"] > 0
    assert scene.disturbances["projectors killed"] > 0


async def test_an_answer_without_the_check_is_found_stale(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def always(*_: object) -> bool:
        return True

    monkeypatch.setattr(answering, "_shows", always)
    assert (await read_pairs(scene, 300, seed=SEED, until_stale=True)).stale


@pytest.mark.soak
async def test_an_answer_from_another_connection_than_was_checked_is_found_stale(
    scene: Scene, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = Answers.moment

    @asynccontextmanager
    async def wrong(self: Answers, event_id: UUID, wanted: Wanted) -> AsyncIterator[Moment]:
        async with right(self, event_id, wanted):
            pass
        async with self.snapshot() as connection:
            yield Moment(connection, await read_shown(connection, event_id))

    monkeypatch.setattr(Answers, "moment", wrong)
    assert (await read_pairs(scene, 3000, seed=SEED, until_stale=True)).stale
