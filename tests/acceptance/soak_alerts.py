"""The alerts that `tests/integration/test_alerts_on_faults.py` leaves out, each by its real fault.

Part of `make soak`. Two scrapes are continued at the rate between them, and promtool evaluates the
rules over the result.
"""

from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path
from uuid import UUID, uuid4

import httpx
import msgspec
import pytest
from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.sandbox.kafka import kafka
from cli.services import Role
from contracts import identity
from contracts.topics import IMPORT_EVENTS
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from messaging.requests import publish_erasure, publish_request
from projections.generations import select_live_generation
from tests.support.apache_kafka import own_broker
from tests.support.documents import WINDOW, document, talk
from tests.support.erasures import a_call
from tests.support.http_side import the_http_side
from tests.support.line import ORGANIZATION, a_request, the_line
from tests.support.ports import free_port
from tests.support.prometheus import (
    LAGS,
    QUICK,
    Scrape,
    assert_firing,
    calm,
    continued,
    needs_promtool,
    scraped_until,
)
from tests.support.sessionize.answers import Answer
from tests.support.streams import STARTED

pytestmark = [pytest.mark.asyncio, needs_promtool]

API_ID = "demo2026"


async def execute(engine: AsyncEngine, *statements: str) -> None:
    async with engine.begin() as connection:
        await select_live_generation(connection)
        for statement in statements:
            await connection.execute(text(statement))


async def begin_run(engine: AsyncEngine) -> None:
    """Append the beginning of a run whose request is not on Kafka."""
    sync_id, stream = uuid4(), uuid4()
    event = msgspec.structs.replace(
        STARTED, sync_id=sync_id, spreaview_event_id=stream, organization_id=ORGANIZATION
    )
    new = NewEvent(identity.message_id(sync_id, 0), event)
    await EventLog(engine).append(Commit(stream, 0, [new]))


