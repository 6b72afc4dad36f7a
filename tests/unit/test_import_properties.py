"""Random histories of a conference: edits of its document, dates, API ID and request options.

After every run the events and the read models match `tests/support/oracle.py`, the folded state
and the read models agree, and no id or code has changed.
"""

import copy
import json
from collections import Counter
from dataclasses import fields
from datetime import date, timedelta
from itertools import pairwise
from typing import cast

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    precondition,
    rule,
    run_state_machine_as_test,
)

from contracts.canonical import canonical
from contracts.codec import JsonObject, join, take_apart, to_event
from contracts.events import ImportEvent, SessionImported, SyncCompleted
from contracts.messages import Window
from projections.changes import Changes, Row, TableChanges, project
from tests.support import oracle
from tests.support.documents import document
from tests.support.given import EVENT, ORGANIZATION, SOURCE, History, RequestOptions, schedule_of
from tests.support.mutate import EDITS, Edit, Rows, break_one, new_talk
from tests.support.projected import AT, Recorded, sample
from tests.support.properties import examples, for_all
from worker.rules.decide import decide
from worker.rules.state import State, fold
from worker.rules.sync_failures import SyncFailure

ZONES = ("Europe/Vienna", "Europe/Vienna", "UTC", "America/New_York")


EDITS_OF_A_RUN = st.lists(
    st.tuples(st.sampled_from(EDITS), st.integers(0, 30), st.integers(0, 30)),
    min_size=1,
    max_size=4,
)

PLAIN = RequestOptions()
ANSWERS = (
    *(b"", b"<html>", b"null", b"[]", b"{}", b'{"sessions": [], "speakers": [], "rooms": []}'),
    b'{"sessions": [{"id": "1"}], "speakers": [], "rooms": []}',
)
"""Answers without a schedule, which always fail."""


class Tables:
    """The read models in memory; applies changes as `projections/write.py` does."""

    def __init__(self) -> None:
        self.rows: dict[str, dict[object, Row]] = {"rooms": {}, "speakers": {}, "sessions": {}}
        self.cast: dict[object, list[Row]] = {}
        self.skips: dict[object, Row] = {}
        self.runs: dict[object, Row] = {}

    def apply(self, changes: Changes) -> None:
        self.runs = changes.started_runs | self.runs
        for key, run in changes.ended_runs.items():
            self.runs[key] = self.runs.get(key, {}) | run
        self._table("rooms", changes.rooms)
        self._table("speakers", changes.speakers)
        self._table("sessions", changes.sessions)
        for session in changes.sessions.rows:
            self.cast.pop(session, None)
        for session, speakers in changes.session_speakers.items():
            assert session not in self.cast
            self.cast[session] = speakers
        for key, skip in changes.skips.items():
            if skip is None:
                self.skips.pop(key, None)
            else:
                self.skips[key] = skip

    def _table(
        self, name: str, changes: TableChanges[object] | TableChanges[tuple[object, object]]
    ) -> None:
        table = self.rows[name]
        for key, row in changes.rows.items():
            # ON CONFLICT keeps the key columns of an existing row.
            named = {
                k: v
                for k, v in table.get(key, {}).items()
                if k in ("sessionize_id", "session_code")
            }
            table[key] = row | named
        for key, mark in changes.marks.items():
            if key in table:
                table[key].update(mark)

    def like(self, view: dict[str, oracle.Rows]) -> dict[str, oracle.Rows]:
        """The rows by Sessionize id, with the columns of `view`."""
        found: dict[str, oracle.Rows] = {name: {} for name in view}
        for name, table in (*self.rows.items(), ("skips", self.skips)):
            for key, row in table.items():
                if name == "sessions":
                    ordered = sorted(self.cast[key], key=lambda r: cast("int", r["ordinal"]))
                    row = row | {"speaker_ids": [r["speaker_id"] for r in ordered]}
                sessionize_id = str(row["sessionize_id"])
                columns = view[name].get(sessionize_id, row)
                found[name][sessionize_id] = {column: row.get(column) for column in columns}
        return found


