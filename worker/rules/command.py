"""Checking a request before any work on it begins."""

import hmac
from datetime import datetime
from typing import NamedTuple
from zoneinfo import ZoneInfo

from contracts.messages import SyncRequested, parse_api_id
from worker.rules import sync_failures
from worker.rules.placement import ImportCommand
from worker.rules.state import State
from worker.rules.window import Bounds, InvalidWindowError, bounds_of, zone_of

_FINGERPRINT_HEX_DIGITS = 32


class CheckedRequest(NamedTuple):
    """A request with a valid API ID and window."""

    request: SyncRequested
    api_id: str
    api_id_fingerprint: str
    bounds: Bounds
    zone: ZoneInfo

    def command(self, ordered_at: datetime) -> ImportCommand:
        """The part of the request that `decide` needs."""
        return ImportCommand(
            sync_id=self.request.request_id,
            organization_id=self.request.organization_id,
            spreaview_event_id=self.request.spreaview_event_id,
            bounds=self.bounds,
            ordered_at=ordered_at,
            force=bool(self.request.force),
            allow_removals=self.request.allow_removals,
            api_id_fingerprint=self.api_id_fingerprint,
        )


def check_request(request: SyncRequested, fingerprint_key: bytes) -> CheckedRequest:
    """Check the API ID and the window.

    The fingerprint of the API ID is keyed, so that the API ID cannot be guessed from it.

    Raises:
        SyncFailure: `invalid_api_id`, or `invalid_request` naming the field.
    """
    api_id = parse_api_id(request.sessionize_api_id)
    if api_id is None:
        raise sync_failures.invalid_api_id()
    try:
        bounds, zone = bounds_of(request.window), zone_of(request.window)
    except InvalidWindowError as error:
        raise sync_failures.invalid_request(str(error)) from error
    fingerprint = hmac.digest(fingerprint_key, api_id.encode(), "sha256").hex()
    return CheckedRequest(request, api_id, fingerprint[:_FINGERPRINT_HEX_DIGITS], bounds, zone)


def check_turn(state: State, request: SyncRequested, ordered_at: datetime) -> None:
    """Check that no later sync has completed, and that the organization owns the SpreaView event.

    The latest request wins; the first completed sync of an event decides its organization.

    Raises:
        SyncFailure: `superseded`, or `invalid_request` for another organization.
    """
    last = state.last_completed_ordered_at
    if last is not None and ordered_at < last:
        raise sync_failures.superseded()
    if state.organization_id not in (None, request.organization_id):
        raise sync_failures.wrong_organization()
