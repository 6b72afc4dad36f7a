"""`projections`: the read models, and the generations that hold them."""

import sys
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Annotated
from uuid import UUID

import typer
from rich.console import Console

from cli.collector import NEW_OBJECTS_OF_A_REBUILD, collect_rarely
from cli.command import REFUSED, new_app, run
from cli.connections import DatabaseAddress
from cli.options import Json, uuid_argument
from cli.render.answer import Answer, sentence
from cli.render.generations import show_generations, show_rebuild
from cli.render.progress import rebuild_progress
from cli.render.projections import show_status
from cli.runfile import resolve_database
from cli.servers import open_database, open_for_sessions
from cli.settings import Settings
from cli.time_limit import STATUS_SECONDS, within
from projections.projector import Projector, ResumedStream
from projections.rebuild.dropping import drop_generations
from projections.rebuild.rebuild import (
    RebuildResult,
    generation_summaries,
)
from projections.rebuild.rebuild import (
    rebuild as rebuild_generation,
)
from projections.rebuild.rebuild import (
    rollback as roll_back,
)
from projections.repair import Repaired, RepairError
from projections.repair import repair as repair_stream
from projections.status import ProjectionsStatus, ahead_streams, projections_status

app = new_app("The read models: their status and their repair.")

_AGAIN = "run the same command again when it does; a rebuild continues where it was."
_generations = partial(open_for_sessions, pool_size=4, remedy=_AGAIN)
"""A database whose generations are managed."""

Events = Annotated[
    list[UUID] | None,
    typer.Argument(
        parser=uuid_argument, metavar="[EVENT]...", help="SpreaView events.", show_default=False
    ),
]
AcceptStopped = Annotated[
    bool,
    typer.Option(
        "--accept-stopped",
        help="Switch even if streams have stopped that continue in the live generation.",
    ),
]


@app.command()
def status(as_json: Json = False) -> None:
    """Show what lags, has stopped, or is ahead of the log.

    Exit code 1 if somebody has to act, or if it cannot be read within 10 seconds.
    """
    run(report_status, as_json=as_json, leaves_at_once=True)


async def report_status(settings: Settings) -> Answer:
    """The status of the read models; exit code 1 if somebody has to act."""
    address = DatabaseAddress(resolve_database(settings))
    found = await within(STATUS_SECONDS, _read_status(settings), address)
    exit_code = 0 if found.is_well else REFUSED
    return Answer(found.to_json(), partial(show_status, status=found), exit_code)


async def _read_status(settings: Settings) -> ProjectionsStatus:
    async with open_database(settings, pool_size=2) as engine:
        return await projections_status(engine, stuck_seconds=settings.stuck_seconds)


@app.command()
def retry(
    events: Events = None,
    every: Annotated[bool, typer.Option("--all", help="All streams that have stopped.")] = False,
    as_json: Json = False,
) -> None:
    """Resume stopped streams.

    Exit code 1 if one of them stops again.
    """
    if bool(events) == every:
        raise typer.BadParameter("name SpreaView events, or use --all")
    run(partial(resume, events or None), as_json=as_json)


async def resume(events: Sequence[UUID] | None, settings: Settings) -> Answer:
    """Resume streams, all of them if none is named; exit code 1 if one stops again."""
    async with open_database(settings, pool_size=2) as engine:
        resumed = await Projector(engine, sweep_seconds=60, waits=False).resume(events)

    def show(_: Console) -> None:
        for stream in resumed:
            print(f"{stream.stream_id}  {_resumed(stream)}")
        if not resumed:
            print("No such stream has stopped.")

    stops = any(stream.error is not None for stream in resumed)
    return Answer([stream.to_json() for stream in resumed], show, REFUSED if stops else 0)


def _resumed(stream: ResumedStream) -> str:
    return "resumed" if stream.error is None else stream.error


