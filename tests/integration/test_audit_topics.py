"""Topics in the audit: history, diff, as-of, explain and reimport show them."""

from typing import Any

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.as_of.diff import differences
from audit.as_of.document_shape import shape_of
from audit.as_of.read_models import read_models_at
from audit.past.entities import EntityQuery
from audit.past.moments import after_sync
from audit.past.timeline import timeline
from audit.verify.verify import verify
from cli.render.past import Words, field_lines
from contracts.codec import JsonObject
from contracts.events import Topic
from tests.support.documents import category, document, talk
from tests.support.past import Past, dumped, in_order

pytestmark = pytest.mark.asyncio

DATA = {"category": "Track", "topic": "Data"}
WEB = {"category": "Track", "topic": "Web"}


def with_items(*items: str, **fields: object) -> JsonObject:
    return document(talk("1", categoryItems=list(items)) | fields, categories=[category("1")])


async def steps_of(past: Past) -> list[dict[str, Any]]:
    entries = timeline(past.log, past.event_id, EntityQuery("session", "1"))
    return [dict(entry.step.fields) async for entry in entries]


async def models(past: Past, run: int) -> Any:
    moment = await after_sync(past.log, past.event_id, past.runs[run])
    return await read_models_at(past.log, past.event_id, moment)


async def test_the_history_shows_old_and_new_topics(engine: AsyncEngine) -> None:
    past = Past(engine)
    for document_ in (with_items("11"), with_items("11", "12"), with_items("12", "11")):
        await past.imports(document_)

    added, updated = await steps_of(past)

    data, web = Topic(**DATA), Topic(**WEB)
    assert added["topics"] == (None, (data,))
    assert updated == {"topics": ((data,), (data, web))}
    assert list(field_lines(updated, Words({}, "UTC"))) == [
        "topics: Track: Data → Track: Data, Track: Web"
    ]


async def test_the_difference_of_two_moments_shows_topics(engine: AsyncEngine) -> None:
    past = Past(engine)
    await past.imports(with_items("11"))
    await past.imports(with_items("11", "12"))
    await past.imports(with_items("11", "12", speakers=[]))

    first, second, third = [shape_of(await models(past, run)) for run in range(3)]

    (changed,) = differences(first, second)
    assert changed.fields == {"topics": ([DATA], [DATA, WEB])}
    assert list(field_lines(changed.fields, Words())) == [
        "topics: Track: Data → Track: Data, Track: Web"
    ]
    fields = [d.fields for d in differences(second, third) if d.kind == "session"]
    assert fields == [{"is_reviewable": (True, False), "speakers": (["ada"], [])}]


async def test_unknown_topics_are_no_difference_from_none(engine: AsyncEngine) -> None:
    past = Past(engine)
    await past.imports(with_items("11") | {"categories": None})
    await past.imports(with_items(title="Another"))

    before, after = [shape_of(await models(past, run)) for run in range(2)]

    assert before["sessions"]["1"]["topics"] is None
    assert [list(d.fields) for d in differences(before, after)] == [["title"]]


async def test_the_read_models_of_a_moment_are_those_of_the_views(engine: AsyncEngine) -> None:
    past = Past(engine)
    await past.imports(with_items("11"))
    then = await dumped(engine, "sessions", past.event_id)
    await past.imports(with_items("12", isServiceSession=True))

    found = (await models(past, 0)).views()

    assert in_order(found["sessions"]) == then
    assert (then[0]["topics"], then[0]["is_reviewable"]) == ([DATA], True)
    (now,) = await dumped(engine, "sessions", past.event_id)
    assert (now["topics"], now["is_reviewable"]) == ([WEB], False)
    assert (await verify(engine)).is_clean
