"""Checking a request before any work on it begins."""

from datetime import date, timedelta
from uuid import UUID

import msgspec
import pytest

from contracts import samples
from contracts.failures import FailureCode
from contracts.messages import Window
from tests.support.documents import document, talk
from tests.support.given import given
from worker.rules.command import check_request, check_turn
from worker.rules.state import State
from worker.rules.sync_failures import SyncFailure
from worker.rules.window import bounds_of, zone_of

KEY, OTHER_KEY = b"k" * 32, b"K" * 32
REQUEST = samples.REQUEST
ADDRESS = "https://sessionize.com/api/v2/abcd1234/view/All"


def fingerprint(api_id: str, key: bytes = KEY) -> str:
    request = msgspec.structs.replace(REQUEST, sessionize_api_id=api_id)
    return check_request(request, key).api_id_fingerprint


def test_a_checked_request_gives_the_command_of_the_decision() -> None:
    checked = check_request(
        msgspec.structs.replace(REQUEST, sessionize_api_id=ADDRESS, allow_removals=3, force=True),
        KEY,
    )
    command = checked.command(REQUEST.requested_at)

    assert checked.api_id == "abcd1234"
    assert checked.zone == zone_of(REQUEST.window)
    assert command.facts() == {
        "sync_id": REQUEST.request_id,
        "organization_id": REQUEST.organization_id,
        "spreaview_event_id": REQUEST.spreaview_event_id,
    }
    assert command.bounds == bounds_of(REQUEST.window)
    assert (command.force, command.allow_removals) == (True, 3)
    assert command.api_id_fingerprint == fingerprint("abcd1234")
    assert command.ordered_at == REQUEST.requested_at


def test_a_fingerprint_distinguishes_api_ids_and_depends_on_the_key() -> None:
    assert fingerprint("abcd1234") == fingerprint(ADDRESS)
    assert fingerprint("abcd1234") != fingerprint("abcd1235")
    assert fingerprint("abcd1234") != fingerprint("abcd1234", OTHER_KEY)
    assert len(bytes.fromhex(fingerprint("abcd1234"))) == 16


@pytest.mark.parametrize("api_id", ["", "abcd", "https://evil.example/api/v2/abcd1234"])
def test_an_invalid_api_id_is_refused_without_repeating_it(api_id: str) -> None:
    with pytest.raises(SyncFailure) as failed:
        fingerprint(api_id)
    assert failed.value.code == FailureCode.INVALID_API_ID
    assert not api_id or api_id not in str(failed.value)


@pytest.mark.parametrize(
    ("window", "name"),
    [
        (Window(starts_on=date(2026, 5, 2), ends_on=date(2026, 5, 1), time_zone="UTC"), "ends_on"),
        (Window(starts_on=date(2026, 5, 1), ends_on=date(2026, 5, 1), time_zone="X"), "time_zone"),
        (Window(starts_on=date(1, 1, 1), ends_on=date(2026, 5, 1), time_zone="UTC"), "starts_on"),
    ],
)
def test_an_invalid_window_is_refused_naming_the_field(window: Window, name: str) -> None:
    with pytest.raises(SyncFailure, match=f"window.{name}") as failed:
        check_request(msgspec.structs.replace(REQUEST, window=window), KEY)
    assert failed.value.code == FailureCode.INVALID_REQUEST


def check_turn_of(state: State, organization_id: UUID, seconds: int) -> None:
    """Check a request some seconds after the last completed one. Raises `SyncFailure`."""
    request = msgspec.structs.replace(REQUEST, organization_id=organization_id)
    last = state.last_completed_ordered_at or REQUEST.requested_at
    check_turn(state, request, last + timedelta(seconds=seconds))


SOURCE = document(talk("1"))


@pytest.mark.parametrize("seconds", [0, 1])
def test_a_request_of_the_same_time_or_later_is_accepted(seconds: int) -> None:
    state = given(SOURCE).state
    assert state.organization_id is not None

    check_turn_of(state, state.organization_id, seconds)


def test_before_the_first_sync_every_request_is_accepted() -> None:
    check_turn_of(State(), REQUEST.organization_id, -1)


def test_a_strictly_older_request_is_superseded() -> None:
    state = given(SOURCE, SOURCE).state
    assert state.organization_id is not None

    with pytest.raises(SyncFailure) as failed:
        check_turn_of(state, state.organization_id, -1)
    assert failed.value.code == FailureCode.SUPERSEDED


def test_an_event_belongs_to_the_organization_that_first_synced_it() -> None:
    with pytest.raises(SyncFailure, match="organization_id") as failed:
        check_turn_of(given(SOURCE).state, UUID(int=1), 1)
    assert failed.value.code == FailureCode.INVALID_REQUEST
