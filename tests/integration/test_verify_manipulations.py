"""Verification names every kind of manipulation, or docs/audit.md names it as unseen.

The scene is made once. Each manipulation is made in a transaction, verified within it, and rolled
back. Sequences are not rolled back, so they are set again.
"""

import json
import re
import zlib
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import NamedTuple
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from audit.erasure.erase import erase, erase_requester
from audit.verify.documents import Retention
from audit.verify.findings import FindingKind
from audit.verify.raw_events import RawEvent, content_of, raw_pages
from audit.verify.reimport import reimport
from audit.verify.report import VerificationReport
from audit.verify.verify import Checks, verify
from cli.connections import database
from contracts import identity
from contracts.events import SessionImported, SyncCompleted, SyncStarted
from eventstore import chain
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent
from eventstore.seals import Seal, heads
from projections.generations import create
from projections.version import CODE_VERSION
from tests.support.documents import FIRST, SECOND, document, talk
from tests.support.manipulations import MANIPULATIONS, Manipulation
from tests.support.past import Past
from tests.support.processes import ROOT

pytestmark = pytest.mark.asyncio

ERASED = document(talk("9", "2026-05-28T09:00:00", room=1, speakers=["cid"]))
WHO = "Cora Example"

_BOMB_BYTES = 64 * 1024 * 1024
_POSITIONS = """
    SELECT setval('event_store.events_position_seq', (SELECT max(position) FROM event_store.events))
"""
_SAVE = """
    CREATE SCHEMA saved;
    CREATE TABLE saved.personal_data AS SELECT * FROM event_store.personal_data;
    CREATE TABLE saved.sources AS SELECT * FROM event_store.sources;
    CREATE TABLE saved.event_speakers AS SELECT * FROM spreaview_g1.event_speakers;
    CREATE TABLE saved.sync_runs AS SELECT * FROM spreaview_g1.sync_runs;
"""


class Scene(NamedTuple):
    """Two SpreaView events of one organization, and one of another that erased two persons."""

    url: str
    a: UUID
    seals: list[Seal]
    names: Mapping[str, str]
    """The parts that statements name in braces."""

    def sql(self, statement: str) -> str:
        """The statement with its parts."""
        return re.sub(r"\{(\w+)\}", lambda m: self.names.get(m[1], m[0]), statement)


@pytest_asyncio.fixture(scope="module")
async def scene(module_database_url: str) -> AsyncIterator[Scene]:
    async with database(module_database_url, pool_size=4) as engine:
        erasing = Past(engine, organization_id=uuid4())
        await erasing.imports(ERASED, requested_by=WHO)
        async with engine.begin() as connection:
            for statement in _SAVE.split(";\n"):
                if statement.strip():
                    await connection.execute(text(statement))
        speaker = identity.speaker_id(erasing.organization_id, "cid")
        requester = identity.requester_subject(erasing.organization_id, WHO)
        await erase(engine, erasing.organization_id, speaker)
        await erase_requester(engine, erasing.organization_id, WHO)
        await erasing.project()
        a, b = Past(engine), Past(engine)
        for past, suffix in ((a, b""), (b, b" ")):
            for imported in (FIRST, SECOND):  # equal schedules in documents that differ
                await past.imports(json.dumps(imported).encode() + suffix)
        await b.imports(b"no document")
        async with engine.begin() as connection:
            await create(connection, number=2, live=False, code_version=CODE_VERSION)
            names = await _names(connection, a, b, speaker, requester)
        log_id = (await EventLog(engine).identity()).log_id
        seals = [seal async for seal in heads(engine, log_id)]
    yield Scene(module_database_url, a.event_id, seals, names)


