"""The public read models: views of the schema `spreaview`, with their columns and their meaning.

Columns are only ever added, at the end. `migrate` writes these texts as comments of the database,
and `docs/contract.md` lists them.
"""

from collections.abc import Mapping
from typing import NamedTuple

SCHEMA = "spreaview"

_EVENT = "The SpreaView event: a conference or meetup."
_ORGANIZATION = "The owner of the SpreaView event."
_POSITION = "Position in the log of the event that last changed the row."
_SESSIONIZE = "The id in Sessionize, as text."
_PERSONAL = "Null if the person was erased."


class View(NamedTuple):
    """A public view."""

    description: str
    columns: Mapping[str, str]
    """The meaning of each column, in the order of the view."""
    values: Mapping[str, tuple[str, ...]] = {}
    """The values that a column has, by column; readers allow for more of them."""

    def comment(self, column: str) -> str:
        """Return the meaning of a column, with its values."""
        values = ", ".join(self.values.get(column, ()))
        return self.columns[column] + (f" One of: {values}." if values else "")


_SPEAKER_COLUMNS = {
    "speaker_id": "Our id: the same in every SpreaView event of the organization.",
    "sessionize_id": "The GUID in Sessionize: the same in every organization.",
    "first_name": f"First name. {_PERSONAL}",
    "last_name": f"Last name. {_PERSONAL}",
    "full_name": f"Full name. {_PERSONAL}",
    "tag_line": f"Tag line. {_PERSONAL}",
    "bio": f"Biography. {_PERSONAL}",
    "profile_picture": f"URL of the picture. {_PERSONAL}",
    "links": f"JSON array of {{title, url, link_type}}. {_PERSONAL}",
    "is_top_speaker": "Whether Sessionize lists the person as a top speaker.",
    "status": "Whether the speaker is shown.",
    "position": _POSITION,
}
_SPEAKER_STATUS = {"status": ("imported", "withdrawn", "erased")}

VIEWS: Mapping[str, View] = {
    "sync_runs": View(
        "One row for each sync: the request, and what came of it.",
        {
            "sync_id": "The request_id of the request.",
            "spreaview_event_id": _EVENT,
            "organization_id": _ORGANIZATION,
            "status": "How far the run is. It is completed no earlier than its rows are there.",
            "requested_at": "When the request was made, by the clock of its sender.",
            "requested_by": f"The person or program that requested the sync. {_PERSONAL}",
            "started_at": "When the worker began. Null if the request was refused before.",
            "finished_at": "When the run ended.",
            "window_starts_on": "First day of the SpreaView event, inclusive.",
            "window_ends_on": "Last day of the SpreaView event, inclusive.",
            "time_zone": "IANA time zone of the SpreaView event.",
            "api_id_masked": "The Sessionize API ID: two characters, then asterisks.",
            "counts": "JSON object: per kind, how many were added, updated, unchanged and so on.",
            "warnings": "JSON array of {code, message, sessionize_ids}.",
            "withheld": "JSON array of the first 100 sessions whose removal was held back.",
            "failure_code": "A stable code. Null unless the run failed.",
            "failure_message": "A sentence for the organiser.",
            "failure_remedy": "What the organiser can do about it.",
            "retryable": "Whether the same request may succeed later.",
            "position": _POSITION,
        },
        {"status": ("running", "completed", "failed", "superseded")},
    ),
    "rooms": View(
        "The rooms that imported sessions use or used.",
        {
            "spreaview_event_id": _EVENT,
            "room_id": "Our id.",
            "sessionize_id": _SESSIONIZE,
            "name": "The name of the room.",
            "sort": "Its place in the order of display.",
            "status": "Whether the room is shown.",
            "position": _POSITION,
        },
        {"status": ("imported", "withdrawn")},
    ),
    "event_speakers": View(
        "The speakers of each SpreaView event.",
        {"spreaview_event_id": _EVENT, "organization_id": _ORGANIZATION} | _SPEAKER_COLUMNS,
        _SPEAKER_STATUS,
    ),
    "speakers": View(
        "One row for each speaker of an organization, from the newest SpreaView event that imports "
        "the speaker now, or else from the newest that once did.",
        {"organization_id": "The organization to which the speaker belongs."} | _SPEAKER_COLUMNS,
        _SPEAKER_STATUS,
    ),
    "sessions": View(
        "The sessions that are or were in the schedule.",
        {
            "spreaview_event_id": _EVENT,
            "session_id": "Our id.",
            "session_code": "The code in the review URL. It never changes.",
            "sessionize_id": _SESSIONIZE,
            "title": "The title.",
            "abstract": "The description in Sessionize.",
            "room_id": "The room, a row of rooms.",
            "starts_at": "When the session starts.",
            "ends_at": "When the session ends.",
            "is_service_session": "Whether it is a break, a registration or the like.",
            "is_plenum_session": "Whether it is for all attendees.",
            "live_url": "URL of the live stream.",
            "recording_url": "URL of the recording.",
            "status": "Whether the session is shown. A withdrawn one keeps its link alive.",
            "position": _POSITION,
            "topics": "JSON array of {category, topic}, in the order of display. Null: unknown "
            "until the next sync.",
            "is_reviewable": "Whether it is not a service session and has a speaker.",
        },
        {"status": ("scheduled", "withdrawn")},
    ),
    "session_speakers": View(
        "The speakers of each session.",
        {
            "spreaview_event_id": _EVENT,
            "session_id": "The session, a row of sessions.",
            "speaker_id": "The speaker, a row of event_speakers.",
            "ordinal": "1, 2, … in the order of display.",
        },
    ),
    "skipped_sessions": View(
        "The sessions of the document that the last completed run did not import, and why.",
        {
            "spreaview_event_id": _EVENT,
            "sessionize_id": _SESSIONIZE,
            "title": "The title.",
            "starts_at": "When the session starts, if Sessionize has a time.",
            "ends_at": "When the session ends, if Sessionize has a time.",
            "reason": "Why the session is not in the schedule.",
            "missing": "JSON array of the missing fields, if the reason is unscheduled.",
            "window_starts_at": "Start of the dates, inclusive, if the session is outside them.",
            "window_ends_at": "End of the dates, exclusive, if the session is outside them.",
            "sync_id": "The run that found it so first.",
            "position": _POSITION,
        },
        {"reason": ("before_window", "after_window", "unscheduled")},
    ),
    "stream_progress": View(
        "How far the log of each SpreaView event is shown by the other views.",
        {
            "spreaview_event_id": _EVENT,
            "version": "Number of the last event of the stream that the views show.",
            "position": "Its position in the log.",
        },
    ),
    "erasures": View(
        "The answers to erasure requests.",
        {
            "request_id": "The request_id of the request.",
            "organization_id": "The organization whose data was erased.",
            "speaker_id": "Our id of the speaker. Null if the request was refused without one.",
            "status": "What came of the request.",
            "streams": "Number of SpreaView events that had data of the speaker.",
            "erased_at": "When the request was carried out or refused.",
            "reason": "Why the request was refused, and the remedy. Null if it is done.",
        },
        {"status": ("done", "refused")},
    ),
}
"""Every public view by its name."""
