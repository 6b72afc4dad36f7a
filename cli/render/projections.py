"""The status of the read models for a person to read."""

from functools import partial

from rich.console import Console
from rich.markup import escape

from contracts.wording import counted
from projections.status import ProjectionsStatus


def show_status(console: Console, status: ProjectionsStatus) -> None:
    """Show the progress of the read models, the stopped streams, and what mends them."""
    write = partial(console.print, soft_wrap=True)
    write(f"generation   {status.generation}, by code {status.filled_by}")
    if status.filled_by != status.code_version:
        write(
            f"             this is code {status.code_version}: it applies new events; the rows "
            "that are there stay as they were.\n"
            "             spreaview-sync projections rebuild computes all of them again"
        )
    if status.unfilled_rows:
        write(
            f"unfilled     {counted(status.unfilled_rows, 'row')} without a column that an earlier "
            "version did not know\n             next: spreaview-sync projections rebuild"
        )
    streams = counted(status.streams, "stream")
    write(f"log          {streams}, up to position {status.head}")
    lagging = counted(status.lag.streams, "stream")
    write(
        f"behind       {lagging}, {counted(status.events_behind, 'event')}, "
        f"{status.lag.seconds:.1f} s"
    )
    if status.is_stuck:
        write(
            f"[red]stuck[/]        {status.lag.stream_id} has waited longest: is a projector "
            "running?\n             next: spreaview-sync projector, or read its log"
        )
    repairable = {stream.stream_id for stream in status.ahead}
    for stream in status.stopped:
        at = f", at position {stream.position} ({stream.type})" if stream.type else ""
        write(
            f"[red]stopped[/]      {stream.stream_id} after version {stream.version}{at}, "
            f"{counted(stream.behind, 'event')} waiting, "
            f"{stream.stopped_at:%Y-%m-%d %H:%M:%S %Z}, by code {stream.code_version}: "
            f"{escape(stream.error)}"
        )
        if stream.stream_id not in repairable:
            write(f"             next: spreaview-sync projections retry {stream.stream_id}")
    for role in status.without_rights:
        write(
            f"[red]rights[/]       {escape(role)} may use an older generation, but not "
            f"{status.generation}: a projector with this role is stuck\n"
            "             next: run deploy/roles.sql as the owner, or grant it those rights"
        )
    for ahead in status.ahead:
        write(
            f"[red]ahead[/]        {ahead.stream_id}: version {ahead.version} is applied, the log "
            f"has {ahead.log_version}, or another event there: it was restored or replaced\n"
            "             next: spreaview-sync projections repair --ahead"
        )
