"""`erase-speaker`."""

import json
from uuid import UUID

from audit.erase import erase, lift
from cli.answering import answering_database
from cli.runfile import resolve_database
from cli.settings import Settings

_ONLY_TIME = """
Only time deletes the rest, and nothing of this program can:
  - records on Kafka that were published before: after {days} days, if the topic has what
    SPREAVIEW_EVENTS_RETENTION_DAYS says
  - backups, write-ahead logs and exports that were made before
  - what subscribers have kept: SpeakerErased tells them, with the speaker's id
Sessionize still has what the organiser keeps there. Session titles and abstracts are no personal
fields, and stay."""


async def erase_speaker(
    settings: Settings, organization_id: UUID, speaker_id: UUID, *, as_json: bool
) -> int:
    """Erase, and say what was done and what only time will delete."""
    async with answering_database(resolve_database(settings), pool_size=2) as engine:
        done = await erase(engine, organization_id, speaker_id)
    events = [str(stream_id) for stream_id in done.erased.stream_ids]
    if as_json:
        told = {
            "speaker_id": str(speaker_id),
            "erasure_id": str(done.erasure_id),
            "spreaview_event_ids": events,
            "personal_data": done.erased.personal_data,
            "sources": done.erased.sources,
            "rows": done.rows,
        }
        print(json.dumps(told))
        return 0
    print(f"Speaker {speaker_id} is erased.")
    if not events and not done.erased.sources:
        print(
            "  NOTE: nothing in the log or in a read model was theirs. If they have been imported, "
            "an id is wrong: check both."
        )
    print(f"  {done.erased.personal_data} events lost their personal fields; they stay provable")
    print(f"  {done.erased.sources} documents were deleted; their digests stay")
    print(f"  {done.rows} rows of read models were cleared")
    print(
        f"  SpeakerErased was appended to {len(events)} SpreaView events{': ' if events else ''}"
        + ", ".join(events)
    )
    print("  no run imports them again, until: spreaview-sync erase-speaker --lift")
    print(_ONLY_TIME.format(days=settings.events_retention_days))
    return 0


async def lift_erasure(settings: Settings, speaker_id: UUID, *, as_json: bool) -> int:
    """End an erasure; 1 if there was none."""
    async with answering_database(resolve_database(settings), pool_size=2) as engine:
        lifted = await lift(engine, speaker_id)
    if as_json:
        print(json.dumps({"speaker_id": str(speaker_id), "lifted": lifted}))
    elif lifted:
        print(f"The erasure of {speaker_id} is lifted: the next sync imports what Sessionize says.")
    else:
        print(f"Speaker {speaker_id} was not erased.")
    return 0 if lifted else 1
