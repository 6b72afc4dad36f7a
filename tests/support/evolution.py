"""Steps by which a synthetic conference changes as organisers change a real one.

Every step is a pure function of document and seed: its result is the same on every platform.
"""

import copy
import hashlib
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from zoneinfo import ZoneInfo

from cli.sandbox.conference import TIME_ZONE
from cli.sandbox.view_all import ScheduleDocument, SessionElement

T = TypeVar("T")


class _Dice:
    """Random choices, derived from a seed."""

    def __init__(self, seed: str) -> None:
        self._seed = seed
        self._thrown = 0

    def below(self, limit: int) -> int:
        """A number from 0 up to, but not including, `limit`."""
        self._thrown += 1
        digest = hashlib.sha256(f"{self._seed}\x1f{self._thrown}".encode()).digest()
        return int.from_bytes(digest[:8], "big") % limit

    def one_of(self, choices: Sequence[T]) -> T:
        """One of the choices."""
        return choices[self.below(len(choices))]


def add(document: ScheduleDocument, dice: _Dice) -> None:
    """Add a copy of a talk with its own id, in the next slot."""
    like = dice.one_of(_talks(document) or document["sessions"])
    ids = {session["id"] for session in document["sessions"]}
    new = copy.deepcopy(like)
    new["id"] = next(i for i in iter(lambda: str(900_000 + dice.below(99_999)), "") if i not in ids)
    new["title"] = f"{like['title'].strip()}, continued"
    _shift(new, timedelta(minutes=55))
    document["sessions"].append(new)


def drop(document: ScheduleDocument, dice: _Dice) -> None:
    """Cancel a session, but never the last one."""
    if len(document["sessions"]) > 1:
        document["sessions"].remove(dice.one_of(document["sessions"]))


def retime(document: ScheduleDocument, dice: _Dice) -> None:
    """Delay a session by 15 to 60 minutes."""
    if planned := _planned(document):
        _shift(dice.one_of(planned), timedelta(minutes=15 * (1 + dice.below(4))))


def move(document: ScheduleDocument, dice: _Dice) -> None:
    """Move a session to another room."""
    if planned := _planned(document):
        session = dice.one_of(planned)
        others = [room["id"] for room in document["rooms"] if room["id"] != session["roomId"]]
        session["roomId"] = dice.one_of(others) if others else session["roomId"]


def rename(document: ScheduleDocument, dice: _Dice) -> None:
    """Rename a room without changing its id, and retitle a session."""
    if document["rooms"]:
        dice.one_of(document["rooms"])["name"] += f" {1 + dice.below(9)}"
    dice.one_of(document["sessions"])["title"] += " (updated)"


def recast(document: ScheduleDocument, dice: _Dice) -> None:
    """Replace the speakers of a talk."""
    talks = _talks(document)
    if talks and document["speakers"]:
        talk = dice.one_of(talks)
        talk["speakers"] = [dice.one_of(document["speakers"])["id"]]


def reorder(document: ScheduleDocument, dice: _Dice) -> None:
    """Reorder the arrays: the schedule stays the same."""
    at = dice.below(len(document["sessions"]))
    document["sessions"] = document["sessions"][at:] + document["sessions"][:at]
    document["speakers"].reverse()


def flip_notation(document: ScheduleDocument, dice: _Dice) -> None:
    """Switch the endpoint's option for UTC: every instant stays the same."""
    del dice
    zone = ZoneInfo(TIME_ZONE)
    for session in _planned(document):
        for key in ("startsAt", "endsAt"):
            text = session[key] or ""
            moment = datetime.fromisoformat(text)
            if moment.tzinfo is None:
                utc = moment.replace(tzinfo=zone).astimezone(UTC).replace(tzinfo=None)
                session[key] = f"{utc.isoformat()}Z"
            else:
                session[key] = moment.astimezone(zone).replace(tzinfo=None).isoformat()


def unannounce(document: ScheduleDocument, dice: _Dice) -> None:
    """Withdraw the schedule: talks and speakers stay; times, rooms and service sessions go."""
    del dice
    document["sessions"] = [s for s in document["sessions"] if not s["isServiceSession"]]
    for session in document["sessions"]:
        session["startsAt"] = session["endsAt"] = session["roomId"] = None
    document["rooms"] = []


Step = Callable[[ScheduleDocument, _Dice], None]

STEPS: dict[str, Step] = {
    step.__name__: step
    for step in (add, drop, retime, move, rename, recast, reorder, flip_notation, unannounce)
}
"""Every step by its name."""

EVERYDAY = tuple(name for name in STEPS if name != unannounce.__name__)
"""The steps that an announced schedule takes from day to day."""


def evolve(document: ScheduleDocument, *steps: str, seed: str) -> ScheduleDocument:
    """A copy of the document after these steps.

    A step that finds nothing to change changes nothing.

    Raises:
        KeyError: `STEPS` has no step of this name.
    """
    changed = copy.deepcopy(document)
    for number, name in enumerate(steps):
        STEPS[name](changed, _Dice(f"{seed}\x1f{number}\x1f{name}"))
    return changed


def life(document: ScheduleDocument, states: int, *, seed: str) -> list[ScheduleDocument]:
    """A conference from day to day: `states` documents that start with the given one."""
    documents = [document]
    while len(documents) < states:
        day = f"{seed}\x1f{len(documents)}"
        dice = _Dice(day)
        steps = [dice.one_of(EVERYDAY) for _ in range(dice.below(4))]  # none on a quiet day
        documents.append(evolve(documents[-1], *steps, seed=day))
    return documents


def _talks(document: ScheduleDocument) -> list[SessionElement]:
    return [s for s in document["sessions"] if not s["isServiceSession"] and s["startsAt"]]


def _planned(document: ScheduleDocument) -> list[SessionElement]:
    return [s for s in document["sessions"] if s["startsAt"] and s["endsAt"]]


def _shift(session: SessionElement, by: timedelta) -> None:
    for key in ("startsAt", "endsAt"):
        text = session[key]
        if text:
            moved = (datetime.fromisoformat(text) + by).isoformat()
            session[key] = moved.replace("+00:00", "Z")
