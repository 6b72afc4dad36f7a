"""Checks every place that has to know the personal fields, with the models that are imported.

Run as a program (`python -m tests.support.personal_fields DATABASE_URL`), it migrates an empty
database, checks every place and prints the report as JSON. The test runs it in a copy of this
program whose models have more personal fields.
"""

import asyncio
import json
import sys
import zlib
from collections.abc import Iterable, Set
from typing import Any, TypeAlias
from uuid import UUID, uuid4
from zoneinfo import ZoneInfo

import msgspec
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.as_of.read_models import ReadModels, read_models_at
from audit.erasure.erase import erase, erase_requester
from audit.past.moments import Moment
from cli.connections import database
from contracts import identity
from contracts.canonical import canonical
from contracts.codec import PERSONAL_FIELDS, join, take_apart, to_event
from contracts.events import (
    ImportEvent,
    Link,
    SpeakerImported,
    SyncStarted,
)
from eventstore.log import EventLog
from eventstore.migrate import migrate
from eventstore.model import Commit, NewEvent
from projections.generations import list_generations, select_live_generation
from projections.prepare import prepare
from projections.projector import Projector
from projections.rebuild.parity import compare
from projections.rebuild.rebuild import rebuild
from projections.write import write
from tests.support.database import tables_with
from tests.support.documents import document, talk
from tests.support.documents import speaker as a_speaker
from tests.support.projected import projected, sample
from worker.rules.reading import read_document
from worker.rules.schedule import Schedule
from worker.rules.state import fold
from worker.rules.state_encoding import encode_state

Report: TypeAlias = dict[str, list[str]]
"""The personal fields that a place misses, by place; empty if every place knows every field."""

OF_A_SPEAKER = PERSONAL_FIELDS[SpeakerImported.__name__]
OF_A_REQUESTER = PERSONAL_FIELDS[SyncStarted.__name__]
OF_ALL = (*OF_A_SPEAKER, *OF_A_REQUESTER)
TABLES = {"event_speakers": OF_A_SPEAKER, "sync_runs": OF_A_REQUESTER}
"""The read models that show personal fields."""


def mark(field: str) -> str:
    """A text that only this field contains."""
    return f"zqxwv {field}."


def marked(fields: Iterable[str]) -> dict[str, Any]:
    """A marked value for each field."""
    return {field: _links(mark(field)) if field == "links" else mark(field) for field in fields}


def _links(title: str) -> tuple[Link, ...]:
    return (Link(title=title, url="https://blog.example", link_type="Blog"),)


def shown(fields: Iterable[str], where: object) -> list[str]:
    """The fields whose value can be seen."""
    return [field for field in fields if mark(field) in str(where)]


def not_shown(fields: Iterable[str], where: object) -> list[str]:
    """The fields whose value cannot be seen."""
    return [field for field in fields if mark(field) not in str(where)]


def in_camel_case(field: str) -> str:
    """The name of a field in a document."""
    first, *others = field.split("_")
    return first + "".join(word.title() for word in others)


def events_of(stream: UUID) -> tuple[SyncStarted, SpeakerImported]:
    """A run and a speaker, with a marked value in every personal field."""
    started = sample("SyncStarted", spreaview_event_id=stream, **marked(OF_A_REQUESTER))
    speaker = sample("SpeakerImported", spreaview_event_id=stream, **marked(OF_A_SPEAKER))
    assert isinstance(started, SyncStarted)
    assert isinstance(speaker, SpeakerImported)
    return started, speaker


async def places_that_miss_a_field(engine: AsyncEngine) -> Report:
    """Check every place. The database is migrated and holds nothing else."""
    started, speaker = events_of(uuid4())
    report: Report = {}
    for event, fields in ((started, OF_A_REQUESTER), (speaker, OF_A_SPEAKER)):
        report |= of_the_codec(event, fields)
    report |= of_the_worker(started, speaker)
    report |= of_the_projection(speaker)
    report |= of_the_past(started, speaker)
    report |= await of_the_database(engine, started, speaker)
    return {place: fields for place, fields in report.items() if fields}


def of_the_codec(event: ImportEvent, fields: tuple[str, ...]) -> Report:
    """The log keeps the personal fields apart and reads an event without them."""
    plain = take_apart(event)
    assert plain.personal is not None
    data = canonical(plain.data).decode()
    erased = to_event(plain.type, join(plain.type, plain.schema_version, data, None))
    return {
        f"codec: the plain data of {plain.type}": shown(fields, data),
        f"codec: the personal data of {plain.type}": not_shown(fields, plain.personal.body),
        f"codec: {plain.type} after an erasure": shown(fields, erased),
    }


def of_the_worker(started: SyncStarted, speaker: SpeakerImported) -> Report:
    """A reading keeps nothing of an erased speaker, a snapshot nothing of a requester."""
    person: dict[str, object] = {in_camel_case(f): mark(f) for f in OF_A_SPEAKER}
    person["links"] = [{"title": mark("links")}]
    body = msgspec.json.encode(document(talk("1"), speakers=[a_speaker("ada", **person)]))

    def schedule(*, erased: Set[UUID]) -> Schedule:
        return read_document(
            body,
            organization_id=speaker.organization_id,
            spreaview_event_id=speaker.spreaview_event_id,
            zone=ZoneInfo("UTC"),
            erased=erased,
        ).schedule

    ada = identity.speaker_id(speaker.organization_id, "ada")
    return {
        "worker: a speaker in a document": not_shown(OF_A_SPEAKER, schedule(erased=set())),
        "worker: an erased speaker in a document": shown(OF_A_SPEAKER, schedule(erased={ada})),
        "worker: a snapshot": shown(OF_A_REQUESTER, zlib.decompress(encode_state(fold([started])))),
    }


