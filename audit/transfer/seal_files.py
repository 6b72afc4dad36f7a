"""Files of seals, kept outside the database: extending them from the topic, and reading them."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from contracts.topics import LOG_SEALS
from eventstore.seals import Seal, decode_seal, encode_seal
from messaging.connection import KafkaConnection
from messaging.topic_reader import known_partitions_of, open_topic_reader, to_the_end

_BEGINNING = b'{"log_id":"'
"""The beginning of every seal that `encode_seal` writes."""


async def published_seals(kafka: KafkaConnection) -> list[Seal]:
    """The newest seal of every stream on the topic.

    Raises:
        UnknownTopicError: the topic does not exist, or is not shown to us.
        aiokafka.errors.KafkaError: the broker does not answer.
    """
    newest: dict[bytes, Seal] = {}
    async with open_topic_reader(kafka) as reader:
        partitions = await known_partitions_of(reader, LOG_SEALS)
        async for record in to_the_end(reader, partitions):
            if record.key and record.value:
                newest[record.key] = decode_seal(record.value)
    return list(newest.values())


class MissingSeals(NamedTuple):
    """The seals that a file does not have."""

    lines: list[bytes]
    keep: int
    """The lines belong after this many bytes of the file: beyond lies a line that was cut off."""
    size: int
    """The size of the file when it was read."""


def missing_seals(path: Path | None, seals: Iterable[Seal]) -> MissingSeals:
    """The seals that a file does not have, one per line. None is a file that does not exist.

        missing = missing_seals(path, await published_seals(kafka))

    Seals of a log before the newest one are left out: after a restore the topic has both. Older
    seals stay in the file: the topic keeps only the newest seal of a stream, and after somebody
    rebuilt a chain that seal would fit the new chain.

    Raises:
        ValueError: the file has other content, or the seals of another log.
        OSError: the file cannot be read.
    """
    content = path.read_bytes() if path is not None else b""
    whole = _size_of_whole_lines(path, content)
    kept = read_seals(path, size=whole) if path is not None else ()
    newest = {seal.stream_id: seal for seal in kept}
    published = list(seals)
    log_id = max(published, key=lambda seal: seal.sealed_at).log_id if published else None
    if any(seal.log_id != log_id for seal in newest.values()) and log_id is not None:
        raise ValueError(f"{path} has seals of another log. Remedy: name another file")
    new = [
        seal
        for seal in published
        if seal.log_id == log_id and _sealed(newest.get(seal.stream_id)) != _sealed(seal)
    ]
    return MissingSeals([encode_seal(seal) + b"\n" for seal in new], whole, len(content))


def _size_of_whole_lines(path: Path | None, content: bytes) -> int:
    size = content.rfind(b"\n") + 1
    end = content[size:]
    if not _BEGINNING.startswith(end[: len(_BEGINNING)]):
        raise ValueError(f"{path}: its last line is not a seal, not even a part of one")
    return size


def _sealed(seal: Seal | None) -> tuple[int, str] | None:
    return None if seal is None else (seal.version, seal.hash)


def read_seals(path: Path, *, size: int | None = None) -> Iterator[Seal]:
    """The seals in a file that `seals export` wrote, or in its first `size` bytes.

    Raises:
        ValueError: a line, named by its number, is not a seal.
    """
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if size is not None and (size := size - len(line)) < 0:
                return
            try:
                yield decode_seal(line)
            except ValueError as error:
                raise ValueError(f"{path}, line {number}: {error}") from error
