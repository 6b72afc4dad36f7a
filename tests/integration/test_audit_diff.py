"""The difference between two moments, per entity and as JSON Patch."""

import copy
import json
from functools import partial
from itertools import pairwise
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.as_of.diff import diff, differences, json_patch
from audit.as_of.document_shape import Shape, shape_of
from audit.as_of.read_models import read_models_at
from audit.erasure.erase import erase
from audit.past.moments import NOW, Moment, after_sync, parse_moment
from cli.command import finish
from cli.commands.diff import report_difference
from cli.sandbox.conference import conference, conference_window, encode_conference
from cli.settings import Settings
from contracts.identity import speaker_id
from tests.support.documents import document, room, speaker, talk
from tests.support.evolution import life
from tests.support.line import ORGANIZATION
from tests.support.past import Past

pytestmark = pytest.mark.asyncio


async def shape(past: Past, number: int) -> Shape:
    """The document shape after a run; runs are counted from 0."""
    moment = await after_sync(past.log, past.event_id, past.runs[number])
    return shape_of(await read_models_at(past.log, past.event_id, moment))


def patched(before: Any, patch: list[dict[str, Any]]) -> Any:
    """Apply a JSON Patch of objects (RFC 6902, the operations in use)."""
    result = copy.deepcopy(before)
    for operation in patch:
        *parents, last = [
            part.replace("~1", "/").replace("~0", "~") for part in operation["path"][1:].split("/")
        ]
        target = result
        for part in parents:
            target = target[part]
        assert (last in target) == (operation["op"] != "add")
        if operation["op"] == "remove":
            del target[last]
        else:
            target[last] = operation["value"]
    return result


def lines(before: Shape, after: Shape) -> list[str]:
    return [
        " ".join([d.change, d.kind, d.sessionize_id, *d.fields]) for d in differences(before, after)
    ]


async def test_changes_are_listed_per_entity_and_field(engine: AsyncEngine) -> None:
    past = Past(engine)
    early = talk("early", "2026-05-27T09:00:00")
    await past.imports(document(talk("1"), talk("2"), talk("3", speakers=["bob"], room=8), early))
    await past.imports(
        document(
            talk("1", title="New", room=9),
            talk("2", "2026-05-30T09:00:00"),
            talk("4", speakers=["ada", "cyn"]),
            rooms=[room(7, name="Aula"), room(9)],
            speakers=[speaker("ada"), speaker("cyn")],
        )
    )
    await past.imports(
        document(talk("1", title="New", room=9), talk("2"), talk("4", speakers=["cyn", "ada"]))
    )
    shapes = [await shape(past, number) for number in range(3)]
    assert lines(shapes[0], shapes[1]) == [
        "updated session 1 room title",
        "withdrawn session 2",
        "withdrawn session 3",
        "added session 4",
        "updated room 7 name",
        "withdrawn room 8",
        "added room 9",
        "withdrawn speaker bob",
        "added speaker cyn",
        "added skip 2",
        "removed skip early",
    ]
    assert lines(shapes[1], shapes[2]) == [
        "restored session 2",
        "updated room 7 name",
        "removed skip 2",
    ]
    assert lines(shapes[2], shapes[2]) == []
    assert diff(shapes[0], shapes[1]).totals() == {
        "session": {"updated": 1, "withdrawn": 2, "added": 1},
        "room": {"updated": 1, "withdrawn": 1, "added": 1},
        "speaker": {"withdrawn": 1, "added": 1},
        "skip": {"added": 1, "removed": 1},
    }


async def test_a_difference_backwards_names_nothing_that_was_withdrawn_already(
    engine: AsyncEngine,
) -> None:
    past = Past(engine)
    kept = talk("1"), talk("2", "2026-05-28T10:00:00")
    await past.imports(document(*kept))
    await past.imports(document(*kept, talk("3", "2026-05-28T11:00:00", room=8, speakers=["bob"])))
    await past.imports(document(*kept))
    first, second, third = [await shape(past, number) for number in range(3)]
    assert lines(second, first) == ["removed session 3", "removed room 8", "removed speaker bob"]
    assert lines(third, first) == lines(first, third) == []


