"""Manipulations of a log by a superuser, as SQL, each with the findings that must name it.

The braces of a statement stand for parts of `Scene`: `{a}` and `{b}` are streams as literals,
`{session}` and the like are conditions for one event of stream a.
"""

from collections.abc import Iterator
from typing import NamedTuple

from audit.verify.findings import FindingKind as K

EVENTS = "event_store.events"


class Manipulation(NamedTuple):
    """What a superuser does, and what a verification with seals finds."""

    name: str
    statements: tuple[str, ...]
    kinds: frozenset[K]
    """Findings of these kinds must be there. With SEAL alone, only seals show it."""
    unseen: str = ""
    """The sentence of docs/audit.md, if a verification cannot see it."""
    rehash: bool = False
    """Afterwards versions are counted again, and the chain of stream a is computed again."""
    is_guard: bool = False
    """Whether the append-only trigger is left alone."""


def _of(
    name: str, *statements: str, kinds: str = "", unseen: str = "", **options: bool
) -> Manipulation:
    found = frozenset(K(kind) for kind in kinds.split())
    return Manipulation(name, statements, found, unseen, **options)


def _data(name: str, expression: str, where: str, kinds: str) -> Iterator[Manipulation]:
    """Change the data of an event: without and with a new chain that fits."""
    change = f"UPDATE {EVENTS} SET data = {expression} WHERE {where}"
    yield _of(f"data: {name}", change, kinds=f"changed {kinds}")
    yield _of(f"data: {name}, new chain", change, kinds=f"seal {kinds}", rehash=True)


_DEEP = "('{\"a\":' || repeat('[', 5000) || repeat(']', 5000) || '}')::jsonb"

_FORMS = (
    ("JSON null", "'null'", "unreadable"),
    ("a list", "'[]'", "unreadable"),
    ("a text", "'\"text\"'", "unreadable"),
    ("a number", "'5'", "unreadable"),
    ("an empty object", "'{}'", "unreadable run"),
    ("5,000 nested arrays", _DEEP, "unreadable"),
    ("no run", "data - 'sync_id'", "unreadable run"),
    ("a malformed run", """data || '{"sync_id": "x"}'""", "unreadable run"),
    ("a run that is a list", """data || '{"sync_id": [1]}'""", "unreadable run"),
    ("another run", """data || jsonb_build_object('sync_id', gen_random_uuid())""", "run"),
    ("no organization", "data - 'organization_id'", "unreadable"),
    ("another event", """data || jsonb_build_object('spreaview_event_id', {b}::uuid)""", "run"),
    ("a malformed session id", """data || '{"session_id": "x"}'""", "unreadable"),
    ("speakers of another type", """data || '{"speaker_ids": {}}'""", "unreadable"),
    ("another title", """data || '{"title": "Zzyzx"}'""", ""),
    ("an infinite start", """data || '{"starts_at": "infinity"}'""", "unreadable"),
    ("a start BC", """data || '{"starts_at": "0044-03-15T00:00:00Z BC"}'""", "unreadable"),
    ("a start in year 20000", """data || '{"starts_at": "20000-01-01T00:00:00Z"}'""", "unreadable"),
    (
        "a start before the calendar",
        """data || '{"starts_at": "0001-01-01T00:00:00+14:00"}'""",
        "unreadable",
    ),
)


def _forms() -> Iterator[Manipulation]:
    for name, expression, kinds in _FORMS:
        yield from _data(name, expression, "{session}", kinds)
    yield from _data("no speaker", "data - 'speaker_id'", "{speaker}", "unreadable")
    yield from _data(
        "no digest of personal data", "data - 'personal'", "{speaker}", "personal_data"
    )
    yield from _data(
        "a malformed digest of personal data",
        """data || '{"personal": {"digest": [1]}}'""",
        "{speaker}",
        "personal_data",
    )
    yield from _data(
        "a malformed digest of a document",
        """jsonb_set(data, '{source,digest}', '"x"')""",
        "{completed}",
        "unreadable source",
    )
    yield from _data(
        "a negative size of a document",
        """jsonb_set(data, '{source,size_bytes}', '-1')""",
        "{completed}",
        "unreadable source",
    )
    yield from _data("no document", "data - 'source'", "{completed}", "unreadable source")
    yield from _data(
        "another zone",
        """jsonb_set(data, '{window,time_zone}', '"Mars/Base"')""",
        "{started}",
        "read_model",
    )


