"""Comparing entities as SpreaView shows them, and reconciling two sets of them."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import UUID

import msgspec
import pytest

from contracts.events import Counts, Link, Room, Session, Speaker
from worker.rules.compare import changed_fields
from worker.rules.reconcile import reconcile
from worker.rules.text import MAX_FIELD_BYTES

A, B, C = UUID(int=1), UUID(int=2), UUID(int=3)
AT = datetime(2026, 5, 28, 9, tzinfo=UTC)
SESSION = Session(
    session_id=A,
    session_code="000000000001",
    sessionize_id="1",
    title="Talk",
    abstract="About it.",
    room_id=A,
    starts_at=AT,
    ends_at=AT,
    is_service_session=False,
    is_plenum_session=False,
    live_url=None,
    recording_url=None,
    speaker_ids=(A, B),
)
LINK = Link(title="Blog", url="https://ada.example", link_type="Blog")
SPEAKER = Speaker(
    speaker_id=A,
    sessionize_id="ada",
    is_top_speaker=False,
    first_name="Ada",
    last_name="Example",
    full_name="Ada Example",
    tag_line=None,
    bio="Bio",
    profile_picture=None,
    links=(LINK,),
)
ROOM = Room(room_id=A, sessionize_id="7", name="Aula", sort=1)
Entity = Room | Speaker | Session


@pytest.mark.parametrize(
    ("entity", "changes"),
    [
        (SESSION, {"speaker_ids": (B, A)}),
        (SESSION, {"title": "Ta\u200blk\r\n", "abstract": " About it.\x00"}),
        (SESSION, {"starts_at": AT.astimezone(timezone(timedelta(hours=2)))}),
        (SPEAKER, {"bio": " Bio "}),
        (SPEAKER, {"links": (msgspec.structs.replace(LINK, url="https://ada.example "),)}),
        (ROOM, {"name": "\ufeffAula"}),
    ],
    ids=["speakers", "texts", "offset", "bio", "link", "name"],
)
def test_invisible_differences_are_no_change(entity: Entity, changes: dict[str, object]) -> None:
    other = msgspec.structs.replace(entity, **changes)

    assert changed_fields(entity, other) == ()
    assert changed_fields(other, entity) == ()


@pytest.mark.parametrize(
    ("entity", "changes"),
    [
        (SESSION, {"title": "talk"}),
        (SESSION, {"title": "Ta lk"}),
        (SESSION, {"abstract": None}),
        (SESSION, {"room_id": B, "starts_at": AT + timedelta(microseconds=1)}),
        (SESSION, {"speaker_ids": (A,)}),
        (SESSION, {"speaker_ids": (A, C)}),
        (SESSION, {"is_plenum_session": True, "live_url": ""}),
        (SPEAKER, {"first_name": "ada", "tag_line": ""}),
        (SPEAKER, {"links": ()}),
        (SPEAKER, {"links": (msgspec.structs.replace(LINK, link_type="Other"),)}),
        (SPEAKER, {"links": (msgspec.structs.replace(LINK, title="Other"),)}),
        (SPEAKER, {"links": None}),
        (ROOM, {"name": "aula", "sort": 2}),
    ],
    ids=str,
)
def test_visible_differences_are_named(entity: Entity, changes: dict[str, object]) -> None:
    other = msgspec.structs.replace(entity, **changes)

    assert changed_fields(entity, other) == tuple(changes)
    assert changed_fields(other, entity) == tuple(changes)


def test_a_line_break_that_an_older_text_rule_kept_is_no_change() -> None:
    def both(entity: Entity, old: dict[str, object], new: dict[str, object]) -> tuple[str, ...]:
        replace = msgspec.structs.replace
        return changed_fields(replace(entity, **old), replace(entity, **new))

    assert both(SESSION, {"title": "My\u2028talk"}, {"title": "My talk"}) == ()
    assert both(SESSION, {"abstract": "One.\u2028Two."}, {"abstract": "One.\nTwo."}) == ()
    titles = ("My\u2028blog", "My blog")
    old, new = ((msgspec.structs.replace(LINK, title=title),) for title in titles)
    assert both(SPEAKER, {"links": old}, {"links": new}) == ()


def test_reordered_links_are_a_change() -> None:
    other = msgspec.structs.replace(LINK, title="Other")
    one = msgspec.structs.replace(SPEAKER, links=(LINK, other))
    two = msgspec.structs.replace(SPEAKER, links=(other, LINK))

    assert changed_fields(one, two) == ("links",)


def test_a_text_too_long_for_the_current_rule_is_compared_unchanged() -> None:
    long = msgspec.structs.replace(SESSION, abstract="x" * (MAX_FIELD_BYTES + 1))
    longer = msgspec.structs.replace(SESSION, abstract="x" * (MAX_FIELD_BYTES + 2))

    assert changed_fields(long, msgspec.structs.replace(long)) == ()
    assert changed_fields(long, longer) == ("abstract",)


def named(name: str) -> Room:
    return msgspec.structs.replace(ROOM, name=name)


PRESENT = {"same": named("a"), "other": named("a"), "gone": named("a"), "leaves": named("a")}
PAST = {"back": named("a"), "away": named("a")}
WANTED = {"new": named("a"), "back": named("b"), "other": named("b"), "same": named("a")}


@pytest.mark.parametrize("force", [False, True])
def test_reconciling_adds_updates_restores_and_withdraws(*, force: bool) -> None:
    result = reconcile(PRESENT, PAST, WANTED, force=force, leaving={"leaves", "absent"})

    repeated = [(WANTED["same"], "repeated", ())] if force else []
    assert result.imported == [
        (WANTED["new"], "added", ()),
        (WANTED["back"], "restored", ("name",)),
        (WANTED["other"], "updated", ("name",)),
        *repeated,
    ]
    assert result.withdrawn == [PRESENT["gone"]]
    assert result.counts(skipped=5) == Counts(
        added=1,
        updated=1,
        restored=1,
        unchanged=0 if force else 1,
        repeated=1 if force else 0,
        skipped=5,
        withdrawn=1,
    )


def test_an_empty_schedule_withdraws_everything_not_leaving_otherwise() -> None:
    result = reconcile(PRESENT, PAST, {}, force=True, leaving={"leaves"})

    assert result.imported == []
    assert len(result.withdrawn) == 3
