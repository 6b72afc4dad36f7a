"""An import refuses every forged line, names its stream and version, and imports nothing."""

import hashlib
import json
import tracemalloc
import zlib
from base64 import b64decode, b64encode
from collections.abc import AsyncIterator, Callable
from datetime import datetime
from typing import Any, TypeAlias
from uuid import UUID, uuid4

import pytest
import pytest_asyncio
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.transfer.export import KINDS, ExportScope, export
from audit.transfer.import_log import ImportRefusedError, import_log
from audit.transfer.lines import DocumentLine
from cli.connections import database
from contracts.canonical import canonical
from contracts.codec import PERSONAL_KEY
from eventstore import chain
from tests.conftest import _own_database
from tests.support.documents import document, talk
from tests.support.past import Past

pytestmark = pytest.mark.asyncio

JsonLine: TypeAlias = dict[str, Any]

STARTED, ROOM, SPEAKER, SESSION, COMPLETED = 1, 2, 3, 4, 5
"""The events of the first run, by version."""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def exported(postgres_url: str) -> list[JsonLine]:
    """The lines of an export of one event with two runs and a document for each."""
    async with _own_database(postgres_url) as url, database(url, pool_size=4) as engine:
        past = Past(engine)
        await past.imports(document(talk("1")))
        await past.imports(document(talk("1", title="New")))
        return [json.loads(line) async for line in export(engine, ExportScope())]


@pytest_asyncio.fixture
async def empty(postgres_url: str) -> AsyncIterator[AsyncEngine]:
    async with _own_database(postgres_url) as url, database(url, pool_size=2) as engine:
        yield engine


def encoded(lines: list[JsonLine], *, sealed: bool) -> list[bytes]:
    """The lines as bytes; `sealed`: with hashes and an end that fit them, as a forger writes."""
    lines = json.loads(json.dumps(lines))
    head = chain.GENESIS
    for line in lines if sealed else ():
        if "data" in line:
            body = chain.body_digest(
                stream_id=UUID(line["partitionkey"]),
                version=line["streamversion"],
                message_id=UUID(line["id"]),
                type=line["eventtype"],
                schema_version=line["schemaversion"],
                data=canonical(line["data"]),
                metadata=canonical(line["metadata"]),
            )
            head = chain.link(head, body, datetime.fromisoformat(line["time"]))
            line["hash"] = head.hex()
    counts = {
        kind: sum(key in line for line in lines)
        for kind, key in zip(KINDS, ("data", "erased", "answer", "document"), strict=True)
    }
    whole = [canonical(line) + b"\n" for line in lines[:-1]]
    end = {"end": counts, "sha256": hashlib.sha256(b"".join(whole)).hexdigest()}
    return [*whole, canonical(end) + b"\n"]


Forgery: TypeAlias = Callable[[list[JsonLine]], object]


def personal_body(lines: list[JsonLine]) -> None:
    lines[SPEAKER]["personal"]["body"]["full_name"] = "Somebody Else"


def personal_of_another(lines: list[JsonLine]) -> None:
    lines[SPEAKER]["personal"]["subject"] = str(uuid4())


def personal_of_a_room(lines: list[JsonLine]) -> None:
    """A right digest, but nobody could ever find these data to erase them."""
    personal = lines[ROOM]["personal"] = lines[SPEAKER]["personal"]
    body = canonical(personal["body"])
    kept = chain.personal_digest(bytes.fromhex(personal["salt"]), body)
    lines[ROOM]["data"][PERSONAL_KEY] = {"digest": kept}


def erased_but_there(lines: list[JsonLine]) -> None:
    erased = {
        "subject": lines[SPEAKER]["personal"]["subject"],
        "organization_id": lines[SPEAKER]["data"]["organization_id"],
        "erasure_id": str(uuid4()),
        "erased_at": lines[SPEAKER]["time"],
    }
    lines.insert(-1, {"erased": erased})


def document_line(lines: list[JsonLine]) -> JsonLine:
    found: JsonLine = next(line["document"] for line in lines if "document" in line)
    return found


def other_document(lines: list[JsonLine]) -> None:
    line = document_line(lines)
    original = zlib.decompress(b64decode(line["zlib"]))
    line["zlib"] = b64encode(zlib.compress(original.replace(b"Talk", b"Tulk"))).decode()


def same_document_again(lines: list[JsonLine]) -> None:
    lines.insert(-1, {"document": document_line(lines)})


def same_event_again(lines: list[JsonLine]) -> None:
    lines[SESSION]["id"] = lines[ROOM]["id"]


def outcome_of_another_run(lines: list[JsonLine]) -> None:
    lines[COMPLETED]["id"] = str(uuid4())


def deep(lines: list[JsonLine]) -> None:
    nested: list[object] = []
    for _ in range(900):
        nested = [nested]
    lines[ROOM]["data"] = nested


def put(version: int, **fields: object) -> Forgery:
    return lambda lines: lines[version].update(fields)


def put_data(version: int, **fields: object) -> Forgery:
    return lambda lines: lines[version]["data"].update(fields)


def put_in_document(**fields: object) -> Forgery:
    return lambda lines: document_line(lines).update(fields)


