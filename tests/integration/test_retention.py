"""`retention` deletes what the settings no longer keep, and nothing that somebody still needs."""

import asyncio
import time
from datetime import timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.verify.documents import Retention as Explained
from audit.verify.findings import FindingKind
from audit.verify.verify import verify
from cli.connections import Addresses
from cli.retention.retain import Retained, Retention
from cli.settings import Settings
from eventstore.inbox import count_entries, prune_inbox
from eventstore.sources import count_sources, prune_sources
from messaging.connection import KafkaConnection
from messaging.dead_letters.records import dead_letter
from messaging.dead_letters.resolution import discard, letter_record
from messaging.dead_letters.retention import plan_pruning, prune_letters
from projections.generations import list_generations, maintenance_lock
from tests.support.dead_letter_topic import topics
from tests.support.documents import document, talk
from tests.support.past import Past
from tests.support.rebuilds import rebuild_quietly

pytestmark = pytest.mark.asyncio

DAYS = {"inbox": "inbox_retention_days", "sources": "source_retention_days"}
NOTHING = timedelta(0)


@pytest.fixture
def past(engine: AsyncEngine) -> Past:
    return Past(engine)


async def retain(
    engine: AsyncEngine, kafka: str = "127.0.0.1:9", *, is_dry: bool = False, **settings: Any
) -> dict[str, Retained]:
    """Run the retention of an installation with these settings; the kinds by name."""
    addresses = Addresses("", KafkaConnection(kafka), "")
    chosen = Settings().model_copy(update=settings)
    kinds = await Retention(engine, addresses, chosen, is_dry=is_dry).run()
    return {kind.kind: kind for kind in kinds}


async def grow_old(engine: AsyncEngine, days: int) -> None:
    """Move the inbox and the documents into the past, as if nobody had used them since."""
    async with engine.begin() as connection:
        for table, column in (("inbox", "recorded_at"), ("sources", "kept_at")):
            await connection.execute(
                text(
                    f"UPDATE event_store.{table} SET {column} = now() - make_interval(days => :d)"
                ),
                {"d": days},
            )


async def test_without_settings_everything_is_kept_and_the_reason_named(
    past: Past, engine: AsyncEngine
) -> None:
    await past.imports(document(talk("1")))
    await grow_old(engine, days=4000)

    kinds = await retain(engine)

    assert {kind.gone for kind in kinds.values()} == {0}
    assert {kind.problem for kind in kinds.values()} == {None}
    for kind in kinds.values():
        assert kind.why.endswith("is not set") if kind.setting else kind.why
    assert kinds["events"].kept == len([e async for e in past.log.read_stream(past.event_id)])


@pytest.mark.parametrize("kind", DAYS)
async def test_old_entries_go_once_and_newer_ones_stay(
    past: Past, engine: AsyncEngine, kind: str
) -> None:
    await past.imports(document(talk("1")))
    await past.imports(document(talk("2")))
    await grow_old(engine, days=31)
    await past.imports(document(talk("3")))
    settings: dict[str, Any] = {DAYS[kind]: 30}
    run = partial(retain, engine, **settings)

    dry, done, again = await run(is_dry=True), await run(), await run()

    assert [kinds[kind].gone for kinds in (dry, done, again)] == [2, 2, 0]
    assert [kinds[kind].kept for kinds in (dry, done, again)] == [1, 1, 1]


async def test_verify_reports_no_finding_for_what_a_setting_has_deleted(
    past: Past, engine: AsyncEngine
) -> None:
    await past.imports(document(talk("1")))
    async with engine.begin() as connection:
        assert await prune_inbox(connection, NOTHING, 10) == 1
        assert await prune_sources(connection, NOTHING) == 1

    explained = await verify(engine, retention=Explained(age=NOTHING, inbox_age=NOTHING))
    unexplained = await verify(engine)

    assert explained.findings == []
    assert explained.unchecked["entries of the inbox that are older than the retention setting"]
    assert {FindingKind.INBOX, FindingKind.SOURCE} <= unexplained.found.keys()


async def test_a_request_that_comes_again_after_its_entry_is_gone_is_over(
    past: Past, engine: AsyncEngine
) -> None:
    run = await past.imports(document(talk("1")))
    async with engine.begin() as connection:
        await prune_inbox(connection, NOTHING, 10)

    assert (await past.log.clock_and_run(run)).ended_in == past.event_id


