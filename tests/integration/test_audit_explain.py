"""Explanations: the right rule for every entity, shown or not, and the run that decided."""

import json
import unicodedata
from functools import partial
from hashlib import sha256
from types import ModuleType
from typing import Any, Literal
from uuid import uuid4

import msgspec
import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncEngine

from audit.erasure.erase import erase, lift
from audit.explain import survey
from audit.explain.explain import Explanation, explain
from audit.past.entities import EntityQuery
from audit.past.moments import NotInThePastError
from cli.command import finish
from cli.commands.explain import report_explanation
from cli.settings import Settings
from contracts import identity, samples
from contracts.events import SyncFailed, SyncStarted
from eventstore import sources
from eventstore.model import Commit, NewEvent
from tests.support.documents import BROKEN, days, document, room, speaker, talk, unscheduled
from tests.support.line import ORGANIZATION
from tests.support.off_the_loop import with_free_loop
from tests.support.past import BEGINNING, Past, dumped

pytestmark = pytest.mark.asyncio

FIRST = talk("1")
EARLY = talk("early", "2026-05-27T23:59:00", room=8, speakers=["bob"])
LATE = talk("late", "2026-05-30T00:00:00")
OPEN = unscheduled("open")
NOWHERE = talk("nowhere", room=99)
UNREADABLE = talk("bad") | BROKEN


def everything(*more: Any, **lists: Any) -> Any:
    sessions = (FIRST, EARLY, LATE, OPEN, NOWHERE, UNREADABLE, *more)
    return document(*sessions, rooms=[room(7), room(8)], **lists)


@pytest.fixture
def past(engine: AsyncEngine) -> Past:
    return Past(engine)


async def explained(past: Past, name: str, kind: str = "session") -> Explanation:
    return await explain(past.log, past.event_id, kind, name)


async def delete_documents(engine: AsyncEngine) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("DELETE FROM event_store.sources"))


@pytest.mark.parametrize(
    ("module", "name"),
    [(survey, "read_document"), (sources, "unpacked")],
    ids=["parsing", "unpacking"],
)
async def test_reading_the_document_leaves_the_event_loop_free(
    past: Past, monkeypatch: pytest.MonkeyPatch, module: ModuleType, name: str
) -> None:
    await past.imports(everything())
    found = await with_free_loop(explained(past, "1"), monkeypatch, module, name)
    assert found.rule == "scheduled"


async def test_every_rule_that_one_document_can_show(past: Past) -> None:
    source = everything()
    await past.imports(source)
    wanted = {
        "1": ("scheduled", True),
        "early": ("before_window", False),
        "late": ("after_window", False),
        "open": ("unscheduled", False),
        "nowhere": ("unscheduled", False),
        "bad": ("invalid_ignored", False),
        "other": ("never_seen", False),
    }
    for key, (rule, there) in wanted.items():
        found = await explained(past, key)
        assert (found.rule, found.there) == (rule, there), key
        assert found.decided_by is not None
        assert found.decided_by.sync_id == past.runs[0]
        assert found.decided_by.source_digest == sha256(json.dumps(source).encode()).hexdigest()
    early = await explained(past, "early")
    assert str(early.values["starts_at"]) == "2026-05-27 21:59:00+00:00"
    assert str(early.values["window_starts_at"]) == "2026-05-27 22:00:00+00:00"
    assert (await explained(past, "open")).values["missing"] == ("starts_at", "ends_at", "room")
    nowhere = await explained(past, "nowhere")
    assert nowhere.values["unknown_room"] == "99"
    assert nowhere.notes[0].startswith("Warning (unknown_room)")
    bad = (await explained(past, "bad")).notes[0]
    assert bad.startswith("Warning (invalid_session)")
    assert bad.endswith("within the dates, its last version stays.")


async def test_what_a_document_that_is_not_kept_listed_is_not_claimed_to_be_known(
    past: Past, engine: AsyncEngine
) -> None:
    await past.imports(everything(talk("2")))
    await past.imports(everything(talk("2") | BROKEN))
    await delete_documents(engine)
    wanted = {
        ("session", "1"): "scheduled",
        ("session", "2"): "fields_kept",
        ("session", "bad"): "invalid_ignored",
        ("session", "other"): "document_not_kept",
        ("room", "8"): "unreferenced",
        ("room", "99"): "document_not_kept",
    }
    found = {of: (await explained(past, of[1], of[0])).rule for of in wanted}
    assert found == wanted
    await past.imports(document(unscheduled("1"), unscheduled("new")))
    await delete_documents(engine)
    new = await explained(past, "new")
    assert (new.rule, new.values) == ("run_failed", {"in_the_source": "the document is not kept"})


