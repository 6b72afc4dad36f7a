"""Verification finds every change that a superuser can make to the past."""

import asyncio
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure.erase import erase
from audit.verify.documents import Retention
from audit.verify.findings import FindingKind
from audit.verify.report import VerificationReport
from audit.verify.verify import verify
from cli.commands.seals import add_seals
from cli.connections import database
from contracts.canonical import canonical
from eventstore import chain
from eventstore.log import EventLog
from eventstore.seals import Seal, heads
from eventstore.snapshots import PUT_SNAPSHOT
from projections.generations import create
from projections.projector import Projector
from projections.version import CODE_VERSION
from tests.support.documents import FIRST, SECOND
from tests.support.line import ORGANIZATION
from tests.support.past import Past
from tests.support.processes import environment, run
from worker.rules.state import State
from worker.sync.state_snapshots import load_state, snapshot_of

pytestmark = pytest.mark.asyncio


@dataclass
class Scene:
    """Two SpreaView events with two runs each, sealed before any tampering."""

    engine: AsyncEngine
    stream: UUID
    other: UUID
    seals: list[Seal]

    async def verified(self) -> VerificationReport:
        return await verify(self.engine, seals=self.seals)

    async def tamper(self, *statements: str, **values: object) -> None:
        """Run statements as a superuser, with the triggers off."""
        async with self.engine.begin() as connection:
            await connection.execute(text("ALTER TABLE event_store.events DISABLE TRIGGER USER"))
            for statement in statements:
                names = {"s": self.stream, "o": self.other, **values}
                used = {name: value for name, value in names.items() if f":{name}" in statement}
                await connection.execute(text(statement), used)
            await connection.execute(
                text("ALTER TABLE event_store.events ENABLE ALWAYS TRIGGER append_only")
            )

    async def version_of(self, event_type: str) -> int:
        """The version of the stream's first event of a type."""
        log = EventLog(self.engine)
        return next(
            [
                r.version async for r in log.read_stream(self.stream) if r.type == event_type
            ].__iter__()
        )

    async def head(self) -> int:
        return await EventLog(self.engine).stream_version(self.stream)


@pytest_asyncio.fixture
async def scene(engine: AsyncEngine) -> Scene:
    pasts = [Past(engine), Past(engine)]
    for past in pasts:
        await past.imports(FIRST)
        await past.imports(SECOND)
    log_id = (await EventLog(engine).identity()).log_id
    seals = [seal async for seal in heads(engine, log_id)]
    return Scene(engine, pasts[0].event_id, pasts[1].event_id, seals)


async def keep_snapshot(engine: AsyncEngine, stream_id: UUID, state: State) -> None:
    async with engine.begin() as connection:
        await connection.execute(
            PUT_SNAPSHOT, {"stream_id": stream_id, **snapshot_of(state)._asdict()}
        )


def named(found: VerificationReport, kind: FindingKind, stream: UUID) -> set[int | None]:
    """The versions of the findings of a kind, which must all be in one stream."""
    assert {f.place.stream_id for f in found.findings if f.kind == kind} == {stream}
    return {f.place.version for f in found.findings if f.kind == kind}


async def test_an_untouched_log_is_clean_and_the_checks_are_counted(scene: Scene) -> None:
    found = await scene.verified()
    assert found.is_clean, found.findings
    assert found.checked["streams"] == 2
    assert found.checked["events"] == await scene.head() * 2
    assert found.checked["documents"] == 2
    assert found.checked["seals"] == 2
    assert found.checked["snapshots"] == 2
    assert found.checked["runs"] == 4
    assert found.checked["definitions in the database"] > 100
    assert found.checked["sequences"] == 1
    assert found.checked["rows of read models"] > 20
    assert list(found.unchecked) == ["the relay's checkpoint: there is none"]


async def test_a_changed_field(scene: Scene) -> None:
    version = await scene.version_of("SessionImported")
    await scene.tamper(
        """UPDATE event_store.events SET data = data || '{"title": "Another"}'
           WHERE stream_id = :s AND version = :v""",
        v=version,
    )
    found = await scene.verified()
    assert named(found, FindingKind.CHANGED, scene.stream) == {version}


@pytest.mark.parametrize("with_head", [False, True])
async def test_a_deleted_last_event(scene: Scene, with_head: bool) -> None:
    head = await scene.head()
    statements = ["DELETE FROM event_store.events WHERE stream_id = :s AND version = :v"]
    if with_head:
        statements.append("UPDATE event_store.streams SET version = :v - 1 WHERE stream_id = :s")
    await scene.tamper(*statements, v=head)
    found = await scene.verified()
    assert named(found, FindingKind.SEAL, scene.stream) == {head}
    assert found.found[FindingKind.HEAD] == (not with_head)


