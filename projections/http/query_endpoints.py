"""The table of the query routes: path, parameters and answers of each."""

from projections.http.answering import FRESHNESS
from projections.http.endpoint import UUID_SCHEMA, Endpoint, Parameter
from projections.http.models import (
    Events,
    RoomNow,
    Rooms,
    Schedule,
    SessionAnswer,
    SpeakerAnswer,
    SyncRuns,
)
from projections.http.problem import ProblemType
from projections.http.queries import EVENT, PAGING, Queries
from projections.http.tokens import Scope


def query_endpoints(queries: Queries) -> tuple[Endpoint, ...]:
    """The endpoints of the query routes."""
    missing = (ProblemType.NOT_FOUND, ProblemType.NOT_YET)
    room = Parameter("room_id", "path", "Our id of the room.", UUID_SCHEMA)
    return (
        Endpoint(
            method="GET",
            path="/v1/events",
            name="listEvents",
            summary="List the SpreaView events, the one that changed last first.",
            scope=Scope.READ,
            handle=queries.events,
            answers={200: Events},
            parameters=PAGING,
            problems=(ProblemType.NOT_YET, ProblemType.RESET),
        ),
        Endpoint(
            method="GET",
            path="/v1/events/{event_id}/schedule",
            name="getSchedule",
            summary="The schedule: days, rooms, sessions with speakers.",
            scope=Scope.READ,
            handle=queries.schedule,
            answers={200: Schedule, 304: None},
            parameters=(
                EVENT,
                Parameter(
                    "include",
                    "query",
                    "`withdrawn` adds the sessions that left the schedule.",
                    {"type": "string", "enum": ["withdrawn"]},
                ),
                *FRESHNESS,
            ),
            problems=missing,
        ),
        Endpoint(
            method="GET",
            path="/v1/events/{event_id}/rooms",
            name="listRooms",
            summary="The rooms of an event, in their order.",
            scope=Scope.READ,
            handle=queries.rooms,
            answers={200: Rooms, 304: None},
            parameters=(EVENT, *FRESHNESS),
            problems=missing,
        ),
        Endpoint(
            method="GET",
            path="/v1/events/{event_id}/rooms/{room_id}/now",
            name="getRoomNow",
            summary="The previous, current and next session of a room.",
            scope=Scope.READ,
            handle=queries.room_now,
            answers={200: RoomNow, 304: None},
            parameters=(
                EVENT,
                room,
                Parameter(
                    "at",
                    "query",
                    "The moment; now if not given.",
                    {"type": "string", "format": "date-time"},
                ),
                *FRESHNESS,
            ),
            problems=missing,
        ),
        Endpoint(
            method="GET",
            path="/v1/sessions/{session_code}",
            name="getSession",
            summary="One session, by the code of its review URL.",
            scope=Scope.READ,
            handle=queries.session,
            answers={200: SessionAnswer, 304: None},
            parameters=(Parameter("session_code", "path", "12 characters."), *FRESHNESS),
            problems=missing,
        ),
        Endpoint(
            method="GET",
            path="/v1/organizations/{organization_id}/speakers/{speaker_id}",
            name="getSpeaker",
            summary="A speaker with all sessions over the organization's events.",
            scope=Scope.READ,
            handle=queries.speaker,
            answers={200: SpeakerAnswer},
            parameters=(
                Parameter("organization_id", "path", "The organization.", UUID_SCHEMA),
                Parameter("speaker_id", "path", "Our id of the speaker, or Sessionize's."),
            ),
            problems=(ProblemType.NOT_FOUND,),
        ),
        Endpoint(
            method="GET",
            path="/v1/events/{event_id}/syncs",
            name="listSyncs",
            summary="The runs of an event, the newest first.",
            scope=Scope.READ,
            handle=queries.syncs,
            answers={200: SyncRuns, 304: None},
            parameters=(EVENT, *PAGING, *FRESHNESS),
            problems=(*missing, ProblemType.RESET),
            tag="syncs",
        ),
    )