@app.command()
def repair(
    events: Events = None,
    ahead: Annotated[
        bool, typer.Option("--ahead", help="All whose applied version is ahead of the log.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Compute the rows of SpreaView events again from the log.

    Each event is repaired in one transaction.
    """
    if bool(events) == ahead:
        raise typer.BadParameter("name SpreaView events, or use --ahead")
    run(partial(repair_streams, events or None), as_json=as_json)


async def repair_streams(events: Sequence[UUID] | None, settings: Settings) -> Answer:
    """Repair streams, all that are ahead of the log if none is named.

    Exit code 1 if a stream could not be repaired; the others are.
    """
    repaired: list[Repaired] = []
    failed: list[RepairError] = []
    async with open_database(settings, pool_size=2) as engine:
        if events is None:
            events = [stream.stream_id for stream in await ahead_streams(engine)]
        for stream_id in events:
            try:
                repaired.append(await repair_stream(engine, stream_id))
            except RepairError as error:
                failed.append(error)
    for failure in failed:
        print(
            f"spreaview-sync: {failure.stream_id} is unchanged: {failure}\nRemedy: an event in "
            "the log cannot be applied by this version of spreaview-sync; run one that can, then "
            "repair again.",
            file=sys.stderr,
        )

    def show(_: Console) -> None:
        for each in repaired:
            print(_repaired(each))
        if not (repaired or failed):
            print("No read model is ahead of the log.")

    value = [*(each.to_json() for each in repaired), *(each.to_json() for each in failed)]
    return Answer(value, show, REFUSED if failed else 0)


def _repaired(repaired: Repaired) -> str:
    if not repaired.version:
        return f"{repaired.stream_id}  is not in the log: its rows were deleted"
    changes = ", ".join(
        f"{table} {repaired.before[table]} → {rows}" for table, rows in repaired.after.items()
    )
    return f"{repaired.stream_id}  version {repaired.version}: {changes}"


@app.command()
def rebuild(
    keep: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Afterwards drop all but the N newest generations that were live before.",
            show_default="all are kept",
        ),
    ] = None,
    accept_stopped: AcceptStopped = False,
    as_json: Json = False,
) -> None:
    """Fill a new generation from the log, compare it, and switch to it.

    The old one serves meanwhile. A rebuild that was interrupted continues when it is run again.
    """
    work = partial(rebuild_generation, keep=keep, accept_stopped=accept_stopped)
    run(partial(switch, work, as_json=as_json), as_json=as_json)


async def switch(
    work: Callable[..., Awaitable[RebuildResult]], settings: Settings, *, as_json: bool
) -> Answer:
    """Rebuild or roll back, reporting progress; not possible while another one runs."""
    collect_rarely(NEW_OBJECTS_OF_A_REBUILD)
    async with _generations(settings) as engine:
        with rebuild_progress(as_json=as_json) as shown:
            result = await work(engine, report_progress=shown.report, report_step=shown.step)
    return Answer(result.to_json(), partial(show_rebuild, result=result))


@app.command()
def rollback(accept_stopped: AcceptStopped = False, as_json: Json = False) -> None:
    """Bring the generation that was live before up to date, and switch back to it."""
    work = partial(roll_back, accept_stopped=accept_stopped)
    run(partial(switch, work, as_json=as_json), as_json=as_json)


@app.command()
def generations(as_json: Json = False) -> None:
    """List the generations of the read models."""
    run(list_generations, as_json=as_json)


async def list_generations(settings: Settings) -> Answer:
    """Every generation with its rows and its size."""
    async with _generations(settings) as engine:
        summaries = await generation_summaries(engine)
    value = [summary.to_json() for summary in summaries]
    return Answer(value, partial(show_generations, summaries=summaries))


@app.command()
def drop(
    number: Annotated[int | None, typer.Argument(help="Number of the generation.")] = None,
    all_old: Annotated[
        bool, typer.Option("--all-old", help="All that are filled and not live.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Drop generations with their rows. The live one is never dropped."""
    if (number is None) != all_old:
        raise typer.BadParameter("name a generation, or use --all-old")
    run(partial(drop_old, number), as_json=as_json)


async def drop_old(number: int | None, settings: Settings) -> Answer:
    """Drop one generation, or all old ones."""
    async with _generations(settings) as engine:
        dropped = await drop_generations(engine, number)
    text = f"dropped: {', '.join(map(str, dropped))}" if dropped else "Nothing to drop."
    return sentence({"dropped": dropped}, text)
