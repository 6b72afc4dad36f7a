"""Broken answers by the ten thousand: refused or imported by the rules, and never a fault.

`SPREAVIEW_TEST_MUTATIONS` raises the number of documents; a failure names the one it is about.
"""

import copy
import json
import os
import random
import time
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple

import pytest

from cli.sandbox.conference import conference, conference_window, encode_conference
from contracts.canonical import canonical
from contracts.codec import join, take_apart, to_event
from contracts.events import ImportEvent, SessionWithdrawn, SyncCompleted
from tests.support import oracle
from tests.support.given import EVENT, ORGANIZATION, SOURCE, History, schedule_of
from tests.support.mutate import mutated_bytes, mutated_structure
from worker.rules.decide import decide
from worker.rules.removal_guard import FEW
from worker.rules.state import Skip
from worker.rules.sync_failures import SyncFailure

MUTATIONS = int(os.environ.get("SPREAVIEW_TEST_MUTATIONS", "20000"))
"""Half of them damaged in their bytes, half in their structure."""

SHARES = 4
"""Tests that share the documents of a kind, for `-k` and for the eye."""

LONGEST = 5.0
"""Seconds that no document of some 20 kB may take, on a busy machine."""

WINDOW = conference_window()
ORIGINAL = encode_conference(conference("broken", rooms=3, sessions=14))
IMPORTED = History().after(ORIGINAL, WINDOW)
STATE = IMPORTED.state
ORDER = IMPORTED.order(WINDOW)
ASK = oracle.Ask(
    sync_id=str(ORDER.sync_id),
    organization=ORGANIZATION,
    event=EVENT,
    starts_on=WINDOW.starts_on,
    ends_on=WINDOW.ends_on,
    zone=WINDOW.time_zone,
    fingerprint=ORDER.api_id_fingerprint,
)
SHOWN, _ = oracle.expect(oracle.Shown(), ORIGINAL, ASK)


class Judged(NamedTuple):
    """What a broken document came to."""

    refused: str | None
    events: list[ImportEvent]

    @property
    def left(self) -> set[str]:
        """Imported sessions that leave the schedule."""
        return {
            event.sessionize_id
            for event in self.events
            if isinstance(event, SessionWithdrawn | Skip) and event.was_imported
        }


def judge(body: bytes) -> Judged:
    """Raises whatever is no refusal."""
    try:
        return Judged(None, decide(STATE, schedule_of(body, WINDOW), ORDER, SOURCE, 3))
    except SyncFailure as refused:
        return Judged(refused.code, [])


def check_stored(events: list[ImportEvent]) -> None:
    """Every event survives the log."""
    for event in events:
        plain = take_apart(event)
        personal = plain.personal.body.decode() if plain.personal else None
        data = canonical(plain.data).decode()
        assert to_event(plain.type, join(plain.type, plain.schema_version, data, personal)) == event


def check_rules(judged: Judged, body: bytes) -> str:
    """The oracle comes to the same, where the rules say anything."""
    lines: list[oracle.Line] = []
    refused = None
    try:
        _, lines = oracle.expect(SHOWN, body, ASK)
    except oracle.Refused as expected:
        refused = str(expected)
    except oracle.Unsure:
        return "no rule"
    assert judged.refused == refused
    assert Counter(oracle.told(judged.events)) == Counter(lines)
    return refused or "imported"


def still_there(body: bytes) -> set[str]:
    """Imported sessions that the most tolerant reader finds, on a day of theirs and in a room."""
    try:
        whole = json.loads(body.decode("utf-8-sig", "replace"), strict=False)
        rooms = {str(room.get("id")) for room in whole["rooms"] if isinstance(room, dict)}
        rows = [row for row in whole["sessions"] if isinstance(row, dict)]
    except (ValueError, RecursionError, KeyError, TypeError):
        return set()
    first = {str(row.get("id")): row for row in reversed(rows)}
    return {
        key
        for key, row in first.items()
        if key in STATE.sessions
        and str(row.get("roomId")) in rooms
        and str(row.get("startsAt"))[:10] in (str(WINDOW.starts_on), str(WINDOW.ends_on))
        and row.get("endsAt")
    }


def judge_all(
    kind: str, share: int, mutated: Callable[[bytes, random.Random], bytes]
) -> Counter[str]:
    """What the documents of a share came to."""
    before = copy.deepcopy(STATE)
    seen: Counter[str] = Counter()
    for number in range(share, MUTATIONS // 2, SHARES):
        body = mutated(ORIGINAL, random.Random(f"{kind} {number}"))
        began = time.monotonic()
        try:
            judged = judge(body)
            took = time.monotonic() - began
            assert isinstance(judged.events[-1], SyncCompleted) if judged.events else judged.refused
            check_stored(judged.events)
            if kind == "bytes":
                assert len(judged.left & still_there(body)) <= FEW
            seen[check_rules(judged, body)] += 1
            assert took < LONGEST
        except Exception as error:
            error.add_note(f"{kind} {number}: {body[:300]!r}")
            raise
    assert before == STATE, "deciding changes no state"
    return seen


@pytest.mark.parametrize("share", range(SHARES))
def test_damaged_bytes_cost_no_session_that_is_still_there(share: int) -> None:
    seen = judge_all("bytes", share, mutated_bytes)

    assert seen["imported"] > seen.total() / 10
    assert seen["unexpected_document"] > seen.total() / 10


@pytest.mark.parametrize("share", range(SHARES))
def test_a_damaged_structure_is_imported_or_refused_by_the_rules(share: int) -> None:
    seen = judge_all("structure", share, mutated_structure)

    assert seen["imported"] > seen.total() / 2
    assert min(seen["unexpected_document"], seen["schedule_replaced"], seen["schedule_empty"]) > 0


def test_half_a_pair_in_what_the_import_does_not_read_costs_nothing() -> None:
    body = ORIGINAL.replace(b'"questionAnswers": []', rb'"questionAnswers": [{"answer": "\ud83d"}]')

    assert len(schedule_of(body, WINDOW).sessions) == len(schedule_of(ORIGINAL, WINDOW).sessions)