_NULLS = (
    ("stream_id", "unreadable missing"),
    ("version", "unreadable missing"),
    ("message_id", "changed message_id"),
    ("type", "changed unreadable"),
    ("schema_version", "changed unreadable"),
    ("data", "changed unreadable"),
    ("metadata", "changed unreadable"),
    ("recorded_at", "changed unreadable"),
    ("hash", "changed"),
)


def _columns() -> Iterator[Manipulation]:
    for column, kinds in _NULLS:
        yield _of(
            f"{column}: null",
            f"ALTER TABLE {EVENTS} ALTER {column} DROP NOT NULL",
            f"UPDATE {EVENTS} SET {column} = NULL WHERE {{session}}",
            kinds=f"guard {kinds}",
        )
    for value in ("-infinity", "infinity", "0044-03-15 00:00:00+00 BC", "20000-01-01 00:00:00+00"):
        change = f"UPDATE {EVENTS} SET recorded_at = '{value}' WHERE {{session}}"
        yield _of(f"recorded_at: {value}", change, kinds="changed unreadable")
    for value, kinds in (
        ("0044-03-15 00:00:00+00 BC", "unreadable disordered"),
        ("20000-01-01 00:00:00+00", "unreadable disordered"),
        ("2020-01-01 00:00:00+00", "disordered"),
    ):
        change = f"UPDATE {EVENTS} SET recorded_at = '{value}' WHERE {{session}}"
        yield _of(f"recorded_at: {value}, new chain", change, kinds=f"seal {kinds}", rehash=True)
    for column, value, kinds in (
        ("version", "1000", "missing head"),
        ("version", "-1", "missing changed"),
        ("message_id", "gen_random_uuid()", "changed message_id"),
        ("type", "'RoomImported'", "changed unreadable"),
        ("type", "'SyncCompleted'", "changed unreadable message_id run"),
        ("type", "'SyncStarted'", "changed unreadable run message_id"),
        ("type", "'SpeakerErased'", "changed unreadable run message_id"),
        ("type", "'Unknown'", "changed unreadable"),
        ("schema_version", "1000", "changed unreadable"),
        ("schema_version", "-1", "changed unreadable"),
        ("metadata", "'[]'", "changed"),
        ("recorded_at", "recorded_at + interval '1 second'", "changed disordered"),
        ("recorded_at", "'2100-01-01'", "changed disordered"),
        ("hash", "sha256('')", "changed"),
    ):
        change = f"UPDATE {EVENTS} SET {column} = {value} WHERE {{session}}"
        yield _of(f"{column}: {value}", change, kinds=kinds)
    yield _of(
        "an event of a newer program, new chain",
        f"UPDATE {EVENTS} SET schema_version = 1000 WHERE {{session}}",
        kinds="unreadable seal",
        rehash=True,
    )


def _moving(*statements: str) -> tuple[str, ...]:
    """Allow positions to be changed, and forbid it again."""
    column = f"ALTER TABLE {EVENTS} ALTER position SET GENERATED"
    return (f"{column} BY DEFAULT", *statements, f"{column} ALWAYS")


