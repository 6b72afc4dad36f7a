"""A second implementation of the import rules, as simple as possible: the expected read models.

    expect(shown, body, request) → the rows shown afterwards, and a line for each expected event

It shares no code with the importer, not even ids or the text rule. Its rows refer to rooms and
speakers by Sessionize id; `view` converts them to the rows of the read models.
"""

import json
import re
import unicodedata
from collections.abc import Callable, Collection, Iterable
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
NOTHING = type(None)
VITAL = {"title", "starts_at", "ends_at", "room", "speakers"}
_ESCAPED = re.compile("[\udc80-\udcff]")
_GUID = re.compile("[0-9A-Fa-f]{8}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{4}-[0-9A-Fa-f]{12}")
DAY = timedelta(days=1)


class Refused(Exception):  # noqa: N818 (an outcome)
    """The run fails with this code and changes nothing."""


class Undefined(Exception):  # noqa: N818 (an answer)
    """The rules leave the meaning of the document open: endless nesting, a key twice."""


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
    left: int = 0
    fingerprint: str | None = None


Element = tuple[Row, frozenset[str]]
"""A row, and the names of its fields that cannot be read."""


class Read(NamedTuple):
    """A document: the readable elements of each list by id, and its unreadable sessions."""

    elements: dict[str, dict[str, list[Element]]]
    bad: dict[str, list[str]]
    """By id of a session: the fields that cannot be read."""

    def first(self, name: str) -> Rows:
        return {key: found[0][0] for key, found in self.elements[name].items()}

    def listed(self, name: str) -> set[str]:
        return self.elements[name].keys() | (self.bad.keys() if name == "sessions" else set())


def read(body: bytes, zone: str) -> Read:
    """Read a document. Raises `Refused` if it is not a schedule."""
    # Invalid UTF-8 becomes text that cannot be encoded: this invalidates only its field.
    decoded = body.decode("utf-8-sig", "surrogateescape")
    try:
        whole = json.loads(decoded, parse_int=_number, object_pairs_hook=_object_of)
    except RecursionError:
        raise Undefined from None
    except ValueError:
        opened = body.lstrip()[:1] in (b"{", b"[")
        raise Refused("unexpected_document" if opened else "endpoint_not_json") from None
    if not isinstance(whole, dict) or any(type(whole.get(name)) is not list for name in LISTS):
        raise Refused("unexpected_document")
    labels = _labels(whole.get("categories"))
    readers: dict[str, Callable[[Row, set[str]], Row]] = {
        "sessions": lambda element, lost: _session(element, lost, ZoneInfo(zone), labels),
        "speakers": _speaker,
        "rooms": _room,
    }
    elements: dict[str, dict[str, list[Element]]] = {name: {} for name in LISTS}
    bad: dict[str, list[str]] = {}
    for name in LISTS:
        for element in whole[name]:
            try:
                key = reference(element["id"])
            except (TypeError, KeyError, ValueError):
                continue  # without an id the element is unknown
            if not key:
                continue
            lost: set[str] = set()
            row = {"sessionize_id": key, **readers[name](element, lost)}
            if name == "sessions" and lost & VITAL:
                bad.setdefault(key, sorted(lost))
            else:
                elements[name].setdefault(key, []).append((row, frozenset(lost)))
    bad = {key: lost_ones for key, lost_ones in bad.items() if key not in elements["sessions"]}
    if not whole["sessions"]:
        raise Refused("schedule_empty")
    if not elements["sessions"]:
        raise Refused("unexpected_document")
    if all(row["starts_at"] is None for row in _all_sessions(elements)):
        raise Refused("schedule_not_announced")
    return Read(elements, bad)


def _all_sessions(elements: dict[str, dict[str, list[Element]]]) -> list[Row]:
    return [row for found in elements["sessions"].values() for row, _ in found]


def expect(shown: Shown, body: bytes, request: Request) -> tuple[Shown, list[Line]]:
    """The rows shown after a run, and a line per event. Raises `Refused`; changes no argument."""
    document = _settle(_spelled(read(body, request.zone), shown), shown)
    bounds = (
        _midnight(request.starts_on, request.zone),
        _midnight(request.ends_on + DAY, request.zone),
    )
    placed, skips = _place(shown, document, bounds)
    imported = shown.now["sessions"]
    if imported and not placed and (request.allow or 0) < len(imported):
        timed = [row for row in _all_sessions(document.elements) if row["starts_at"]]
        outside = timed and all(_outside(row, bounds) for row in timed)
        raise Refused("nothing_in_window" if outside else "schedule_replaced")
    same_source = shown.fingerprint == request.fingerprint
    guarded = {
        key
        for key, row in shown.now["sessions"].items()
        if same_source and bounds[0] <= str(row["starts_at"]) < bounds[1]
    }
    removed = guarded - placed.keys() - document.bad.keys()
    held = _held(shown.held, guarded, removed, request.allow)
    skips = {key: row for key, row in skips.items() if key not in held}
    wanted = _wanted(shown, document, placed, held)
    left = [key for key, row in imported.items() if key not in placed and _outside(row, bounds)]
    after = Shown(held=held, left=len(left), fingerprint=request.fingerprint)
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