def erased(speaker: SpeakerImported) -> ImportEvent:
    """The event that says so, in the speaker's stream."""
    return sample(
        "SpeakerErased",
        spreaview_event_id=speaker.spreaview_event_id,
        speaker_id=speaker.speaker_id,
    )


def of_the_projection(speaker: SpeakerImported) -> Report:
    """An erasure clears the row in its batch; one field that is left makes a speaker known."""
    nobody = dict.fromkeys(OF_A_SPEAKER)
    return {
        "projection: a row before its erasure": not_shown(
            OF_A_SPEAKER, projected(speaker).speakers
        ),
        "projection: a row and its erasure in one batch": shown(
            OF_A_SPEAKER, projected(speaker, erased(speaker)).speakers
        ),
        "projection: the status of a speaker": [
            field
            for field, value in marked(OF_A_SPEAKER).items()
            if "'imported'"
            not in str(projected(sample("SpeakerImported", **nobody | {field: value})).speakers)
        ],
    }


def of_the_past(started: SyncStarted, speaker: SpeakerImported) -> Report:
    """The read models as of a moment show every field, until the erasure."""
    models = ReadModels()
    models.apply(projected(started, speaker))
    before = str(models.views())
    models.apply(projected(erased(speaker)))
    return {
        "as of a moment: before an erasure": not_shown(OF_ALL, before),
        "as of a moment: after an erasure": shown(OF_A_SPEAKER, models.views()),
    }


async def of_the_database(
    engine: AsyncEngine, started: SyncStarted, speaker: SpeakerImported
) -> Report:
    """The tables and views show every field, parity hides it, and an erasure clears it."""
    log, stream = EventLog(engine), speaker.spreaview_event_id
    older = sample("SpeakerImported", spreaview_event_id=stream, first_name="Older")
    completed = sample("SyncCompleted", spreaview_event_id=stream)
    for version, outcome in ((0, [started]), (1, [older, completed]), (3, [speaker, completed])):
        new = [NewEvent(uuid4(), event) for event in outcome]
        await log.append(Commit(stream, version, new))
        await Projector(engine, sweep_seconds=60).catch_up([stream])
    report = {
        f"database: the view {view}": not_shown(
            fields, await _all_rows(engine, f"spreaview.{view}")
        )
        for view, fields in (*TABLES.items(), ("speakers", OF_A_SPEAKER))
    }
    async with engine.connect() as connection:
        await select_live_generation(connection)
        await write(connection, projected(erased(speaker)))
        found = (await connection.execute(text("SELECT * FROM event_speakers"))).all()
        report["database: a row after its erasure is projected"] = shown(OF_A_SPEAKER, found)
        await connection.rollback()

    await rebuild(engine, report_progress=lambda _: None, report_step=lambda _: None)
    report |= await _of_parity(engine)
    for table, fields in TABLES.items():
        for number in (1, 2):
            name = f"spreaview_g{number}.{table}"
            report[f"database: {name}"] = not_shown(fields, await _all_rows(engine, name))

    models = await read_models_at(log, stream, Moment())
    report["database: as of a moment, before an erasure"] = not_shown(OF_ALL, models.views())
    assert started.requested_by is not None
    await erase(engine, speaker.organization_id, speaker.speaker_id)
    await erase_requester(engine, speaker.organization_id, started.requested_by)
    models = await read_models_at(log, stream, Moment())
    report["database: as of a moment, after an erasure"] = shown(OF_ALL, models.views())
    for field in OF_ALL:
        for table in await tables_with(engine, mark(field)):
            report.setdefault(f"erasure: {table}", []).append(field)
    return report


async def _of_parity(engine: AsyncEngine) -> Report:
    """Two generations that differ in every personal field: each is reported, its values are not."""
    async with engine.connect() as connection:
        old, new = await list_generations(connection)
    for table, fields in TABLES.items():
        other = ", ".join(f"""{field} = '"other"'""" for field in fields)  # valid as JSON, too
        await _execute(engine, f"UPDATE {old.schema}.{table} SET {other}")
    parity = await compare(engine, old, new, first=9)
    for table, fields in TABLES.items():
        same = ", ".join(
            f"{field} = (SELECT {field} FROM {new.schema}.{table})" for field in fields
        )
        await _execute(engine, f"UPDATE {old.schema}.{table} SET {same}")
    found = {table.table: table.first[0].fields for table in parity.tables if table.first}
    return {
        f"parity: {table}": [
            field for field in fields if found[table].get(field) != ("(personal)", "(personal)")
        ]
        for table, fields in TABLES.items()
    }


async def _all_rows(engine: AsyncEngine, table: str) -> str:
    async with engine.connect() as connection:
        return str((await connection.execute(text(f"SELECT * FROM {table}"))).all())


async def _execute(engine: AsyncEngine, statement: str) -> None:
    async with engine.begin() as connection:
        await connection.execute(text(statement))


async def main(database_url: str) -> None:
    """Print the report, and the fields that it is about."""
    async with database(database_url, pool_size=8) as engine:
        await migrate(engine)
        await prepare(engine)
        report = await places_that_miss_a_field(engine)
    print(json.dumps({"fields": OF_ALL, "missed": report}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1]))
