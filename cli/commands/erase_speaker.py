"""`erase-speaker`."""

import json

from audit.erasure.erase import erase, erase_requester, lift
from cli.options import Person
from cli.runfile import resolve_database
from cli.servers import answering_database
from cli.settings import Settings

_ONLY_TIME = """
Only time deletes the rest, and nothing of this program can:
  - records on Kafka that were published before: after {days} days, if the topic has what
    SPREAVIEW_EVENTS_RETENTION_DAYS says
  - backups, write-ahead logs and exports that were made before
  - what subscribers have kept: SpeakerErased tells them, with the id above
"""

_OF_A_SPEAKER = """\
Sessionize still has what the organiser keeps there. Session titles and abstracts are no personal
fields, and stay."""

_OF_A_REQUESTER = """\
  - the requests themselves, and those among the dead letters, on their topics
SpreaView still knows who pressed the button."""


async def erase_person(settings: Settings, person: Person, *, as_json: bool) -> int:
    """Erase, and say what was done and what only time will delete."""
    async with answering_database(resolve_database(settings), pool_size=2) as engine:
        if person.requested_by is None:
            done = await erase(engine, person.organization_id, person.subject)
        else:
            done = await erase_requester(engine, person.organization_id, person.requested_by)
    events = [str(stream_id) for stream_id in done.erased.stream_ids]
    if as_json:
        print(json.dumps(done.to_json()))
        return 0
    print(f"Erased: {person}, whose id is {person.subject}.")
    if not events and not done.erased.sources:
        print(
            "  NOTE: nothing in the log or in a read model was theirs. If they have been there, "
            "an id or the name is wrong: check both."
        )
    print(f"  {done.erased.personal_data} events lost their personal fields; they stay provable")
    print(f"  {done.erased.sources} documents were deleted; their digests stay")
    print(f"  {done.rows} rows of read models were cleared")
    print(
        f"  SpeakerErased was appended to {len(events)} SpreaView events{': ' if events else ''}"
        + ", ".join(events)
    )
    print("  no run tells of them again, until: spreaview-sync erase-speaker --lift")
    rest = _OF_A_SPEAKER if person.requested_by is None else _OF_A_REQUESTER
    print(_ONLY_TIME.format(days=settings.events_retention_days) + rest)
    return 0


async def lift_erasure(settings: Settings, person: Person, *, as_json: bool) -> int:
    """End an erasure; 1 if there was none."""
    async with answering_database(resolve_database(settings), pool_size=2) as engine:
        lifted = await lift(engine, person.subject)
    if as_json:
        print(json.dumps({"speaker_id": str(person.subject), "lifted": lifted}))
    elif lifted:
        print(f"The erasure of {person} is lifted: the next sync tells of them again.")
    else:
        print(f"Not erased before: {person}.")
    return 0 if lifted else 1
