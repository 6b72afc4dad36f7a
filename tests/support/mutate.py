"""Documents that break, in their bytes or in their structure, and documents that are edited.

Everything follows from the numbers handed in, so a seed repeats a document exactly.
"""

import copy
import json
import random
import re
from collections.abc import Callable
from datetime import datetime
from zoneinfo import ZoneInfo

from contracts.codec import JsonObject
from tests.support.documents import category, item, room, speaker, talk
from tests.support.oracle import LISTS, instant

LONG = 70_000
"""Bytes of a text that is longer than a field may be."""

_TOKENS = (
    *(b'"', b"\\", b"{", b"}", b"[", b"]", b",", b":", b"null", b"true", b"-", b"1e999", b"0x1"),
    *(b"\x00", b"\x1f", b"\xff\xfe", b"\xed\xa0\x80", b"\xc0\xaf", b"\xf5", b"\xe2\x80"),
    *(b"\\ud83d", b"\\udc00", b"\\u0000", b"\\u202e", b"/*", b"<html>", b"NaN", b"\xef\xbb\xbf"),
)
_VALUES: tuple[object, ...] = (
    *(None, True, False, 0, -1, 1.5, 10**30, -(2**63), 2**64, "", "x", " ", "\u200b", "null"),
    *([], {}, [None], [[]], {"id": None}, {"id": "1"}, ["1", "1"], [1.5], [True]),
    *("2026-05-28T09:00:00", "2026-05-28", "2026-13-40T99:00:00", "0001-01-01T00:00:00"),
    *("9999-12-31T23:59:59", "2026-05-28T09:00:00+99:99", "2026-05-28T09:00:00-23:59", "T"),
    *("2026-05-28T09:00:00.123456Z", "١٢٣٤-٠٥-٢٨T٠٩:٠٠:٠٠", "2026-W22-4T09", "20260528T09"),
    *("\x00\x01\x02\x1b[31m\x7f\x9f", "a\u0301\u202e\ufeff", "\ud83d", "e\udc00", "\ufdfa" * 3),
    "x" * LONG,
)
_DEEP = "deep below"
"""Stands for a value nested so deep that writing it as JSON takes more than recursion."""


def mutated_bytes(body: bytes, dice: random.Random) -> bytes:
    """The answer with one to four damages to its bytes."""
    damaged = bytearray(body)
    for _ in range(_few(dice, 4)):
        dice.choice(_DAMAGES)(damaged, dice)
    return bytes(damaged)


def mutated_structure(body: bytes, dice: random.Random) -> bytes:
    """The answer with one to six changes that leave it JSON, mostly."""
    changed = json.loads(body)
    for _ in range(_few(dice, 6)):
        dice.choice(_CHANGES)(changed, dice)
    written = json.dumps(changed, ensure_ascii=dice.random() < 0.5)
    depth = dice.choice((2, 50, dice.randint(900, 1100), 5_000))
    opened, closed = dice.choice((("[", "]"), ('{"id":', "}"), ('[{"id":', "}]")))
    deep = opened * depth + "1" + closed * depth
    return written.replace(f'"{_DEEP}"', deep).encode("utf-8", "surrogatepass")


def _few(dice: random.Random, most: int) -> int:
    """Mostly one: of many damages the first hides the others."""
    return 1 if dice.random() < 0.6 else dice.randint(2, most)


def _slice(body: bytearray, dice: random.Random) -> slice:
    """Short or long, anywhere."""
    start = dice.randrange(len(body) + 1)
    return slice(start, start + int(len(body) ** dice.random()))


def _flip(body: bytearray, dice: random.Random) -> None:
    if body:
        body[dice.randrange(len(body))] ^= 1 << dice.randrange(8)


def _replace(body: bytearray, dice: random.Random) -> None:
    if body:
        body[dice.randrange(len(body))] = dice.randrange(256)


def _cut_off(body: bytearray, dice: random.Random) -> None:
    del body[dice.randrange(len(body) + 1) :]


def _cut_out(body: bytearray, dice: random.Random) -> None:
    del body[_slice(body, dice)]


def _insert(body: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(body) + 1)
    body[at:at] = dice.choice(_TOKENS) * dice.choice((1, 1, 1, 2, 40))


def _noise(body: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(body) + 1)
    body[at:at] = dice.randbytes(dice.randint(1, 30))


def _repeat(body: bytearray, dice: random.Random) -> None:
    at = dice.randrange(len(body) + 1)
    body[at:at] = body[_slice(body, dice)]


def _huge_number(body: bytearray, dice: random.Random) -> None:
    numbers = list(re.finditer(rb"\d+", body))
    if numbers:
        found = dice.choice(numbers)
        body[found.start() : found.end()] = b"9" * dice.choice((10, 19, 20, 400, 5_000))


def _element_out(body: bytearray, dice: random.Random) -> None:
    """From one brace to another: what is left is JSON more often than not."""
    opens = [found.start() for found in re.finditer(rb"\{", body)]
    if opens:
        one, other = sorted((dice.choice(opens), dice.choice(opens)))
        del body[one:other]