def _rows_of_the_log() -> Iterator[Manipulation]:
    move = (
        f"UPDATE {EVENTS} SET stream_id = {{b}}, "
        f"version = (SELECT max(version) + 1 FROM {EVENTS} WHERE stream_id = {{b}}) WHERE {{last}}"
    )
    yield _of("an event of another stream", move, kinds="changed head run read_model seal")
    for where, kinds in (
        ("session", "missing"),
        ("started", "run"),
        ("completed", "run inbox source"),
        ("last", "head read_model seal"),
    ):
        delete = f"DELETE FROM {EVENTS} WHERE {{{where}}}"
        yield _of(f"deleted: {where}", delete, kinds=kinds)
    for where, kinds in (
        ("session", "message_id read_model seal"),
        ("started", "run read_model seal"),
        ("completed", "run inbox source seal"),
    ):
        delete = f"DELETE FROM {EVENTS} WHERE {{{where}}}"
        yield _of(f"deleted: {where}, new chain", delete, kinds=kinds, rehash=True)
    copy = f"""
        INSERT INTO {EVENTS} (stream_id, version, message_id, type, schema_version, data, metadata,
                              recorded_at, hash)
        SELECT stream_id, (SELECT max(version) + 1 FROM {EVENTS} WHERE stream_id = {{a}}),
               gen_random_uuid(), type, schema_version, data, metadata, clock_timestamp(), hash
        FROM {EVENTS} WHERE {{event}}
    """
    for where, kinds in (
        ("session", "run message_id"),
        ("started", "run message_id"),
        ("completed", "run message_id"),
    ):
        insert = copy.replace("{event}", f"{{{where}}}")
        yield _of(f"repeated: {where}", insert, kinds=f"changed head {kinds}")
        yield _of(f"repeated: {where}, new chain", insert, kinds=f"{kinds} read_side", rehash=True)
    yield _of(
        "a position twice",
        f"ALTER TABLE {EVENTS} DROP CONSTRAINT events_pkey",
        *_moving(f"UPDATE {EVENTS} SET position = 1 WHERE {{session}}"),
        kinds="guard disordered",
    )
    yield _of(
        "a row twice",
        f"ALTER TABLE {EVENTS} DROP CONSTRAINT events_pkey, "
        "DROP CONSTRAINT events_stream_id_version_key, DROP CONSTRAINT events_message_id_key",
        f"INSERT INTO {EVENTS} OVERRIDING SYSTEM VALUE SELECT * FROM {EVENTS} WHERE {{session}}",
        kinds="guard missing",
    )
    yield _of(
        "positions of two streams swapped",
        *_moving(
            f"UPDATE {EVENTS} SET position = -position WHERE {{last}} OR {{b_last}}",
            f"""UPDATE {EVENTS} e SET position = -o.position FROM {EVENTS} o
                WHERE e.position < 0 AND o.position < 0 AND e.stream_id <> o.stream_id""",
        ),
        kinds="disordered seal",
    )
    yield _of(
        "a position moved where times still rise",
        *_moving(f"UPDATE {EVENTS} SET position = position + 1000 WHERE {{b_last}}"),
        "UPDATE spreaview_g1.stream_progress SET position = position + 1000 "
        "WHERE spreaview_event_id = {b}",
        "UPDATE spreaview_g1.sync_runs SET position = position + 1000 WHERE sync_id = {b_run}",
        "SELECT setval('event_store.events_position_seq', 5000)",
        kinds="seal",
    )
    yield _of(
        "a cut tail, with everything that is derived of it",
        f"""DELETE FROM event_store.sources WHERE digest IN (
                SELECT decode(data->'source'->>'digest', 'hex') FROM {EVENTS}
                WHERE stream_id = {{a}} AND type = 'SyncCompleted')""",
        "DELETE FROM event_store.checkpoints",
        f"DELETE FROM {EVENTS} WHERE stream_id = {{a}}",
        "DELETE FROM event_store.streams WHERE stream_id = {a}",
        "DELETE FROM event_store.snapshots WHERE stream_id = {a}",
        "DELETE FROM event_store.inbox WHERE stream_id = {a}",
        f"""DELETE FROM event_store.personal_data
            WHERE message_id NOT IN (SELECT message_id FROM {EVENTS})""",
        "DELETE FROM event_store.unpublished",
        *(f"DELETE FROM spreaview_g1.{table} WHERE spreaview_event_id = {{a}}" for table in TABLES),
        kinds="seal",
    )


TABLES = (
    "sync_runs",
    "rooms",
    "event_speakers",
    "sessions",
    "session_speakers",
    "skipped_sessions",
    "stream_progress",
)