def _spelled(document: Read, shown: Shown) -> Read:
    """The document with the GUIDs that are known in the spelling that is known."""
    known: dict[str, dict[str, str]] = {}
    for name in LISTS:
        skips = shown.skips if name == "sessions" else {}
        keys = [*shown.once[name], *skips, *shown.now[name]]
        known[name] = {key.lower(): key for key in keys if _GUID.fullmatch(key)}

    def spell(name: str, key: object) -> str:
        return known[name].get(str(key), str(key))

    def row_of(name: str, row: Row) -> Row:
        row = {**row, "sessionize_id": spell(name, row["sessionize_id"])}
        if name == "sessions":
            room = row["room_id"]
            row["room_id"] = None if room is None else spell("rooms", room)
            row["speaker_ids"] = [spell("speakers", who) for who in names(row)]
        return row

    return Read(
        {
            name: {
                spell(name, key): [(row_of(name, row), lost) for row, lost in found]
                for key, found in document.elements[name].items()
            }
            for name in LISTS
        },
        {spell("sessions", key): lost for key, lost in document.bad.items()},
    )


def _settle(document: Read, shown: Shown) -> Read:
    """The document with last values for lost fields, and one element per room and speaker."""
    settled: dict[str, dict[str, list[Element]]] = {}
    for name in LISTS:
        settled[name] = {}
        for key, found in document.elements[name].items():
            last = shown.now[name].get(key) or shown.once[name].get(key) or {}
            filled = [
                ({**row, **{n: last[n] for n in lost if n in last}}, lost) for row, lost in found
            ]
            if name != "sessions" and len(filled) > 1:
                same = [e for e in filled if key in shown.now[name] and _alike(last, e[0])]
                whole = [e for e in filled if not e[1]]
                filled = [*same, *whole, *filled][:1]
            settled[name][key] = filled
    return Read(settled, document.bad)


def _alike(one: Row, other: Row) -> bool:
    return all(_same(name, one[name], other[name]) for name in other)


def _place(shown: Shown, document: Read, bounds: tuple[str, str]) -> tuple[Rows, Rows]:
    """The scheduled sessions, and the skips of the others."""
    now = shown.now
    placed: Rows = {}
    skips: Rows = {}
    for key, found in document.elements["sessions"].items():
        possible = []
        for row, _ in found:
            lacks = [name for name in ("starts_at", "ends_at") if row[name] is None]
            lacks += ["room"] if row["room_id"] not in document.elements["rooms"] else []
            if outside := _outside(row, bounds):
                possible.append((False, outside))
            elif lacks:
                possible.append((False, _skip(row, "unscheduled", lacks, None, None)))
            else:
                there = [who for who in names(row) if who in document.elements["speakers"]]
                possible.append((True, {**row, "speaker_ids": there}))
        good = [row for scheduled, row in possible if scheduled]
        same = [row for row in good if key in now["sessions"] and _alike(now["sessions"][key], row)]
        if good:
            placed[key] = [*same, *good][0]
        else:
            before = {**shown.skips.get(key, {}), "sync_id": None}
            known = [row for _, row in possible if before == {**row, "sync_id": None}]
            skips[key] = [*known, possible[0][1]][0]
    for key, lost in document.bad.items():
        if key in now["sessions"]:
            if outside := _outside(now["sessions"][key], bounds):
                skips[key] = outside
            else:
                placed[key] = now["sessions"][key]
        elif key in shown.skips:
            last, past = shown.skips[key], shown.once["sessions"].get(key)
            if outside := _outside(last, bounds):
                skips[key] = outside
            elif last["reason"] == "unscheduled":
                skips[key] = last
            elif past and past["starts_at"] == last["starts_at"]:
                placed[key] = past
            else:
                skips[key] = _skip(last, "unscheduled", lost, None, None)
    return placed, skips


def _held(
    before: frozenset[str],
    guarded: set[str],
    removed: set[str],
    allow: int | None,
) -> frozenset[str]:
    """The removal guard."""
    held = before & removed
    new = removed - held
    if allow is not None and allow >= len(removed):
        return frozenset()
    if guarded == removed and len(removed) > 5:
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
        name: {
            key: document.first(name).get(key) or shown.now[name].get(key) or shown.once[name][key]
            for key in keys
        }
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