FORGED: dict[str, tuple[Forgery, str]] = {
    "personal data": (personal_body, "version 3 of stream .* do not match their digest"),
    "no digest of personal data": (
        lambda lines: lines[SPEAKER]["data"].pop(PERSONAL_KEY),
        "version 3 of stream .* do not match their digest",
    ),
    "another person": (personal_of_another, "version 3 of stream .* belong to another person"),
    "a room's personal data": (personal_of_a_room, "version 2 of stream .* to another person"),
    "erased, but there": (erased_but_there, "personal data of .* who is erased"),
    "another document": (other_document, "document .* has another digest"),
    "a document's size": (
        put_in_document(size_bytes=7),
        "document .* unpacks to more than 7 bytes",
    ),
    "a negative size": (put_in_document(size_bytes=-1), "line 10: Expected `int` >= 0"),
    "no zlib": (put_in_document(zlib="e30="), "document .* cannot be unpacked"),
    "no base64": (put_in_document(zlib="!"), "document .* cannot be unpacked"),
    "a short digest": (put_in_document(sha256="ab"), "line 10: .*sha256"),
    "a document twice": (same_document_again, "line 12: the database refuses document"),
    "a position that falls": (put(ROOM, position=1), "version 2 of .* position 1, which is not"),
    "a negative position": (put(ROOM, position=-1), "line 3: .*position"),
    "a huge position": (put(ROOM, position=2**63), "line 3: .*position"),
    "a text as position": (put(ROOM, position="2"), "line 3: .*position"),
    "a text as version": (put(ROOM, streamversion="2"), "line 3: .*streamversion"),
    "a huge schema version": (put(ROOM, schemaversion=2**31), "line 3: .*schemaversion"),
    "a newer schema": (put(ROOM, schemaversion=9), "version 2 of .* RoomImported v9 is unknown"),
    "an unknown type": (put(ROOM, eventtype="Sung"), "version 2 of .* Sung v1 is unknown"),
    "no data": (put(ROOM, data=None), "line 3: .*data"),
    "a list as data": (put(ROOM, data=[]), "line 3: .*data"),
    "empty data": (put(ROOM, data={}), "version 2 of stream .* missing required field"),
    "deep data": (deep, "line 3: .*data"),
    "a NUL": (put_data(ROOM, name="a\0b"), "the database refuses version 2 of stream"),
    "an event twice": (same_event_again, "the database refuses version 4 of stream"),
    "an outcome's id": (outcome_of_another_run, "version 5 of stream .* its id is"),
    "another log": (put(ROOM, source="urn:spreaview:log:x"), "version 2 .* not as an export"),
    "another field": (put(ROOM, note="x"), "version 2 of stream .* not as an export writes it"),
    "an unknown line": (lambda lines: lines.insert(-1, {"x": 1}), "line 12: it is neither"),
    "no log id": (put(0, log_id=5), "line 1: .*log_id"),
    "a key that is no hex": (put(0, fingerprint_key="xyz"), "line 1: "),
}


MALFORMED: dict[str, tuple[Forgery, str]] = {
    "a time without offset": (put(ROOM, time="2026-05-28T09:00:00"), "line 3: .*time"),
    "a number as stream": (put(ROOM, partitionkey=5), "line 3: .*partitionkey"),
    "a short hash": (put(ROOM, hash="ab"), "line 3: .*hash"),
    "another hash": (put(ROOM, hash="ab" * 32), "line 3: the hash of version 2 of stream .* wrong"),
}
"""Lines whose hashes are not computed again."""


@pytest.mark.parametrize(
    ("forge", "said", "sealed"),
    [
        *(pytest.param(*case, True, id=name) for name, case in FORGED.items()),
        *(pytest.param(*case, False, id=name) for name, case in MALFORMED.items()),
    ],
)
async def test_a_forged_line_is_refused_and_nothing_is_imported(
    exported: list[JsonLine], empty: AsyncEngine, forge: Forgery, said: str, *, sealed: bool
) -> None:
    lines = json.loads(json.dumps(exported))
    forge(lines)
    with pytest.raises(ImportRefusedError, match=said):
        await import_log(empty, encoded(lines, sealed=sealed))
    async with empty.connect() as connection:
        for table in ("events", "personal_data", "sources", "erased_subjects", "inbox", "streams"):
            rows = await connection.execute(text(f"SELECT count(*) FROM event_store.{table}"))
            assert rows.scalar_one() == 0, table


async def test_a_document_is_unpacked_no_further_than_its_size() -> None:
    packing = zlib.compressobj()
    packed = b"".join(packing.compress(bytes(2**20)) for _ in range(64)) + packing.flush()
    line = DocumentLine(sha256="0" * 64, size_bytes=100, zlib=b64encode(packed).decode())
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match="unpacks to more than 100 bytes"):
            line.checked_body()
        assert tracemalloc.get_traced_memory()[1] < 4 * 2**20, "64 MiB were packed"
    finally:
        tracemalloc.stop()


async def test_the_lines_of_an_export_are_accepted(
    exported: list[JsonLine], empty: AsyncEngine
) -> None:
    """The forgeries above start from these."""
    lines = encoded(exported, sealed=True)
    assert [json.loads(line) for line in lines] == exported
    done = await import_log(empty, lines)
    assert (done.events, done.documents) == (exported[-1]["end"]["events"], 2)