def _tables_beside() -> Iterator[Manipulation]:
    of_a = "WHERE stream_id = {a}"
    yield _of("streams: a lower head", f"UPDATE event_store.streams SET version = 1 {of_a}",
              kinds="head")  # fmt: skip
    yield _of("streams: deleted", f"DELETE FROM event_store.streams {of_a}", kinds="head")
    yield _of("streams: a stranger",
              "INSERT INTO event_store.streams VALUES (gen_random_uuid(), 3)",
              kinds="head")  # fmt: skip
    yield _of("inbox: deleted", f"DELETE FROM event_store.inbox {of_a}", kinds="inbox")
    yield _of("inbox: a request without an outcome",
              "INSERT INTO event_store.inbox VALUES (gen_random_uuid(), {a})",
              kinds="inbox")  # fmt: skip
    yield _of("inbox: another stream",
              f"UPDATE event_store.inbox SET stream_id = {{b}} {of_a}", kinds="inbox")  # fmt: skip
    yield _of("inbox: a time in the future",
              "UPDATE event_store.inbox SET recorded_at = 'infinity'",
              kinds="disordered")  # fmt: skip
    yield _of("inbox: an earlier time",
              "UPDATE event_store.inbox SET recorded_at = '2020-01-01'",
              unseen="the times in the inbox, of documents, erasures and checkpoints")  # fmt: skip
    yield _of("checkpoint: another event",
              "UPDATE event_store.checkpoints SET message_id = gen_random_uuid()",
              kinds="checkpoint")  # fmt: skip
    yield _of("checkpoint: another position",
              "UPDATE event_store.checkpoints SET position = 2", kinds="checkpoint")  # fmt: skip
    yield _of("checkpoint: another log",
              "UPDATE event_store.checkpoints SET log_id = gen_random_uuid()",
              kinds="log")  # fmt: skip
    yield _of("unpublished: an event that is not there",
              "INSERT INTO event_store.unpublished VALUES (5000, gen_random_uuid(), 'too large')",
              kinds="checkpoint")  # fmt: skip
    yield _of("unpublished: another event",
              "UPDATE event_store.unpublished SET message_id = gen_random_uuid()",
              kinds="checkpoint")  # fmt: skip
    yield _of("log: deleted", "DELETE FROM event_store.log", kinds="log")
    yield _of("log: another id", "UPDATE event_store.log SET log_id = gen_random_uuid()",
              kinds="log")  # fmt: skip
    yield _of("log: another key", "UPDATE event_store.log SET fingerprint_key = sha256('x')",
              unseen="another key for the fingerprints of API IDs")  # fmt: skip
    for table in ("inbox", "personal_data", "sources", "snapshots", "checkpoints", "unpublished",
                  "erased_subjects", "streams"):  # fmt: skip
        yield _of(f"{table}: the table dropped", f"DROP TABLE event_store.{table}", kinds="guard")
    yield _of("erasures: an answer to a request that nobody made",
              "INSERT INTO event_store.erasures (request_id, organization_id, status, streams) "
              "VALUES (gen_random_uuid(), gen_random_uuid(), 'done', 3)",
              unseen="the answers to erasure requests, changed or added by hand")  # fmt: skip
    snapshot = "UPDATE event_store.snapshots SET"
    yield _of("snapshot: another version", f"{snapshot} version = 1 {of_a}", kinds="snapshot")
    yield _of("snapshot: garbage", f"{snapshot} body = 'x' {of_a}", kinds="snapshot")
    yield _of("snapshot: a bomb", f"{snapshot} body = {{bomb}} {of_a}", kinds="snapshot")
    yield _of("snapshot: of another stream",
              f"{snapshot} stream_id = gen_random_uuid() {of_a}", kinds="snapshot")  # fmt: skip
    yield _of("snapshot: null",
              "ALTER TABLE event_store.snapshots ALTER body DROP NOT NULL",
              f"{snapshot} body = NULL {of_a}", kinds="snapshot guard")  # fmt: skip
    yield _of("snapshot: deleted", f"DELETE FROM event_store.snapshots {of_a}",
              unseen="a deleted snapshot, because the next sync makes another one")  # fmt: skip


def _documents() -> Iterator[Manipulation]:
    document = "UPDATE event_store.sources SET"
    where = "WHERE digest = {digest}"
    yield _of("document: deleted", f"DELETE FROM event_store.sources {where}", kinds="source")
    yield _of("document: another digest", f"{document} digest = sha256('x') {where}",
              kinds="source")  # fmt: skip
    yield _of("document: another size", f"{document} size_bytes = 1 {where}", kinds="source")
    yield _of("document: cut off", f"{document} body = substring(body FOR 20) {where}",
              kinds="source")  # fmt: skip
    yield _of("document: garbage", f"{document} body = 'x' {where}", kinds="source")
    yield _of("document: a bomb", f"{document} body = {{bomb}} {where}", kinds="source")
    yield _of("document: a bomb with its size",
              f"{document} body = {{bomb}}, size_bytes = {{bomb_bytes}} {where}",
              kinds="source")  # fmt: skip
    yield _of("document: null",
              "ALTER TABLE event_store.sources ALTER body DROP NOT NULL, "
              "ALTER size_bytes DROP NOT NULL",
              f"{document} body = NULL, size_bytes = NULL {where}",
              kinds="source guard")  # fmt: skip
    yield _of("document: named by no run",
              "INSERT INTO event_store.sources VALUES (sha256(''), 0, '\\x789c030000000001')",
              kinds="source")  # fmt: skip
    yield _of("document: kept in the future", f"{document} kept_at = '2100-01-01'",
              kinds="disordered")  # fmt: skip