def instant(wall: datetime, zone: ZoneInfo) -> str:
    """The first instant at which clocks show `wall`; in a gap, the instant by the old offset.

    Raises `ValueError` if it lies outside the calendar.
    """
    return instants(wall, zone)[0]


@lru_cache(maxsize=2_000)
def instants(wall: datetime, zone: ZoneInfo) -> list[str]:
    """All instants at which clocks show `wall`; in a gap as `instant`, whose errors it raises."""
    times = []
    for day in (-1, 1):
        with suppress(OverflowError):
            near = (wall.replace(tzinfo=UTC) + timedelta(days=day)).astimezone(zone)
            times.append(wall.replace(tzinfo=UTC) - (near.utcoffset() or timedelta()))
    shows = sorted(at for at in {*times} if at.astimezone(zone).replace(tzinfo=None) == wall)
    if not times:
        raise ValueError
    return [_utc(at) for at in shows or times[:1]]


def text(value: object) -> str:
    """An id or a link by the text rule. Raises `ValueError` for more than 64 KiB."""
    return _text(str(value), "")


def title(value: object) -> str:
    """A title or a name by the text rule: a line break is a space."""
    return _text(str(value), " ")


def lines(value: object) -> str:
    """A long text by the text rule: a line break is a newline."""
    return _text(str(value), "\n")


@lru_cache(maxsize=2_000)
def _text(value: str, line_break: str) -> str:
    if _ESCAPED.search(value):
        raise ValueError  # not UTF-8
    if not (value.isascii() and value.isprintable()):  # nothing to drop from most
        value = "".join(char for char in value if char in "\r\v\f\x85" or not _dropped(char))
        value = value.replace("\r\n", "\n")
        for char in "\r\v\f\x85" + ("\u2028\u2029" if line_break else ""):
            value = value.replace(char, line_break)
    cleaned = unicodedata.normalize("NFC", value).strip()
    if len(cleaned.encode()) > 65_536:
        raise ValueError
    return cleaned


def _dropped(char: str) -> bool:
    if char in "\t\n":
        return False
    return unicodedata.category(char) in ("Cc", "Cs") or char in "\u200b\u2060\ufeff\u202d\u202e"


def reference(value: object) -> str:
    """A valid id: a short text. Raises `ValueError` for anything else."""
    if type(value) not in (str, int) or len((key := text(value)).encode()) > 1000:
        raise ValueError
    return key.lower() if _GUID.fullmatch(key) else key


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
    if name == "topics":
        return _pairs(one) == _pairs(other)
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


def _typed(value: object, *types: type) -> object:
    if type(value) not in types:
        raise ValueError
    return value


def _get(lost: set[str], name: str, make: Callable[[], object]) -> object:
    """A field, or None if it cannot be read."""
    try:
        return make()
    except ValueError:
        lost.add(name)
        return None


def _maybe(clean: Callable[[object], str], value: object) -> str | None:
    return None if _typed(value, str, NOTHING) is None else clean(value)


def _list(value: object) -> list[object]:
    found = _typed(value, list, NOTHING)
    return found if isinstance(found, list) else []


def _references(value: object) -> list[str]:
    return list(dict.fromkeys(reference(who) for who in _list(value)))


class Labels(NamedTuple):
    """Topics by the id of their item, None for those of speakers; and whether all are known."""

    by_id: dict[str, Row | None]
    complete: bool


def _labels(categories: object) -> Labels:
    found: dict[str, Row | None] = {}
    complete = type(categories) is list
    for category in categories if isinstance(categories, list) else []:
        try:
            reference(category["id"])
            items = _list(category.get("items"))
        except (TypeError, KeyError, ValueError, AttributeError):
            complete = False
            continue
        whole, of_speakers = _topics_of(category, items, found)
        complete = complete and (whole or of_speakers)
    return Labels(found, complete)


def _topics_of(
    category: Row, items: list[object], found: dict[str, Row | None]
) -> tuple[bool, bool]:
    whole = True
    try:
        kind = _maybe(str, category.get("type")) or ""
    except ValueError:
        kind, whole = "", False
    of_speakers = kind.strip().lower() == "speaker"
    try:
        heading = _label(category.get("title"))
    except ValueError:
        heading, whole = None, False
    for item in items:
        try:
            key = reference(item["id"])  # type: ignore[index]
            if not key:
                raise ValueError
        except (TypeError, KeyError, ValueError):
            whole = False
            continue
        if of_speakers:
            found.setdefault(key, None)
        elif heading is not None:
            try:
                name = _label(item.get("name"))  # type: ignore[attr-defined]
                if not name:
                    raise ValueError
            except ValueError:
                whole = False
            else:
                found.setdefault(key, {"category": heading, "topic": name})
    return whole, of_speakers


def _label(value: object) -> str:
    label = title(_typed(value, str))
    if len(label.encode()) > 1024:
        raise ValueError
    return label


