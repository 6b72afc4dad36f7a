"""A repeated request id is compared with the first request, as the log has recorded it."""

import json
from datetime import timedelta
from typing import Any
from uuid import UUID

import pytest
from msgspec.structs import replace

from contracts import samples
from contracts.events import ImportEvent
from contracts.messages import Window
from eventstore.log import LogIdentity
from tests.support.documents import WINDOW, document, talk
from tests.support.fake_log import NOW, FakeLog, FakeSessionize
from worker.rules import sync_failures
from worker.sync.first_request import list_differences
from worker.sync.handle import Handler, RequestContext

KEY = b"k" * 32
REQUEST = replace(samples.REQUEST, window=WINDOW)
EVENT = REQUEST.spreaview_event_id
CONTEXT = RequestContext(NOW, 5.0, None)
OTHER_WINDOW = replace(WINDOW, ends_on=WINDOW.ends_on + timedelta(days=1))
INVALID_WINDOW = Window(starts_on=WINDOW.starts_on, ends_on=WINDOW.ends_on, time_zone="Nowhere")


def a_handler(log: FakeLog) -> Handler:
    sessionize = FakeSessionize(json.dumps(document(talk("1"))).encode())
    return Handler(log, sessionize, LogIdentity(UUID(int=1), KEY), "test", snapshot_events=1000)


async def the_first() -> ImportEvent:
    """The start of the first run, as the worker appends it."""
    log = FakeLog()
    await a_handler(log).handle(REQUEST, CONTEXT)
    return log.events(EVENT)[0]


@pytest.mark.asyncio
@pytest.mark.parametrize(
    ("changes", "differences"),
    [
        ({}, []),
        ({"requested_at": NOW, "requested_by": "Somebody Else"}, []),
        ({"sessionize_api_id": f" {REQUEST.sessionize_api_id} "}, []),
        ({"spreaview_event_id": UUID(int=7)}, ["spreaview_event_id"]),
        ({"organization_id": UUID(int=7)}, ["organization_id"]),
        ({"sessionize_api_id": "abcd4321"}, ["sessionize_api_id"]),  # the same mask
        ({"sessionize_api_id": "none at all"}, ["sessionize_api_id"]),
        ({"window": OTHER_WINDOW}, ["window"]),
        ({"window": INVALID_WINDOW}, ["window"]),
        ({"force": not REQUEST.force}, ["force"]),
        ({"allow_removals": 77}, ["allow_removals"]),
    ],
)
async def test_each_field_that_decides_the_import_is_compared(
    changes: dict[str, Any], differences: list[str]
) -> None:
    first = await the_first()
    assert list_differences(first, replace(REQUEST, **changes), KEY) == differences


@pytest.mark.asyncio
async def test_a_run_that_failed_before_it_started_is_compared_by_its_ids() -> None:
    log = FakeLog()
    await a_handler(log).refuse(REQUEST, sync_failures.invalid_request("force"), CONTEXT)
    (failed,) = log.events(EVENT)
    assert list_differences(failed, replace(REQUEST, force=not REQUEST.force), KEY) == []
    other = replace(REQUEST, spreaview_event_id=UUID(int=7))
    assert list_differences(failed, other, KEY) == ["spreaview_event_id"]
