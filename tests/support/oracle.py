"""A second implementation of the import rules, as simple as possible: the expected read models.

    expect(shown, body, request) → the rows shown afterwards, and a line for each expected event

It shares no code with the importer, not even ids or the text rule. Its rows refer to rooms and
speakers by Sessionize id; `view` converts them to the rows of the read models.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache, partial
from typing import NamedTuple
from uuid import UUID, uuid5
from zoneinfo import ZoneInfo

Row = dict[str, object]
Rows = dict[str, Row]
Line = tuple[object, ...]

LISTS = ("sessions", "speakers", "rooms")
TEXT, MAYBE, FLAG = (str,), (str, type(None)), (bool, type(None))
_ESCAPED = re.compile("[\udc80-\udcff]")
_HALF = re.compile("[\ud800-\udc7f\udd00-\udfff]")
DAY = timedelta(days=1)
LINK = {"title": MAYBE, "url": MAYBE, "linkType": MAYBE}


class Refused(Exception):  # noqa: N818 (an outcome)
    """The run fails with this code and changes nothing."""


class Undefined(Exception):  # noqa: N818 (an answer)
    """The rules leave the meaning of the document open: a lone surrogate, endless nesting."""


class Request(NamedTuple):
    """A request."""

    sync_id: str
    organization: UUID
    event: UUID
    starts_on: date
    ends_on: date
    zone: str
    fingerprint: str
    force: bool = False
    allow: int | None = None


@dataclass
class Shown:
    """Rows shown now and earlier, skips, and held removals; by Sessionize id."""

    now: dict[str, Rows] = field(default_factory=lambda: {name: {} for name in LISTS})
    once: dict[str, Rows] = field(default_factory=lambda: {name: {} for name in LISTS})
    skips: Rows = field(default_factory=dict)
    held: frozenset[str] = frozenset()
    fingerprint: str | None = None


class Read(NamedTuple):
    """A document: the readable elements of each list by id, and the ids of unreadable ones."""

    good: dict[str, Rows]
    bad: dict[str, set[str]]

    def listed(self, name: str) -> set[str]:
        return self.good[name].keys() | self.bad[name]


def read(body: bytes, zone: str) -> Read:
    """Read a document. Raises `Refused` if it is not a schedule."""
    # Invalid UTF-8 becomes text that cannot be encoded, which invalidates only its element.
    decoded = body.decode("utf-8-sig", "surrogateescape")
    try:
        whole = json.loads(decoded, parse_int=_number, object_pairs_hook=_object_of)
        if "\\ud" in decoded.lower() and _HALF.search(json.dumps(whole, ensure_ascii=False)):
            raise Undefined
    except RecursionError:
        raise Undefined from None
    except ValueError:
        opened = body.lstrip()[:1] in (b"{", b"[")
        raise Refused("unexpected_document" if opened else "endpoint_not_json") from None
    if not isinstance(whole, dict) or any(type(whole.get(name)) is not list for name in LISTS):
        raise Refused("unexpected_document")
    readers: dict[str, Callable[[Row], Row]] = {
        "sessions": lambda element: _session(element, ZoneInfo(zone)),
        "speakers": _speaker,
        "rooms": _room,
    }
    good: dict[str, Rows] = {name: {} for name in LISTS}
    bad: dict[str, set[str]] = {name: set() for name in LISTS}
    for name in LISTS:
        for element in whole[name]:
            try:
                key = reference(element["id"])
            except (TypeError, KeyError, ValueError):
                continue  # without an id the element is unknown
            if not key or key in good[name] or key in bad[name]:
                continue
            try:
                good[name][key] = {"sessionize_id": key, **readers[name](element)}
            except ValueError:
                bad[name].add(key)
    if not whole["sessions"]:
        raise Refused("schedule_empty")
    if not good["sessions"]:
        raise Refused("unexpected_document")
    if all(row["starts_at"] is None for row in good["sessions"].values()):
        raise Refused("schedule_not_announced")
    return Read(good, bad)


def expect(shown: Shown, body: bytes, request: Request) -> tuple[Shown, list[Line]]:
    """The rows shown after a run, and a line per event. Raises `Refused`; changes no argument."""
    document = read(body, request.zone)
    bounds = (
        _midnight(request.starts_on, request.zone),
        _midnight(request.ends_on + DAY, request.zone),
    )
    placed, skips = _place(shown, document, bounds)
    same_source = shown.fingerprint == request.fingerprint
    guarded = {
        key
        for key, row in shown.now["sessions"].items()
        if same_source and bounds[0] <= str(row["starts_at"]) < bounds[1]
    }
    removed = guarded - placed.keys() - document.bad["sessions"]
    held = _held(shown.held, guarded, removed, request.allow, anything_left=bool(placed))
    skips = {key: row for key, row in skips.items() if key not in held}
    wanted = _wanted(shown, document, placed, held)
    after = Shown(held=held, fingerprint=request.fingerprint)
    lines = _entities(shown, document, wanted, skips.keys(), request.force, after)
    for key, row in skips.items():
        before = shown.skips.get(key)
        if before is not None and {**before, "sync_id": None} == {**row, "sync_id": None}:
            after.skips[key] = before
        else:
            after.skips[key] = {**row, "sync_id": request.sync_id}
            was_imported = key in shown.now["sessions"]
            lines.append(("SessionSkipped", key, row["reason"], was_imported))
    for key in shown.skips:
        if key not in document.listed("sessions"):
            lines.append(("SessionWithdrawn", key, "missing_from_source", False))
    if held and held != shown.held:
        lines.append(("RemovalsWithheld", len(guarded), len(removed), tuple(sorted(held))))
    return after, lines


def _place(shown: Shown, document: Read, bounds: tuple[str, str]) -> tuple[Rows, Rows]:
    """The scheduled sessions, and the skips of the others."""
    now = shown.now
    known = {
        name: document.good[name].keys() | (document.bad[name] & now[name].keys())
        for name in ("rooms", "speakers")
    }
    placed: Rows = {}
    skips: Rows = {}
    for key, row in document.good["sessions"].items():
        lacks = [name for name in ("starts_at", "ends_at") if row[name] is None]
        lacks += ["room"] if row["room_id"] not in known["rooms"] else []
        if outside := _outside(row, bounds):
            skips[key] = outside
        elif lacks:
            skips[key] = _skip(row, "unscheduled", lacks, None, None)
        else:
            known_ones = [who for who in names(row) if who in known["speakers"]]
            placed[key] = {**row, "speaker_ids": known_ones}
    for key in document.bad["sessions"]:
        if key in shown.skips:
            skips[key] = shown.skips[key]
        elif key in now["sessions"]:
            if outside := _outside(now["sessions"][key], bounds):
                skips[key] = outside
            else:
                placed[key] = now["sessions"][key]
    return placed, skips


def _held(
    before: frozenset[str],
    guarded: set[str],
    removed: set[str],
    allow: int | None,
    *,
    anything_left: bool,
) -> frozenset[str]:
    """The removal guard."""
    held = before & removed
    new = removed - held
    if allow is not None and allow >= len(removed):
        return frozenset()
    if guarded and guarded == removed and (len(removed) > 5 or not anything_left):
        raise Refused("schedule_replaced")
    if len(new) > 5 and 2 * len(new) > len(guarded - held):
        return frozenset(removed)
    return frozenset(held)


def _wanted(shown: Shown, document: Read, placed: Rows, held: frozenset[str]) -> dict[str, Rows]:
    """The entities to show: sessions, and the rooms and speakers they refer to."""
    sessions = {key: shown.now["sessions"][key] for key in held} | placed
    used = {
        "speakers": {who for row in sessions.values() for who in names(row)},
        "rooms": {str(row["room_id"]) for row in sessions.values()},
    }
    return {"sessions": sessions} | {
        name: {key: document.good[name].get(key) or shown.now[name][key] for key in keys}
        for name, keys in used.items()
    }


def _entities(
    shown: Shown,
    document: Read,
    wanted: dict[str, Rows],
    skipped: Collection[str],
    force: bool,
    after: Shown,
) -> list[Line]:
    """Fill `after` with the current and past rows; return a line for each difference."""
    lines: list[Line] = []
    for name in LISTS:
        kind = name.removesuffix("s").title()
        now, once = shown.now[name], shown.once[name]
        after.once[name] = {key: row for key, row in once.items() if key not in wanted[name]}
        for key, row in wanted[name].items():
            last = now.get(key) or once.get(key)
            differs = frozenset(n for n in row if last and not _same(n, last[n], row[n]))
            repeated = force and not (name == "sessions" and key in after.held)
            if key in now and not differs and not repeated:
                after.now[name][key] = now[key]
                continue
            after.now[name][key] = row
            if key in now:
                change = "updated" if differs else "repeated"
            else:
                change = "restored" if last else "added"
            lines.append((f"{kind}Imported", key, change, differs))
        for key in now.keys() - wanted[name].keys():
            after.once[name][key] = now[key]
            listed = name != "sessions" and key in document.listed(name)
            if name != "sessions" or key not in skipped:
                why = "unreferenced" if listed else "missing_from_source"
                lines.append((f"{kind}Withdrawn", key, why, True))
    return lines


def lines_of(events: Iterable[object]) -> list[Line]:
    """The lines of a run's events, without its first and last one."""
    return [line for event in events if (line := _line_of(event)) is not None]