def _chosen(value: object, labels: Labels) -> list[Row]:
    keys = _references(value)
    if not labels.complete and any(key not in labels.by_id for key in keys):
        raise ValueError
    chosen: list[Row] = []
    for key in keys:
        label = labels.by_id.get(key)
        if label is not None and label not in chosen:
            chosen.append(label)
    if len(chosen) > 100:
        raise ValueError
    return chosen


def _pairs(topics: object) -> set[tuple[object, ...]]:
    return {tuple(topic.values()) for topic in topics} if isinstance(topics, list) else set()


def _session(element: Row, lost: set[str], zone: ZoneInfo, labels: Labels) -> Row:
    get, take = partial(_get, lost), element.get
    room = take("roomId")
    starts = get("starts_at", lambda: _time(take("startsAt"), zone))
    return {
        "title": get("title", lambda: title(_typed(take("title"), str))),
        "abstract": get("abstract", lambda: _maybe(lines, take("description"))),
        "room_id": get("room", lambda: None if room is None else reference(room)),
        "starts_at": starts,
        "ends_at": get("ends_at", lambda: _end(take("endsAt"), starts, zone)),
        "is_service_session": _flag(element, "isServiceSession", "is_service_session", lost),
        "is_plenum_session": _flag(element, "isPlenumSession", "is_plenum_session", lost),
        "live_url": get("live_url", lambda: _maybe(text, take("liveUrl"))),
        "recording_url": get("recording_url", lambda: _maybe(text, take("recordingUrl"))),
        "speaker_ids": get("speakers", lambda: _references(take("speakers"))),
        "topics": get("topics", lambda: _chosen(take("categoryItems"), labels)),
    }


def _flag(element: Row, name: str, ours: str, lost: set[str]) -> bool:
    return bool(_get(lost, ours, lambda: _typed(element.get(name), bool, NOTHING)))


def _end(value: object, starts: object, zone: ZoneInfo) -> str | None:
    first = _time(value, zone)
    if first is None or starts is None or _moment(first) >= _moment(str(starts)):
        return first
    wall = datetime.fromisoformat(str(value))
    again = [] if wall.tzinfo else instants(wall, zone)[1:]
    return next((end for end in again if _moment(end) > _moment(str(starts))), first)


def _moment(instant_: str) -> datetime:
    return datetime.fromisoformat(instant_)


def _time(value: object, zone: ZoneInfo) -> str | None:
    if _typed(value, str, NOTHING) is None:
        return None
    if _ESCAPED.search(str(value)):
        raise ValueError
    value = "".join(char for char in str(value) if unicodedata.category(char) != "Cs")
    moment = datetime.fromisoformat(str(value))
    if "T" not in str(value):
        raise ValueError
    try:
        found = _utc(moment) if moment.tzinfo else instant(moment, zone)
    except OverflowError:
        raise ValueError from None
    if found[:4] in ("0001", "9999"):  # some zones cannot show it
        raise ValueError
    return found


def _speaker(element: Row, lost: set[str]) -> Row:
    get, take = partial(_get, lost), element.get
    row = {
        "first_name": get("first_name", lambda: _maybe(title, take("firstName")) or ""),
        "last_name": get("last_name", lambda: _maybe(title, take("lastName")) or ""),
        "full_name": get("full_name", lambda: _maybe(title, take("fullName")) or ""),
        "tag_line": get("tag_line", lambda: _maybe(title, take("tagLine"))),
        "bio": get("bio", lambda: _maybe(lines, take("bio"))),
        "profile_picture": get("profile_picture", lambda: _maybe(text, take("profilePicture"))),
        "links": get("links", lambda: [_link(link) for link in _list(take("links"))]),
    }
    if all(value is None for value in row.values()):
        row["links"] = []
    return {"is_top_speaker": _flag(element, "isTopSpeaker", "is_top_speaker", lost), **row}


def _link(link: object) -> Row:
    if not isinstance(link, dict):
        raise ValueError
    return {
        "title": _maybe(title, link.get("title")) or "",
        "url": _maybe(text, link.get("url")) or "",
        "link_type": _maybe(text, link.get("linkType")) or "",
    }


def _room(element: Row, lost: set[str]) -> Row:
    def name() -> str:
        if not (found := _maybe(title, element.get("name"))):
            raise ValueError
        return found

    def sort() -> int:
        number = _typed(element.get("sort"), int, float, NOTHING) or 0
        if not isinstance(number, int | float) or abs(number) >= 2**31 or number != int(number):
            raise ValueError
        return int(number)

    key = reference(element["id"])
    return {
        "name": _get(lost, "name", name) or f"Room {key}",
        "sort": _get(lost, "sort", sort) or 0,
    }