async def test_no_worker_runs(
    own_kafka: str, database_url: str, engine: AsyncEngine, tmp_path: Path
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/metrics"
    grow = tuple(name for name in LAGS if "projection" not in name)
    async with the_line(
        own_kafka, database_url, roles=Role.PROJECTOR, health_port=port, **QUICK
    ) as line:
        await begin_run(engine)
        await publish_request(line.producer, a_request(API_ID, WINDOW))
        await publish_erasure(line.producer, a_call(sessionize_id="ada"))
        first = await scraped_until(
            lambda found: all((found.value(name) or 0) > 0 for name in grow), url
        )
        second = await scraped_until(
            lambda found: (
                calm(*grow)(found)
                and all((found.value(name) or 0) > (first.value(name) or 0) + 1 for name in grow)
            ),
            url,
        )
    expected = {
        "SpreaviewRequestsWait",
        "SpreaviewErasuresWait",
        "SpreaviewRunStaysOpen",
        "SpreaviewRelayLags",
        "SpreaviewLogNotSealed",
    }
    assert_firing(continued(first, second), expected, tmp_path)


async def test_runs_streams_removals_and_queries_fail(
    own_kafka: str, database_url: str, engine: AsyncEngine, tmp_path: Path
) -> None:
    port = free_port()
    refused, held = uuid4(), uuid4()
    async with (
        the_line(own_kafka, database_url, health_port=port, **QUICK) as line,
        the_http_side(line, metrics_seconds=0.2) as side,
    ):
        urls = (f"http://127.0.0.1:{port}/metrics", f"{side.url}/metrics")
        many = document(*(talk(str(n), f"2026-05-28T{n % 24:02}:00:00") for n in range(30)))
        few = document(talk("1", "2026-05-28T01:00:00"))
        answers = (Answer(msgspec.json.encode(each)) for each in (many, few))
        line.double.documents.put("shrunk88", *answers)
        for _ in range(2):
            await line.sync(a_request("shrunk88", WINDOW, event_id=held))
        await execute(
            engine,
            "ALTER TABLE sync_runs ADD CONSTRAINT refused "
            f"CHECK (spreaview_event_id <> '{refused}') NOT VALID",
        )
        await publish_request(line.producer, a_request(API_ID, WINDOW, event_id=refused))
        await scraped_until(
            lambda found: calm()(found) and 1 in found.values_of("spreaview_streams_stopped"), *urls
        )
        await execute(engine, "ALTER VIEW spreaview.rooms RENAME TO elsewhere")
        await ask(side.client, held)
        await begin_run(engine)
        first = await scraped_until(lambda _: True, *urls)
        for _ in range(3):
            await ask(side.client, held)
        await execute(engine, "ALTER VIEW spreaview.elsewhere RENAME TO rooms")
        second = await scraped_until(lambda found: calm()(found) and has_failed(found), *urls)
    expected = {
        "SpreaviewSyncsFail",
        "SpreaviewStreamStopped",
        "SpreaviewRemovalsHeld",
        "SpreaviewHttpFails",
    }
    assert_firing(continued(first, second), expected, tmp_path)


async def ask(client: httpx.AsyncClient, event: UUID) -> None:
    assert (await client.get(f"/v1/events/{event}/rooms")).status_code >= 500


def has_failed(found: Scrape) -> bool:
    return 1 in found.values_of("spreaview_sync_outcomes_total", code="internal_error")


async def test_the_log_was_restored(
    own_kafka: str, database_url: str, engine: AsyncEngine, tmp_path: Path
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/metrics"
    async with the_line(
        own_kafka, database_url, roles=Role.WORKER, health_port=port, **QUICK
    ) as line:
        await publish_request(line.producer, a_request(API_ID, WINDOW))
        await scraped_until(
            lambda found: (
                calm("spreaview_projection_lag_seconds")(found)
                and found.value("spreaview_sync_outcomes_total", code="completed") == 1
            ),
            url,
        )
        await execute(
            engine,
            "ALTER TABLE event_store.events DISABLE TRIGGER append_only",
            "DELETE FROM event_store.events",
            "ALTER TABLE event_store.events ENABLE ALWAYS TRIGGER append_only",
            "DELETE FROM event_store.streams",
        )
        found = await scraped_until(
            lambda found: (
                calm()(found)
                and found.value("spreaview_relay_mismatch") == 1
                and found.value("spreaview_component_ok", component="relay") == 0
            ),
            url,
            well=False,
        )
    earlier = replace(found, at=found.at - 60)
    expected = {"SpreaviewLogRestored", "SpreaviewComponentFails"}
    assert_firing(continued(earlier, found), expected, tmp_path)


async def test_kafka_and_a_process_are_down(database_url: str, tmp_path: Path) -> None:
    port = free_port()
    url, nobody = f"http://127.0.0.1:{port}/metrics", f"http://127.0.0.1:{free_port()}/metrics"
    async with AsyncExitStack() as broker:
        address = await broker.enter_async_context(kafka(log_path=tmp_path / "kafka.log"))
        async with the_line(address, database_url, health_port=port, graceful_timeout=1.0, **QUICK):
            await scraped_until(calm(), url)
            await broker.aclose()
            found = await scraped_until(
                lambda found: (
                    found.value("spreaview_component_ok", component="Kafka") == 0
                    and found.value("spreaview_gathering_failed", reading="requests") == 1
                ),
                *(url, nobody),
                well=False,
            )
    expected = {
        "SpreaviewComponentFails",
        "SpreaviewGatheringFails",
        "SpreaviewMetricsMissing",
        "SpreaviewProcessDown",
    }
    assert_firing(continued(replace(found, at=found.at - 60), found), expected, tmp_path)


async def test_an_event_is_too_large(
    database_url: str, engine: AsyncEngine, tmp_path: Path
) -> None:
    port = free_port()
    url = f"http://127.0.0.1:{port}/metrics"
    async with own_broker(tmp_path) as broker:
        admin = AIOKafkaAdminClient(bootstrap_servers=broker.address)
        await admin.start()
        await admin.create_topics(
            [NewTopic(IMPORT_EVENTS, 1, 1, topic_configs={"max.message.bytes": "100"})]
        )
        await admin.close()
        await begin_run(engine)
        async with the_line(
            broker.address,
            database_url,
            transactions=True,
            health_port=port,
            kafka_session_seconds=6.0,
            **QUICK,
        ):
            found = await scraped_until(
                lambda found: (
                    calm()(found) and found.value("spreaview_relay_unpublished_events") == 2
                ),
                url,
            )
    earlier = replace(found, at=found.at - 60)
    assert_firing(continued(earlier, found), {"SpreaviewEventTooLarge"}, tmp_path)
