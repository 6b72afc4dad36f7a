"""`projections status`, `retry` and `repair`."""

import json
import sys
from collections.abc import Sequence
from uuid import UUID

from rich.console import Console
from rich.markup import escape

from cli.runfile import resolve_database
from cli.servers import answering_database
from cli.settings import Settings
from projections.projector import Projector
from projections.repair import Repaired, RepairError, repair
from projections.status import ProjectionsStatus, ahead_streams, projections_status


async def status(settings: Settings, *, as_json: bool) -> int:
    """Show how the read models are; 0 if nobody has to act, 1 otherwise."""
    async with answering_database(resolve_database(settings), pool_size=2) as engine:
        found = await projections_status(engine, stuck_seconds=settings.stuck_seconds)
    if as_json:
        print(json.dumps(found.to_json()))
    else:
        _show(Console(highlight=False, soft_wrap=True, emoji=False), found)
    return 0 if found.is_well else 1


async def retry(settings: Settings, events: Sequence[UUID] | None, *, as_json: bool) -> int:
    """Let stopped streams go on, all if none is named; 1 if one of them stops again."""
    async with answering_database(resolve_database(settings), pool_size=2) as engine:
        resumed = await Projector(engine, sweep_seconds=60).resume(events)
    if as_json:
        print(json.dumps([stream.to_json() for stream in resumed]))
    else:
        for stream in resumed:
            print(f"{stream.stream_id}  {'goes on' if stream.error is None else stream.error}")
        if not resumed:
            print("Nothing of this has stopped.")
    return 1 if any(stream.error is not None for stream in resumed) else 0


async def repair_streams(
    settings: Settings, events: Sequence[UUID] | None, *, as_json: bool
) -> int:
    """Make the rows of streams anew, of all that are ahead of the log if none is named.

    1 if a stream could not be repaired; the others are.
    """
    repaired: list[Repaired] = []
    failed: list[RepairError] = []
    async with answering_database(resolve_database(settings), pool_size=2) as engine:
        if events is None:
            events = [stream.stream_id for stream in await ahead_streams(engine)]
        for stream_id in events:
            try:
                repaired.append(await repair(engine, stream_id))
            except RepairError as error:
                failed.append(error)
    if as_json:
        print(json.dumps([*(r.to_json() for r in repaired), *(f.to_json() for f in failed)]))
    else:
        for r in repaired:
            print(_line(r))
        if not (repaired or failed):
            print("No read model is ahead of the log.")
    for f in failed:
        print(
            f"spreaview-sync: {f.stream_id} is as it was: {f}\nRemedy: an event in the log "
            "cannot be applied by this version of spreaview-sync; run one that can, then repair "
            "again.",
            file=sys.stderr,
        )
    return 1 if failed else 0


def _line(r: Repaired) -> str:
    if not r.version:
        return f"{r.stream_id}  the log does not know it: none of its rows is left"
    changes = ", ".join(f"{table} {r.before[table]} → {rows}" for table, rows in r.after.items())
    return f"{r.stream_id}  version {r.version}: {changes}"


def _show(console: Console, found: ProjectionsStatus) -> None:
    console.print(f"generation   {found.generation}, by code {found.filled_by}")
    if found.filled_by != found.code_version:
        console.print(
            f"             this is code {found.code_version}: it applies what is new, and what was "
            "there stays\n             as it was; spreaview-sync projections rebuild makes all anew"
        )
    console.print(f"log          {found.streams} streams, up to position {found.head}")
    console.print(
        f"behind       {found.lag.streams} streams, {found.events_behind} events, "
        f"{found.lag.seconds:.1f} s"
    )
    if found.is_stuck:
        console.print(
            f"[red]stands still[/] {found.lag.stream_id} has waited for longest: is a projector "
            "running?\n             next: spreaview-sync projector, or see what its log says"
        )
    mended_by_repair = {stream.stream_id for stream in found.ahead}
    for stream in found.stopped:
        at = f", at position {stream.position} ({stream.type})" if stream.type else ""
        console.print(
            f"[red]stopped[/]      {stream.stream_id} after version {stream.version}{at}, "
            f"{stream.behind} events wait, {stream.stopped_at:%Y-%m-%d %H:%M:%S %Z}, by code "
            f"{stream.code_version}: {escape(stream.error)}"
        )
        if stream.stream_id not in mended_by_repair:
            console.print(f"             next: spreaview-sync projections retry {stream.stream_id}")
    for ahead in found.ahead:
        console.print(
            f"[red]ahead[/]        {ahead.stream_id}: version {ahead.version} is applied, the log "
            f"has {ahead.log_version}, or another event there: it was restored or replaced\n"
            "             next: spreaview-sync projections repair --ahead"
        )