async def test_a_deleted_middle_event(scene: Scene) -> None:
    version = await scene.version_of("RoomImported")
    await scene.tamper(
        "DELETE FROM event_store.events WHERE stream_id = :s AND version = :v", v=version
    )
    found = await scene.verified()
    assert named(found, FindingKind.MISSING, scene.stream) == {version + 1}
    assert f"versions {version} to {version}" in str(found.findings[0])


async def test_two_swapped_events(scene: Scene) -> None:
    version = await scene.version_of("RoomImported")
    await scene.tamper(
        "UPDATE event_store.events SET version = -1 WHERE stream_id = :s AND version = :v",
        "UPDATE event_store.events SET version = :v WHERE stream_id = :s AND version = :v + 1",
        "UPDATE event_store.events SET version = :v + 1 WHERE stream_id = :s AND version = -1",
        v=version,
    )
    found = await scene.verified()
    assert {version, version + 1} <= named(found, FindingKind.CHANGED, scene.stream)
    assert version + 1 in named(found, FindingKind.DISORDERED, scene.stream)


async def test_an_inserted_event(scene: Scene) -> None:
    head = await scene.head()
    await scene.tamper(
        """INSERT INTO event_store.events
               (stream_id, version, message_id, type, schema_version, data, metadata,
                recorded_at, hash)
           SELECT stream_id, :h + 1, gen_random_uuid(), type, schema_version, data, metadata,
                  recorded_at, hash
           FROM event_store.events WHERE stream_id = :s AND type = 'RoomImported' LIMIT 1""",
        h=head,
    )
    found = await scene.verified()
    assert named(found, FindingKind.CHANGED, scene.stream) == {head + 1}
    assert named(found, FindingKind.HEAD, scene.stream) == {head + 1}


async def test_a_rebuilt_chain_breaks_its_seal(scene: Scene) -> None:
    """The new chain is consistent: only a seal kept elsewhere shows the change."""
    await scene.tamper(
        """UPDATE event_store.events SET data = data || '{"name": "Another"}'
           WHERE stream_id = :s AND type = 'RoomImported'"""
    )
    await rebuild_the_chain(scene)
    found = await scene.verified()
    assert found.found[FindingKind.CHANGED] == 0
    assert named(found, FindingKind.SEAL, scene.stream) == {await scene.head()}


async def test_seals_of_the_log_before_a_restore_are_named_first_and_prove_nothing(
    scene: Scene,
) -> None:
    before = await EventLog(scene.engine).log_id()
    after, head = uuid4(), await scene.head()
    restored = "UPDATE event_store.log SET log_id = :log"
    await scene.tamper(restored, log=after)
    ahead = msgspec.structs.replace(scene.seals[0], version=head + 5, position=9_999)
    found = await verify(scene.engine, seals=[*scene.seals, ahead])
    assert [finding.kind for finding in found.findings] == [FindingKind.LOG] * 2
    first, lost = found.findings
    assert first.what == f"3 seals of the log {before} were given; this is the log {after}"
    assert (lost.place.stream_id, lost.place.version) == (ahead.stream_id, head + 5)
    assert f"in the log {before}" in lost.what
    assert "seals export" in found.next_steps[0]
    assert found.checked["seals"] == 0
    assert "no seals of this log were given" in " ".join(found.unchecked)
    await scene.tamper(
        """UPDATE event_store.events SET data = data || '{"title": "Another"}'
           WHERE stream_id = :s AND type = 'SessionImported'"""
    )
    changed = await scene.verified()
    kinds = [kind for kind, _ in changed.groups()]
    assert kinds[:2] == [FindingKind.LOG, FindingKind.CHANGED]


async def rebuild_the_chain(scene: Scene) -> None:
    previous = chain.GENESIS
    async for event in EventLog(scene.engine).read_stream(scene.stream):
        body = chain.body_digest(
            stream_id=event.stream_id,
            version=event.version,
            message_id=event.message_id,
            type=event.type,
            schema_version=event.schema_version,
            data=canonical(json.loads(event.stored_data)),
            metadata=canonical(json.loads(event.stored_metadata)),
        )
        previous = chain.link(previous, body, event.recorded_at)
        await scene.tamper(
            "UPDATE event_store.events SET hash = :h WHERE stream_id = :s AND version = :v",
            h=previous,
            v=event.version,
        )


