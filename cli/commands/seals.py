"""`seals export`: the newest seals, added to a file."""

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Annotated

from audit.transfer.seal_files import missing_seals, published_seals
from cli.command import new_app, run
from cli.errors import CommandError
from cli.options import Json, output_option
from cli.output import existing_file, is_standard_output, output_file
from cli.render.answer import Answer, sentence
from cli.runfile import resolve_kafka
from cli.servers import kafka_errors
from cli.settings import Settings
from contracts.wording import counted
from eventstore.seals import Seal

app = new_app("Seals of the log, which show what its chains cannot.")


@app.command()
def export(
    output: Annotated[Path, output_option("One seal per line; the lines in it stay.")],
    as_json: Json = False,
) -> None:
    """Add the newest seals to a file.

    Keep it where the owner of the database cannot reach it.
    """
    run(partial(keep_seals, output), as_json=as_json)


async def keep_seals(output: Path, settings: Settings) -> Answer | int:
    """Add the topic's seals to a file; the file must hold seals of this log, or nothing."""
    kafka = resolve_kafka(settings)
    try:
        with kafka_errors(kafka, "the seals cannot be read"):
            number = add_seals(output, await published_seals(kafka))
    except ValueError as error:
        raise CommandError(f"the seals cannot be kept: {error}") from error
    if is_standard_output(output):
        return 0
    return sentence({"added": number}, f"{counted(number, 'seal')} added to {output}")


def add_seals(output: Path, seals: Iterable[Seal]) -> int:
    """Append the seals that a file does not have; returns their number.

    Removes a last line that was cut off while it was written.

    Raises:
        ValueError: the file has other content, or the seals of another log; it is not changed.
        CommandError: the file cannot be written, or another command extends it.
    """
    missing = missing_seals(existing_file(output), seals)
    with output_file(output, keep=missing.keep, size=missing.size) as file:
        file.write(b"".join(missing.lines))
    return len(missing.lines)
