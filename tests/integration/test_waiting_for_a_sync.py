"""`request --wait` answers for its own request only, and logs what it waits for."""

import asyncio
import subprocess
from collections.abc import AsyncIterator
from uuid import UUID, uuid4

import pytest
import pytest_asyncio

from cli.sandbox.conference import conference, conference_window, encode_conference
from messaging.requests import publish_request
from tests.support.brokers import Can, KnownBroker
from tests.support.brokers import broker as broker
from tests.support.line import ORGANIZATION, Line, a_request, the_line
from tests.support.processes import environment, run
from tests.support.sessionize.answers import Answer, Delivery, Ending

pytestmark = pytest.mark.asyncio

WINDOW = conference_window()
API_ID = "waiting01"


@pytest_asyncio.fixture(scope="module")
async def line(broker: KnownBroker, module_database_url: str) -> AsyncIterator[Line]:
    transactions = broker.can(Can.TRANSACTIONS)
    async with the_line(broker.address, module_database_url, transactions=transactions) as line:
        line.double.serve(API_ID, encode_conference(conference(API_ID)))
        yield line


async def wait_for_sync(
    line: Line, request_id: UUID, event_id: UUID, *more: str, api_id: str = API_ID
) -> subprocess.CompletedProcess[str]:
    """Run `request --wait` with this request id."""
    days = ("--from", f"{WINDOW.starts_on}", "--to", f"{WINDOW.ends_on}")
    return await asyncio.to_thread(
        run,
        *("request", "--wait", "--request-id", str(request_id), "--event-id", str(event_id)),
        *("--organization-id", str(ORGANIZATION), "--api-id", api_id, *days),
        *("--time-zone", WINDOW.time_zone, *more),
        env=environment(
            database_url=line.addresses.database_url,
            kafka_bootstrap_servers=line.addresses.kafka.bootstrap_servers,
        ),
    )


async def test_a_repeated_request_id_reports_only_the_same_request(line: Line) -> None:
    request_id, event_id = uuid4(), uuid4()
    first = await wait_for_sync(line, request_id, event_id)
    assert first.returncode == 0, first.stderr
    assert first.stderr.splitlines()[0] == f"sync {request_id}"
    assert "already done" not in first.stdout

    repeated = await wait_for_sync(line, request_id, event_id)
    assert repeated.returncode == 0, repeated.stderr
    finished_at = (await line.ended(request_id))["finished_at"]
    assert f"already done at {finished_at}" in repeated.stdout

    other_content = await wait_for_sync(line, request_id, event_id, "--force")
    assert other_content.returncode == 1
    assert "other content (force): nothing was requested" in other_content.stderr
    assert other_content.stdout == ""

    other_event = await wait_for_sync(line, request_id, uuid4())
    assert other_event.returncode == 1
    assert f"belongs to another SpreaView event, {event_id}" in other_event.stderr
    assert other_event.stdout == ""


async def test_a_waiting_sync_names_the_earlier_sync_of_its_event(line: Line) -> None:
    silence = Answer(b"", delivery=Delivery(has_head=False, ending=Ending.HANG))
    line.double.documents.put("hanging01", silence)
    earlier = a_request("hanging01", WINDOW)
    await publish_request(line.producer, earlier)
    async with asyncio.timeout(30):
        while not await line.rows("sync_runs", earlier.spreaview_event_id):  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    waited = await wait_for_sync(line, uuid4(), earlier.spreaview_event_id, "--timeout", "1")
    assert waited.returncode == 1
    assert f"waits for sync {earlier.request_id} of the same SpreaView event" in waited.stderr
    assert "is a worker running?" not in waited.stderr


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "soon"])
async def test_an_invalid_time_limit_is_wrong_usage(line: Line, seconds: str) -> None:
    refused = await wait_for_sync(line, uuid4(), uuid4(), f"--timeout={seconds}")
    assert refused.returncode == 2
    assert "not a number of seconds" in refused.stderr
