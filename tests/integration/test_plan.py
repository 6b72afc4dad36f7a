"""`plan` decides as a sync would, by the clock that a sync goes by."""

import asyncio
import os

import pytest

from tests.support.chaos.clock import REQUIRED, ahead, missing_library
from tests.support.documents import WINDOW
from tests.support.line import ORGANIZATION, a_request, the_line
from tests.support.processes import environment, run

pytestmark = pytest.mark.asyncio


@pytest.mark.skipif(
    missing_library() is not None and os.environ.get(REQUIRED) != "1", reason="no faketime"
)
async def test_a_slow_clock_of_the_command_does_not_make_the_sync_superseded(
    module_kafka: str, database_url: str
) -> None:
    async with the_line(module_kafka, database_url) as line:
        request = a_request("demo2026", WINDOW)
        await line.sync(request)
        env = environment(database_url=database_url, sessionize_base_url=line.double.base_url)
        arguments = (
            *("--organization-id", str(ORGANIZATION), "--api-id", "demo2026"),
            *("--event-id", str(request.spreaview_event_id), "--time-zone", WINDOW.time_zone),
            *("--from", str(WINDOW.starts_on), "--to", str(WINDOW.ends_on)),
        )
        done = await asyncio.to_thread(run, "plan", *arguments, env=env | ahead("-3600"))
    assert done.returncode == 0, done.stdout + done.stderr
