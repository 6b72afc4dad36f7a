"""The documented JSON shape of an event's read models: `diff` and its JSON Patch use it.

    {"sessions": {id: {session_id, session_code, title, abstract, room, starts_at, ends_at,
                       is_service_session, is_plenum_session, live_url, recording_url, status,
                       topics, is_reviewable, speakers}},
     "rooms":    {id: {room_id, name, sort, status}},
     "speakers": {id: {speaker_id, first_name, last_name, full_name, tag_line, bio,
                       profile_picture, links, is_top_speaker, status}},
     "skipped":  {id: {title, starts_at, ends_at, reason, missing, window_starts_at,
                       window_ends_at}}}

The keys, the `room` and the `speakers` of a session are Sessionize ids. Withdrawn entities stay,
with the status `withdrawn`, as in the views. Instants are UTC.
"""

from collections.abc import Iterable
from typing import TypeAlias

from audit.as_of.read_models import ReadModels
from projections.changes import Row

Shape: TypeAlias = dict[str, dict[str, Row]]

_NEVER_SHOWN = frozenset({"spreaview_event_id", "organization_id", "sessionize_id", "position"})


def shape_of(models: ReadModels) -> Shape:
    """The read models in this shape, sorted by id."""
    rooms = {key: str(row["sessionize_id"]) for key, row in models.rooms.items()}
    speakers = {key: str(row["sessionize_id"]) for key, row in models.speakers.items()}
    sessions = []
    for key, row in models.sessions.items():
        lineup = [str(link["speaker_id"]) for link in models.lineup.get(key, ())]
        room_id = str(row["room_id"])
        sessions.append(
            {name: value for name, value in row.items() if name != "room_id"}
            | {
                "room": rooms.get(room_id, room_id),
                "speakers": [speakers.get(speaker, speaker) for speaker in lineup],
            }
        )
    skips = [
        {name: value for name, value in row.items() if name != "sync_id"}
        for row in models.skips.values()
    ]
    return {
        "sessions": _keyed(sessions),
        "rooms": _keyed(models.rooms.values()),
        "speakers": _keyed(models.speakers.values()),
        "skipped": _keyed(skips),
    }


def _keyed(rows: Iterable[Row]) -> dict[str, Row]:
    keyed = {
        str(row["sessionize_id"]): {k: v for k, v in row.items() if k not in _NEVER_SHOWN}
        for row in rows
    }
    return dict(sorted(keyed.items()))