def _persons() -> Iterator[Manipulation]:
    personal = "UPDATE event_store.personal_data SET"
    where = f"WHERE message_id = (SELECT message_id FROM {EVENTS} WHERE {{speaker}})"
    for column in ("subject", "salt", "body"):
        yield _of(
            f"personal data: {column} null",
            f"ALTER TABLE event_store.personal_data ALTER {column} DROP NOT NULL",
            f"{personal} {column} = NULL {where}",
            kinds="guard " + ("unreadable" if column == "body" else "personal_data"),
        )
    yield _of("personal data: another subject", f"{personal} subject = gen_random_uuid() {where}",
              kinds="personal_data")  # fmt: skip
    yield _of("personal data: another salt", f"{personal} salt = 'x' {where}",
              kinds="personal_data")  # fmt: skip
    yield _of("personal data: a list", f"{personal} body = '[]' {where}",
              kinds="unreadable")  # fmt: skip
    yield _of("personal data: 5,000 nested arrays", f"{personal} body = {_DEEP} {where}",
              kinds="unreadable")  # fmt: skip
    yield _of("personal data: another text",
              f"{personal} body = body || '{{\"bio\": \"Zzyzx\"}}' {where}",
              kinds="personal_data")  # fmt: skip
    yield _of("personal data: deleted", f"DELETE FROM event_store.personal_data {where}",
              kinds="personal_data")  # fmt: skip
    yield _of("personal data: of another event",
              f"{personal} message_id = gen_random_uuid() {where}",
              kinds="personal_data")  # fmt: skip
    yield _of("personal data: a requester under another subject",
              f"{personal} subject = gen_random_uuid() WHERE message_id = "
              f"(SELECT message_id FROM {EVENTS} WHERE {{started}})",
              kinds="personal_data")  # fmt: skip
    back = "INSERT INTO event_store.personal_data SELECT * FROM saved.personal_data p WHERE"
    yield _of("erased: a speaker's rows put back", f"{back} subject = {{erased_speaker}}",
              kinds="forgotten")  # fmt: skip
    yield _of("erased: a requester's rows put back", f"{back} subject = {{erased_requester}}",
              kinds="forgotten")  # fmt: skip
    yield _of("erased: rows put back, and the erasures removed", f"{back} true",
              "DELETE FROM event_store.erased_subjects", kinds="forgotten")  # fmt: skip
    yield _of("erased: a requester's rows put back under another subject",
              f"{back} subject = {{erased_requester}}",
              f"{personal} subject = gen_random_uuid() WHERE subject = {{erased_requester}}",
              kinds="personal_data")  # fmt: skip
    yield _of("erased: a document put back",
              "INSERT INTO event_store.sources SELECT * FROM saved.sources s WHERE NOT EXISTS "
              "(SELECT FROM event_store.sources k WHERE k.digest = s.digest)",
              kinds="forgotten")  # fmt: skip
    yield _of("erased: a name in a generation that is not live",
              "INSERT INTO spreaview_g2.event_speakers SELECT * FROM saved.event_speakers",
              "INSERT INTO spreaview_g2.sync_runs SELECT * FROM saved.sync_runs",
              kinds="forgotten")  # fmt: skip
    yield _of("erased: a time in the future",
              "UPDATE event_store.erased_subjects SET erased_at = 'infinity'",
              kinds="disordered")  # fmt: skip
    yield _of("erased: a person removed", "DELETE FROM event_store.erased_subjects",
              unseen="a person who was added to the erasures, or removed from them")  # fmt: skip


