"""The documents behind the runs: shown unchanged, and decided again by today's rules."""

import json
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure.erase import erase
from audit.explain.explain import explain
from audit.past.moments import NotInThePastError
from audit.past.sources import source_of
from audit.verify.reimport import ReimportedRun, reimport
from cli.command import finish
from cli.commands.reimport import report_deviations
from cli.commands.source import report_source
from cli.sandbox.conference import conference, conference_window, encode_conference
from cli.settings import Settings
from contracts.identity import speaker_id
from eventstore.model import SourceDocument
from eventstore.sources import insert_source
from tests.support.documents import days, document, talk
from tests.support.evolution import evolve, life
from tests.support.line import ORGANIZATION
from tests.support.past import Past
from worker.rules.text import clean_field

pytestmark = pytest.mark.asyncio


async def again(past: Past) -> list[ReimportedRun]:
    return [run async for run in reimport(past.log, past.event_id)]


async def test_a_document_is_shown_byte_for_byte(
    engine: AsyncEngine,
    database_url: str,
    tmp_path: Path,
    capfdbinary: pytest.CaptureFixture[bytes],
) -> None:
    past = Past(engine)
    body = b"\xef\xbb\xbf" + json.dumps(document(talk("1", title="Ünï\r\n"))).encode() + b"\r\n"
    sync_id = await past.imports(body)
    settings = Settings(database_url=database_url)
    assert (
        await finish(partial(report_source, sync_id, None, as_json=False), settings, as_json=False)
        == 0
    )
    assert capfdbinary.readouterr().out == body
    file = tmp_path / "source.json"
    assert (
        await finish(partial(report_source, sync_id, file, as_json=True), settings, as_json=True)
        == 0
    )
    assert file.read_bytes() == body
    told = json.loads(capfdbinary.readouterr().out)
    assert (told["digest"], told["size_bytes"]) == (sha256(body).hexdigest(), len(body))
    assert (told["outcome"], told["kept"]) == ("completed", True)
    assert told["spreaview_event_id"] == str(past.event_id)

    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM event_store.sources"))
    assert (
        await finish(partial(report_source, sync_id, None, as_json=False), settings, as_json=False)
        == 1
    )
    assert b"not kept any more" in capfdbinary.readouterr().err
    assert (
        await finish(partial(report_source, sync_id, None, as_json=True), settings, as_json=True)
        == 0
    )
    assert json.loads(capfdbinary.readouterr().out)["kept"] is False
    assert (
        await finish(partial(report_source, uuid4(), None, as_json=False), settings, as_json=False)
        == 1
    )
    (run,) = await again(past)
    assert run.not_decided == "its document is not kept any more"


@pytest.mark.parametrize("body", [document(talk("1")), "no schedule"], ids=["read", "unreadable"])
async def test_a_document_that_may_name_an_erased_person_is_withheld(
    engine: AsyncEngine, database_url: str, capfdbinary: pytest.CaptureFixture[bytes], body: Any
) -> None:
    """A run of another organization may keep the same document."""
    past = Past(engine)
    await past.imports(document(talk("1"), talk("2", "2026-05-28T11:00:00", speakers=["bob"])))
    content = json.dumps(body).encode()
    sync_id = await past.imports(content)
    others = await past.imports(document(talk("2", "2026-05-28T11:00:00", speakers=["bob"])))
    kept = await past.log.source((await source_of(past.log, others))[0].digest)
    assert kept is not None
    await erase(engine, ORGANIZATION, speaker_id(ORGANIZATION, "ada"))
    async with engine.begin() as connection:
        for each in (content, kept):
            await insert_source(connection, SourceDocument(sha256(each).hexdigest(), each))
    settings = Settings(database_url=database_url)
    show = partial(report_source, sync_id, None)
    assert await finish(partial(show, as_json=False), settings, as_json=False) == 1
    shown = capfdbinary.readouterr()
    assert shown.out == b""
    assert b"is withheld: the organization has erased a person whom it may name" in shown.err
    assert await finish(partial(show, as_json=True), settings, as_json=True) == 0
    facts = json.loads(capfdbinary.readouterr().out)
    assert (facts["kept"], facts["withheld"]) == (True, True)
    assert (await explain(past.log, past.event_id, "speaker", "Ada Example")).rule == "never_seen"

    show = partial(report_source, others, None, as_json=False)
    assert await finish(show, settings, as_json=False) == 0
    assert capfdbinary.readouterr().out == kept


async def test_the_same_rules_decide_the_same_again(engine: AsyncEngine, database_url: str) -> None:
    past = Past(engine, window=conference_window())
    first = conference("again", sessions=25)
    states = life(first, 6, seed="again")
    for state in (*states, evolve(first, "unannounce", seed="again"), first):
        await past.imports(encode_conference(state))
    await past.imports(encode_conference(first), window=days(28, 28), allow_removals=3)
    await past.imports(b"no schedule")
    found = await again(past)
    assert [run.sync_id for run in found] == past.runs
    assert all((run.not_decided, run.deviations) == (None, ()) for run in found)
    (one,) = [run async for run in reimport(past.log, past.event_id, past.runs[3])]
    assert one == found[3]
    with pytest.raises(NotInThePastError, match="has no sync"):
        [run async for run in reimport(past.log, past.event_id, uuid4())]
    settings = Settings(database_url=database_url)
    assert (
        await finish(
            partial(report_deviations, past.event_id, None, as_json=False), settings, as_json=False
        )
        == 0
    )


async def test_changed_rules_show_as_deviations(
    engine: AsyncEngine,
    database_url: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    past = Past(engine)
    later = talk("2", "2026-05-28T10:00:00")
    await past.imports(document(talk("1"), later))
    await past.imports(document(talk("1"), later, talk("long title", "2026-05-28T11:00:00")))
    before = await past.log.head()

    def stricter(name: str, words: str) -> str:
        if words.startswith("Talk long"):
            raise ValueError("too long")
        return clean_field(name, words).replace("Talk 1", "Talk one")

    monkeypatch.setattr("worker.rules.normalise.clean_field", stricter)
    first, second = await again(past)
    assert [(d.what, d.type, d.entity) for d in first.deviations] == [
        ("differs", "SessionImported", "1")
    ]
    assert dict(first.deviations[0].fields) == {"title": ("Talk 1", "Talk one")}
    assert ("recorded_only", "SessionImported", "long title") in [
        (d.what, d.type, d.entity) for d in second.deviations
    ]
    settings = Settings(database_url=database_url)
    one = partial(report_deviations, past.event_id, past.runs[0])
    assert (
        await finish(
            partial(one, as_json=False),
            settings,
            as_json=False,
        )
        == 1
    )
    assert "title: Talk 1 → Talk one" in capsys.readouterr().out
    assert (
        await finish(
            partial(one, as_json=True),
            settings,
            as_json=True,
        )
        == 1
    )
    (told,) = json.loads(capsys.readouterr().out)
    fields = told["deviations"][0]["fields"]
    assert fields == {"title": {"recorded": "Talk 1", "decided": "Talk one"}}
    assert await past.log.head() == before
