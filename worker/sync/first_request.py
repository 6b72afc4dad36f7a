"""The first request with an id: a later request with the same id gets no run of its own."""

from typing import NamedTuple

from msgspec.structs import replace

from contracts import identity
from contracts.events import ImportEvent, SyncStarted
from contracts.messages import SyncRequested, mask_api_id
from eventstore.log import EventLog
from worker.rules.command import check_request
from worker.rules.sync_failures import SyncFailure


class FirstRequest(NamedTuple):
    """The run of an earlier request with the same id, compared with a later one."""

    is_over: bool
    """Whether the run has its outcome."""
    event: ImportEvent
    """Its `SyncStarted`, or its `SyncFailed` if it failed before it started."""
    differences: list[str]
    """Fields in which the later request differs, as they are called in `SyncRequested`."""


async def find_first_request(log: EventLog, request: SyncRequested) -> FirstRequest | None:
    """Return the run that already has the id of a request; None if the id is new.

    The API IDs are compared by their mask and keyed fingerprint, the only traces of one in the log.
    If a run failed before it started, the log has its ids only.
    """
    found = await log.clock_and_run(request.request_id)
    ordinal = 0 if found.begun_in is not None else identity.OUTCOME
    recorded = await log.event(identity.message_id(request.request_id, ordinal))
    if recorded is None:
        return None
    key = (await log.identity()).fingerprint_key
    differences = list_differences(recorded.event, request, key)
    return FirstRequest(found.ended_in is not None, recorded.event, differences)


def list_differences(
    first: ImportEvent, request: SyncRequested, fingerprint_key: bytes
) -> list[str]:
    """Return the names of the fields in which a request differs from the first with its id."""
    pairs: dict[str, tuple[object, object]] = {
        "spreaview_event_id": (first.spreaview_event_id, request.spreaview_event_id),
        "organization_id": (first.organization_id, request.organization_id),
    }
    if isinstance(first, SyncStarted):
        pairs |= {
            "sessionize_api_id": (
                (first.api_id_masked, first.api_id_fingerprint),
                _api_id_traces(replace(request, window=first.window), fingerprint_key),
            ),
            "window": (first.window, request.window),
            "force": (first.force, bool(request.force)),
            "allow_removals": (first.allow_removals, request.allow_removals),
        }
    return [name for name, (before, now) in pairs.items() if before != now]


def _api_id_traces(request: SyncRequested, fingerprint_key: bytes) -> tuple[str, str] | None:
    """The mask and the fingerprint that a run of this request would record; None if refused."""
    try:
        checked = check_request(request, fingerprint_key)
    except SyncFailure:
        return None
    return mask_api_id(checked.api_id), checked.api_id_fingerprint