async def _names(
    connection: AsyncConnection, a: Past, b: Past, speaker: UUID, requester: UUID
) -> dict[str, str]:
    await connection.execute(
        text("""
            INSERT INTO event_store.checkpoints (name, log_id, position, message_id)
            SELECT 'relay', log_id, position, message_id
            FROM event_store.events, event_store.log
            WHERE stream_id = :a ORDER BY position DESC LIMIT 1
        """),
        {"a": a.event_id},
    )
    await connection.execute(
        text("""
            INSERT INTO event_store.unpublished
            SELECT position, message_id, 'too large' FROM event_store.events
            WHERE stream_id = :a ORDER BY position LIMIT 1
        """),
        {"a": a.event_id},
    )

    async def event(past: Past, kind: str, order: str = "") -> str:
        found = await connection.execute(
            text(f"""
                SELECT message_id FROM event_store.events
                WHERE stream_id = :s AND type LIKE :kind ORDER BY version {order} LIMIT 1
            """),
            {"s": past.event_id, "kind": kind},
        )
        return f"message_id = '{found.scalar_one()}'"

    digest = await connection.execute(
        text("""
            SELECT data->'source'->>'digest' FROM event_store.events
            WHERE stream_id = :a AND type = 'SyncCompleted' LIMIT 1
        """),
        {"a": a.event_id},
    )
    bomb = zlib.compress(bytes(_BOMB_BYTES), level=9).hex()
    return {
        "a": f"'{a.event_id}'",
        "b": f"'{b.event_id}'",
        "session": await event(a, "SessionImported"),
        "speaker": await event(a, "SpeakerImported"),
        "started": await event(a, "SyncStarted"),
        "completed": await event(a, "SyncCompleted"),
        "last": await event(a, "%", "DESC"),
        "b_last": await event(b, "%", "DESC"),
        "b_run": f"'{b.runs[-1]}'",
        "digest": f"'\\x{digest.scalar_one()}'",
        "bomb": f"'\\x{bomb}'",
        "bomb_bytes": str(_BOMB_BYTES),
        "erased_speaker": f"'{speaker}'",
        "erased_requester": f"'{requester}'",
    }


async def manipulated(scene: Scene, manipulation: Manipulation) -> VerificationReport:
    """Verify within the transaction of the manipulation, and roll it back."""
    report = VerificationReport()
    async with database(scene.url, pool_size=1) as engine, engine.connect() as connection:
        transaction = await connection.begin()
        try:
            await _apply(connection, scene, manipulation)
            checks = Checks(connection, report, None, lambda _done, _total: None)
            await checks.run(scene.seals, Retention(max_bytes=32 << 20), timedelta(0))
        finally:
            await transaction.rollback()
            await connection.execute(text(_POSITIONS))
            await connection.commit()
    return report


async def _apply(connection: AsyncConnection, scene: Scene, manipulation: Manipulation) -> None:
    statements = list(manipulation.statements)
    if not manipulation.is_guard:
        statements.insert(0, "ALTER TABLE event_store.events DISABLE TRIGGER append_only")
    for statement in statements:
        await connection.exec_driver_sql(scene.sql(statement))
    if manipulation.rehash:
        await _rebuild_the_chain(connection, scene.a)
    if not manipulation.is_guard:
        await connection.exec_driver_sql(
            "ALTER TABLE event_store.events ENABLE ALWAYS TRIGGER append_only"
        )


async def _rebuild_the_chain(connection: AsyncConnection, stream_id: UUID) -> None:
    """Count the versions of a stream again, and compute its chain again, as far as possible."""
    await connection.execute(
        text("""
            UPDATE event_store.events e SET version = -n.number
            FROM (SELECT position, row_number() OVER (ORDER BY version) AS number
                  FROM event_store.events WHERE stream_id = :s) n
            WHERE e.position = n.position
        """),
        {"s": stream_id},
    )
    for statement in (
        "UPDATE event_store.events SET version = -version WHERE stream_id = :s",
        """UPDATE event_store.streams SET version =
           (SELECT max(version) FROM event_store.events WHERE stream_id = :s)
           WHERE stream_id = :s""",
    ):
        await connection.execute(text(statement), {"s": stream_id})
    head = chain.GENESIS
    async for page in raw_pages(connection, stream_id):
        for raw in page:
            head = _hash(raw, head)
            await connection.execute(
                text("UPDATE event_store.events SET hash = :h WHERE position = :p"),
                {"h": head, "p": raw.position},
            )


def _hash(raw: RawEvent, head: bytes) -> bytes:
    content = content_of(raw)
    try:
        return raw.hash_after(head, content.data, content.metadata)
    except Exception:  # no chain can have such an event
        return chain.GENESIS


async def test_the_untouched_scene_is_clean(scene: Scene) -> None:
    nothing = Manipulation("nothing", (), frozenset())
    found = await manipulated(scene, nothing)
    assert found.is_clean, found.findings
    assert set(found.unchecked) == {
        "rows of generations that are not live: nobody reads them",
        "documents that are gone in an organization with erasures",
    }