async def test_a_replaced_document(scene: Scene) -> None:
    await scene.tamper(
        """UPDATE event_store.sources SET body =
               (SELECT body FROM event_store.sources ORDER BY digest DESC LIMIT 1)
           WHERE digest = (SELECT digest FROM event_store.sources ORDER BY digest LIMIT 1)"""
    )
    found = await scene.verified()
    (finding,) = found.findings
    assert finding.kind == FindingKind.SOURCE
    assert "has the digest" in finding.what


async def test_a_deleted_document_is_a_finding_that_names_run_and_digest(scene: Scene) -> None:
    async with scene.engine.connect() as connection:
        found_rows = await connection.execute(
            text("SELECT encode(digest, 'hex') FROM event_store.sources")
        )
        digests = set(found_rows.scalars())
    await scene.tamper("DELETE FROM event_store.sources")
    found = await scene.verified()
    assert {f.kind for f in found.findings} == {FindingKind.SOURCE}
    assert {f.what.split()[1] for f in found.findings} == digests
    assert all(f.place.sync_id and f.place.event_type == "SyncCompleted" for f in found.findings)


@pytest.mark.parametrize(("days", "is_clean"), [(1, False), (0, True)])
async def test_the_retention_setting_explains_old_documents_only(
    scene: Scene, days: int, is_clean: bool
) -> None:
    await scene.tamper("DELETE FROM event_store.sources")
    found = await verify(scene.engine, retention=Retention(timedelta(days=days)))
    assert found.is_clean == is_clean
    assert found.unchecked["documents that are older than the retention setting"] == 2 * is_clean


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        ("SET size_bytes = size_bytes + 1", "but its run names"),
        ("SET body = body || '\\x00'", "1 bytes follow it"),
        ("SET body = substring(body FOR 20)", "it was cut off"),
    ],
)
async def test_a_damaged_document_is_a_finding(scene: Scene, statement: str, what: str) -> None:
    await scene.tamper(
        f"""UPDATE event_store.sources {statement}
            WHERE digest = (SELECT digest FROM event_store.sources ORDER BY digest LIMIT 1)"""
    )
    (finding,) = (await scene.verified()).findings
    assert finding.kind == FindingKind.SOURCE
    assert what in finding.what


async def test_a_snapshot_of_another_state(scene: Scene) -> None:
    state = await load_state(EventLog(scene.engine), scene.stream)
    state.rooms["1"] = msgspec.structs.replace(state.rooms["1"], name="Another")
    await keep_snapshot(scene.engine, scene.stream, state)
    found = await scene.verified()
    assert named(found, FindingKind.SNAPSHOT, scene.stream) == {await scene.head()}
    assert "another state" in found.findings[0].what


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        (
            "UPDATE event_store.snapshots SET version = 1000 WHERE stream_id = :s",
            "the events end at version",
        ),
        (
            "UPDATE event_store.snapshots SET body = 'garbage' WHERE stream_id = :s",
            "cannot be unpacked",
        ),
        (
            """UPDATE event_store.snapshots SET stream_id = gen_random_uuid()
               WHERE stream_id = :s""",
            "no event of it",
        ),
    ],
)
async def test_a_snapshot_without_matching_events_is_a_finding(
    scene: Scene, statement: str, what: str
) -> None:
    await scene.tamper(statement)
    (finding,) = (await scene.verified()).findings
    assert finding.kind == FindingKind.SNAPSHOT
    assert what in finding.what


async def test_a_snapshot_of_other_code_is_reported_as_unchecked(scene: Scene) -> None:
    await scene.tamper("UPDATE event_store.snapshots SET fold_version = 'other', body = 'x'")
    found = await scene.verified()
    assert found.is_clean
    assert any("other code" in what for what in found.unchecked)


@pytest.mark.parametrize(
    "statement",
    [
        "DROP TRIGGER append_only ON event_store.events",
        "ALTER TABLE event_store.events DISABLE TRIGGER append_only",
        "ALTER TABLE event_store.events ENABLE TRIGGER append_only",
    ],
)
async def test_a_missing_or_disabled_trigger_is_a_finding(scene: Scene, statement: str) -> None:
    """With the last statement, a session with the role of a replica could change the log."""
    async with scene.engine.begin() as connection:
        await connection.execute(text(statement))
    (finding,) = (await scene.verified()).findings
    assert finding.kind == FindingKind.GUARD
    assert "ENABLE ALWAYS" in finding.what