def _line_of(event: object) -> Line | None:
    kind, get = type(event).__name__, partial(getattr, event)
    if kind == "RemovalsWithheld":
        held = tuple(session.sessionize_id for session in get("sessions"))
        return kind, get("guarded"), get("removed"), held
    if kind.startswith("Sync"):
        return None
    key = get("sessionize_id")
    if kind.startswith("SessionSkipped"):
        return "SessionSkipped", key, get("reason", "unscheduled"), get("was_imported")
    if kind.endswith("Withdrawn"):
        return kind, key, get("reason"), get("was_imported")
    return kind, key, get("change"), frozenset(get("changed_fields"))


def view(shown: Shown, organization: UUID, event: UUID) -> dict[str, Rows]:
    """The rows of the read models, by Sessionize id."""

    def row_of(name: str, key: str, row: Row, here: bool) -> Row:
        if name == "rooms":
            ids: Row = {"room_id": str(uuid5(event, f"room:{key}"))}
        elif name == "speakers":
            ids = {"speaker_id": str(uuid5(organization, f"speaker:{key}"))}
        else:
            session_id = uuid5(event, f"session:{key}")
            ids = {
                "session_id": str(session_id),
                "session_code": code(session_id),
                "room_id": str(uuid5(event, f"room:{row['room_id']}")),
                "speaker_ids": [str(uuid5(organization, f"speaker:{who}")) for who in names(row)],
            }
        present = "scheduled" if name == "sessions" else "imported"
        return {**row, **ids, "status": present if here else "withdrawn"}

    tables = {
        name: {
            key: row_of(name, key, row, here)
            for rows, here in ((shown.once[name], False), (shown.now[name], True))
            for key, row in rows.items()
        }
        for name in LISTS
    }
    return tables | {"skips": shown.skips}


