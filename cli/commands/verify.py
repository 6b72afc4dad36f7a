"""`verify`: is everything as it was recorded?"""

from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Annotated
from uuid import UUID

import typer

from audit.past.moments import NotInThePastError
from audit.transfer.seal_files import published_seals, read_seals
from audit.verify.documents import Retention
from audit.verify.verify import verify as verify_log
from cli.command import REFUSED, new_app, run
from cli.errors import CommandError
from cli.options import Json, OneEvent
from cli.render.answer import Answer
from cli.render.progress import progress
from cli.render.verification import show_verification
from cli.runfile import resolve
from cli.servers import kafka_errors, open_database
from cli.settings import Settings
from contracts.error_text import describe_error
from eventstore.seals import Seal

app = new_app()


@app.command()
def verify(
    event_id: OneEvent = None,
    seals: Annotated[
        Path | None,
        typer.Option(
            exists=True, dir_okay=False, metavar="FILE", help="Seals that `seals export` wrote."
        ),
    ] = None,
    seals_from_kafka: Annotated[
        bool, typer.Option("--seals-from-kafka", help="Also the seals on the topic.")
    ] = False,
    as_json: Json = False,
) -> None:
    """Verify that the log and the read models are as recorded.

    Exit code 1 if they are not.
    """
    work = partial(report_verification, event_id, seals, from_kafka=seals_from_kafka)
    run(work, as_json=as_json)


async def report_verification(
    only: UUID | None, file: Path | None, settings: Settings, *, from_kafka: bool
) -> Answer:
    """Verify everything, or one event; exit code 1 if anything was found."""
    try:
        seals = await _seals(settings, file, from_kafka=from_kafka)
    except ValueError as error:
        raise CommandError(f"the seals cannot be read: {error}") from error
    except OSError as error:
        raise CommandError(f"the seals cannot be read: {describe_error(error)}") from error
    async with open_database(settings) as engine:
        with progress("verify") as update:
            report = await verify_log(
                engine,
                only=only,
                seals=seals,
                retention=_retention(settings),
                behind=timedelta(seconds=settings.stuck_seconds),
                on_progress=update,
            )
    if only is not None and report.is_clean and not report.checked["events"]:
        raise NotInThePastError(f"The log knows no SpreaView event {only}.")
    exit_code = 0 if report.is_clean else REFUSED
    return Answer(report.to_json(), partial(show_verification, report=report), exit_code)


def _retention(settings: Settings) -> Retention:
    return Retention(
        _days(settings.source_retention_days),
        settings.max_document_bytes,
        _days(settings.inbox_retention_days),
    )


def _days(days: int | None) -> timedelta | None:
    return None if days is None else timedelta(days=days)


async def _seals(settings: Settings, file: Path | None, *, from_kafka: bool) -> list[Seal]:
    kept = list(read_seals(file)) if file is not None else []
    if not from_kafka:
        return kept
    kafka = resolve(settings).kafka
    with kafka_errors(kafka, "the seals cannot be read"):
        return kept + await published_seals(kafka)
