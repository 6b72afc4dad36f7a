"""The stable codes of warnings in `SyncCompleted`, with their meanings and remedies."""

from collections.abc import Mapping
from typing import NamedTuple


class WarningText(NamedTuple):
    """The meaning of a warning for an organiser."""

    meaning: str
    remedy: str


_CORRECT = "Correct it in Sessionize. Until then its last values stay."
_LISTED = "Remove one of them in Sessionize."

WARNINGS: Mapping[str, WarningText] = {
    "no_session_in_window": WarningText(
        "No session starts within the dates of the event.",
        "Compare the dates of the event in SpreaView with the schedule in Sessionize.",
    ),
    "window_changed": WarningText(
        "Imported sessions left the schedule because the dates changed.",
        "If they should stay, correct the dates in SpreaView.",
    ),
    "source_changed": WarningText(
        "The API ID is not that of the last sync. Missing sessions were removed unconfirmed.",
        "If the API ID is wrong, sync again with the right one.",
    ),
    "removals_withheld": WarningText(
        "So many sessions are gone that they are kept until somebody confirms their removal.",
        "To remove them, sync again with the number of allow_removals that the message names.",
    ),
    "room_double_booked": WarningText(
        "Two talks overlap in one room.",
        "Correct a time or a room in Sessionize, if it is a mistake.",
    ),
    "session_ends_before_it_starts": WarningText(
        "A session ends before it starts.", "Correct its time in Sessionize."
    ),
    "session_not_accepted": WarningText(
        "A session is imported although its status in Sessionize is not Accepted.",
        "If it should not be, exclude it by the filter of the endpoint.",
    ),
    "unknown_room": WarningText(
        "A session refers to a room that the document does not list.",
        "Give the session another room in Sessionize.",
    ),
    "unknown_speaker": WarningText(
        "A session refers to a speaker whom the document does not list, and who is left out.",
        "Check in Sessionize that the speaker is accepted.",
    ),
    "unknown_topic": WarningText(
        "A session refers to an item that no category lists, and that is left out.",
        "Check the categories of the session in Sessionize.",
    ),
    "invalid_session": WarningText("A session cannot be read completely.", _CORRECT),
    "invalid_speaker": WarningText("A speaker cannot be read completely.", _CORRECT),
    "invalid_room": WarningText("A room cannot be read completely.", _CORRECT),
    "invalid_category": WarningText(
        "A category cannot be read completely, so topics that may depend on it stay as they were.",
        "Correct the category in Sessionize.",
    ),
    "duplicate_session": WarningText("Sessionize lists a session more than once.", _LISTED),
    "duplicate_speaker": WarningText("Sessionize lists a speaker more than once.", _LISTED),
    "duplicate_room": WarningText("Sessionize lists a room more than once.", _LISTED),
}
"""By code. Readers allow for codes that are not listed here."""