async def test_a_session_is_found_by_every_id_code_and_unique_name(past: Past) -> None:
    await past.imports(document(FIRST, talk("2", room=8, title="About Time"), talk("3", room=9)))
    our_id = identity.session_id(past.event_id, "2")
    names = ("2", str(our_id), identity.session_code(our_id), "about", "About Time")
    for name in names:
        found = await explained(past, name)
        assert (found.sessionize_id, found.id) == ("2", our_id)
    with pytest.raises(NotInThePastError, match=r"2 sessions have 'talk' in their names: Talk 1"):
        await explained(past, "talk")
    assert (await explained(past, "Talk 1")).sessionize_id == "1"


async def test_a_removed_session_names_the_run_that_removed_it(past: Past) -> None:
    await past.imports(everything(talk("2"), talk("moves")))
    moved = talk("moves", "2026-05-31T09:00:00")
    second = await past.imports(everything(moved))
    await past.imports(everything(moved))
    for key, rule in {"2": "missing_from_source", "moves": "after_window"}.items():
        found = await explained(past, key)
        assert found.rule == rule
        assert found.decided_by is not None
        assert found.decided_by.sync_id == second
    await past.imports(everything(), window=days(27, 29))
    assert (await explained(past, "early")).rule == "scheduled"
    assert (await explained(past, "moves")).rule == "missing_from_source"


async def test_an_unreadable_session_stays_as_it_was_imported(past: Past) -> None:
    await past.imports(document(FIRST, talk("2"), LATE))
    await past.imports(document(FIRST | BROKEN, talk("2"), LATE | BROKEN))
    found = await explained(past, "1")
    assert (found.rule, found.there, found.name) == ("invalid_kept", True, "Talk 1")
    assert found.decided_by is not None
    assert found.decided_by.sync_id == past.runs[1]
    late = await explained(past, "late")
    assert late.rule == "after_window"
    assert late.notes[0].startswith("Warning (invalid_session)")


async def test_an_unreadable_field_that_keeps_its_value_is_named(past: Past) -> None:
    await past.imports(document(FIRST))
    await past.imports(document(FIRST | {"description": 7}, rooms=[room(7, name=None)]))
    for kind, key, field in (("session", "1", "abstract"), ("room", "7", "name")):
        found = await explained(past, key, kind)
        assert (found.rule, found.there) == ("fields_kept", True)
        assert found.values["unreadable"] == (field,)


@pytest.mark.parametrize("name", ["Aula", "Another"])
async def test_fields_that_only_an_ignored_entry_lacks_are_not_called_kept(
    past: Past, name: str
) -> None:
    """The complete entry is the one that is imported, although it is listed last."""
    source = document(
        FIRST | {"startsAt": "2026-06-28T09:00:00", "description": 7},
        FIRST,
        talk("2", room=8, speakers=["bob"]),
        rooms=[room(7, sort="zz", name=name), room(7, name="Aula"), room(8, sort="zz")],
        speakers=[
            *(speaker("ada", bio=7, fullName=name), speaker("ada", fullName="Aula")),
            speaker("bob", bio=7),
        ],
    )
    for _ in range(2):  # the second time it is imported already
        await past.imports(source)
        whole = {("session", "1"): "scheduled", ("room", "7"): "imported"}
        for (kind, key), rule in (whole | {("speaker", "ada"): "imported"}).items():
            found = await explained(past, key, kind)
            assert (found.rule, found.values.get("unreadable")) == (rule, None)
        for kind, key, field in (("room", "8", "sort"), ("speaker", "bob", "bio")):
            found = await explained(past, key, kind)
            assert (found.rule, found.values["unreadable"]) == ("fields_kept", (field,))


async def test_fields_of_an_incomplete_entry_that_counts_are_called_kept(past: Past) -> None:
    """The imported room has another order than the complete entry."""
    await past.imports(document(FIRST, rooms=[room(7, sort=5)]))
    await past.imports(document(FIRST, rooms=[room(7), room(7, sort="zz")]))
    found = await explained(past, "7", "room")
    assert (found.rule, found.values["unreadable"]) == ("fields_kept", ("sort",))