_DAMAGES: tuple[Callable[[bytearray, random.Random], None], ...] = (
    *(_flip, _flip, _replace, _replace, _cut_off, _cut_out, _cut_out, _insert, _insert),
    *(_noise, _repeat, _huge_number, _element_out),
)


def _place(document: JsonObject, dice: random.Random) -> tuple[object, object]:
    """A container of the document, at any depth, and a key or an index of it."""
    inside: object = document
    while True:
        keys: list[object]
        if isinstance(inside, dict):
            keys = list(inside)
        else:
            keys = list(range(len(inside))) if isinstance(inside, list) else []
        if not keys:
            return document, "sessions"
        key = dice.choice(keys)
        below = inside[key]  # type: ignore[index]  # a dict by its key or a list by its index
        if not isinstance(below, dict | list) or not below or dice.random() < 0.15:
            return inside, key
        inside = below


def _put(value: Callable[[random.Random], object]) -> Callable[[JsonObject, random.Random], None]:
    def change(document: JsonObject, dice: random.Random) -> None:
        inside, key = _place(document, dice)
        inside[key] = value(dice)  # type: ignore[index]

    return change


def _drop(document: JsonObject, dice: random.Random) -> None:
    inside, key = _place(document, dice)
    if isinstance(inside, dict):
        inside.pop(key, None)
    elif isinstance(inside, list) and isinstance(key, int):
        del inside[key]


def _elements(document: JsonObject, dice: random.Random) -> list[object]:
    """One of the lists: sessions, speakers, rooms."""
    found = document.get(dice.choice(("sessions", "sessions", "speakers", "rooms")))
    return found if isinstance(found, list) else []


def _drop_elements(document: JsonObject, dice: random.Random) -> None:
    elements = _elements(document, dice)
    for _ in range(dice.randint(1, 1 + len(elements))):
        if elements:
            del elements[dice.randrange(len(elements))]


def _repeat_element(document: JsonObject, dice: random.Random) -> None:
    elements = _elements(document, dice)
    if elements:
        elements.insert(dice.randrange(len(elements)), copy.deepcopy(dice.choice(elements)))


def _swap_ids(document: JsonObject, dice: random.Random) -> None:
    """Two elements, not always of one list, change names."""
    one, other = (
        dice.choice(elements) if (elements := _elements(document, dice)) else None for _ in "ab"
    )
    if isinstance(one, dict) and isinstance(other, dict) and "id" in one and "id" in other:
        one["id"], other["id"] = other["id"], one["id"]


def _same_everywhere(document: JsonObject, dice: random.Random) -> None:
    """One field of all the elements of a list: null, absent or wrong."""
    elements = [element for element in _elements(document, dice) if isinstance(element, dict)]
    if not elements:
        return
    name, value = dice.choice(list(dice.choice(elements)) or ["id"]), dice.choice(_VALUES)
    for element in elements:
        if value == "null":
            element.pop(name, None)
        else:
            element[name] = copy.deepcopy(value) if len(str(value)) < LONG else None


_CHANGES: tuple[Callable[[JsonObject, random.Random], None], ...] = (
    *(_put(lambda dice: copy.deepcopy(dice.choice(_VALUES))),) * 6,
    _put(lambda dice: _DEEP),
    _put(lambda dice: "".join(map(chr, dice.choices(range(0x2100), k=dice.randint(1, 60))))),
    *(_drop, _drop, _drop_elements, _repeat_element, _swap_ids, _same_everywhere),
)


# Documents as organisers change them: every edit takes the document and two numbers.

Rows = list[JsonObject]
Edit = Callable[[dict[str, Rows], int, int], None]


def new_talk(number: int) -> JsonObject:
    """Spread over the last night of summer time, its neighbours, three rooms and five people."""
    day, hour = 24 + number % 3, (9, 2, 14, 1, 23)[number % 5]
    return talk(
        str(number),
        f"2026-10-{day}T{hour:02}:{number % 4 * 15:02}:00",
        room=7 + number % 3,
        speakers=[f"s{number % 5}", f"s{number * 3 % 5}"][: 1 + number % 2],
    )


def one(rows: Rows, number: int) -> JsonObject:
    return rows[number % len(rows)] if rows else {}


def add(doc: dict[str, Rows], n: int, m: int) -> None:
    if all(row.get("id") != str(n) for row in doc["sessions"]):
        doc["sessions"].insert(m % (len(doc["sessions"]) + 1), new_talk(n))


def drop(doc: dict[str, Rows], n: int, m: int) -> None:
    at = n % (len(doc["sessions"]) + 1)
    del doc["sessions"][at : at + 1 + m % 9]


def retime(doc: dict[str, Rows], n: int, m: int) -> None:
    """To another day, also across the change of the clocks, or to no time at all."""
    at = f"2026-10-{22 + m % 7}T02:30:00" if m % 8 else None
    one(doc["sessions"], n).update(startsAt=at, endsAt=at and at.replace("02:30", "03:10"))


def move(doc: dict[str, Rows], n: int, m: int) -> None:
    one(doc["sessions"], n)["roomId"] = (7, 8, 9, 10, "7", None)[m % 6]