def _guards() -> Iterator[Manipulation]:
    trigger = f"CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {EVENTS}"
    run = "FOR EACH STATEMENT EXECUTE FUNCTION"
    drop = f"DROP TRIGGER append_only ON {EVENTS}"
    always = f"ALTER TABLE {EVENTS} ENABLE ALWAYS TRIGGER append_only"
    function = (
        "CREATE OR REPLACE FUNCTION event_store.{} RETURNS trigger LANGUAGE plpgsql AS $$ {} $$"
    )
    empty = function.format("refuse_change()", "BEGIN RETURN NULL; END")
    passing = function.format(
        "refuse_change()",
        "BEGIN IF current_user = 'mallory' THEN RETURN NULL; END IF; RAISE EXCEPTION 'no'; END",
    )
    other = function.format("other()", "BEGIN RETURN NULL; END")
    for name, *statements in (
        ("the trigger dropped", drop),
        ("the trigger off", f"ALTER TABLE {EVENTS} DISABLE TRIGGER append_only"),
        ("the trigger not for replicas", f"ALTER TABLE {EVENTS} ENABLE TRIGGER append_only"),
        ("the trigger's function emptied", empty),
        ("the trigger's function lets a role pass", passing),
        ("the trigger with another function", other, drop,
         f"{trigger} {run} event_store.other()", always),
        ("the trigger with another event", drop,
         f"CREATE TRIGGER append_only BEFORE TRUNCATE ON {EVENTS} {run} "
         "event_store.refuse_change()", always),
        ("the trigger with a condition", drop,
         f"{trigger} FOR EACH STATEMENT WHEN (current_user <> 'mallory') "
         "EXECUTE FUNCTION event_store.refuse_change()", always),
        ("a second trigger", other,
         f"CREATE TRIGGER second BEFORE INSERT ON {EVENTS} {run} event_store.other()"),
        ("a trigger on another table", other,
         f"CREATE TRIGGER second BEFORE INSERT ON event_store.inbox {run} event_store.other()"),
        ("a trigger on a read model", other,
         f"CREATE TRIGGER second BEFORE INSERT ON spreaview_g1.rooms {run} event_store.other()"),
        ("a rule", f"CREATE RULE nothing AS ON INSERT TO {EVENTS} DO INSTEAD NOTHING"),
        ("row-level security", f"ALTER TABLE {EVENTS} ENABLE ROW LEVEL SECURITY"),
        ("a policy", f"CREATE POLICY everybody ON {EVENTS} USING (true)"),
        ("no unique version",
         f"ALTER TABLE {EVENTS} DROP CONSTRAINT events_stream_id_version_key"),
        ("no unique message id", f"ALTER TABLE {EVENTS} DROP CONSTRAINT events_message_id_key"),
        ("no key of the inbox", "ALTER TABLE event_store.inbox DROP CONSTRAINT inbox_pkey"),
        ("another constraint", f"ALTER TABLE {EVENTS} ADD CHECK (false) NOT VALID"),
        ("null allowed", f"ALTER TABLE {EVENTS} ALTER type DROP NOT NULL"),
        ("another type of a column", f"ALTER TABLE {EVENTS} ALTER schema_version TYPE bigint"),
        ("another default",
         "ALTER TABLE event_store.inbox ALTER recorded_at SET DEFAULT '-infinity'"),
        ("a table that is not logged", "ALTER TABLE event_store.inbox SET UNLOGGED"),
        ("a child table", f"CREATE TABLE event_store.more () INHERITS ({EVENTS})"),
        ("the views' trigger dropped", "DROP TRIGGER read_only ON spreaview.rooms"),
        ("positions with a cache", f"ALTER TABLE {EVENTS} ALTER position SET CACHE 50"),
        ("positions in steps of two", f"ALTER TABLE {EVENTS} ALTER position SET INCREMENT 2"),
        ("positions running backwards", f"ALTER TABLE {EVENTS} ALTER position SET INCREMENT -1"),
        ("positions in a circle", f"ALTER TABLE {EVENTS} ALTER position SET CYCLE"),
        ("positions by default only",
         f"ALTER TABLE {EVENTS} ALTER position SET GENERATED BY DEFAULT"),
        ("positions restarted", f"ALTER TABLE {EVENTS} ALTER position RESTART"),
        ("positions near their end",
         "SELECT setval('event_store.events_position_seq', 9223372036854775800)"),
        ("positions behind", "SELECT setval('event_store.events_position_seq', 3)"),
        ("positions never used", "SELECT setval('event_store.events_position_seq', 1, false)"),
    ):  # fmt: skip
        yield _of(f"guard: {name}", *statements, kinds="guard", is_guard=True)
    yield _of("guard: the trigger off and on again",
              f"ALTER TABLE {EVENTS} DISABLE TRIGGER append_only", always, is_guard=True,
              unseen="a trigger that was off and is on again")  # fmt: skip


