"""Every command that reads the log ends with a sentence if a row of it is damaged."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from uuid import UUID

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine
from typer.testing import CliRunner, Result

from cli.connections import database
from cli.main import app
from eventstore.damage import DamagedDocumentError, NoLogIdentityError
from eventstore.log import EventLog
from tests.support.documents import document, talk
from tests.support.past import Past

pytestmark = pytest.mark.asyncio

_DEEP = "(repeat('[', 5000) || repeat(']', 5000))::jsonb"
_SESSION = """WHERE message_id = (
    SELECT message_id FROM event_store.events WHERE type = 'SessionImported'
    ORDER BY position LIMIT 1)"""
_ENDED = _SESSION.replace("SessionImported", "SyncCompleted")
_STARTED = _SESSION.replace("SessionImported", "SyncStarted")
_SPEAKER = _SESSION.replace("SessionImported", "SpeakerImported")

EVENTS = {
    "null": f"SET data = 'null' {_SESSION}",
    "a list": f"SET data = '[]' {_SESSION}",
    "a text": f"SET data = '\"x\"' {_SESSION}",
    "an empty object": f"SET data = '{{}}' {_SESSION}",
    "nested arrays": f"SET data = {_DEEP} {_SESSION}",
    "a start before the calendar": (
        f"""SET data = data || '{{"starts_at": "0001-01-01T00:00:00+14:00"}}' {_SESSION}"""
    ),
    "an infinite start": f"""SET data = data || '{{"starts_at": "infinity"}}' {_SESSION}""",
    "a malformed id": f"""SET data = data || '{{"sync_id": 5}}' {_SESSION}""",
    "an infinite time": f"SET recorded_at = 'infinity' {_SESSION}",
    "a time before Christ": f"SET recorded_at = '0044-03-15 BC' {_SESSION}",
    "a time in year 20000": f"SET recorded_at = '20000-01-01' {_SESSION}",
    "another type": f"SET type = 'RoomImported' {_SESSION}",
    "a newer program": f"SET schema_version = 1000 {_SESSION}",
    "an unknown type": f"SET type = 'Unknown' {_SESSION}",
    "an end without counts": f"SET data = data - 'counts' {_ENDED}",
}
"""Each changes an event of the stream that every command reads."""

OTHERS = {
    "a document that is no zlib": "UPDATE event_store.sources SET body = 'x'",
    "a document of another size": "UPDATE event_store.sources SET size_bytes = 1",
    "a malformed digest": (
        "UPDATE event_store.events SET data = "
        f"""jsonb_set(data, '{{source,digest}}', '"x"') {_ENDED}"""
    ),
    "an unknown zone": (
        "UPDATE event_store.events SET data = "
        f"""jsonb_set(data, '{{window,time_zone}}', '"Mars/Base"') {_STARTED}"""
    ),
    "a snapshot that is no zlib": "UPDATE event_store.snapshots SET body = 'x'",
    "personal data that are a list": "UPDATE event_store.personal_data SET body = '[]'",
    "nested personal data": f"UPDATE event_store.personal_data SET body = {_DEEP}",
    "no row of the log": "DELETE FROM event_store.log",
}


@dataclass
class Scene:
    """One SpreaView event with two runs."""

    engine: AsyncEngine
    url: str
    event_id: UUID
    runs: list[UUID]

    async def damage(self, statement: str) -> None:
        async with self.engine.begin() as connection:
            for one in (
                "ALTER TABLE event_store.events DISABLE TRIGGER append_only",
                statement,
                "ALTER TABLE event_store.events ENABLE ALWAYS TRIGGER append_only",
            ):
                await connection.exec_driver_sql(one)

    async def results(self) -> dict[str, Result]:
        """Run every command that reads the log."""
        event, run = str(self.event_id), str(self.runs[-1])
        found = {}
        for words in (
            ("history", event),
            ("history", event, "--session", "1"),
            ("explain", event, "1"),
            ("as-of", event, "--sync", run, "--json"),
            ("diff", event, "@1", run),
            ("source", "show", str(self.runs[0])),
            ("reimport", event, "--dry-run"),
            ("export",),
            ("verify",),
        ):
            env = {"SPREAVIEW_DATABASE_URL": self.url}
            invoke = CliRunner().invoke
            found[" ".join(words[:1] + words[2:3])] = await asyncio.to_thread(
                invoke, app, list(words), env=env
            )
        return found


@pytest_asyncio.fixture
async def scene(database_url: str, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Scene]:
    monkeypatch.setattr("cli.command.configure_logging", lambda *_: None)
    async with database(database_url, pool_size=4) as engine:
        past = Past(engine)
        await past.imports(document(talk("1"), talk("2", speakers=["bob"])))
        await past.imports(document(talk("1", title="New"), talk("2", speakers=["bob"])))
        yield Scene(engine, database_url, past.event_id, past.runs)


def require_sentences(results: dict[str, Result]) -> None:
    """Every command has exited with 0, or with 1 and a sentence."""
    for name, result in results.items():
        assert isinstance(result.exception, SystemExit | None), (name, result.exc_info)
        assert result.exit_code in (0, 1), (name, result.output)
        if result.exit_code == 1 and name not in ("verify", "reimport --dry-run"):
            assert result.stderr.startswith("spreaview-sync: "), (name, result.stderr)


@pytest.mark.parametrize("change", [pytest.param(c, id=name) for name, c in EVENTS.items()])
async def test_a_damaged_event_is_named(scene: Scene, change: str) -> None:
    await scene.damage(f"UPDATE event_store.events {change}")
    results = await scene.results()
    require_sentences(results)
    assert results["verify"].exit_code == 1
    for name in ("history", "history --session", "as-of --sync", "diff @1"):
        shown = results[name].stderr
        if name == "history" and "SyncCompleted" not in change:
            continue  # the list of runs reads their first and last events only
        assert f"of stream {scene.event_id}" in shown, (name, shown)
        assert "the event at position" in shown
        assert "Run spreaview-sync verify" in shown


@pytest.mark.parametrize("statement", [pytest.param(s, id=name) for name, s in OTHERS.items()])
async def test_other_damage_ends_no_command_with_a_traceback(scene: Scene, statement: str) -> None:
    await scene.damage(statement)
    results = await scene.results()
    require_sentences(results)
    assert results["verify"].exit_code == 1


async def test_a_damaged_document_is_refused_by_its_reader(scene: Scene) -> None:
    log = EventLog(scene.engine)
    async with scene.engine.connect() as connection:
        found = await connection.execute(
            text("SELECT encode(digest, 'hex') FROM event_store.sources ORDER BY 1")
        )
        digest, other = found.scalars().all()
    await scene.damage(
        "UPDATE event_store.sources SET body = (SELECT body FROM event_store.sources "
        f"WHERE digest = '\\x{other}'), size_bytes = (SELECT size_bytes FROM event_store.sources "
        f"WHERE digest = '\\x{other}') WHERE digest = '\\x{digest}'"
    )
    with pytest.raises(DamagedDocumentError, match=f"{digest}.*another digest"):
        await log.source(digest)
    assert await log.source(other)


async def test_a_log_without_its_row_is_named(scene: Scene) -> None:
    await scene.damage("DELETE FROM event_store.log")
    with pytest.raises(NoLogIdentityError, match="has no row"):
        await EventLog(scene.engine).identity()
