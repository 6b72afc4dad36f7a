"""Cutting lists by their size as JSON, so that every event fits into a Kafka record."""

from collections.abc import Iterable, Iterator
from typing import TypeVar

import msgspec

T = TypeVar("T")


def json_bytes(value: object) -> int:
    """Return the size of a value as JSON, with the comma after it."""
    return len(msgspec.json.encode(value)) + 1


def cut(values: Iterable[T], most: int) -> tuple[T, ...]:
    """Return the first values, as many as have up to `most` bytes together."""
    return next(in_parts(values, most), ())


def in_parts(values: Iterable[T], most: int) -> Iterator[tuple[T, ...]]:
    """Split values, in their order, into parts of up to `most` bytes each."""
    part: list[T] = []
    size = 0
    for value in values:
        own = json_bytes(value)
        if part and size + own > most:
            yield tuple(part)
            part, size = [], 0
        part.append(value)
        size += own
    if part:
        yield tuple(part)
