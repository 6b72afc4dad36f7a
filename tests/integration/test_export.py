"""An export has the whole log: an import into an empty database gives the same log."""

import asyncio
import errno
import hashlib
import io
import json
import os
from collections.abc import AsyncIterator
from contextlib import nullcontext
from datetime import UTC, datetime
from pathlib import Path
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure.answer import answer_request
from audit.transfer.export import ExportScope, export
from audit.transfer.import_log import ImportRefusedError, import_log
from audit.verify.verify import verify
from cli.commands import export as module
from cli.connections import database
from cli.settings import Settings
from contracts.canonical import canonical
from contracts.events import SpeakerImported
from contracts.messages import SpeakerErasureRequested
from eventstore.erasure import erased_subjects
from eventstore.log import EventLog
from eventstore.restored import unconfirmed_restore
from projections.projector import Projector
from tests.conftest import _own_database
from tests.support.documents import FIRST, SECOND, document, talk
from tests.support.line import ORGANIZATION, VIEWS, rows
from tests.support.past import Past
from tests.support.processes import environment, run

pytestmark = pytest.mark.asyncio


@pytest_asyncio.fixture
async def past(engine: AsyncEngine) -> Past:
    past = Past(engine)
    await past.imports(FIRST)
    await past.imports(SECOND)
    async with engine.connect() as connection:
        found = await connection.execute(text("SELECT speaker_id FROM spreaview.speakers"))
        speaker_id = found.scalars().first()
    assert speaker_id is not None
    for subject, status in ((speaker_id, "done"), (uuid4(), "refused")):
        answer = await answer_request(engine, an_erasure(subject))
        assert answer.status == status
    await Past(engine).imports(b"no JSON")
    await Projector(engine, sweep_seconds=60).catch_up([past.event_id])
    return past


@pytest_asyncio.fixture
async def empty_url(postgres_url: str) -> AsyncIterator[str]:
    async with _own_database(postgres_url) as url:
        yield url


@pytest_asyncio.fixture
async def empty(empty_url: str) -> AsyncIterator[AsyncEngine]:
    async with database(empty_url, pool_size=4) as engine:
        yield engine


def an_erasure(subject: UUID) -> SpeakerErasureRequested:
    return SpeakerErasureRequested(
        request_id=uuid4(),
        organization_id=ORGANIZATION,
        speaker_id=subject,
        requested_at=datetime(2026, 5, 20, 8, tzinfo=UTC),
    )


async def exported(engine: AsyncEngine, what: ExportScope = ExportScope(key=True)) -> list[bytes]:  # noqa: B008
    return [line async for line in export(engine, what)]


async def test_an_import_into_an_empty_database_gives_the_same_log(
    past: Past, empty: AsyncEngine
) -> None:
    lines = await exported(past.engine)
    imported = await import_log(empty, lines)
    assert await unconfirmed_restore(empty), "persons may have been erased since the export"
    assert imported.events == await count(past.engine)
    assert await exported(empty) == lines
    theirs, ours = EventLog(past.engine), EventLog(empty)
    assert await ours.identity() == await theirs.identity()
    assert [r.hash for r in await ours.read_all(0)] == [r.hash for r in await theirs.read_all(0)]

    projector = Projector(empty, sweep_seconds=60)
    await projector.catch_up(sorted({r.stream_id for r in await ours.read_all(0)}))
    found = await verify(empty)
    assert found.is_clean, found.findings
    for view in VIEWS:
        if view != "speakers":
            assert await rows(empty, view, past.event_id) == await rows(
                past.engine, view, past.event_id
            )


async def count(engine: AsyncEngine) -> int:
    return len(await EventLog(engine).read_all(0, limit=100_000))


async def test_an_imported_log_can_be_appended_to(past: Past, empty: AsyncEngine) -> None:
    await import_log(empty, await exported(past.engine))
    head = await EventLog(empty).head()
    async with empty.begin() as connection:
        await connection.execute(
            text("DELETE FROM event_store.erased_subjects")
        )  # as lifting the erasures does
    continued = Past(empty, event_id=past.event_id, runs=list(past.runs))
    await continued.imports(FIRST)
    assert await EventLog(empty).head() > head
    assert (await verify(empty)).found.total() == 0


async def test_an_imported_log_has_the_answers_to_erasure_requests(
    past: Past, empty: AsyncEngine
) -> None:
    await import_log(empty, await exported(past.engine))
    answers = []
    for engine in (past.engine, empty):
        async with engine.connect() as connection:
            found = await connection.execute(text("SELECT * FROM spreaview.erasures ORDER BY 1"))
            answers.append(found.all())
    assert len(answers[0]) == 2
    assert answers[0] == answers[1]


async def test_an_export_of_one_event_brings_no_erased_person_back(
    past: Past, empty: AsyncEngine
) -> None:
    async with past.engine.connect() as connection:
        erased = await erased_subjects(connection, ORGANIZATION)
    await import_log(empty, await exported(past.engine, ExportScope(only=past.event_id)))
    continued = Past(empty, event_id=past.event_id, runs=list(past.runs))
    await continued.imports(FIRST)
    imported = [r.event for r in await EventLog(empty).read_all(0, limit=100_000)]
    shown = [
        e.full_name for e in imported if isinstance(e, SpeakerImported) and e.speaker_id in erased
    ]
    assert shown
    assert set(shown) == {None}