async def test_a_sequence_behind_the_head_is_a_finding(scene: Scene) -> None:
    await scene.tamper("SELECT setval('event_store.events_position_seq', 3)")
    (finding,) = (await scene.verified()).findings
    assert finding.kind == FindingKind.GUARD
    assert "gives 4 next, but position 26 is taken" in finding.what


async def test_a_generation_that_is_not_live_is_reported_as_unchecked(scene: Scene) -> None:
    async with scene.engine.begin() as connection:
        await create(connection, number=2, live=False, code_version=CODE_VERSION)
    found = await scene.verified()
    assert found.is_clean
    assert any("not live" in what for what in found.unchecked)


@pytest.mark.parametrize(
    "statement",
    [
        """UPDATE event_store.personal_data SET body = body || '{"bio": "Another"}'
           WHERE message_id = :m""",
        "UPDATE event_store.personal_data SET subject = gen_random_uuid() WHERE message_id = :m",
        "DELETE FROM event_store.personal_data WHERE message_id = :m",
    ],
)
async def test_altered_personal_data(scene: Scene, statement: str) -> None:
    version = await scene.version_of("SpeakerImported")
    async with scene.engine.connect() as connection:
        found_id = await connection.execute(
            text("SELECT message_id FROM event_store.events WHERE stream_id = :s AND version = :v"),
            {"s": scene.stream, "v": version},
        )
        message_id: UUID = found_id.scalar_one()
    await scene.tamper(statement, m=message_id)
    found = await scene.verified()
    assert named(found, FindingKind.PERSONAL_DATA, scene.stream) == {version}


async def test_a_deleted_requester_is_a_finding(scene: Scene) -> None:
    """The erasure of another person is no excuse."""
    async with scene.engine.connect() as connection:
        found_id = await connection.execute(
            text("SELECT speaker_id FROM spreaview.event_speakers LIMIT 1")
        )
        speaker_id: UUID = found_id.scalar_one()
    await scene.tamper(
        """DELETE FROM event_store.personal_data p USING event_store.events e
           WHERE p.message_id = e.message_id AND e.stream_id = :s AND e.type = 'SyncStarted'"""
    )
    await erase(scene.engine, ORGANIZATION, speaker_id)
    found = await scene.verified()
    assert await scene.version_of("SyncStarted") in named(
        found, FindingKind.PERSONAL_DATA, scene.stream
    )


async def test_erased_personal_data_are_no_finding(scene: Scene) -> None:
    async with scene.engine.connect() as connection:
        found_id = await connection.execute(
            text("SELECT speaker_id FROM spreaview.event_speakers LIMIT 1")
        )
        speaker_id: UUID = found_id.scalar_one()
    await erase(scene.engine, ORGANIZATION, speaker_id)
    await Projector(scene.engine, sweep_seconds=60).catch_up(sorted([scene.stream, scene.other]))
    found = await scene.verified()
    assert found.is_clean, found.findings
    assert found.checked["erased personal data"] > 0


@pytest.mark.parametrize(
    ("statement", "what"),
    [
        (
            "UPDATE spreaview_g1.rooms SET name = 'X' WHERE spreaview_event_id = :s",
            "the events give other values of name",
        ),
        ("DELETE FROM spreaview_g1.sessions WHERE spreaview_event_id = :s", "is missing"),
        (
            """INSERT INTO spreaview_g1.session_speakers
               VALUES (:s, gen_random_uuid(), gen_random_uuid(), 1)""",
            "no event makes it",
        ),
    ],
)
async def test_a_changed_row_of_a_read_model(scene: Scene, statement: str, what: str) -> None:
    await scene.tamper(statement)
    found = await scene.verified()
    assert named(found, FindingKind.READ_MODEL, scene.stream) == {await scene.head()}
    assert what in found.findings[0].what


async def test_a_lost_stream(scene: Scene) -> None:
    await scene.tamper(
        "DELETE FROM event_store.events WHERE stream_id = :s",
        "DELETE FROM event_store.streams WHERE stream_id = :s",
    )
    found = await scene.verified()
    assert named(found, FindingKind.SEAL, scene.stream)
    alone = await verify(scene.engine)
    assert "no seals of this log were given" in " ".join(alone.unchecked)
    assert "no event of it" in " ".join(f.what for f in alone.findings)


