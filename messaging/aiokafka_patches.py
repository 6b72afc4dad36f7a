r"""Patches of aiokafka's fetcher for the consumers of this process (ADR 0009).

Two kinds of data would stop a whole consumer, or lose other records of the same fetch:

- A header whose name is not UTF-8. The patch reads it, with each wrong byte as `\xff`.
- A batch that cannot be read, such as one with a wrong checksum. Its partition is stuck before the
  batch and fetches it again; this is logged once. Records before it and other partitions continue.
"""

import time
from collections.abc import Iterator
from itertools import islice
from typing import Any

from aiokafka import ConsumerRecord
from aiokafka.consumer import fetcher
from aiokafka.record.default_records import DefaultRecordBatch, _DefaultRecordBatchPy
from aiokafka.record.memory_records import _MemoryRecordsPy

from contracts.outage_text import describe_outage
from messaging.backoff import log_failing, log_working

_AGAIN_SECONDS = 1.0
"""Wait before an unreadable batch is fetched again."""


def mend() -> None:
    """Patch aiokafka for every consumer of this process. Safe to call again."""
    fetcher.MemoryRecords = _Records
    fetcher.FetchResult = _FetchResult


class _Text(bytearray):
    def decode(self, encoding: str = "utf-8", errors: str = "backslashreplace") -> str:
        return super().decode(encoding, errors)


class _Buffer(bytearray):
    """Bytes whose slices can always be decoded."""

    def __getitem__(self, key: Any) -> Any:
        found = super().__getitem__(key)
        return _Text(found) if isinstance(found, bytearray) else found


class _PatientBatch(_DefaultRecordBatchPy):  # type: ignore[misc]  # aiokafka is untyped
    """Reads header names with any bytes; slow, because it is not compiled."""

    _buffer: bytearray

    def _maybe_uncompress(self) -> None:
        super()._maybe_uncompress()
        self._buffer = _Buffer(self._buffer)


class _Batch:
    """A compiled batch that becomes a patient one at the first name it cannot read."""

    def __init__(self, compiled: DefaultRecordBatch, piece: memoryview) -> None:
        self._compiled = compiled
        self._piece = piece

    def __getattr__(self, name: str) -> Any:
        return getattr(self._compiled, name)

    def __next__(self) -> Any:
        return next(self._compiled)

    def __iter__(self) -> Iterator[Any]:
        number = 0
        try:
            for record in self._compiled:
                yield record
                number += 1
        except UnicodeDecodeError:
            yield from islice(_PatientBatch(self._piece), number, None)


class _Records(_MemoryRecordsPy):  # type: ignore[misc]
    """Batches fetched from a partition."""

    def next_batch(self) -> Any:
        piece = self._next_slice
        batch = super().next_batch()
        return _Batch(batch, piece) if isinstance(batch, DefaultRecordBatch) else batch


class _FetchResult(fetcher.FetchResult):  # type: ignore[misc]
    """Records fetched from a partition, for the consumer to take."""

    _failed_at: float | None = None
    _partition_records: Iterator[ConsumerRecord] | None

    def getall(self, max_records: int | None = None) -> list[ConsumerRecord]:
        """Return records up to `max_records`, or up to the first that cannot be read.

        aiokafka's own method raises there. By then the consumer has moved past records of other
        partitions that belong to the same call, so they would be lost.
        """
        if self._failed_at is not None:
            if time.monotonic() > self._failed_at + _AGAIN_SECONDS:
                self._partition_records = None  # causes another fetch
            return []
        if not self.check_assignment(self._topic_partition) or self._partition_records is None:
            return []
        what = f"fetching {self._topic_partition.topic}/{self._topic_partition.partition}"
        taken: list[ConsumerRecord] = []
        try:
            for record in islice(self._partition_records, max_records):
                taken.append(record)  # noqa: PERF402 (it counts although the next one fails)
        except Exception as error:
            log_failing(what, describe_outage(error))
            self._failed_at = time.monotonic()
            if taken:
                self._update_position()
            return taken
        log_working(what)
        self._update_position()
        if max_records is None or len(taken) < max_records:
            self._partition_records = None
        return taken