async def test_two_processes_and_a_run_at_once_delete_each_old_entry_once(
    past: Past, engine: AsyncEngine
) -> None:
    """A document that a run uses at this moment is neither waited for nor deleted."""
    for number in range(6):
        await past.imports(document(talk(str(number))))
    await grow_old(engine, days=31)
    async with asyncio.timeout(30), engine.connect() as run, run.begin():
        used = await run.execute(
            text("""
                UPDATE event_store.sources SET kept_at = now()
                WHERE digest = (SELECT min(digest) FROM event_store.sources) RETURNING digest
            """)
        )
        digest = used.scalar_one()
        both = await asyncio.gather(
            *(retain(engine, source_retention_days=30, inbox_retention_days=30) for _ in range(2))
        )
    assert sum(kinds["sources"].gone for kinds in both) == 5
    assert sum(kinds["inbox"].gone for kinds in both) == 6
    async with engine.connect() as connection:
        left = (await connection.execute(text("SELECT digest FROM event_store.sources"))).scalars()
        assert list(left) == [digest]
        assert (await count_sources(connection), await count_entries(connection)) == (1, 0)


async def test_old_generations_beyond_the_number_are_dropped(
    past: Past, engine: AsyncEngine
) -> None:
    await past.imports(document(talk("1")))
    for _ in range(3):
        await rebuild_quietly(engine)

    dry = await retain(engine, is_dry=True, generations_kept=1)
    async with maintenance_lock(engine):
        refused = await retain(engine, generations_kept=1)
    done = await retain(engine, generations_kept=1)

    assert (dry["generations"].gone, dry["generations"].kept) == (2, 2)
    assert "another rebuild" in (refused["generations"].problem or "")
    assert (done["generations"].gone, done["generations"].kept) == (2, 2)
    async with engine.connect() as connection:
        assert [g.state for g in await list_generations(connection)] == ["old", "live"]


async def test_resolved_dead_letters_go_up_to_the_first_that_somebody_needs(
    apache_kafka: str,
) -> None:
    async with topics(apache_kafka) as broker:
        first, second, third = [
            await broker.dead_letter_of(await broker.came(str(number).encode()))
            for number in range(3)
        ]
        for letter in (first, third):
            await discard(broker.producer, letter.name, "typed by hand", topic=broker.letters)
        later = int(time.time() * 1000) + 60_000
        young = await plan_pruning(broker.reader, 0, topic=broker.letters)
        plan = await plan_pruning(broker.reader, later, topic=broker.letters)

        for _ in range(2):
            await prune_letters(broker.reader, plan)

        assert (young.records, young.kept, young.kept_open) == (0, 5, 1)
        assert (plan.records, plan.kept, plan.kept_open) == (1, 4, 1)
        assert [letter.name for letter in await broker.open()] == [second.name]
        assert await letter_record(broker.reader, first.name, broker.letters) is None
        await discard(broker.producer, second.name, "typed by hand", topic=broker.letters)
        plan = await plan_pruning(broker.reader, later, topic=broker.letters)
        await prune_letters(broker.reader, plan)
        assert (plan.records, plan.kept) == (5, 0)
        assert await broker.all() == []


async def test_the_copies_of_a_dead_letter_go_together(
    apache_kafka: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A later copy alone would be open again, and `dlq retry --all` would publish it."""
    async with topics(apache_kafka) as broker:
        twice, other = [await broker.came(value) for value in (b"twice", b"other")]
        first = await broker.dead_letter_of(twice)
        second = await broker.dead_letter_of(other)
        await dead_letter(broker.producer, twice, "no ids", topic=broker.letters)
        await discard(broker.producer, first.name, "typed by hand", topic=broker.letters)
        later = int(time.time() * 1000) + 60_000

        plan = await plan_pruning(broker.reader, later, topic=broker.letters)
        await prune_letters(broker.reader, plan)
        assert [letter.name for letter in await broker.open()] == [second.name]

        await discard(broker.producer, second.name, "typed by hand", topic=broker.letters)
        kept = await broker.dead_letter_of(await broker.came(b"open"))
        plan = await plan_pruning(broker.reader, later, topic=broker.letters)
        await prune_letters(broker.reader, plan)
        assert [letter.name for letter in await broker.all()] == [kept.name]
        assert "resolves no dead letter" not in caplog.text


async def test_a_broker_that_does_not_answer_is_the_problem_of_its_kind_only(
    past: Past, engine: AsyncEngine
) -> None:
    await past.imports(document(talk("1")))
    await grow_old(engine, days=31)

    kinds = await retain(engine, dead_letter_retention_days=30, inbox_retention_days=30)

    assert "does not answer" in (kinds["dead letters"].problem or "")
    assert kinds["inbox"].gone == 1
