"""Seals, taken from the topic to be kept elsewhere, and read again."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from contracts.topics import LOG_SEALS
from eventstore.seals import Seal, decode_seal, encode_seal
from messaging.reading import partitions_of, reading, to_the_end


async def published_seals(bootstrap_servers: str) -> list[Seal]:
    """The newest seal of every stream on the topic. Raises aiokafka.errors.KafkaError."""
    newest: dict[bytes, Seal] = {}
    async with reading(bootstrap_servers) as reader:
        partitions = await partitions_of(reader, LOG_SEALS)
        async for record in to_the_end(reader, partitions):
            if record.key and record.value:
                newest[record.key] = decode_seal(record.value)
    return list(newest.values())


def write_seals(path: Path, seals: Iterable[Seal]) -> int:
    """Write one seal per line; how many."""
    with path.open("wb") as file:
        return sum(bool(file.write(encode_seal(seal) + b"\n")) for seal in seals)


def read_seals(path: Path) -> Iterator[Seal]:
    """The seals of a file that `write_seals` made. Raises ValueError, which names the line."""
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            try:
                yield decode_seal(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