def code(session_id: UUID) -> str:
    """The last 60 bits of the id in Crockford's base32."""
    bits = f"{session_id.int:0128b}"[-60:]
    return "".join(
        "0123456789ABCDEFGHJKMNPQRSTVWXYZ"[int(bits[i : i + 5], 2)] for i in range(0, 60, 5)
    )


def names(row: Row) -> list[str]:
    """The speakers of a session."""
    found = row["speaker_ids"]
    return found if isinstance(found, list) else []


@lru_cache(maxsize=2_000)
def instant(wall: datetime, zone: ZoneInfo) -> str:
    """The first instant at which clocks show `wall`; in a gap, the instant by the old offset.

    Raises `ValueError` if it lies outside the calendar.
    """
    times = []
    for day in (-1, 1):
        with suppress(OverflowError):
            near = (wall.replace(tzinfo=UTC) + timedelta(days=day)).astimezone(zone)
            times.append(wall.replace(tzinfo=UTC) - (near.utcoffset() or timedelta()))
    shows = sorted(at for at in times if at.astimezone(zone).replace(tzinfo=None) == wall)
    if not times:
        raise ValueError
    return _utc(shows[0] if shows else times[0])


def text(value: object) -> str:
    """The text rule. Raises `ValueError` for more than 64 KiB."""
    return _text(str(value))


@lru_cache(maxsize=2_000)
def _text(value: str) -> str:
    if not (value.isascii() and value.isprintable()):  # nothing to drop from most
        value = "".join(char for char in value if char in "\t\n" or not _dropped(char))
    cleaned = unicodedata.normalize("NFC", value).strip()
    if len(cleaned.encode()) > 65_536:
        raise ValueError
    return cleaned


def _dropped(char: str) -> bool:
    return unicodedata.category(char) == "Cc" or char in "\u200b\u2060\ufeff\u202d\u202e"


def reference(value: object) -> str:
    """A valid id: a short text. Raises `ValueError` for anything else."""
    if type(value) not in (str, int) or len((key := text(value)).encode()) > 1000:
        raise ValueError
    return key


