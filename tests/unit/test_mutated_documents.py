"""Thousands of broken answers: each is refused or imported by the rules, without an exception.

`SPREAVIEW_TEST_EXAMPLES` multiplies the number of documents; a failure names its document.
"""

import copy
import json
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
from tests.support.properties import examples
from worker.rules.decide import decide
from worker.rules.removal_guard import FEW
from worker.rules.state import Skip
from worker.rules.sync_failures import SyncFailure

MUTATIONS = examples(8_000)
"""Number of documents; half have damaged bytes, half a damaged structure."""

SHARES = 4
"""Number of tests that share the documents of a kind, so that they can run in parallel."""

LONGEST = 5.0
"""Seconds within which any document of about 20 kB is handled, even on a busy machine."""

WINDOW = conference_window()
ORIGINAL = encode_conference(conference("broken", rooms=3, sessions=14))
IMPORTED = History().after(ORIGINAL, WINDOW)
STATE = IMPORTED.state
COMMAND = IMPORTED.command(WINDOW)
REQUEST = oracle.Request(
    sync_id=str(COMMAND.sync_id),
    organization=ORGANIZATION,
    event=EVENT,
    starts_on=WINDOW.starts_on,
    ends_on=WINDOW.ends_on,
    zone=WINDOW.time_zone,
    fingerprint=COMMAND.api_id_fingerprint,
)
SHOWN, _ = oracle.expect(oracle.Shown(), ORIGINAL, REQUEST)


class Result(NamedTuple):
    """The failure code or the events of a broken document."""

    failed: str | None
    events: list[ImportEvent]

    @property
    def left(self) -> set[str]:
        """Imported sessions that leave the schedule."""
        return {
            event.sessionize_id
            for event in self.events
            if isinstance(event, SessionWithdrawn | Skip) and event.was_imported
        }


def run(body: bytes) -> Result:
    """Read and decide a document; any exception but `SyncFailure` passes through."""
    try:
        return Result(None, decide(STATE, schedule_of(body, WINDOW), COMMAND, SOURCE, 3))
    except SyncFailure as failed:
        return Result(failed.code, [])


def check_stored(events: list[ImportEvent]) -> None:
    """Check that every event can be stored and read back."""
    for event in events:
        plain = take_apart(event)
        personal = plain.personal.body.decode() if plain.personal else None
        data = canonical(plain.data).decode()
        assert to_event(plain.type, join(plain.type, plain.schema_version, data, personal)) == event


def check_rules(result: Result, body: bytes) -> str:
    """Check that the oracle agrees, unless the rules leave the meaning open."""
    lines: list[oracle.Line] = []
    failed = None
    try:
        _, lines = oracle.expect(SHOWN, body, REQUEST)
    except oracle.Refused as expected:
        failed = str(expected)
    except oracle.Undefined:
        return "no rule"
    assert result.failed == failed
    assert Counter(oracle.lines_of(result.events)) == Counter(lines)
    return failed or "imported"


def still_there(body: bytes) -> set[str]:
    """Imported sessions that a very tolerant reader still finds, scheduled in the window."""
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


def run_all(
    kind: str, share: int, mutated: Callable[[bytes, random.Random], bytes]
) -> Counter[str]:
    """Count the results of the documents of a share."""
    before = copy.deepcopy(STATE)
    seen: Counter[str] = Counter()
    for number in range(share, MUTATIONS // 2, SHARES):
        body = mutated(ORIGINAL, random.Random(f"{kind} {number}"))
        began = time.monotonic()
        try:
            result = run(body)
            took = time.monotonic() - began
            assert isinstance(result.events[-1], SyncCompleted) if result.events else result.failed
            check_stored(result.events)
            if kind == "bytes":
                assert len(result.left & still_there(body)) <= FEW
            seen[check_rules(result, body)] += 1
            assert took < LONGEST
        except Exception as error:
            error.add_note(f"{kind} {number}: {body[:300]!r}")
            raise
    assert before == STATE, "deciding changes no state"
    return seen


@pytest.mark.parametrize("share", range(SHARES))
def test_damaged_bytes_remove_no_session_that_is_still_readable(share: int) -> None:
    seen = run_all("bytes", share, mutated_bytes)

    assert seen["imported"] > seen.total() / 10
    assert seen["unexpected_document"] > seen.total() / 10


@pytest.mark.parametrize("share", range(SHARES))
def test_a_damaged_structure_is_imported_or_refused_by_the_rules(share: int) -> None:
    seen = run_all("structure", share, mutated_structure)

    assert seen["imported"] > seen.total() / 2
    assert min(seen["unexpected_document"], seen["schedule_replaced"], seen["schedule_empty"]) > 0


def test_a_lone_surrogate_in_an_ignored_field_changes_nothing() -> None:
    body = ORIGINAL.replace(b'"questionAnswers": []', rb'"questionAnswers": [{"answer": "\ud83d"}]')

    assert len(schedule_of(body, WINDOW).sessions) == len(schedule_of(ORIGINAL, WINDOW).sessions)
