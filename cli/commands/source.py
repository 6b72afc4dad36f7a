"""`source show` and `reimport`: the documents behind runs, and what today makes of them."""

import asyncio
import sys
from pathlib import Path
from uuid import UUID

from audit.past.moments import NotInThePastError
from audit.past.sources import source_of
from audit.verify.reimport import reimport as redecided
from cli.commands.history import answered, people, say_json
from cli.render import past as show_past
from cli.settings import Settings
from eventstore.log import EventLog


async def show(settings: Settings, sync_id: UUID, output: Path | None, *, as_json: bool) -> int:
    """The document of a run, byte for byte, on standard output or into a file."""

    async def work(log: EventLog) -> int:
        told, body = await source_of(log, sync_id)
        if body is None and (output is not None or not as_json):
            raise NotInThePastError(
                f"The document of sync {sync_id}, {told.digest}, is not kept any more."
            )
        if output is not None and body is not None:
            try:
                await asyncio.to_thread(_write, output, body)
            except OSError as error:
                print(f"spreaview-sync: {output} cannot be written: {error}", file=sys.stderr)
                return 1
        if as_json:
            say_json(told.to_json())
        elif output is None and body is not None:
            sys.stdout.buffer.write(body)
            sys.stdout.buffer.flush()
        else:
            print(f"{told.size_bytes} bytes, SHA-256 {told.digest}, are in {output}.")
        return 0

    return await answered(settings, work)


async def reimport(settings: Settings, event: UUID, sync: UUID | None, *, as_json: bool) -> int:
    """Decide old documents again; 1 if something would have been different."""

    async def work(log: EventLog) -> int:
        console, number, different = people(), 0, 0
        async for run in redecided(log, event, sync):
            if as_json:
                print("," if number else "[", end="")
                say_json(run.to_json())
            else:
                show_past.redecided(console, run)
            number += 1
            different += bool(run.deviations)
        if as_json:
            print("]" if number else "[]")
        else:
            console.print(f"{number} runs, {different} of them would be different today.")
        return int(different > 0)

    return await answered(settings, work)


def _write(output: Path, body: bytes) -> None:
    output.touch(mode=0o600)  # people's names are in it
    output.write_bytes(body)