async def test_an_export_of_version_1_has_no_answers_and_is_imported(
    past: Past, empty: AsyncEngine
) -> None:
    lines = [json.loads(line) for line in await exported(past.engine)]
    lines[0]["version"] = 1
    older = [canonical(line) + b"\n" for line in lines[:-1] if "answer" not in line]
    end = lines[-1]["end"]
    del end["answers"]
    digest = hashlib.sha256(b"".join(older)).hexdigest()
    await import_log(empty, [*older, canonical({"end": end, "sha256": digest}) + b"\n"])
    assert await count(empty) == await count(past.engine)


async def test_an_export_has_no_erased_data_and_the_key_only_on_request(
    past: Past,
) -> None:
    first = json.loads((await exported(past.engine, ExportScope()))[0])
    assert "fingerprint_key" not in first
    lines = [json.loads(line) for line in await exported(past.engine)]
    erased = {line["erased"]["subject"] for line in lines if "erased" in line}
    assert erased
    speakers = [line for line in lines if line.get("eventtype") == "SpeakerImported"]
    for line in speakers:
        assert ("personal" in line) == (line["data"]["speaker_id"] not in erased)


async def test_an_import_into_a_log_with_events_is_refused(past: Past) -> None:
    before = await exported(past.engine)
    with pytest.raises(ImportRefusedError, match="not empty"):
        await import_log(past.engine, before)
    assert await exported(past.engine) == before


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda lines: lines[:-1], "cut off"),
        (lambda lines: lines[:3] + lines[4:], "line 4: version 4 of .* comes after version 2"),
        (lambda lines: [*lines[:2], lines[2].replace(b"Room", b"Rome"), *lines[3:]], "line 3"),
        (lambda lines: [*lines[:-2], lines[-1]], "there were"),
        (lambda lines: [b"[]\n", *lines[1:]], "line 1"),
        (lambda lines: [*lines, lines[1]], "after the end"),
        (lambda lines: [*lines[:2], b"{\n", *lines[3:]], "line 3"),
    ],
)
async def test_a_damaged_file_is_refused_and_changes_nothing(
    past: Past, empty: AsyncEngine, damage: object, said: str
) -> None:
    damaged = damage(await exported(past.engine))  # type: ignore[operator]
    with pytest.raises(ImportRefusedError, match=said):
        await import_log(empty, damaged)
    assert await EventLog(empty).head() == 0


async def test_the_export_and_import_commands(
    past: Past, empty_url: str, database_url: str, tmp_path: Path
) -> None:
    file = tmp_path / "log.jsonl"
    env = environment(database_url=database_url)
    done = await asyncio.to_thread(run, "export", "--output", str(file), env=env)
    assert done.returncode == 0, done.stderr
    assert file.stat().st_mode & 0o077 == 0, "nobody else may read it"
    done = await asyncio.to_thread(run, "export", "--output", str(file), "--json", env=env)
    assert json.loads(done.stdout) == {"output": str(file)}
    told = await asyncio.to_thread(run, "export", "--event-id", str(past.event_id), env=env)
    assert len(told.stdout.splitlines()) < len(file.read_text().splitlines())
    into = environment(database_url=empty_url)
    done = await asyncio.to_thread(run, "import", str(file), "--json", env=into)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["events"] == await count(past.engine)
    again = await asyncio.to_thread(run, "import", str(file), env=into)
    assert (again.returncode, "not empty" in again.stderr) == (1, True)


async def test_an_export_of_an_unknown_event_exits_with_1_and_writes_nothing(
    past: Past, database_url: str, tmp_path: Path
) -> None:
    file, env = tmp_path / "log.jsonl", environment(database_url=database_url)
    file.write_text("before")
    for command in (("export",), ("replay", "--name", "again")):
        words = (*command, "--event-id", str(uuid4()), "--output", str(file))
        done = await asyncio.to_thread(run, *words, env=env)
        assert (done.returncode, done.stdout) == (1, ""), command
        assert "The log knows no SpreaView event" in done.stderr
        assert (os.listdir(tmp_path), file.read_text()) == ([file.name], "before")


async def test_an_output_that_fails_gives_the_connection_back(
    past: Past, engine: AsyncEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    del past  # it fills the log

    class Full(io.BytesIO):
        def write(self, _: object) -> int:
            raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "open_database", lambda _: nullcontext(engine))
    monkeypatch.setattr(module, "output_file", lambda _: nullcontext(Full()))
    with pytest.raises(OSError, match="No space left"):  # the error keeps the generator alive
        await module.write_export(ExportScope(), None, Settings(), as_json=False)
    assert engine.pool.status().endswith("Current Checked out connections: 0")


async def test_every_output_of_a_command_is_opened_in_the_same_way(
    past: Past, database_url: str, tmp_path: Path
) -> None:
    env = environment(database_url=database_url)
    sync_id = await Past(past.engine).imports(document(talk("9", speakers=["zoe"])))
    commands = (("export",), ("source", "show", str(sync_id)), ("replay", "--name", "x"))
    for command in commands:
        printed = await asyncio.to_thread(run, *command, env=env)
        assert printed.stdout, command
        dashed = await asyncio.to_thread(run, *command, "--output", "-", env=env)
        assert (dashed.returncode, dashed.stdout) == (0, printed.stdout), command
        full = await asyncio.to_thread(run, *command, "--output", "/dev/full", env=env)
        assert (full.returncode, full.stdout, full.stderr) == (
            *(1, ""),
            "spreaview-sync: /dev/full cannot be written: No space left on device\n",
        ), command
        folder = await asyncio.to_thread(run, *command, "--output", str(tmp_path), env=env)
        assert folder.returncode == 2, command
        assert "is a directory" in folder.stderr, command
