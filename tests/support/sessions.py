"""Sessions as the query routes answer with them."""

from datetime import datetime
from uuid import NAMESPACE_URL, uuid5

from projections.http.models import RoomRef, SessionView

HALL = RoomRef(room_id=uuid5(NAMESPACE_URL, "hall"), sessionize_id="1", name="Main Hall", sort=0)


def a_session(
    title: str, starts_at: datetime, ends_at: datetime, *, room: RoomRef = HALL
) -> SessionView:
    """A session with one title, time and room; the rest does not matter."""
    return SessionView(
        session_id=uuid5(NAMESPACE_URL, title),
        session_code=title[:12],
        sessionize_id=title,
        title=title,
        abstract=None,
        starts_at=starts_at,
        ends_at=ends_at,
        starts_at_local=starts_at.isoformat(),
        ends_at_local=ends_at.isoformat(),
        room=room,
        speakers=(),
        topics=(),
        is_reviewable=False,
        is_service_session=False,
        is_plenum_session=False,
        live_url=None,
        recording_url=None,
        status="scheduled",
    )