def _read_side() -> Iterator[Manipulation]:
    first_columns = {"sync_runs": "status", "rooms": "name", "event_speakers": "bio",
                     "sessions": "title", "session_speakers": "ordinal",
                     "stream_progress": "position"}  # fmt: skip
    for table, column in first_columns.items():
        value = "9" if column in ("ordinal", "position") else "'failed'"
        yield _of(f"{table}: changed",
                  f"UPDATE spreaview_g1.{table} SET {column} = {value} "
                  "WHERE spreaview_event_id = {a}", kinds="read_model")  # fmt: skip
        yield _of(f"{table}: deleted",
                  f"DELETE FROM spreaview_g1.{table} WHERE spreaview_event_id = {{a}}",
                  kinds="read_model")  # fmt: skip
        yield _of(f"{table}: of a stranger",
                  f"UPDATE spreaview_g1.{table} SET spreaview_event_id = gen_random_uuid() "
                  "WHERE spreaview_event_id = {a}", kinds="read_model")  # fmt: skip
    for value in ("infinity", "-infinity", "0044-03-15 BC", "20000-01-01"):
        yield _of(f"sessions: starts_at {value}",
                  f"UPDATE spreaview_g1.sessions SET starts_at = '{value}'",
                  kinds="read_model")  # fmt: skip
    yield _of("sync_runs: 5,000 nested arrays",
              f"UPDATE spreaview_g1.sync_runs SET counts = {_DEEP}",
              kinds="read_model")  # fmt: skip
    yield _of("views: dropped", "DROP VIEW spreaview.sessions", kinds="read_side guard")
    yield _of("views: the progress dropped", "DROP VIEW spreaview.stream_progress",
              kinds="read_side guard")  # fmt: skip
    yield _of("views: filtered",
              "CREATE OR REPLACE VIEW spreaview.session_speakers AS SELECT spreaview_event_id, "
              "session_id, speaker_id, ordinal FROM spreaview_g1.session_speakers WHERE false",
              kinds="read_side read_model")  # fmt: skip
    yield _of("views: of a generation that is not live",
              "CREATE OR REPLACE VIEW spreaview.stream_progress AS SELECT spreaview_event_id, "
              "version, position FROM spreaview_g2.stream_progress", kinds="read_side")  # fmt: skip
    yield _of("views: the speakers filtered",
              "CREATE OR REPLACE VIEW spreaview.session_speakers AS SELECT spreaview_event_id, "
              "session_id, speaker_id, 1 AS ordinal FROM spreaview_g1.session_speakers",
              kinds="read_side")  # fmt: skip
    yield _of("no live generation", "UPDATE projections.generations SET live = false",
              kinds="read_side")  # fmt: skip
    yield _of("another generation live",
              "UPDATE projections.generations SET live = false",
              "UPDATE projections.generations SET live = true WHERE number = 2",
              kinds="read_side")  # fmt: skip
    yield _of("no generation registered", "DELETE FROM projections.generations",
              kinds="read_side")  # fmt: skip
    yield _of("a stopped stream",
              "UPDATE spreaview_g1.stream_progress SET error = 'x', stopped_at = now() "
              "WHERE spreaview_event_id = {a}", kinds="read_side")  # fmt: skip
    yield _of("an older state",
              *(f"DELETE FROM spreaview_g1.{table} WHERE spreaview_event_id = {{a}}"
                for table in TABLES), kinds="read_side")  # fmt: skip


MANIPULATIONS: tuple[Manipulation, ...] = (
    *_forms(),
    *_columns(),
    *_rows_of_the_log(),
    *_tables_beside(),
    *_documents(),
    *_persons(),
    *_guards(),
    *_read_side(),
)