@pytest.mark.parametrize(
    "manipulation", [pytest.param(m, id=m.name) for m in MANIPULATIONS if not m.unseen]
)
async def test_a_manipulation_is_found(scene: Scene, manipulation: Manipulation) -> None:
    """Without seals, only the findings of the kind `seal` would be missing."""
    found = await manipulated(scene, manipulation)
    assert manipulation.kinds <= found.found.keys(), [str(f) for f in found.findings]
    if manipulation.kinds == {FindingKind.SEAL}:
        assert found.found.keys() == {FindingKind.SEAL}, [str(f) for f in found.findings]
    assert found.next_steps
    shown = json.dumps(found.to_json())
    for personal in ("Example", "Zzyzx", "Mars/Base"):
        assert personal not in shown


@pytest.mark.parametrize(
    "manipulation", [pytest.param(m, id=m.name) for m in MANIPULATIONS if m.unseen]
)
async def test_an_unseen_manipulation_is_documented(
    scene: Scene, manipulation: Manipulation
) -> None:
    found = await manipulated(scene, manipulation)
    assert found.is_clean, [str(f) for f in found.findings]
    page = " ".join((ROOT / "docs" / "audit.md").read_text("utf-8").split())
    assert manipulation.unseen in page


async def test_findings_are_in_the_same_order_each_time(scene: Scene) -> None:
    everywhere = Manipulation(
        "everywhere",
        (
            "UPDATE event_store.events SET data = '[]'",
            "UPDATE spreaview_g1.sessions SET title = 'x'",
            "DELETE FROM event_store.sources",
        ),
        frozenset(),
    )
    first, again = [await manipulated(scene, everywhere) for _ in range(2)]
    assert first.to_json() == again.to_json()
    kinds = [finding.kind for finding in first.findings]
    assert kinds == sorted(kinds, key=list(FindingKind).index)


async def test_an_unreadable_event_is_named_with_its_place(scene: Scene) -> None:
    cut = "UPDATE event_store.events SET data = data - 'title' WHERE {session}"
    found = await manipulated(scene, Manipulation("a field", (cut,), frozenset()))
    finding = next(f for f in found.findings if f.kind == FindingKind.UNREADABLE)
    place = finding.place
    assert (place.stream_id, place.event_type) == (scene.a, "SessionImported")
    assert None not in (place.version, place.position, place.sync_id, place.recorded_at)
    assert "title" in finding.what


async def test_a_forged_run_is_seen_by_deciding_its_document_again(engine: AsyncEngine) -> None:
    """It is appended as a worker appends it, so nothing in the database shows it."""
    past = Past(engine)
    await past.imports(FIRST)
    log = EventLog(engine)
    seals = [seal async for seal in heads(engine, (await log.identity()).log_id)]
    recorded = [r.event async for r in log.read_stream(past.event_id)]
    started, session, completed = (
        next(event for event in recorded if isinstance(event, kind))
        for kind in (SyncStarted, SessionImported, SyncCompleted)
    )
    forged = uuid4()
    events = [
        replace(started, sync_id=forged, ordered_at=datetime.now(UTC)),
        replace(session, sync_id=forged, change="updated", title="Zzyzx"),
        replace(completed, sync_id=forged, ordered_at=datetime.now(UTC)),
    ]
    ids = [identity.message_id(forged, ordinal) for ordinal in (0, 1, identity.OUTCOME)]
    first, *outcome = [NewEvent(*pair) for pair in zip(ids, events, strict=True)]
    version = await log.stream_version(past.event_id)
    await log.append(Commit(past.event_id, version, [first]))
    await log.append(Commit(past.event_id, version + 1, outcome, inbox=forged))
    await past.project()
    found = await verify(engine, seals=seals)
    assert found.is_clean, found.findings
    assert found.unchecked["events beyond the newest seal of their stream"] == 3
    (run,) = [run async for run in reimport(log, past.event_id, forged)]
    assert [deviation.type for deviation in run.deviations]
    page = " ".join((ROOT / "docs" / "audit.md").read_text("utf-8").split())
    assert "a whole run that was appended as a worker appends it" in page