async def test_rows_of_an_unknown_event_are_findings(scene: Scene) -> None:
    stranger = uuid4()
    await scene.tamper(
        "UPDATE spreaview_g1.rooms SET spreaview_event_id = :n WHERE spreaview_event_id = :s",
        n=stranger,
    )
    found = await scene.verified()
    places = {f.place.stream_id for f in found.findings}
    assert places == {scene.stream, stranger}
    assert [f.what for f in found.findings if f.place.stream_id == stranger] == [
        "rooms has 2 rows of it, but the log has no event of it"
    ]
    alone = await verify(scene.engine, only=stranger)
    assert [f.place.stream_id for f in alone.findings] == [stranger]


async def test_rows_of_a_stream_without_progress_are_findings(scene: Scene) -> None:
    await scene.tamper("DELETE FROM spreaview_g1.stream_progress WHERE spreaview_event_id = :s")
    found = await scene.verified()
    assert {f.place.stream_id for f in found.findings} == {scene.stream}
    assert "no event makes it" in found.findings[0].what


async def test_concurrent_imports_cause_no_finding(scene: Scene) -> None:
    past = Past(scene.engine, event_id=scene.other)
    importing = asyncio.create_task(import_again_and_again(past))
    try:
        for _ in range(5):
            found = await scene.verified()
            assert found.is_clean, found.findings
    finally:
        importing.cancel()
        await asyncio.gather(importing, return_exceptions=True)


async def import_again_and_again(past: Past) -> None:
    while True:
        await past.imports(FIRST)
        await past.imports(SECOND)


@pytest_asyncio.fixture
async def reader_url(scene: Scene, database_url: str) -> AsyncIterator[str]:
    """The address for a role that can only read."""
    name = f"reader_{uuid4().hex[:12]}"
    schemas = "event_store, spreaview, projections"
    async with scene.engine.begin() as connection:
        await connection.execute(text(f"CREATE ROLE {name} LOGIN"))
        await connection.execute(text(f"GRANT USAGE ON SCHEMA {schemas} TO {name}"))
        await connection.execute(text(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schemas} TO {name}"))
    yield database_url.replace("//postgres@", f"//{name}@")
    async with scene.engine.begin() as connection:
        await connection.execute(text(f"DROP OWNED BY {name}"))
        await connection.execute(text(f"DROP ROLE {name}"))


async def test_the_command_works_with_a_read_only_role(
    scene: Scene, reader_url: str, tmp_path: Path
) -> None:
    async with database(reader_url, pool_size=2) as engine:
        assert (await verify(engine, seals=scene.seals)).is_clean
    add_seals(tmp_path / "seals", scene.seals)
    env = environment(database_url=reader_url)
    command = ("verify", "--seals", str(tmp_path / "seals"))
    shown = await asyncio.to_thread(run, *command, env=env)
    assert shown.returncode == 0, shown.stdout + shown.stderr
    assert "Everything is as it was recorded." in shown.stdout
    await scene.tamper("UPDATE event_store.streams SET version = 1 WHERE stream_id = :s")
    shown = await asyncio.to_thread(run, *command, "--json", env=env)
    assert shown.returncode == 1
    told: dict[str, Any] = json.loads(shown.stdout)
    assert told["findings"][0]["stream_id"] == str(scene.stream)


async def test_the_command_ends_with_the_verdict_and_what_to_do_and_shows_no_values(
    scene: Scene, database_url: str
) -> None:
    await scene.tamper(
        "UPDATE spreaview_g1.sessions SET title = '[/] Ada Example' WHERE spreaview_event_id = :s",
        "UPDATE event_store.streams SET version = 1 WHERE stream_id = :s",
    )
    shown = await asyncio.to_thread(run, "verify", env=environment(database_url=database_url))
    assert shown.returncode == 1, shown.stderr
    assert "Ada" not in shown.stdout
    *_, verdict, restore, repair = shown.stdout.splitlines()
    assert verdict == "Not everything is as it was recorded: 4 findings in 1 SpreaView event."
    assert restore.startswith("Next: The log was changed in the database.")
    assert repair.startswith("Next: Run spreaview-sync projections repair EVENT")
    groups = [line for line in shown.stdout.splitlines() if line.endswith(")") and " (" in line]
    assert groups[0] == "Stream heads differ from the last events (1)"
    assert groups[1] == "Rows of read models differ from their events (3)"


async def test_an_unknown_event_exits_with_1(scene: Scene, database_url: str) -> None:
    unknown = str(uuid4())
    env = environment(database_url=database_url)
    shown = await asyncio.to_thread(run, "verify", "--event-id", unknown, env=env)
    assert (shown.returncode, shown.stdout) == (1, "")
    assert f"The log knows no SpreaView event {unknown}." in shown.stderr
