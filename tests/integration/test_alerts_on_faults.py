"""Real faults, scraped over HTTP, fire their alerts; a healthy system fires none.

Two scrapes are continued at the rate between them, and promtool evaluates the rules over the
result. `tests/acceptance/soak_alerts.py` has the other faults.
"""

from dataclasses import replace
from pathlib import Path

import pytest

from cli.services import Role
from contracts.topics import SYNC_REQUESTS
from messaging.requests import publish_request
from tests.support.documents import WINDOW
from tests.support.http_side import the_http_side
from tests.support.line import Line, a_request, the_line
from tests.support.ports import free_port
from tests.support.prometheus import (
    QUICK,
    Scrape,
    assert_firing,
    calm,
    continued,
    needs_promtool,
    scraped_until,
)
from tests.support.sessionize.answers import page

pytestmark = [pytest.mark.asyncio, needs_promtool]

API_ID = "demo2026"
PROJECTION_LAG = "spreaview_projection_lag_seconds"


async def test_a_healthy_system_fires_no_alert(
    own_kafka: str, database_url: str, tmp_path: Path
) -> None:
    port = free_port()
    async with (
        the_line(own_kafka, database_url, health_port=port, **QUICK) as line,
        the_http_side(line, metrics_seconds=0.2) as side,
    ):
        row = await line.sync(a_request(API_ID, WINDOW))
        assert row["status"] == "completed"
        urls = (f"http://127.0.0.1:{port}/metrics", f"{side.url}/metrics")
        found = await scraped_until(calm(), *urls)
    assert set(found.values_of("spreaview_sync_outcomes_total", code="completed")) == {0, 1}
    assert found.values_of("spreaview_relay_mismatch") == [0, 0]
    assert found.values_of("spreaview_feed_clients") == [0]
    assert_firing(continued(replace(found, at=found.at - 60), found), (), tmp_path)


async def test_faults_fire_their_alerts_and_no_others(
    own_kafka: str, database_url: str, tmp_path: Path
) -> None:
    """No projector runs, a request cannot be read, and Sessionize fails."""
    port = free_port()
    url = f"http://127.0.0.1:{port}/metrics"
    async with the_line(
        own_kafka, database_url, roles=Role.WORKER, health_port=port, fetch_attempts=1, **QUICK
    ) as line:
        line.double.documents.put("failing8", page(503, "Try again later"))
        await line.producer.send_and_wait(SYNC_REQUESTS, b"no request")
        await publish_request(line.producer, a_request(API_ID, WINDOW))
        first = await scraped_until(has_faults, url)
        await fail(line)
        second = await scraped_until(
            lambda found: (
                found.value("spreaview_sync_outcomes_total", code="upstream_unavailable") == 2
                and calm(PROJECTION_LAG)(found)
            ),
            url,
        )
    assert second.value("spreaview_upstream_seconds_count", status="5xx") in (1, 2)  # shared
    lags = [found.value(PROJECTION_LAG) for found in (first, second)]
    assert lags[0] is not None
    assert lags[1] is not None
    # About a second per second: each value was gathered a moment before its scrape.
    assert abs((lags[1] - lags[0]) - (second.at - first.at)) < max(1.0, (second.at - first.at) / 2)
    assert_firing(
        continued(first, second),
        {"SpreaviewProjectionLags", "SpreaviewDeadLettersOpen", "SpreaviewUpstreamUnavailable"},
        tmp_path,
    )


def has_faults(found: Scrape) -> bool:
    return (
        (found.value(PROJECTION_LAG) or 0) > 0
        and found.value("spreaview_dead_letters_open") == 1
        and found.value("spreaview_sync_outcomes_total", code="completed") == 1
        and calm(PROJECTION_LAG)(found)
    )


async def fail(line: Line) -> None:
    """Request two syncs that end as `upstream_unavailable`."""
    for _ in range(2):
        await publish_request(line.producer, a_request("failing8", WINDOW))