async def test_an_unreadable_skip_within_the_new_dates_is_not_called_unannounced(
    past: Past, engine: AsyncEngine
) -> None:
    await past.imports(document(FIRST, LATE))
    await past.imports(document(FIRST, LATE | BROKEN), window=days(28, 31))
    found = await explained(past, "late")
    assert (found.rule, found.there) == ("invalid_skipped", False)
    assert found.values["unreadable"] == ("title",)
    assert found.remedy.startswith("Correct it in Sessionize")
    await delete_documents(engine)
    assert (await explained(past, "late")).rule == "invalid_skipped"


async def test_sessions_withheld_for_a_missing_room_name_the_room(past: Past) -> None:
    talks = [talk(str(n), room=9 if n > 5 else 7) for n in range(1, 13)]
    await past.imports(document(*talks))
    await past.imports(document(*talks, rooms=[room(7)]))
    found = await explained(past, "12")
    assert found.rule == "withheld"
    assert found.values["in_the_source"] == "in the room 9, which the document does not list"


async def test_a_session_that_became_unreadable_after_it_left_is_not_called_never_imported(
    past: Past,
) -> None:
    await past.imports(document(FIRST, talk("2")))
    await past.imports(document(FIRST, talk("2", room=None)))
    await past.imports(document(FIRST, talk("2", room=None) | {"title": None}))
    found = await explained(past, "2")
    assert found.rule == "invalid_skipped"
    assert "never imported" not in found.words


async def test_a_withheld_session_names_the_run_that_withheld_it(past: Past) -> None:
    many = [talk(str(n)) for n in range(20)]
    await past.imports(document(*many))
    second = await past.imports(document(*many[:8]))
    await past.imports(document(*many[:8]))
    found = await explained(past, "19")
    assert (found.rule, found.there) == ("withheld", True)
    assert found.values["in_the_source"] == "missing"
    assert found.decided_by is not None
    assert found.decided_by.sync_id == second
    assert "allow_removals: 12" in found.notes[0]
    assert (await explained(past, "0")).rule == "scheduled"


async def test_failed_superseded_and_open_runs_are_noted(past: Past) -> None:
    await past.imports(document(FIRST))
    await past.imports(document(unscheduled("1")))
    facts: dict[str, Any] = {
        "organization_id": ORGANIZATION,
        "spreaview_event_id": past.event_id,
        "ordered_at": BEGINNING,
    }
    late, opened = uuid4(), uuid4()
    failure: dict[str, Any] = {
        "code": "superseded",
        "message": "Late.",
        "remedy": "Nothing.",
        "retryable": False,
    }
    outcome = SyncFailed(sync_id=late, **facts, **failure, http_status=None, source=None)
    (started,) = [event for event in samples.EVENTS if isinstance(event, SyncStarted)]
    begun = msgspec.structs.replace(started, sync_id=opened, **facts)
    version = await past.log.stream_version(past.event_id)
    new = [NewEvent(identity.message_id(late, identity.OUTCOME), outcome)]
    new.append(NewEvent(identity.message_id(opened, 0), begun))
    await past.log.append(Commit(past.event_id, version, new))
    failed, superseded, running = (await explained(past, "1")).notes
    assert f"{past.runs[1]}, failed (schedule_not_announced)" in failed
    assert f"{late} was superseded" in superseded
    assert f"{opened} has begun" in running


async def test_the_document_of_a_failed_run_is_searched(past: Past) -> None:
    await past.imports(document(unscheduled("1", title="Alone")))
    found = await explained(past, "alone")
    assert (found.rule, found.values) == ("run_failed", {"in_the_source": True})
    assert "schedule_not_announced" in found.notes[0]
    assert (await explained(past, "2")).rule == "run_failed"
    await past.imports(document(FIRST))
    await past.imports(document(unscheduled("1"), unscheduled("new")))
    assert (await explained(past, "new")).rule == "run_failed"
    assert (await explained(past, "2")).rule == "never_seen"
    found = await explained(past, "1")
    assert (found.rule, found.there) == ("scheduled", True)
    assert "schedule_not_announced" in found.notes[0]


async def test_every_rule_of_rooms_and_speakers(past: Past) -> None:
    people = [speaker("ada"), speaker("bob"), speaker("cyn", fullName=None, links="none")]
    await past.imports(
        everything(talk("2", room=8, speakers=["dan"]), speakers=[*people, speaker("dan")])
    )
    await past.imports(everything(speakers=people))
    cases = {
        ("room", "7"): "imported",
        ("room", "8"): "unreferenced",
        ("room", "99"): "never_seen",
        ("speaker", "ada"): "imported",
        ("speaker", "Bob Ex"): "unreferenced",
        ("speaker", "cyn"): "unreferenced",
        ("speaker", "dan"): "missing_from_source",
        ("speaker", "eve"): "never_seen",
    }
    for (kind, name), rule in cases.items():
        assert (await explained(past, name, kind)).rule == rule, name
    assert (await explained(past, "7", "room")).values == {"referred_to_by": ["Talk 1 (1)"]}
    (planned,) = (await explained(past, "bob", "speaker")).values.values()
    assert planned == ["Talk early (early)"]