def _utc(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _object_of(pairs: list[tuple[str, object]]) -> Row:
    """The last of two values counts; the rules leave open whether the first must be valid."""
    found = dict(pairs)
    if len(found) < len(pairs):
        for name, value in pairs:
            alike = type(value) is type(found[name]) and not isinstance(value, list)
            if value is not found[name] and (not alike or _ESCAPED.search(str(value))):
                raise Undefined
    return found


def _number(digits: str) -> int | float:
    """A number of thousands of digits is valid JSON, but no field accepts it."""
    return int(digits) if len(digits) < 4000 else float("inf")


def _same(name: str, one: object, other: object) -> bool:
    if name == "speaker_ids" and isinstance(one, list) and isinstance(other, list):
        return set(one) == set(other)
    return one == other


def _midnight(day: date, zone: str) -> str:
    return instant(datetime.combine(day, datetime.min.time()), ZoneInfo(zone))


def _outside(row: Row, bounds: tuple[str, str]) -> Row | None:
    """The skip of a session that has a start outside the window."""
    if row["starts_at"] is None or bounds[0] <= str(row["starts_at"]) < bounds[1]:
        return None
    reason = "before_window" if str(row["starts_at"]) < bounds[0] else "after_window"
    return _skip(row, reason, None, *bounds)


def _skip(row: Row, reason: str, lacks: object, start: object, end: object) -> Row:
    copied = {name: row[name] for name in ("sessionize_id", "title", "starts_at", "ends_at")}
    bounds = {"window_starts_at": start, "window_ends_at": end}
    return {**copied, "reason": reason, "missing": lacks, **bounds}


def _fields(element: Row, types: Mapping[str, tuple[type, ...]]) -> Row:
    """These fields, absent ones as null. Raises `ValueError` if one has another type."""
    found = {name: element.get(name) for name in types}
    if any(type(value) not in types[name] for name, value in found.items()):
        raise ValueError
    return found


def _optional(value: object) -> str | None:
    return None if value is None else text(value)


def _list(value: object) -> list[object]:
    return value if isinstance(value, list) else []


def _session(element: Row, zone: ZoneInfo) -> Row:
    lists = (list, type(None))
    flags = {"isServiceSession": FLAG, "isPlenumSession": FLAG, "speakers": lists}
    options = dict.fromkeys(("description", "startsAt", "endsAt", "liveUrl", "recordingUrl"), MAYBE)
    row = _fields(element, {"title": TEXT, **options, **flags})
    room = element.get("roomId")
    return {
        "title": text(row["title"]),
        "abstract": _optional(row["description"]),
        "room_id": None if room is None else reference(room),
        "starts_at": _time(row["startsAt"], zone),
        "ends_at": _time(row["endsAt"], zone),
        "is_service_session": bool(row["isServiceSession"]),
        "is_plenum_session": bool(row["isPlenumSession"]),
        "live_url": _optional(row["liveUrl"]),
        "recording_url": _optional(row["recordingUrl"]),
        "speaker_ids": list(dict.fromkeys(reference(who) for who in _list(row["speakers"]))),
    }


def _time(value: object, zone: ZoneInfo) -> str | None:
    if value is None:
        return None
    moment = datetime.fromisoformat(str(value))
    if "T" not in str(value):
        raise ValueError
    try:
        return _utc(moment) if moment.tzinfo else instant(moment, zone)
    except OverflowError:
        raise ValueError from None


def _speaker(element: Row) -> Row:
    texts = ("firstName", "lastName", "fullName", "tagLine", "bio", "profilePicture")
    lists = (list, type(None))
    row = _fields(element, dict.fromkeys(texts, MAYBE) | {"isTopSpeaker": FLAG, "links": lists})
    links = [_fields(_object(link), LINK) for link in _list(row["links"])]
    return {
        "is_top_speaker": bool(row["isTopSpeaker"]),
        "first_name": text(row["firstName"] or ""),
        "last_name": text(row["lastName"] or ""),
        "full_name": text(row["fullName"] or ""),
        "tag_line": _optional(row["tagLine"]),
        "bio": _optional(row["bio"]),
        "profile_picture": _optional(row["profilePicture"]),
        "links": [
            {
                "title": text(link["title"] or ""),
                "url": text(link["url"] or ""),
                "link_type": text(link["linkType"] or ""),
            }
            for link in links
        ],
    }


def _object(value: object) -> Row:
    if not isinstance(value, dict):
        raise ValueError
    return value


def _room(element: Row) -> Row:
    row = _fields(element, {"name": MAYBE, "sort": (int, type(None))})
    sort = row["sort"] or 0
    if not isinstance(sort, int) or abs(sort) >= 2**31:
        raise ValueError
    return {"name": text(row["name"] or ""), "sort": sort}
