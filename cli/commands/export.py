"""`export` and `import`."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from audit.transfer.export import ExportScope, export
from audit.transfer.import_log import ImportRefusedError, import_log
from cli.runfile import resolve_database
from cli.servers import answering_database
from cli.settings import Settings


async def export_log(
    settings: Settings, scope: ExportScope, output: Path | None, *, as_json: bool
) -> int:
    """Write an export to a file, or to standard output. A file is there whole or not at all."""
    async with answering_database(resolve_database(settings), pool_size=1) as engine:
        with _progress() as told:
            if output is None:
                async for line in export(engine, scope, told):
                    sys.stdout.buffer.write(line)
                sys.stdout.buffer.flush()
                return 0
            partial = output.with_name(f"{output.name}.partial")
            partial.touch(mode=0o600)  # personal data are in it, and the key if it was asked for
            try:
                with partial.open("wb") as file:
                    async for line in export(engine, scope, told):
                        file.write(line)
                partial.replace(output)
            finally:
                partial.unlink(missing_ok=True)
    if as_json:
        print(json.dumps({"output": str(output)}))
    else:
        print(f"The log is in {output}.", file=sys.stderr)
    return 0


async def import_into(settings: Settings, source: Path, *, as_json: bool) -> int:
    """Import an export; 1 if it was refused, and then nothing has changed."""
    async with answering_database(resolve_database(settings), pool_size=1) as engine:
        try:
            with source.open("rb") as file:
                done = await import_log(engine, file)
        except ImportRefusedError as error:
            print(f"spreaview-sync: {source} was not imported: {error}", file=sys.stderr)
            return 1
    if as_json:
        print(json.dumps(done.to_json()))
    else:
        print(f"The log is {done.log_id}: {done.events} events, {done.documents} documents.")
        print("A projector builds the read models; a relay publishes all of it to an empty Kafka.")
    return 0


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    console = Console(stderr=True)
    columns = (TextColumn("export"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("export", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)