async def test_the_command_shows_the_explanation(
    past: Past, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    await past.imports(everything())
    settings = Settings(database_url=database_url)
    asked = EntityQuery("session", "early")
    assert (
        await finish(partial(report_explanation, past.event_id, asked), settings, as_json=False)
        == 0
    )
    printed = capsys.readouterr().out
    for words in ("is not there", "before 00:00", "2026-05-27 23:59:00+02:00", str(past.runs[0])):
        assert words in printed
    assert (
        await finish(partial(report_explanation, past.event_id, asked), settings, as_json=True) == 0
    )
    found = json.loads(capsys.readouterr().out)
    assert found["values"]["window_starts_at"] == "2026-05-27T22:00:00Z"
    assert found["decided_by"]["sync_id"] == str(past.runs[0])
    unknown = EntityQuery("session", "nothing like it")
    assert (
        await finish(partial(report_explanation, past.event_id, unknown), settings, as_json=False)
        == 1
    )
    assert "is not there" in capsys.readouterr().out


async def test_an_erased_speaker_is_explained_by_the_erasure(past: Past) -> None:
    await past.imports(document(FIRST, talk("2", room=8, speakers=["bob"])))
    erasure = await erase(past.engine, ORGANIZATION, identity.speaker_id(ORGANIZATION, "ada"))
    for _ in range(2):  # the second time after an import that lists the person again
        found = await explained(past, "ada", "speaker")
        assert (found.rule, found.name) == ("erased", "ada")
        assert found.decided_by is not None
        assert found.decided_by.sync_id == erasure.erased.erasure_id
        assert (await explained(past, "Ada Ex", "speaker")).rule == "document_not_kept"
        assert (await explained(past, "bob", "speaker")).rule == "imported"
        await past.imports(document(FIRST, talk("2", room=8, speakers=["bob"])))


async def test_a_speaker_erased_before_the_first_import_is_explained_as_the_view_shows(
    past: Past, engine: AsyncEngine
) -> None:
    """The erasure is in the stream of another event, or of none."""
    await Past(engine).imports(document(FIRST))
    await erase(engine, ORGANIZATION, identity.speaker_id(ORGANIZATION, "ada"))
    await past.imports(document(FIRST, talk("2", room=8, speakers=["bob"])))
    shown = {
        row["sessionize_id"]: row["status"]
        for row in await dumped(engine, "event_speakers", past.event_id)
    }
    assert shown == {"ada": "erased", "bob": "imported"}
    for key, status in shown.items():
        found = await explained(past, key, "speaker")
        assert (found.rule, found.there) == (status, status == "imported")
        assert found.decided_by is not None
        assert found.decided_by.sync_id == past.runs[0]
    assert (await explained(past, "ada", "speaker")).values == {"linked_by": ["Talk 1 (1)"]}


async def test_a_speaker_whose_erasure_is_lifted_is_explained_as_imported(past: Past) -> None:
    nameless = document(FIRST, speakers=[speaker("ada", fullName="")])
    await past.imports(nameless)
    await erase(past.engine, ORGANIZATION, identity.speaker_id(ORGANIZATION, "ada"))
    await lift(past.engine, ORGANIZATION, identity.speaker_id(ORGANIZATION, "ada"))
    assert (await explained(past, "ada", "speaker")).rule == "erased", "no sync has imported yet"
    await past.imports(nameless)
    assert (await explained(past, "ada", "speaker")).rule == "imported"


@pytest.mark.parametrize("form", ["NFC", "NFD"])
@pytest.mark.parametrize("given", ["Grüße aus Köln", "köln", " grüße\u200b "])
async def test_a_name_is_found_however_its_characters_are_composed(
    past: Past, given: str, form: Literal["NFC", "NFD"]
) -> None:
    await past.imports(document(talk("1", title="Grüße aus Köln")))
    found = await explained(past, unicodedata.normalize(form, given))
    assert (found.sessionize_id, found.rule) == ("1", "scheduled")
