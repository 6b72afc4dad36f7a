"""Generations of the read models for a person to read: the list, and the result of a rebuild."""

from collections.abc import Sequence
from functools import partial

from rich.console import Console

from cli.render.times import shown_time
from contracts.wording import counted
from projections.rebuild.parity import Parity
from projections.rebuild.rebuild import GenerationSummary, RebuildResult


def show_generations(_: Console, summaries: Sequence[GenerationSummary]) -> None:
    """One line per generation."""
    print(f"number  state    code          {'created':<25}  {'switched at':<25}        rows  size")
    for generation, rows, size in summaries:
        print(
            f"{generation.number:<6}  {generation.state:<7}  "
            f"{generation.code_version or '?':<12}  {shown_time(generation.created_at)}  "
            f"{shown_time(generation.switched_at):<25}  {rows:>10,}  {size / 2**20:,.1f} MiB"
        )


def show_rebuild(console: Console, result: RebuildResult) -> None:
    """Which generation is live now, how it compares, and what to do next."""
    write = partial(console.print, soft_wrap=True, markup=False)
    write(
        f"generation {result.live.number} is live ({result.live.schema}, by code "
        f"{result.live.code_version}); before: {result.before.number}"
    )
    pace = result.events / result.seconds if result.seconds else 0.0
    write(f"{counted(result.events, 'event')} in {result.seconds:.1f} s: {pace:,.0f} events/s")
    if result.parity:
        _show_parity(console, result, result.parity)
    for stream in result.stopped:
        write(
            f"stopped: {stream.stream_id} after version {stream.version}: {stream.error}\n"
            f"  next: spreaview-sync projections retry {stream.stream_id}"
        )
    if result.problem:
        write(result.problem)
    elif result.dropped:
        write(f"dropped: {', '.join(map(str, result.dropped))}")
    else:
        write("to go back to the one before: spreaview-sync projections rollback")


def _show_parity(console: Console, result: RebuildResult, parity: Parity) -> None:
    write = partial(console.print, soft_wrap=True, markup=False)
    rows = sum(table.rows[1] for table in parity.tables)
    same_code = result.before.code_version == result.live.code_version
    code = "by the same code" if same_code else f"by other code ({result.before.code_version})"
    verdict = ("equal" if parity.equal else "UNEQUAL") if parity.streams else "nothing to compare"
    elsewhere = counted(parity.not_compared, "stream")
    left_out = f"; {elsewhere} at another version" if parity.not_compared else ""
    write(
        f"parity with generation {result.before.number}, {code}: {verdict}; "
        f"{counted(rows, 'row')} of {counted(parity.streams, 'stream')} compared{left_out}"
    )
    for name in parity.tables_not_compared:
        write(f"  {name}: in one generation only")
    for table in parity.tables:
        if table.equal:
            continue
        write(
            f"  {table.table}: {counted(table.added, 'row')} more, "
            f"{counted(table.removed, 'row')} fewer, {counted(table.changed, 'row')} changed"
        )
        for row in table.first:
            key = " ".join(str(value) for value in row.key.values())
            fields = "; ".join(
                f"{name}: {old!r} → {new!r}" for name, (old, new) in row.fields.items()
            )
            write(f"    {row.kind} {key}{': ' if fields else ''}{fields}")