async def test_an_update_that_neither_moment_shows_is_not_a_difference(
    engine: AsyncEngine,
) -> None:
    past = Past(engine)
    kept = talk("1"), talk("2", "2026-05-28T10:00:00")
    for title in ("Old", "New"):
        gone = talk("3", "2026-05-28T11:00:00", room=8, speakers=["bob"], title=title)
        rooms = [room(7), room(8, name=title)]
        await past.imports(document(*kept, gone, rooms=rooms))
        await past.imports(document(*kept))
    first, second, third, fourth = [await shape(past, number) for number in range(4)]
    assert lines(second, fourth) == []
    assert {op["path"] for op in json_patch(second, fourth)} == {
        "/sessions/3/title",
        "/rooms/8/name",
    }
    assert lines(first, third) == ["updated session 3 title", "updated room 8 name"]


async def test_an_erasure_is_a_difference(engine: AsyncEngine) -> None:
    past = Past(engine)
    await past.imports(document(talk("1"), talk("2", "2026-05-28T10:00:00", speakers=["bob"])))
    await erase(engine, ORGANIZATION, speaker_id(ORGANIZATION, "ada"))
    before = await shape(past, 0)
    after = shape_of(await read_models_at(past.log, past.event_id, NOW))
    assert lines(before, after) == ["erased speaker ada"]
    assert lines(after, before) == ["restored speaker ada"]
    assert diff(before, after).patch == [
        {"op": "replace", "path": "/speakers/ada/status", "value": "erased"}
    ]


async def test_the_patch_turns_the_first_state_into_the_second(engine: AsyncEngine) -> None:
    past = Past(engine, window=conference_window())
    for state in life(conference("patched", sessions=20), 6, seed="patched"):
        await past.imports(encode_conference(state), allow_removals=100)
    shapes = [await shape(past, number) for number in range(6)]
    some = 0
    for before, after in [*pairwise(shapes), (shapes[-1], shapes[0])]:
        patch = list(json_patch(before, after))
        some += len(patch)
        assert patched(before, json.loads(json.dumps(patch))) == after
        assert (not patch) == (before == after)
    assert some


async def test_patch_paths_are_escaped() -> None:
    before, after = {"a/b": {"~": 1}}, {"a/b": {"~": 2, "~1": [1]}}
    patch = list(json_patch(before, after))
    assert [operation["path"] for operation in patch] == ["/a~1b/~0", "/a~1b/~01"]
    assert patched(before, patch) == after


async def test_the_command_accepts_every_kind_of_moment(
    engine: AsyncEngine, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    past = Past(engine)
    first = await past.imports(document(talk("1")))
    await past.imports(document(talk("1", title="[b]New")))
    position = (await parse_moment(past.log, past.event_id, str(first))).position
    models = await read_models_at(past.log, past.event_id, Moment(position=position))
    time = str(models.runs[str(first)]["finished_at"])
    head, now = await past.log.head(), str(await past.log.clock())
    settings = Settings(database_url=database_url)
    for before in (str(first), f"@{position}", time, time.removesuffix("Z")):
        for after in (str(past.runs[1]), f"@{head}", now):
            done = await finish(
                partial(report_difference, past.event_id, before, after), settings, as_json=False
            )
            assert done == 0
            printed = capsys.readouterr().out
            assert "title: Talk 1 → [b]New" in printed
            assert printed.endswith("Total: sessions: 1 updated.\n")
    done = await finish(
        partial(report_difference, past.event_id, "@0", str(first)), settings, as_json=True
    )
    assert done == 0
    told = json.loads(capsys.readouterr().out)
    assert [change["kind"] for change in told["changes"]] == ["session", "room", "speaker"]
    assert {operation["op"] for operation in told["patch"]} == {"add"}
    assert told["totals"] == {kind: {"added": 1} for kind in ("session", "room", "speaker")}
    assert (
        await finish(
            partial(report_difference, past.event_id, str(uuid4()), "@1"), settings, as_json=True
        )
        == 1
    )
