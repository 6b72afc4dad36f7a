"""`verify`, and `seals`."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

from aiokafka.errors import KafkaError
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from audit.transfer.seal_files import add_seals, published_seals, read_seals
from audit.verify.report import VerificationReport
from audit.verify.verify import verify
from cli.runfile import resolve, resolve_database
from cli.servers import answering_database
from cli.settings import Settings
from contracts.error_text import describe_error
from eventstore.seals import Seal


async def verify_log(
    settings: Settings, *, only: UUID | None, seals: Path | None, from_kafka: bool, as_json: bool
) -> int:
    """Verify; 0 if nothing was found, 1 otherwise or if the seals cannot be had."""
    try:
        kept = await _seals(settings, seals, from_kafka=from_kafka)
    except ValueError as error:
        return _no_seals(str(error))
    except (KafkaError, OSError) as error:
        return _no_seals(describe_error(error))
    async with answering_database(resolve_database(settings), pool_size=1) as engine:
        with _progress() as told:
            found = await verify(engine, only=only, seals=kept, on_progress=told)
    if only is not None and found.is_clean and not found.checked["events"]:
        print(f"spreaview-sync: The log knows no SpreaView event {only}.", file=sys.stderr)
        return 1
    if as_json:
        print(json.dumps(found.to_json()))
    else:
        _show(Console(highlight=False, soft_wrap=True, emoji=False), found)
    return 0 if found.is_clean else 1


async def keep_seals(settings: Settings, output: Path, *, as_json: bool) -> int:
    """Add the topic's seals to a file; 1 if Kafka is not there, or the file is another."""
    try:
        number = add_seals(output, await published_seals(resolve(settings).kafka))
    except ValueError as error:
        return _no_seals(str(error))
    except KafkaError as error:
        return _no_seals(describe_error(error))
    except OSError as error:
        print(
            f"spreaview-sync: {output} cannot be written: {describe_error(error)}", file=sys.stderr
        )
        return 1
    print(json.dumps({"added": number}) if as_json else f"{number} seals were added to {output}")
    return 0


def _no_seals(reason: str) -> int:
    print(f"spreaview-sync: the seals cannot be read: {reason}", file=sys.stderr)
    return 1


async def _seals(settings: Settings, file: Path | None, *, from_kafka: bool) -> list[Seal]:
    kept = list(read_seals(file)) if file is not None else []
    return kept + (await published_seals(resolve(settings).kafka) if from_kafka else [])


@contextmanager
def _progress() -> Iterator[Callable[[int, int], None]]:
    console = Console(stderr=True)
    columns = (TextColumn("verify"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, disable=not console.is_terminal) as bar:
        task = bar.add_task("verify", total=None)
        yield lambda done, of: bar.update(task, completed=done, total=of)


def _show(console: Console, found: VerificationReport) -> None:
    for finding in found.findings:
        console.print(f"[red]wrong[/]       {escape(str(finding))}")
    told = len(found.findings)
    if (total := found.found.total()) > told:
        console.print(f"[red]wrong[/]       … and {total - told} more")
    for what, number in found.unchecked.items():
        console.print(f"[yellow]not checked[/] {escape(what)} ({number})")
    looked = ", ".join(f"{number} {what}" for what, number in found.checked.items())
    console.print(f"checked     {looked}")
    console.print(
        "[green]All is as it was recorded.[/]" if found.is_clean else "[red]It is not.[/]"
    )