def rename(doc: dict[str, Rows], n: int, m: int) -> None:
    names = ("One", " One\u200b ", "O\u0301ne", "\u00d3ne", "Two\r\n", "A\x0bB", "A\u2028B", "A\rB")
    name = names[m % len(names)]
    one(doc["sessions"], n)["title"] = name
    one(doc["rooms"], n)["name"] = name
    one(doc["speakers"], n)["bio"] = name


def reorder(doc: dict[str, Rows], n: int, m: int) -> None:
    for rows in doc.values():
        rows[:] = rows[n % 5 :] + rows[: n % 5]
        if m % 2:
            rows.reverse()


def recast(doc: dict[str, Rows], n: int, m: int) -> None:
    """Other speakers, other order, one twice, one unknown, none."""
    casts: tuple[list[str] | None, ...] = (
        ["s0", "s1"],
        ["s1", "s0"],
        ["s2", "s2"],
        ["s3", "nobody"],
        [],
        None,
    )
    one(doc["sessions"], n)["speakers"] = casts[m % 6]


def break_one(doc: dict[str, Rows], n: int, m: int) -> None:
    faults: list[JsonObject] = [
        {"title": None, "name": 7, "firstName": 7},
        {"title": "x" * LONG},
        {"startsAt": "soon"},
        {"speakers": "s1"},
        {"id": None},
        {"sort": "1", "links": {}},
    ]
    one(doc[(*LISTS, "sessions")[n % 4]], n // 4).update(faults[m % len(faults)])


def mend(doc: dict[str, Rows], n: int, m: int) -> None:
    doc["rooms"] = [room(key, sort=m % 3) for key in (7, 8, 9)]
    doc["speakers"] = [speaker(f"s{key}") for key in range(5)]
    one(doc["sessions"], n).update(new_talk(m))


def twice(doc: dict[str, Rows], n: int, m: int) -> None:
    rows = doc[LISTS[n % 3]]
    if rows:
        again = one(rows, n // 3) | {"title": "Again", "name": "Again"}
        rows.insert(m % (len(rows) + 1), again)


def change_case(doc: dict[str, Rows], n: int, m: int) -> None:
    """A break and a speaker with GUIDs, in one case or another, or in both."""
    guid = f"abcdef00-0000-4000-8000-00000000000{n % 2}"
    for name in ("sessions", "speakers"):
        doc[name] = [row for row in doc[name] if str(row.get("id")).lower() != guid]
    for spelled in (guid, guid.upper(), guid.title())[m % 3 : m % 3 + 1 + m % 2]:
        there = new_talk(60 + n % 2) | {"id": spelled, "speakers": [spelled.swapcase()]}
        doc["sessions"].append(there)
        doc["speakers"].append(speaker(spelled, fullName="Ada"))


def lose_a_field(doc: dict[str, Rows], n: int, m: int) -> None:
    """A field that cannot be read, of those that cost no update."""
    losses: dict[str, tuple[JsonObject, ...]] = {
        "sessions": ({"description": 7}, {"liveUrl": []}, {"isServiceSession": "yes"}),
        "speakers": ({"bio": 7}, {"links": [7]}, {"fullName": []}),
        "rooms": ({"name": None}, {"sort": "1"}, {"name": 7, "sort": 1.0}),
    }
    name = LISTS[n % 3]
    one(doc[name], n // 3).update(losses[name][m % 3])


def drop_others(doc: dict[str, Rows], n: int, m: int) -> None:
    """A room or a speaker, used or not."""
    rows = doc[("rooms", "speakers")[n % 2]]
    if rows:
        del rows[m % len(rows)]


def in_utc(doc: dict[str, Rows], n: int, m: int) -> None:
    """The endpoint's option: another notation of the same instants."""
    for row in doc["sessions"]:
        for name in ("startsAt", "endsAt"):
            at = row.get(name)
            if isinstance(at, str) and "T" in at and not at.endswith("Z"):
                wall = datetime.fromisoformat(at)
                row[name] = instant(wall, ZoneInfo("Europe/Vienna"))


def retopic(doc: dict[str, Rows], n: int, m: int) -> None:
    """Other topics, other order, one twice, one unlisted, none; categories that are damaged."""
    track = category("1", type=("session", "speaker", None)[n % 3])
    level = category("2", "Level" if n % 4 else " Le\u200bvel")
    listed: tuple[Rows, ...] = (
        *([track, level], [level, track], [track | {"title": 7}, level], [track], []),
        [track, level | {"items": [item("21", "Data"), {"name": "Lost"}]}],
    )
    doc["categories"] = listed[m % len(listed)]
    items: tuple[object, ...] = (
        ["11", "21"],
        [21, 11],
        ["11", "11"],
        ["99", "12"],
        [],
        None,
        "11",
        ["22"],
    )
    one(doc["sessions"], n)["categoryItems"] = items[(n + m) % len(items)]


EDITS: tuple[Edit, ...] = (
    *(add, add, drop, retime, move, rename, reorder, recast, break_one, mend, twice),
    *(drop_others, in_utc, change_case, lose_a_field, retopic, retopic),
)
