"""Unforeseen faults of handler, relay and projector are logged without a secret or personal data.

Real processes at the most talkative level; the faults come from PostgreSQL, with rows in them.
"""

import asyncio
import json
import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import make_url, text
from sqlalchemy.ext.asyncio import AsyncEngine

from cli.sandbox.conference import conference, conference_window, encode_conference
from contracts.topics import DEFAULT_PARTITIONS
from messaging.connection import KafkaConnection
from messaging.requests import producing, publish_request
from messaging.topics import declare_topics
from projections.generations import select_live_generation
from tests.support.line import a_request
from tests.support.processes import COMMAND, PATIENCE, ROOT, environment
from tests.support.sessionize.answers import Answer, Documents
from tests.support.sessionize.double import sessionize_double

pytestmark = pytest.mark.asyncio

PASSWORD = "hushhush77"
REQUESTER = "Ada Example"
REFUSED_BY_HANDLER = "Grace Unforeseen"
API_IDS = ("import77", "secret88")

FAULTS = (
    # The handler of the second request: a constraint, with the row as PostgreSQL's detail.
    f"""
    ALTER TABLE event_store.personal_data
    ADD CONSTRAINT unforeseen CHECK (body ->> 'full_name' <> '{REFUSED_BY_HANDLER}')
    """,
    # The relay, when it has published the first: a trigger that quotes all personal data.
    """
    CREATE FUNCTION event_store.unforeseen() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        RAISE EXCEPTION 'refused: %',
            (SELECT string_agg(p.body::text, ' ') FROM event_store.personal_data p);
    END $$
    """,
    """
    CREATE TRIGGER unforeseen BEFORE INSERT OR UPDATE ON event_store.checkpoints
    FOR EACH ROW WHEN (NEW.position > 0) EXECUTE FUNCTION event_store.unforeseen()
    """,
    # The projector: a constraint on its read model.
    "ALTER TABLE event_speakers ADD CONSTRAINT unforeseen CHECK (bio IS NULL)",
)


async def arrange_faults(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await select_live_generation(connection)
        for statement in FAULTS:
            await connection.execute(text(statement))


def documents() -> dict[str, dict[str, Any]]:
    """One that is imported, and one whose first speaker the handler meets a fault with."""
    found = {api_id: json.loads(encode_conference(conference(api_id))) for api_id in API_IDS}
    found[API_IDS[1]]["speakers"][0]["fullName"] = REFUSED_BY_HANDLER
    return found


def personal(document: dict[str, Any]) -> Iterator[str]:
    for speaker in document["speakers"]:
        yield speaker["fullName"]
        for name in ("bio", "tagLine"):
            if value := speaker[name]:
                yield value.splitlines()[0]


@contextmanager
def started(role: str, log: Path, env: dict[str, str]) -> Iterator[None]:
    with log.open("wb") as output:
        process = subprocess.Popen(
            [*COMMAND, role], env=env, cwd=ROOT, stdout=output, stderr=subprocess.STDOUT
        )
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def logged(log: Path, *parts: str) -> str:
    """The whole log, once it holds all the parts; what JSON escapes is unescaped."""

    def wait() -> str:
        deadline = time.monotonic() + PATIENCE
        while not all(part in (found := log.read_text()) for part in parts):
            assert time.monotonic() < deadline, found
            time.sleep(0.05)
        return found

    found = await asyncio.to_thread(wait)
    return found + re.sub(r"\\u([0-9a-f]{4})", lambda m: chr(int(m[1], 16)), found)


@pytest.mark.parametrize("log_format", ["console", "json"])
async def test_unforeseen_faults_are_logged_without_secrets(
    own_kafka: str, database_url: str, engine: AsyncEngine, tmp_path: Path, log_format: str
) -> None:
    await declare_topics(
        KafkaConnection(own_kafka),
        partitions=DEFAULT_PARTITIONS,
        replication_factor=1,
        retention_days=1,
    )
    await arrange_faults(engine)
    with_password = make_url(database_url).set(password=PASSWORD)
    served = documents()
    worker, projector = tmp_path / "worker.log", tmp_path / "projector.log"
    async with (
        sessionize_double(Documents()) as double,
        producing(KafkaConnection(own_kafka)) as producer,
    ):
        for api_id, document in served.items():
            double.documents.put(api_id, Answer(json.dumps(document).encode()))
        requests = [a_request(api_id, conference_window()) for api_id in API_IDS]
        for request in requests:
            await publish_request(producer, request)
        handled = f"sync {requests[-1].request_id} failed unexpectedly"
        env = environment(
            database_url=with_password.render_as_string(hide_password=False),
            kafka_bootstrap_servers=own_kafka,
            kafka_transactions="false",
            kafka_session_seconds="1",
            sessionize_base_url=double.base_url,
            sweep_seconds="0.5",
            log_level="DEBUG",
            log_format=log_format,
        )
        with ExitStack() as processes:
            processes.enter_context(started("worker", worker, env))
            processes.enter_context(started("projector", projector, env))
            output = await logged(worker, handled, "relay: met a fault")
            output += await logged(projector, "is stopped")
    for part in ("Traceback", "worker/sync/", "worker/relay/relay.py"):
        assert part in output
    secrets = {PASSWORD, REQUESTER, *API_IDS, *(p for d in served.values() for p in personal(d))}
    assert {secret: output.count(secret) for secret in secrets if secret in output} == {}