class Conference(RuleBasedStateMachine):
    """One SpreaView event. Every rule ends with a run, and every run with `check`."""

    def __init__(self) -> None:
        super().__init__()
        self.window = Window(
            starts_on=date(2026, 10, 24), ends_on=date(2026, 10, 26), time_zone=ZONES[0]
        )
        self.api_id = "abcd1234"
        self.runs = 0
        self.state = State()
        self.log: list[Recorded] = []
        self.tables = Tables()
        self.shown = oracle.Shown()
        self.accepted = False
        self.ids: dict[str, tuple[object, ...]] = {}
        self.document: dict[str, Rows] = {}
        self.last_body = b""
        self.last_events: list[ImportEvent] = []

    @initialize(talks=st.sampled_from([1, 4, 9, 14, 20]))
    def first_import(self, talks: int) -> None:
        whole = document(*(new_talk(number) for number in range(talks)))
        self.document = {name: cast("Rows", whole[name]) for name in oracle.LISTS}
        self.run()

    @rule(edits=EDITS_OF_A_RUN)
    def the_document_changes(self, edits: list[tuple[Edit, int, int]]) -> None:
        for edit, n, m in edits:
            edit(self.document, n, m)
        self.run()

    @rule(edits=EDITS_OF_A_RUN, force=st.booleans(), allow=st.sampled_from([None, 0, 3, 99]))
    def the_document_changes_and_buttons_are_pressed(
        self, edits: list[tuple[Edit, int, int]], force: bool, allow: int | None
    ) -> None:
        for edit, n, m in edits:
            edit(self.document, n, m)
        self.run(options=RequestOptions(force, allow))

    @rule(fault=st.integers(0, 6), number=st.integers(0, 15))
    def a_session_breaks(self, fault: int, number: int) -> None:
        break_one(self.document, 4 * number, fault)
        self.run()

    @precondition(lambda self: self.shown.held)
    @rule(more=st.integers(-1, 1))
    def removals_are_confirmed(self, more: int) -> None:
        self.run(self.last_body, RequestOptions(allow_removals=len(self.shown.held) + more))

    @rule(
        starts=st.integers(-3, 3),
        days=st.sampled_from([2, 0, 1, 6]),
        zone=st.sampled_from(ZONES),
    )
    def the_window_moves(self, starts: int, days: int, zone: str) -> None:
        first = date(2026, 10, 24) + timedelta(days=starts)
        self.window = Window(starts_on=first, ends_on=first + timedelta(days=days), time_zone=zone)
        self.run()

    @rule(api_id=st.sampled_from(["abcd1234", "efgh5678"]), force=st.booleans())
    def another_endpoint(self, api_id: str, force: bool) -> None:
        self.api_id = api_id
        self.run(options=RequestOptions(force=force))

    @rule(kept=st.integers(1, 5), for_good=st.booleans())
    def most_of_what_is_imported_is_gone(self, kept: int, for_good: bool) -> None:
        gone = [*self.shown.now["sessions"]][kept:]
        rest = [row for row in self.document["sessions"] if row["id"] not in gone]
        if for_good:
            self.document["sessions"] = rest
        self.run(json.dumps(self.document | {"sessions": rest}).encode())

    @rule(answer=st.sampled_from([*ANSWERS, 0.2, 0.5, 0.9, None]))
    def an_answer_is_no_schedule(self, answer: bytes | float | None) -> None:
        """An answer of another kind, a cut-off one, or one from before the announcement."""
        if isinstance(answer, float):
            body = json.dumps(self.document).encode()
            answer = body[: int(len(body) * answer)]
        elif answer is None:
            never = dict.fromkeys(("startsAt", "endsAt", "roomId"))
            silent = [row | never for row in self.document["sessions"]]
            answer = json.dumps(self.document | {"sessions": silent, "rooms": []}).encode()
        self.run(answer)
        assert not self.accepted

    @rule()
    def another_event(self) -> None:
        others = [row | {"id": f"other {row['id']}"} for row in self.document["sessions"]]
        self.run(json.dumps(self.document | {"sessions": others}).encode())

    @precondition(lambda self: self.accepted)
    @rule()
    def the_same_again(self) -> None:
        self.run(self.last_body)
        assert self.accepted
        assert [type(event) for event in self.last_events] == [SyncCompleted]

    @rule(cuts=st.sets(st.integers(1, 9)))
    def windows_that_tile_the_days(self, cuts: set[int]) -> None:
        edges = [0, *sorted(cuts), 10]
        days = [date(2026, 10, 20) + timedelta(days=edge) for edge in edges]
        body, zone = json.dumps(self.document).encode(), self.window.time_zone
        seen: Counter[str] = Counter()
        try:
            read = oracle.read(body, zone)
        except oracle.Refused:
            return
        for first, end in pairwise(days):
            tile = Window(starts_on=first, ends_on=end - timedelta(days=1), time_zone=zone)
            events = decide(State(), schedule_of(body, tile), History().command(tile), SOURCE, 3)
            seen.update(e.sessionize_id for e in events if isinstance(e, SessionImported))
        once = {key for key, found in read.elements["sessions"].items() if len(found) == 1}
        assert {key for key in seen if key in once and seen[key] != 1} == set()
        assert seen.keys() == {
            key
            for key, found in read.elements["sessions"].items()
            if any(
                row["starts_at"] and row["ends_at"] and row["room_id"] in read.elements["rooms"]
                for row, _ in found
            )
        }

    def run(self, body: bytes | None = None, options: RequestOptions = PLAIN) -> None:
        """Run one request and check its outcome."""
        body = json.dumps(self.document).encode() if body is None else body
        options = RequestOptions(options.force, options.allow_removals, self.api_id)
        command = History(runs=self.runs).command(self.window, options)
        facts = command.facts()
        request = oracle.Request(
            sync_id=str(command.sync_id),
            organization=ORGANIZATION,
            event=EVENT,
            starts_on=self.window.starts_on,
            ends_on=self.window.ends_on,
            zone=self.window.time_zone,
            fingerprint=command.api_id_fingerprint,
            force=options.force,
            allow=options.allow_removals,
        )
        before = State(**{f.name: copy.copy(getattr(self.state, f.name)) for f in fields(State)})
        events: list[ImportEvent]
        code = None
        try:
            events = decide(self.state, schedule_of(body, self.window), command, SOURCE, 3)
        except SyncFailure as failed:
            code = failed.code
            events = [sample("SyncFailed", **facts, code=code, message=failed.message)]
        assert before == self.state

        lines: list[oracle.Line] = []
        expected = None
        try:
            self.shown, lines = oracle.expect(self.shown, body, request)
        except oracle.Refused as failed:
            expected = str(failed)
        assert code == expected
        assert Counter(oracle.lines_of(events)) == Counter(lines)

        self.runs += 1
        self.accepted, self.last_body, self.last_events = code is None, body, events
        started = sample(
            "SyncStarted",
            **facts,
            window=self.window,
            force=options.force,
            allow_removals=options.allow_removals,
            api_id_fingerprint=command.api_id_fingerprint,
        )
        self.append([started, *events])
        self.check()
        run = self.tables.runs[str(command.sync_id)]
        assert run["status"] == ("completed" if self.accepted else "failed")
        if self.accepted:
            held = [entry["sessionize_id"] for entry in cast("Rows", run["withheld"])]
            assert held == sorted(self.shown.held)
            ended = events[-1]
            assert isinstance(ended, SyncCompleted)
            assert ended.counts.sessions.left == self.shown.left

    def append(self, events: list[ImportEvent]) -> None:
        """Store the events, fold them into the state and apply them to the read models."""
        recorded: list[Recorded] = []
        for event in events:
            plain = take_apart(event)
            personal = plain.personal.body.decode() if plain.personal else None
            whole = join(plain.type, plain.schema_version, canonical(plain.data).decode(), personal)
            number = len(self.log) + len(recorded) + 1
            recorded.append(Recorded(plain.type, whole, EVENT, number, 100 + number, AT))
        self.log += recorded
        fold((to_event(entry.type, entry.data) for entry in recorded), self.state)
        self.tables.apply(project(recorded))

    def check(self) -> None:
        expected = oracle.view(self.shown, ORGANIZATION, EVENT)
        assert self.tables.like(expected) == expected
        rows = self.tables.rows
        for name, present, past in (
            ("rooms", self.state.rooms, self.state.past_rooms),
            ("speakers", self.state.speakers, self.state.past_speakers),
            ("sessions", self.state.sessions, self.state.past_sessions),
        ):
            folded = dict.fromkeys(present, "here") | dict.fromkeys(past, "withdrawn")
            assert not present.keys() & past.keys()
            assert folded == {
                str(row["sessionize_id"]): "withdrawn" if row["status"] == "withdrawn" else "here"
                for row in rows[name].values()
            }
        assert self.state.withheld == self.shown.held
        assert self.state.skipped.keys() == self.shown.skips.keys()
        for key, row in self.tables.like(expected)["sessions"].items():
            ids = (row["session_id"], row["session_code"])
            assert self.ids.setdefault(key, ids) == ids
        assert len({code for _, code in self.ids.values()}) == len(self.ids)

    def teardown(self) -> None:
        """Check that folding and projecting the whole log gives the same result."""
        assert fold(to_event(entry.type, entry.data) for entry in self.log) == self.state
        rebuilt = Tables()
        rebuilt.apply(project(self.log))
        expected = oracle.view(self.shown, ORGANIZATION, EVENT)
        assert rebuilt.like(expected) == self.tables.like(expected)


def test_the_read_models_follow_the_rules_through_any_history() -> None:
    run_state_machine_as_test(
        Conference, settings=settings(max_examples=examples(70), stateful_step_count=30)
    )


FATES = st.sampled_from([None, None, {"startsAt": None}, {"roomId": None}])
ALLOWED = st.sampled_from([None, None, None, None, 6, 12, 24])
GONE = st.tuples(st.integers(0, 23), st.integers(0, 24), FATES, ALLOWED)


@for_all(st.lists(GONE, min_size=1, max_size=6))
@settings(max_examples=examples(50))
def test_the_guard_decides_what_stays_when_many_sessions_go_and_return(
    answers: list[tuple[int, int, JsonObject | None, int | None]],
) -> None:
    conference = Conference()
    conference.first_import(24)
    everything = conference.document["sessions"]
    for start, number, fate, allow in answers:
        end = start + number
        left = [] if fate is None else [row | fate for row in everything[start:end]]
        conference.document["sessions"] = everything[:start] + left + everything[end:]
        conference.run(options=RequestOptions(allow_removals=allow))
    conference.teardown()
