"""The conferences and the requests of a run, determined by the seed."""

import random
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import NamedTuple
from uuid import UUID

import msgspec

from cli.sandbox.conference import STARTS_ON, TIME_ZONE, conference, encode_conference
from tests.support.evolution import life

_STATES = 60
_TALKS = 18


class SyncEvent(NamedTuple):
    """A SpreaView event."""

    event_id: UUID
    organization_id: UUID
    api_id: str
    starts_on: date
    ends_on: date


class Form(StrEnum):
    """Kind of a published record."""

    PLAIN = "plain"
    TWICE = "twice"
    """The same request published two times."""
    INVALID = "invalid"
    """Its ids are readable, and its window ends before it starts."""
    POISON = "poison"
    """Its ids are not readable: it belongs to the dead letters."""


class Record(NamedTuple):
    """A record to publish."""

    form: Form
    event: SyncEvent
    request_id: UUID
    value: bytes
    """The record's bytes."""
    moves_on: bool
    """Whether the conference has changed before it."""


class World:
    """Conferences that change independently; two SpreaView events share some of them."""

    def __init__(self, seed: int, events: int) -> None:
        self._dice = random.Random(f"world {seed}")
        self.events = [self._event(number) for number in range(events)]
        self._lives = {
            api_id: _bodies(api_id, self._dice) for api_id in {e.api_id for e in self.events}
        }
        self._age = dict.fromkeys(self._lives, 0)

    @property
    def api_ids(self) -> list[str]:
        """Every API ID, sorted."""
        return sorted(self._lives)

    def body(self, api_id: str) -> bytes:
        """Return the current document of Sessionize."""
        bodies = self._lives[api_id]
        return bodies[min(self._age[api_id], len(bodies) - 1)]

    def move_on(self, api_id: str) -> None:
        """Apply the next change of the organisers; after the last one, start again."""
        self._age[api_id] = (self._age[api_id] + 1) % _STATES

    def records(self) -> Iterator[Record]:
        """Yield records without end, in the order of publication."""
        while True:
            event = self._dice.choice(self.events)
            form = self._dice.choices(list(Form), [14, 4, 1, 2])[0]
            request_id = self._id()
            moves_on = self._dice.random() < 0.6
            value = self._value(form, event, request_id)
            yield Record(form, event, request_id, value, moves_on)

    def _value(self, form: Form, event: SyncEvent, request_id: UUID) -> bytes:
        if form is Form.POISON:
            broken = f'{{"request_id": "{request_id}", "oops'
            without = f'{{"marker": "{request_id}", "spreaview_event_id": null}}'
            return self._dice.choice([broken, without]).encode()
        ends_on = event.ends_on
        if form is Form.INVALID:
            ends_on = event.starts_on - timedelta(days=2)
        request: dict[str, object] = {
            "request_id": request_id,
            "organization_id": event.organization_id,
            "spreaview_event_id": event.event_id,
            "sessionize_api_id": event.api_id,
            "window": {
                "starts_on": event.starts_on,
                "ends_on": ends_on,
                "time_zone": TIME_ZONE,
            },
            "requested_at": datetime.now(UTC),
            "requested_by": "Ada Example",
        }
        if self._dice.random() < 0.1:
            request["force"] = True
        return msgspec.json.encode(request)

    def _event(self, number: int) -> SyncEvent:
        """Every third shares its predecessor's API ID, with another organization and one day."""
        shares = number % 3 == 2
        api_id = f"chaos{number - shares:05d}"
        last_day = STARTS_ON if shares else STARTS_ON + timedelta(days=1)
        return SyncEvent(self._id(), self._id(), api_id, STARTS_ON, last_day)

    def _id(self) -> UUID:
        return UUID(int=self._dice.getrandbits(128), version=4)


def _bodies(api_id: str, dice: random.Random) -> list[bytes]:
    """Return successive states. Some lack most of the schedule, to trigger the removal guard."""
    states = life(conference(api_id, sessions=_TALKS), _STATES, seed=api_id)
    for number in range(5, _STATES, 11):
        if dice.random() < 0.7:
            whole = states[number]
            few = whole["sessions"][: len(whole["sessions"]) // 3]
            states[number] = {**whole, "sessions": few}
    return [encode_conference(state) for state in states]
