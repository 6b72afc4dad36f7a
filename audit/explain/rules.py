"""The rules of the import in plain words: why something is or is not there, and what to do."""

from collections.abc import Mapping
from typing import NamedTuple


class Rule(NamedTuple):
    """One rule, as an explanation tells it."""

    there: bool
    """Whether SpreaView shows it."""
    words: str
    remedy: str


NOTHING = "Nothing needs to be done."
_SYNC = "then sync again."

SESSION_RULES: Mapping[str, Rule] = {
    "scheduled": Rule(
        True, "It starts within the event's dates and has a time and a known room.", NOTHING
    ),
    "withheld": Rule(
        True,
        "It left the schedule in Sessionize together with so many others that it looks like a "
        "mistake: the removal guard holds its removal back, and it stays as it was.",
        "If it is meant to go, sync again and confirm the removals; the warning of the last sync "
        "names their number. If not, put it back in Sessionize.",
    ),
    "invalid_kept": Rule(
        True,
        "The source contains it, but cannot be read here: it stays as it was imported last.",
        f"Correct it in Sessionize, {_SYNC}",
    ),
    "before_window": Rule(
        False,
        "It starts before 00:00 of the event's first day, in the event's time zone.",
        f"Correct its time in Sessionize or the first day of the event in SpreaView, {_SYNC}",
    ),
    "after_window": Rule(
        False,
        "It starts after the event's last day, in the event's time zone.",
        f"Correct its time in Sessionize or the last day of the event in SpreaView, {_SYNC}",
    ),
    "unscheduled": Rule(
        False,
        "Only sessions with a start, an end and a known room are imported; it lacks one.",
        f"Give it a time and a room in Sessionize and announce the schedule, {_SYNC}",
    ),
    "missing_from_source": Rule(
        False,
        "Sessionize's schedule does not contain it any more, so it was withdrawn.",
        f"If it should be there, check in Sessionize that it is accepted and that the endpoint's "
        f"filter includes it, {_SYNC} It gets the same code again.",
    ),
}

ENTITY_RULES: Mapping[str, Rule] = {
    "imported": Rule(True, "An imported session refers to it.", NOTHING),
    "invalid_kept": SESSION_RULES["invalid_kept"],
    "unreferenced": Rule(
        False,
        "Only rooms and speakers that an imported session refers to are imported; none does.",
        "If a session should refer to it, explain that session: it may be outside the event's "
        "dates or have no time.",
    ),
    "missing_from_source": Rule(
        False,
        "Sessionize's schedule does not contain it any more, so it was withdrawn.",
        f"If it should be there, add it in Sessionize, {_SYNC}",
    ),
    "erased": Rule(
        False,
        "The person asked to be forgotten: nothing personal is shown until that is lifted.",
        NOTHING,
    ),
}

NOT_IN_THE_LOG: Mapping[str, Rule] = {
    "invalid_ignored": Rule(
        False,
        "The source contains it, but it cannot be read, and it was not imported before.",
        f"Correct it in Sessionize, {_SYNC}",
    ),
    "run_failed": Rule(
        False,
        "The last sync failed, and a sync that fails changes nothing.",
        "Do what the failure says, then sync again.",
    ),
    "no_sync_yet": Rule(
        False, "No sync of this event has completed yet.", "Wait for the sync, or request one."
    ),
    "never_seen": Rule(
        False,
        "Nothing of this name is in the event's history or in the document of the last sync.",
        "Check the spelling, then in Sessionize that it is accepted and that the endpoint's "
        f"filter includes it, {_SYNC}",
    ),
}


def rule_of(kind: str, name: str) -> Rule:
    """The rule of a verdict about a session, a room or a speaker."""
    own = SESSION_RULES if kind == "session" else ENTITY_RULES
    return own.get(name) or NOT_IN_THE_LOG[name]
