"""`projections rebuild`, `rollback`, `generations` and `drop`."""

import json
import sys
from collections.abc import Awaitable, Callable
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncEngine

from cli.render.progress import Told, telling
from cli.runfile import resolve_database
from cli.servers import answering_database
from cli.settings import Settings
from projections.generations import GenerationsError
from projections.rebuild.parity import Parity
from projections.rebuild.rebuild import (
    RebuildResult,
    drop_generations,
    generation_summaries,
    rebuild,
    rollback,
)

_AGAIN = "run the same command again when it does; a rebuild goes on where it was."


async def run_rebuild(
    settings: Settings, *, keep: int | None, accept_stopped: bool, as_json: bool
) -> int:
    """Rebuild and switch; 0, or 1 if another one is at it or the switch was not possible."""

    async def work(engine: AsyncEngine) -> None:
        with telling(as_json=as_json) as told:
            done = await rebuild(
                engine,
                report_progress=told.report,
                report_step=told.say,
                keep=keep,
                accept_stopped=accept_stopped,
            )
        _tell(done, told)

    return await _on_generations(settings, work)


async def run_rollback(settings: Settings, *, accept_stopped: bool, as_json: bool) -> int:
    """Make the generation that was live before live again; 0, or 1 as `run_rebuild`."""

    async def work(engine: AsyncEngine) -> None:
        with telling(as_json=as_json) as told:
            done = await rollback(
                engine,
                report_progress=told.report,
                report_step=told.say,
                accept_stopped=accept_stopped,
            )
        _tell(done, told)

    return await _on_generations(settings, work)


async def list_generations(settings: Settings, *, as_json: bool) -> int:
    """Print every generation; 0."""

    async def work(engine: AsyncEngine) -> None:
        shown = await generation_summaries(engine)
        if as_json:
            print(json.dumps([each.to_json() for each in shown]))
            return
        print(
            "number  state    code          created              switched at        "
            "        rows  size"
        )
        for generation, rows, size in shown:
            print(
                f"{generation.number:<6}  {generation.state:<7}  "
                f"{generation.code_version or '?':<12}  {generation.created_at:%Y-%m-%d %H:%M:%S}  "
                f"{_when(generation.switched_at):<19}  {rows:>10,}  {size / 2**20:,.1f} MiB"
            )

    return await _on_generations(settings, work)


async def run_drop(settings: Settings, number: int | None, *, as_json: bool) -> int:
    """Drop a generation, all old ones if none is named; 0, or 1 if that is not possible."""

    async def work(engine: AsyncEngine) -> None:
        dropped = await drop_generations(engine, number)
        if as_json:
            print(json.dumps({"dropped": dropped}))
        else:
            print(f"dropped: {', '.join(map(str, dropped))}" if dropped else "Nothing to drop.")

    return await _on_generations(settings, work)


async def _on_generations(
    settings: Settings, work: Callable[[AsyncEngine], Awaitable[None]]
) -> int:
    url = resolve_database(settings)
    async with answering_database(url, pool_size=4, remedy=_AGAIN) as engine:
        try:
            await work(engine)
        except GenerationsError as error:
            print(f"spreaview-sync: {error}", file=sys.stderr)
            return 1
    return 0


def _when(time: datetime | None) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}" if time else "never"


def _tell(done: RebuildResult, told: Told) -> None:
    if told.as_json:
        told.line(**done.to_json())
        return
    print(
        f"generation {done.live.number} is live ({done.live.schema}, by code "
        f"{done.live.code_version}); before: {done.before.number}"
    )
    pace = done.events / done.seconds if done.seconds else 0.0
    print(f"{done.events:,} events in {done.seconds:.1f} s: {pace:,.0f} events/s")
    if done.parity:
        _show_parity(done, done.parity)
    for stream in done.stopped:
        print(
            f"stopped: {stream.stream_id} after version {stream.version}: {stream.error}\n"
            f"  next: spreaview-sync projections retry {stream.stream_id}"
        )
    if done.dropped:
        print(f"dropped: {', '.join(map(str, done.dropped))}")
    else:
        print("back to the one before: spreaview-sync projections rollback")


def _show_parity(done: RebuildResult, parity: Parity) -> None:
    rows = sum(table.rows[1] for table in parity.tables)
    same_code = done.before.code_version == done.live.code_version
    code = "by the same code" if same_code else f"by other code ({done.before.code_version})"
    verdict = ("equal" if parity.equal else "UNEQUAL") if parity.streams else "nothing to compare"
    left_out = f"; {parity.not_compared} streams stood elsewhere" if parity.not_compared else ""
    print(
        f"parity with generation {done.before.number}, {code}: {verdict}; {rows:,} rows of "
        f"{parity.streams:,} streams compared{left_out}"
    )
    for name in parity.tables_not_compared:
        print(f"  {name}: in one generation only")
    for table in parity.tables:
        if table.equal:
            continue
        print(
            f"  {table.table}: {table.added} rows more, {table.removed} rows fewer, "
            f"{table.changed} rows differ"
        )
        for row in table.first:
            key = " ".join(str(value) for value in row.key.values())
            fields = "; ".join(
                f"{name}: {old!r} → {new!r}" for name, (old, new) in row.fields.items()
            )
            print(f"    {row.kind} {key}{': ' if fields else ''}{fields}")
