"""Snapshots in the log: they save reading the history, and no decision depends on them."""

import json
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from msgspec.structs import replace
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure.erase import erase
from cli.connections import http_client
from cli.services import sessionize_client
from cli.settings import Settings
from contracts import identity
from contracts.codec import JsonObject
from contracts.events import RoomImported
from eventstore.log import EventLog
from eventstore.model import Commit, NewEvent, Snapshot, StreamMovedError
from tests.support.documents import WINDOW, document, talk, unscheduled
from tests.support.given import given
from tests.support.line import ORGANIZATION, a_request
from tests.support.sessionize.answers import Documents
from tests.support.sessionize.double import Double, sessionize_double
from worker.rules.state import State, fold
from worker.rules.state_encoding import encode_state
from worker.sync.fold_version import FOLD_VERSION
from worker.sync.handle import Handler, RequestContext
from worker.sync.state_snapshots import load_state

pytestmark = pytest.mark.asyncio

API_ID = "snap0001"
FIRST = document(talk("1"), talk("2", room=8, speakers=["eve"]), unscheduled("3"))
SECOND = document(talk("1", title="Renamed"), unscheduled("3"))


@dataclass
class Syncs:
    """One SpreaView event, synced by a handler with a given `snapshot_events`."""

    engine: AsyncEngine
    double: Double
    handler: Handler
    event_id: UUID

    @property
    def log(self) -> EventLog:
        return EventLog(self.engine)

    async def sync(self, source: JsonObject) -> None:
        self.double.serve(API_ID, json.dumps(source).encode())
        request = a_request(API_ID, WINDOW, event_id=self.event_id)
        await self.handler.handle(
            request, RequestContext(datetime.now(UTC), time.monotonic(), None)
        )

    async def kept(self) -> Snapshot | None:
        return await self.log.snapshot(self.event_id, FOLD_VERSION)

    async def from_the_beginning(self) -> State:
        return fold([recorded.event async for recorded in self.log.read_stream(self.event_id)])

    async def tamper(self, statement: str) -> None:
        """Change the database as a superuser, past its triggers."""
        async with self.engine.begin() as connection:
            await connection.execute(text("SET LOCAL session_replication_role = replica"))
            await connection.execute(
                text("ALTER TABLE event_store.events DISABLE TRIGGER append_only")
            )
            await connection.execute(text(statement))


@pytest_asyncio.fixture
async def syncs(engine: AsyncEngine, request: pytest.FixtureRequest) -> AsyncIterator[Syncs]:
    async with sessionize_double(Documents()) as double, http_client("test") as client:
        sessionize = sessionize_client(client, double.base_url, Settings())
        log_identity = await EventLog(engine).identity()
        handler = Handler(
            EventLog(engine),
            sessionize,
            log_identity,
            "test",
            snapshot_events=getattr(request, "param", 1),
        )
        yield Syncs(engine, double, handler, uuid4())


async def test_an_outcome_and_the_state_after_it_are_stored_together(syncs: Syncs) -> None:
    for source in (FIRST, SECOND, FIRST, document()):  # the last one fails
        await syncs.sync(source)

        kept, whole = await syncs.kept(), await syncs.from_the_beginning()
        assert kept is not None
        assert kept.version == whole.version == await syncs.log.stream_version(syncs.event_id)
        assert kept.body == encode_state(whole)


async def test_events_before_the_snapshot_are_not_read(syncs: Syncs) -> None:
    await syncs.sync(FIRST)
    await syncs.sync(SECOND)
    whole = encode_state(await syncs.from_the_beginning())
    await syncs.tamper("DELETE FROM event_store.events")

    state = await load_state(syncs.log, syncs.event_id)

    assert encode_state(state) == whole


@pytest.mark.parametrize("syncs", [15], indirect=True)
async def test_a_snapshot_is_taken_after_enough_events(syncs: Syncs) -> None:
    versions = []
    for source in (FIRST, FIRST, FIRST, FIRST, SECOND, FIRST):
        await syncs.sync(source)
        kept = await syncs.kept()
        versions.append((await syncs.log.stream_version(syncs.event_id), kept and kept.version))

    for version, snapshot in versions:
        assert version - (snapshot or 0) < 15
    assert versions[0][1] is None
    assert len({snapshot for _, snapshot in versions}) < len(versions) - 1


@pytest.mark.parametrize(
    "harm",
    [
        pytest.param("UPDATE event_store.snapshots SET body = 'garbage'", id="damaged"),
        pytest.param("UPDATE event_store.snapshots SET fold_version = 'other'", id="of other code"),
        pytest.param("UPDATE event_store.snapshots SET version = 1000", id="beyond the head"),
        pytest.param("DELETE FROM event_store.snapshots", id="deleted"),
    ],
)
async def test_an_unusable_snapshot_changes_no_decision(syncs: Syncs, harm: str) -> None:
    await syncs.sync(FIRST)
    await syncs.tamper(harm)
    await syncs.sync(SECOND)

    expected = given(FIRST).when(SECOND).changes
    stream = [recorded async for recorded in syncs.log.read_stream(syncs.event_id)]
    starts = [n for n, recorded in enumerate(stream) if recorded.type == "SyncStarted"]
    assert [r.type for r in stream[starts[1] + 1 : -1]] == [line.split()[0] for line in expected]
    kept = await syncs.kept()
    assert kept is not None
    assert kept.body == encode_state(await syncs.from_the_beginning())


async def test_an_erasure_deletes_the_snapshots_with_the_person(syncs: Syncs) -> None:
    await syncs.sync(FIRST)
    other = Syncs(syncs.engine, syncs.double, syncs.handler, uuid4())
    await other.sync(document(talk("1", speakers=["bob"])))

    await erase(syncs.engine, ORGANIZATION, identity.speaker_id(ORGANIZATION, "eve"))

    assert await syncs.kept() is None
    assert await other.kept() is not None
    await syncs.sync(FIRST)
    state = await load_state(syncs.log, syncs.event_id)
    assert state.snapshot_version == state.version
    assert state.speakers["eve"].full_name is None
    assert state.speakers["ada"].full_name == "Ada Example"


async def test_a_snapshot_decided_before_an_erasure_is_not_stored_after_it(
    syncs: Syncs,
) -> None:
    await syncs.sync(FIRST)
    state = await load_state(syncs.log, syncs.event_id)
    snapshot = Snapshot(state.version + 1, FOLD_VERSION, encode_state(state))
    before = await syncs.log.erased_speakers(ORGANIZATION)
    await erase(syncs.engine, ORGANIZATION, identity.speaker_id(ORGANIZATION, "bob"))
    room = next(e for e in given(FIRST).events if isinstance(e, RoomImported))
    room = replace(room, organization_id=ORGANIZATION)
    version = await syncs.log.stream_version(syncs.event_id)
    kept = await syncs.kept()

    with pytest.raises(StreamMovedError):
        await syncs.log.append(
            Commit(
                syncs.event_id,
                version,
                [NewEvent(uuid4(), room)],
                snapshot=snapshot,
                erasures=before,
            )
        )

    assert await syncs.kept() == kept
