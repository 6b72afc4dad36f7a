"""The rules of the import in sentences for organisers: the reason, and what to do about it."""

from collections.abc import Mapping
from typing import NamedTuple


class Rule(NamedTuple):
    """One rule, as an explanation shows it."""

    there: bool
    """Whether SpreaView shows the entity."""
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
        "It left the schedule in Sessionize, but together with so many other sessions that this "
        "looks like a mistake. Its removal is held back, and it stays as it was.",
        "If it should be removed, sync again and confirm the removals: the warning of the last "
        f"sync gives their number. If it should stay, schedule it in Sessionize again, {_SYNC}",
    ),
    "invalid_kept": Rule(
        True,
        "Sessionize lists it, but its entry cannot be read, so it stays as it was last imported.",
        f"Correct it in Sessionize, {_SYNC}",
    ),
    "fields_kept": Rule(
        True,
        "Sessionize lists it, but some of its fields cannot be read. They keep their last values, "
        "or are empty if they never had one.",
        f"Correct these fields in Sessionize, {_SYNC}",
    ),
    "invalid_skipped": Rule(
        False,
        "Sessionize lists it, but its entry cannot be read. It was not in the schedule when the "
        "entry became unreadable, so it stays out.",
        f"Correct it in Sessionize, {_SYNC}",
    ),
    "before_window": Rule(
        False,
        "It starts before 00:00 on the event's first day, in the event's time zone.",
        f"Correct its time in Sessionize or the first day of the event in SpreaView, {_SYNC}",
    ),
    "after_window": Rule(
        False,
        "It starts after the event's last day, in the event's time zone.",
        f"Correct its time in Sessionize or the last day of the event in SpreaView, {_SYNC}",
    ),
    "unscheduled": Rule(
        False,
        "Only sessions with a start, an end and a known room are imported, and at least one of "
        "these is missing.",
        f"Give it a time and a room in Sessionize and announce the schedule, {_SYNC}",
    ),
    "missing_from_source": Rule(
        False,
        "Sessionize's schedule no longer contains it, so it was withdrawn.",
        "If it should be there, check in Sessionize that it is accepted and that the endpoint's "
        f"filter includes it, {_SYNC} Its session code stays the same.",
    ),
}

ENTITY_RULES: Mapping[str, Rule] = {
    "imported": Rule(True, "An imported session refers to it.", NOTHING),
    "fields_kept": SESSION_RULES["fields_kept"],
    "unreferenced": Rule(
        False,
        "Only rooms and speakers of imported sessions are imported, and no imported session "
        "refers to this one.",
        "If a session should refer to it, explain that session: it may be outside the event's "
        "dates or have no time.",
    ),
    "missing_from_source": Rule(
        False,
        "Sessionize's schedule no longer contains it, so it was withdrawn.",
        f"If it should be there, add it in Sessionize, {_SYNC}",
    ),
    "erased": Rule(
        False,
        "The person asked to be forgotten: no personal data is shown until the erasure is lifted.",
        NOTHING,
    ),
}

RULES_WITHOUT_EVENT: Mapping[str, Rule] = {
    "invalid_ignored": Rule(
        False,
        "Sessionize lists it, but its entry cannot be read, so it was not imported.",
        f"Correct it in Sessionize, {_SYNC}",
    ),
    "run_failed": Rule(
        False,
        "The last sync failed, and a failed sync changes nothing.",
        "Do what the message of the failed sync says, then sync again.",
    ),
    "no_sync_yet": Rule(
        False, "No sync of this event has completed yet.", "Wait for the sync, or request one."
    ),
    "document_not_kept": Rule(
        False,
        "The event's history does not contain it. Whether the last sync listed it is not known, "
        "because its document is not kept.",
        "Check the spelling. Then check in Sessionize that it is accepted and that the endpoint's "
        f"filter includes it, {_SYNC}",
    ),
    "never_seen": Rule(
        False,
        "Neither the event's history nor the document of the last sync contains it.",
        "Check the spelling. Then check in Sessionize that it is accepted and that the endpoint's "
        f"filter includes it, {_SYNC}",
    ),
}


def rule_of(kind: str, name: str) -> Rule:
    """The rule with this name for a session, a room or a speaker."""
    own = SESSION_RULES if kind == "session" else ENTITY_RULES
    return own.get(name) or RULES_WITHOUT_EVENT[name]
