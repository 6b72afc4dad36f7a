"""Snapshots of the state: a run that starts from one decides as from the whole history."""

import zlib

import msgspec
import pytest

from contracts import samples
from contracts.events import SyncStarted
from tests.support.documents import days, document, talk, unscheduled
from tests.support.given import History, given
from tests.support.program import HELD_21
from worker.rules.state import State, fold
from worker.rules.state_encoding import decode_state, encode_state

SOURCE = document(
    talk("1"), talk("2", "2026-05-29T10:00:00", room=8, speakers=["eve"]), unscheduled("3")
)
OUTSIDE = document(talk("1"), talk("2", "2026-05-31T10:00:00"), unscheduled("3"))
STARTED = next(event for event in samples.EVENTS if isinstance(event, SyncStarted))

HISTORIES = [
    pytest.param(History(), id="nothing has happened"),
    pytest.param(given(SOURCE), id="imported, one unscheduled"),
    pytest.param(given(SOURCE, OUTSIDE), id="one left the window"),
    pytest.param(given(SOURCE, document(talk("1")), SOURCE), id="withdrawn and restored"),
    pytest.param(given(SOURCE).after(SOURCE, days(28, 28)), id="another window"),
    pytest.param(given(*HELD_21), id="removals withheld"),
    pytest.param(
        History([*given(SOURCE).events, STARTED], runs=2), id="a run is open, somebody asked for it"
    ),
]


def without_requesters(state: State) -> State:
    state.open_runs = {
        sync_id: msgspec.structs.replace(started, requested_by=None)
        for sync_id, started in state.open_runs.items()
    }
    return state


@pytest.mark.parametrize("history", HISTORIES)
def test_decoding_inverts_encoding(history: History) -> None:
    read = decode_state(encode_state(history.state))

    assert read == without_requesters(history.state)
    assert read.snapshot_version == len(history.events)


@pytest.mark.parametrize("history", HISTORIES)
def test_a_state_folded_from_any_snapshot_encodes_the_same(history: History) -> None:
    whole = encode_state(history.state)
    events = history.events
    for cut in range(len(events) + 1):
        kept = decode_state(encode_state(fold(events[:cut])))
        assert encode_state(fold(events[cut:], kept)) == whole


def test_a_snapshot_leaves_out_the_requester() -> None:
    body = zlib.decompress(encode_state(fold([STARTED])))

    assert STARTED.requested_by is not None
    assert STARTED.requested_by.encode() not in body
    assert list(decode_state(zlib.compress(body)).open_runs) == [STARTED.sync_id]


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"", id="nothing"),
        pytest.param(b"garbage", id="not compressed"),
        pytest.param(encode_state(State())[:-5], id="cut off"),
        pytest.param(zlib.compress(b"[]"), id="not an object"),
        pytest.param(zlib.compress(b"{}"), id="no state"),
        pytest.param(zlib.compress(b'{"version": "one"}'), id="a field of another type"),
    ],
)
def test_decoding_anything_else_is_a_value_error(body: bytes) -> None:
    with pytest.raises(ValueError, match="no state"):
        decode_state(body)
